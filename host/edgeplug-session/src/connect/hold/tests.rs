use std::time::Duration;

use proptest::prelude::*;

use crate::action::{Answer, Connection};
use crate::event::{Ask, Event, OperatorRequest};
use crate::rig::{LATENCY, Rig, reading};
use crate::{AskId, LinkState, RequestId};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn online() -> Rig {
    let mut rig = Rig::new();
    rig.boot();
    rig.pass(SECOND);
    assert!(rig.is_online());
    rig
}

fn ask(rig: &mut Rig, ask: u64, request: Ask) {
    rig.handle(Event::Asked { plugin: "p".into(), ask: AskId(ask), request });
}

fn link(rig: &Rig) -> LinkState {
    rig.session.status(rig.now()).link
}

#[test]
fn a_plugin_may_end_the_connection_and_have_it_back() {
    let mut rig = online();
    rig.puback_delay = Some(2 * SECOND);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(LATENCY);
    ask(&mut rig, 1, Ask::Disconnect);
    rig.pass(SECOND);
    assert_eq!(rig.answers, [], "the hub has not acknowledged everything yet");
    rig.pass(2 * SECOND);
    assert_eq!(rig.answers, [(AskId(1), Answer::Link(Ok(())))]);
    assert!(rig.disk.rows.is_empty());
    let reason = "on request of plugin p".to_owned();
    assert_eq!(rig.told, [Connection::Connected, Connection::Disconnected(reason)]);

    rig.pass(24 * HOUR);
    rig.offer(2, vec![reading("n", 2)]);
    rig.pass(SECOND);
    let status = rig.session.status(rig.now());
    assert_eq!((status.link, status.disconnected_by.as_deref()), (LinkState::Disconnected, Some("p")));
    assert_eq!((status.trouble, status.retry_in_s, rig.cloud.connects), (None, None, 1));
    assert_eq!(rig.outcomes.len(), 2, "readings are accepted all the same");

    ask(&mut rig, 2, Ask::Reconnect);
    rig.pass(5 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.answers[1], (AskId(2), Answer::Link(Ok(()))));
    assert_eq!(rig.delivered("n"), [1, 2]);
    assert_eq!(rig.session.status(rig.now()).disconnected_by, None);
}

#[test]
fn a_hub_that_acknowledges_nothing_does_not_keep_the_connection_open() {
    let mut rig = online();
    rig.puback_delay = None;
    rig.offer(1, vec![reading("n", 1)]);
    ask(&mut rig, 1, Ask::Disconnect);
    rig.pass(6 * SECOND);
    assert_eq!((rig.answers.len(), link(&rig), rig.has_connection()), (1, LinkState::Disconnected, false));
}

#[test]
fn a_reconnect_without_a_disconnect_does_nothing() {
    let mut rig = online();
    ask(&mut rig, 1, Ask::Reconnect);
    rig.pass(SECOND);
    assert!(rig.is_online() && rig.cloud.connects == 1);
    assert_eq!(rig.answers, [(AskId(1), Answer::Link(Ok(())))]);
}

#[test]
fn every_step_of_the_way_ends_without_a_connection() {
    for steps in 0..40 {
        let mut rig = Rig::unregistered();
        rig.boot();
        for _ in 0..steps {
            let end = rig.monotonic + HOUR / 100;
            rig.pass_one(end);
        }
        let told = rig.told.len();
        ask(&mut rig, 1, Ask::Disconnect);
        rig.pass(60 * SECOND);
        assert_eq!(link(&rig), LinkState::Disconnected, "after {steps} steps");
        assert!(!rig.has_connection() && !rig.told[told..].contains(&Connection::Connected), "after {steps} steps");
        assert_eq!(rig.answers, [(AskId(1), Answer::Link(Ok(())))], "after {steps} steps");
        let connects = rig.cloud.connects;
        rig.pass(2 * HOUR);
        assert_eq!(rig.cloud.connects, connects, "after {steps} steps");
        ask(&mut rig, 2, Ask::Reconnect);
        rig.pass(60 * SECOND);
        assert!(rig.is_online(), "after {steps} steps");
    }
}

#[test]
fn a_renewal_under_way_ends_without_a_connection_too() {
    // It begins at 80 % of an hour.
    for (step, tpm_busy) in (0..40_u32).flat_map(|step| [(step, false), (step, true)]) {
        let mut rig = online();
        rig.tpm_busy = tpm_busy;
        rig.pass(48 * 60 * SECOND - SECOND + LATENCY / 2 * step);
        ask(&mut rig, 1, Ask::Disconnect);
        rig.pass(10 * SECOND);
        assert_eq!((link(&rig), rig.answers.len()), (LinkState::Disconnected, 1), "step {step}");
        assert!(!rig.told_connected && !rig.has_connection(), "step {step}");
        rig.tpm_busy = false;
        ask(&mut rig, 2, Ask::Reconnect);
        rig.pass(10 * SECOND);
        assert!(rig.is_online() && rig.told_connected, "step {step}");
    }
}

#[test]
fn without_a_connection_there_is_nothing_to_wait_for() {
    let mut rig = Rig::new();
    rig.network(false);
    rig.boot();
    rig.pass(60 * SECOND);
    ask(&mut rig, 1, Ask::Disconnect);
    assert_eq!(rig.answers, [(AskId(1), Answer::Link(Ok(())))]);
    rig.network(true);
    rig.pass(HOUR);
    assert_eq!(rig.cloud.connects, 0);
}

#[test]
fn nothing_is_tried_again_while_no_connection_is_wanted() {
    let mut rig = Rig::new();
    rig.network(false);
    rig.boot();
    rig.pass(LATENCY);
    assert_eq!(link(&rig), LinkState::Discovering);
    ask(&mut rig, 1, Ask::Disconnect);
    rig.pass(SECOND);
    let status = rig.session.status(rig.now());
    assert_eq!((status.link, status.trouble), (LinkState::Disconnected, None));
    rig.network(true);
    rig.pass(HOUR);
    assert_eq!(rig.cloud.syncs, 0);
    ask(&mut rig, 2, Ask::Reconnect);
    rig.pass(SECOND);
    assert!(rig.is_online());
}

#[test]
fn a_restart_of_the_daemon_connects_again() {
    let mut rig = online();
    ask(&mut rig, 1, Ask::Disconnect);
    rig.pass(10 * SECOND);
    rig.crash();
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
}

#[test]
fn a_plugin_that_cannot_decide_does_not_hammer_the_hub() {
    let mut rig = online();
    for n in 0..600 {
        ask(&mut rig, n, if n % 2 == 0 { Ask::Disconnect } else { Ask::Reconnect });
        rig.pass(Duration::from_millis(100));
    }
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
    assert!(rig.cloud.connects <= 14, "{} connections in a minute", rig.cloud.connects);
    assert_eq!(rig.answers.len(), 600);
}

#[test]
fn a_stop_answers_who_waits_for_the_end_of_the_connection() {
    let mut rig = online();
    rig.puback_delay = None;
    rig.offer(1, vec![reading("n", 1)]);
    ask(&mut rig, 1, Ask::Disconnect);
    rig.handle(Event::Stop);
    rig.pass(10 * SECOND);
    assert!(rig.stopped);
    assert_eq!(rig.answers, [(AskId(1), Answer::Link(Ok(())))]);
}

#[test]
fn plugins_hear_why_the_connection_ended() {
    let mut rig = online();
    rig.cut();
    let Some(Connection::Disconnected(reason)) = rig.told.last() else { panic!("{:?}", rig.told) };
    assert!(reason.contains("connection reset"), "{reason}");
}

#[test]
fn plugins_learn_the_template_when_it_is_known_and_when_it_changes() {
    let mut rig = online();
    rig.pass(HOUR);
    let [model] = &rig.told_templates[..] else { panic!("told {} times", rig.told_templates.len()) };
    let names: Vec<_> = model.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
    assert_eq!(names, ["n", "small"]);
    rig.cloud.no_attributes = true;
    rig.crash();
    assert_eq!(rig.told_templates.len(), 2, "from the disk, before there is a connection");
    rig.pass(10 * SECOND);
    assert_eq!(rig.told_templates.len(), 3);
    assert!(rig.told_templates[2].attributes.is_empty());
}

#[derive(Debug, Clone)]
enum Fate {
    Disconnect,
    Reconnect,
    Cut,
    Network(bool),
    SlowAcks(bool),
    Offer,
    Pass(u32),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Disconnect),
        3 => Just(Fate::Reconnect),
        1 => Just(Fate::Cut),
        1 => any::<bool>().prop_map(Fate::Network),
        1 => any::<bool>().prop_map(Fate::SlowAcks),
        1 => Just(Fate::Offer),
        4 => (0_u32..3_000).prop_map(Fate::Pass),
        1 => (0_u32..3_000_000).prop_map(Fate::Pass),
    ]
}

fn operate(rig: &mut Rig, request: u64, what: OperatorRequest) {
    rig.handle(Event::Operator { request: RequestId(request), what });
}

#[test]
fn an_operator_has_the_last_word_about_the_connection() {
    let mut rig = online();
    ask(&mut rig, 1, Ask::Disconnect);
    operate(&mut rig, 1, OperatorRequest::Disconnect);
    rig.pass(SECOND);
    assert_eq!(rig.operator_answers, [(RequestId(1), Ok("done".to_owned()))]);
    let status = rig.session.status(rig.now());
    assert_eq!((status.link, status.disconnected_by.as_deref()), (LinkState::Disconnected, Some("an operator")));
    ask(&mut rig, 2, Ask::Reconnect);
    rig.pass(HOUR);
    assert_eq!(link(&rig), LinkState::Disconnected);
    let Some((AskId(2), Answer::Link(Err(reason)))) = rig.answers.last() else { panic!("{:?}", rig.answers) };
    assert!(reason.contains("only an operator"), "{reason}");
    operate(&mut rig, 2, OperatorRequest::Connect);
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
    operate(&mut rig, 3, OperatorRequest::Disconnect);
    rig.pass(SECOND);
    rig.crash();
    rig.pass(10 * SECOND);
    assert!(rig.is_online(), "not over a restart");
}

#[test]
fn an_operator_who_asks_to_connect_does_not_wait_for_the_next_try() {
    let mut rig = online();
    rig.network(false);
    rig.pass(3 * HOUR);
    rig.network(true);
    operate(&mut rig, 1, OperatorRequest::Connect);
    rig.pass(SECOND);
    assert!(rig.is_online());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// The last word counts, each question gets one answer, and nothing that was accepted is lost.
    #[test]
    fn the_last_word_about_the_connection_counts(fates in proptest::collection::vec(fate(), 1..40), wanted in any::<bool>()) {
        let mut rig = online();
        let (mut asked, mut offered) = (0, 0);
        for fate in fates {
            match fate {
                Fate::Disconnect => { asked += 1; ask(&mut rig, asked, Ask::Disconnect); }
                Fate::Reconnect => { asked += 1; ask(&mut rig, asked, Ask::Reconnect); }
                Fate::Cut => rig.cut(),
                Fate::Network(up) => rig.network(up),
                Fate::SlowAcks(slow) => rig.puback_delay = Some(if slow { 3 * SECOND } else { LATENCY }),
                Fate::Offer => { offered += 1; rig.offer(offered, vec![reading("n", offered)]); }
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
            }
        }
        rig.puback_delay = Some(LATENCY);
        rig.network(true);
        asked += 1;
        ask(&mut rig, asked, if wanted { Ask::Reconnect } else { Ask::Disconnect });
        rig.pass(2 * HOUR);
        prop_assert_eq!(link(&rig) == LinkState::Online, wanted);
        prop_assert_eq!(link(&rig) == LinkState::Disconnected, !wanted);
        prop_assert_eq!((rig.told_connected, rig.has_connection()), (wanted, wanted));
        let mut answered: Vec<_> = rig.answers.iter().map(|(AskId(ask), _)| *ask).collect();
        answered.sort_unstable();
        prop_assert_eq!(answered, (1..=asked).collect::<Vec<_>>());
        if !wanted {
            asked += 1;
            ask(&mut rig, asked, Ask::Reconnect);
            rig.pass(2 * HOUR);
        }
        let delivered: std::collections::BTreeSet<_> = rig.delivered("n").into_iter().collect();
        prop_assert_eq!(delivered.len() as u64, offered);
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::DEFERRED_MAX;
use crate::action::{Answer, FinishFailure};
use crate::event::{Ask, CallFailure, Ending, Event, Reply};
use crate::rig::{LATENCY, Rig};
use crate::{AskId, LinkState};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Answers by the command's first word; `silent` leaves it open.
fn answers(text: &str) -> Option<Result<Reply, CallFailure>> {
    match text.split(' ').next() {
        Some("defer") => Some(Ok(Reply::Deferred)),
        Some("done") => Some(Ok(Reply::Done("by the answer".into()))),
        Some("trap") => Some(Err(CallFailure("trapped".into()))),
        _ => None,
    }
}

/// With two plugins; `a` gets the commands.
fn online() -> Rig {
    let mut rig = Rig::new();
    rig.answer = answers;
    rig.boot();
    plugins_up(&mut rig);
    rig.pass(SECOND);
    assert_eq!(rig.session.status(rig.now()).link, LinkState::Online);
    rig
}

fn plugins_up(rig: &mut Rig) {
    rig.plugin_up("a", None, true);
    rig.plugin_up("b", None, true);
    rig.handle(Event::PluginsScanned);
}

fn done(message: &str) -> Ending {
    Ending::Done(message.into())
}

/// Asks, and lets time pass for the answer.
fn finish(rig: &mut Rig, plugin: &str, id: &str, ending: Ending) -> Result<(), FinishFailure> {
    let ask = AskId(rig.answers.len() as u64 + 1_000);
    ask_to_finish(rig, plugin, ask, id, ending);
    rig.pass(SECOND);
    let [answer] = answers_to(rig, ask)[..] else { panic!("one answer to each question") };
    let Answer::Finished(result) = answer else { panic!("{answer:?}") };
    result.clone()
}

fn ask_to_finish(rig: &mut Rig, plugin: &str, ask: AskId, id: &str, ending: Ending) {
    rig.handle(Event::Asked { plugin: plugin.into(), ask, request: Ask::Finish { id: id.into(), ending } });
}

fn answers_to(rig: &Rig, asked: AskId) -> Vec<&Answer> {
    rig.answers.iter().filter(|(ask, _)| *ask == asked).map(|(_, answer)| answer).collect()
}

/// Acknowledgements at the cloud: id, status, message.
fn acks(rig: &Rig) -> Vec<(String, i64, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let acks = rig.cloud.received.iter().filter(|body| body["mt"] == 5).map(|body| &body["d"]);
    acks.map(|ack| (text(&ack["ackId"]), ack["st"].as_i64().unwrap(), text(&ack["msg"]))).collect()
}

fn ack(id: &str, status: i64, message: &str) -> (String, i64, String) {
    (id.to_owned(), status, message.to_owned())
}

#[test]
fn a_deferred_command_gets_one_acknowledgement_when_its_plugin_says_so() {
    let mut rig = online();
    rig.send_command("defer", "c");
    rig.pass(600 * SECOND);
    assert_eq!(acks(&rig), []);
    rig.handle(Event::Progress { plugin: "b".into(), id: "c".into(), percent: 1, message: "not mine".into() });
    rig.handle(Event::Progress { plugin: "a".into(), id: "c".into(), percent: 200, message: "half".into() });
    let [deferred] = &rig.session.status(rig.now()).deferred[..] else { panic!("one is deferred") };
    assert_eq!((deferred.id.as_str(), deferred.plugin.as_str(), deferred.percent), ("c", "a", Some(100)));
    assert_eq!(deferred.message.as_deref(), Some("half"));
    assert!((2_990..=3_000).contains(&deferred.seconds_left), "{}", deferred.seconds_left);

    assert_eq!(finish(&mut rig, "a", "c", done("at last")), Ok(()));
    assert_eq!(finish(&mut rig, "a", "c", done("at last")), Err(FinishFailure::Unknown), "twice");
    rig.pass(2 * HOUR);
    assert_eq!(acks(&rig), [ack("c", 6, "at last")]);
    assert_eq!(rig.session.status(rig.now()).commands.open, 0);
}

#[test]
fn the_end_is_told_to_the_plugin_only_when_it_is_on_disk() {
    let mut rig = online();
    rig.send_command("defer", "c");
    rig.pass(SECOND);
    ask_to_finish(&mut rig, "a", AskId(1), "c", done("x"));
    assert_eq!(rig.answers, []);
    rig.pass(SECOND);
    assert_eq!(rig.answers, [(AskId(1), Answer::Finished(Ok(())))]);
}

#[test]
fn what_nobody_ends_within_an_hour_has_failed() {
    let mut rig = online();
    rig.send_command("defer", "c");
    rig.pass(HOUR + SECOND);
    let [(id, 4, message)] = &acks(&rig)[..] else { panic!("{:?}", acks(&rig)) };
    assert!(id == "c" && message.contains("plugin a") && message.contains("60 minutes"), "{message}");
    assert_eq!(finish(&mut rig, "a", "c", done("late")), Err(FinishFailure::Unknown));
    rig.pass(HOUR);
    assert_eq!(acks(&rig).len(), 1);
}

#[test]
fn an_end_told_before_the_answer_counts_whatever_the_answer_is() {
    for later in [
        Ok(Reply::Deferred),
        Ok(Reply::Done("second".into())),
        Ok(Reply::Failed("second".into())),
        Err(CallFailure("trapped".into())),
    ] {
        let mut rig = online();
        rig.send_command("silent", "c");
        rig.send_command("done", "next");
        rig.pass(SECOND);
        assert_eq!(finish(&mut rig, "a", "c", done("first")), Ok(()));
        assert_eq!(finish(&mut rig, "a", "c", done("again")), Err(FinishFailure::Unknown));
        assert_eq!(rig.calls, ["silent"], "the plugin is still busy with it");
        let (_, call) = rig.calls_by_id[0];
        rig.handle(Event::Replied { plugin: "a".into(), call, result: later });
        rig.pass(2 * HOUR);
        assert_eq!(acks(&rig), [ack("c", 6, "first"), ack("next", 6, "by the answer")]);
    }
}

#[test]
fn an_end_told_by_a_plugin_that_never_answers_frees_the_plugin_all_the_same() {
    let mut rig = online();
    rig.send_command("silent", "c");
    rig.send_command("done", "next");
    rig.pass(SECOND);
    assert_eq!(finish(&mut rig, "a", "c", Ending::Failed("no such pin".into())), Ok(()));
    rig.pass(200 * SECOND);
    assert_eq!(acks(&rig), [ack("c", 4, "no such pin"), ack("next", 6, "by the answer")]);
}

#[test]
fn only_the_plugin_that_has_a_command_can_end_it() {
    let mut rig = online();
    rig.send_command("defer", "deferred");
    rig.pass(SECOND);
    rig.send_command("silent", "running");
    rig.pass(SECOND);
    for id in ["deferred", "running"] {
        assert_eq!(finish(&mut rig, "b", id, done("stolen")), Err(FinishFailure::NotYours));
    }
    assert_eq!(finish(&mut rig, "a", "nothing", done("x")), Err(FinishFailure::Unknown));
    assert_eq!(finish(&mut rig, "a", "deferred", done("mine")), Ok(()));
    assert_eq!(finish(&mut rig, "a", "running", done("mine")), Ok(()));
    assert_eq!(acks(&rig), [ack("deferred", 6, "mine"), ack("running", 6, "mine")]);
}

#[test]
fn a_plugin_that_goes_down_may_end_what_it_deferred_when_it_is_back() {
    for gone in [false, true] {
        let mut rig = online();
        rig.send_command("defer", "c");
        rig.pass(SECOND);
        rig.handle(Event::PluginDown { plugin: "a".into(), gone });
        rig.pass(300 * SECOND);
        rig.plugin_up("a", None, true);
        rig.pass(SECOND);
        assert_eq!((acks(&rig), rig.calls.len()), (vec![], 1));
        assert_eq!(finish(&mut rig, "a", "c", done("after all")), Ok(()));
        assert_eq!(acks(&rig), [ack("c", 6, "after all")]);
    }
}

#[test]
fn a_deferred_command_that_comes_again_is_not_handled_again() {
    let mut rig = online();
    rig.send_command("defer", "c");
    rig.pass(SECOND);
    rig.send_command("defer", "c");
    rig.pass(SECOND);
    assert_eq!(rig.calls.len(), 1);
    assert_eq!(finish(&mut rig, "a", "c", done("once")), Ok(()));
    rig.send_command("defer", "c");
    rig.pass(SECOND);
    assert_eq!((rig.calls.len(), acks(&rig)), (1, vec![ack("c", 6, "once")]));
}

#[test]
fn after_a_restart_of_the_daemon_a_deferred_command_is_handed_over_again_under_its_id() {
    let mut rig = online();
    rig.send_command("defer", "c");
    rig.pass(SECOND);
    rig.crash();
    assert_eq!(finish(&mut rig, "a", "c", done("too early")), Err(FinishFailure::Unknown));
    plugins_up(&mut rig);
    rig.pass(10 * SECOND);
    let ids: Vec<_> = rig.calls_by_id.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["c", "c"]);
    assert_eq!(finish(&mut rig, "a", "c", done("second life")), Ok(()));
    rig.pass(2 * HOUR);
    assert_eq!(acks(&rig), [ack("c", 6, "second life")]);
}

#[test]
fn a_command_without_an_id_of_its_own_can_be_deferred_too() {
    let mut rig = online();
    rig.send_c2d(r#"{"cmdType":"0x01","data":{"cpid":"CP","uniqueId":"GW","command":"defer","ack":false}}"#);
    rig.pass(SECOND);
    let (id, _) = rig.calls_by_id[0].clone();
    assert_eq!(finish(&mut rig, "a", &id, done("nobody asked")), Ok(()));
    assert_eq!((acks(&rig), rig.session.status(rig.now()).commands.open), (vec![], 0));
}

#[test]
fn an_end_that_cannot_be_written_is_tried_again_and_stays_the_same() {
    let mut rig = online();
    rig.send_command("defer", "c");
    rig.pass(SECOND);
    rig.ledger_fails = true;
    let refused = finish(&mut rig, "a", "c", done("first"));
    assert!(matches!(refused, Err(FinishFailure::Unavailable(_))), "{refused:?}");
    assert_eq!(finish(&mut rig, "a", "c", done("second")), Err(FinishFailure::Unknown), "it has its end");
    assert_eq!(finish(&mut rig, "b", "c", done("first")), Err(FinishFailure::Unknown));
    ask_to_finish(&mut rig, "a", AskId(1), "c", done("first"));
    ask_to_finish(&mut rig, "a", AskId(2), "c", done("first"));
    rig.ledger_fails = false;
    rig.pass(10 * SECOND);
    assert_eq!(answers_to(&rig, AskId(1)), [&Answer::Finished(Ok(()))]);
    assert_eq!(answers_to(&rig, AskId(2)), [&Answer::Finished(Err(FinishFailure::Unknown))]);
    assert_eq!(acks(&rig), [ack("c", 6, "first")]);
}

#[test]
fn a_plugin_that_defers_everything_leaves_room_for_other_commands() {
    let mut rig = online();
    for n in 0..=DEFERRED_MAX {
        rig.send_command("defer", &format!("c{n}"));
        rig.pass(SECOND);
    }
    let [(_, 4, message)] = &acks(&rig)[..] else { panic!("{:?}", acks(&rig)) };
    assert!(message.contains("are deferred"), "{message}");
    rig.send_command("done", "other");
    rig.pass(SECOND);
    assert_eq!(acks(&rig)[1], ack("other", 6, "by the answer"));
}

#[test]
fn a_stop_leaves_deferred_commands_for_the_next_run() {
    let mut rig = online();
    rig.send_command("defer", "c");
    rig.pass(SECOND);
    rig.handle(Event::PluginsStopping);
    rig.handle(Event::Stop);
    rig.pass(10 * SECOND);
    assert!(rig.stopped && acks(&rig).is_empty());
    rig.crash();
    plugins_up(&mut rig);
    rig.pass(10 * SECOND);
    assert_eq!(rig.calls.len(), 2);
}

#[derive(Debug, Clone)]
enum Fate {
    Command(usize),
    /// By its plugin or by the other one.
    Finish {
        own: bool,
        command: u8,
        ending: u8,
    },
    /// Of the call that is open, if one is.
    Reply(usize),
    Trap,
    Crash,
    LedgerFails(bool),
    Pass(u16),
    Long,
}

const TEXTS: [&str; 4] = ["defer", "done", "trap", "silent"];

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (0..TEXTS.len()).prop_map(Fate::Command),
        6 => (any::<bool>(), 0_u8..12, 0_u8..3)
            .prop_map(|(own, command, ending)| Fate::Finish { own, command, ending }),
        2 => (0..3_usize).prop_map(Fate::Reply),
        1 => Just(Fate::Trap),
        1 => Just(Fate::Crash),
        1 => any::<bool>().prop_map(Fate::LedgerFails),
        6 => (0_u16..200).prop_map(Fate::Pass),
        1 => Just(Fate::Long),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever plugins, ledger and daemon do in whatever order: every command has one end at the cloud, it is the one
    /// that was confirmed to the plugin, and every question gets one answer (but those of a daemon that was killed).
    #[test]
    fn every_command_has_one_end(fates in proptest::collection::vec(fate(), 1..60)) {
        let mut rig = online();
        let (mut commands, mut asks) = (0_usize, 0_u64);
        let mut open = BTreeMap::new();
        let mut confirmed = Vec::new();
        let mut confirm = |rig: &mut Rig, open: &mut BTreeMap<AskId, (String, Ending)>| {
            for (ask, answer) in rig.answers.drain(..) {
                let asked = open.remove(&ask).expect("each question is answered once");
                if answer == Answer::Finished(Ok(())) {
                    confirmed.push(asked);
                }
            }
        };
        for fate in fates {
            match fate {
                Fate::Command(text) => {
                    commands += 1;
                    rig.send_command(TEXTS[text], &format!("c{commands}"));
                }
                Fate::Finish { own, command, ending } => {
                    asks += 1;
                    let id = format!("c{command}");
                    let ending = if ending == 0 { Ending::Failed("told 0".into()) } else { done(&format!("told {ending}")) };
                    open.insert(AskId(asks), (id.clone(), ending.clone()));
                    ask_to_finish(&mut rig, if own { "a" } else { "b" }, AskId(asks), &id, ending);
                }
                Fate::Reply(which) => if let Some((_, call)) = rig.calls_by_id.last().cloned() {
                    let result = [Ok(Reply::Deferred), Ok(Reply::Done("late".into())), Err(CallFailure("trapped".into()))];
                    rig.handle(Event::Replied { plugin: "a".into(), call, result: result[which].clone() });
                },
                Fate::Trap => {
                    rig.handle(Event::PluginDown { plugin: "a".into(), gone: false });
                    rig.pass(LATENCY);
                    rig.plugin_up("a", None, true);
                }
                Fate::Crash => {
                    confirm(&mut rig, &mut open);
                    open.clear();
                    rig.crash();
                    plugins_up(&mut rig);
                }
                Fate::LedgerFails(fails) => rig.ledger_fails = fails,
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Long => rig.pass(HOUR / 2),
            }
            confirm(&mut rig, &mut open);
        }
        rig.ledger_fails = false;
        rig.pass(4 * HOUR);
        confirm(&mut rig, &mut open);
        prop_assert!(open.is_empty(), "unanswered: {:?}", open);
        let ends: BTreeSet<_> = acks(&rig).into_iter().collect();
        let ids: BTreeSet<_> = ends.iter().map(|(id, ..)| id.clone()).collect();
        prop_assert_eq!((ends.len(), ids.len()), (commands, commands), "{:?}", ends);
        for (id, ending) in confirmed {
            let (status, message) = match ending {
                Ending::Done(message) => (6, message),
                Ending::Failed(message) => (4, message),
            };
            prop_assert!(ends.contains(&(id.clone(), status, message.clone())), "{} was told {}: {:?}", id, message, ends);
        }
        prop_assert!(rig.disk.commands.values().all(|(_, finished)| *finished));
    }
}

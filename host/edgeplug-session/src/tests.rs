use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::action::Outcome;
use crate::event::{CallFailure, Event, FailureKind, Reply};
use crate::rig::{LATENCY, Rig, reading};
use crate::{LinkState, OfferId};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn online() -> Rig {
    let mut rig = Rig::new();
    rig.boot();
    rig.handle(Event::PluginsScanned);
    rig.pass(SECOND);
    assert!(rig.is_online());
    rig
}

#[test]
fn a_new_device_registers_once_and_then_never_again() {
    let mut rig = Rig::unregistered();
    rig.boot();
    rig.pass(60 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.cloud.dps_calls, 5, "challenge, signed, three polls");
    assert_eq!(rig.cloud.syncs, 2, "one before, one after");
    rig.crash();
    rig.pass(60 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.cloud.dps_calls, 5);
}

#[test]
fn a_cleared_tpm_registers_again_although_the_portal_is_content() {
    let mut rig = Rig::new();
    rig.hub_key = false;
    rig.boot();
    rig.pass(60 * SECOND);
    assert!(rig.is_online());
    assert!(rig.cloud.dps_calls > 0);
}

#[test]
fn a_key_the_hub_refuses_again_and_again_is_replaced() {
    let mut rig = online();
    rig.cloud.refuse = true;
    rig.cut();
    rig.pass(20 * SECOND);
    assert_eq!(rig.session.status(rig.now()).trouble.unwrap().kind, FailureKind::Enrolment);
    rig.pass(100 * SECOND);
    assert!(rig.cloud.dps_calls > 0);
    rig.cloud.refuse = false;
    rig.pass(600 * SECOND);
    assert!(rig.is_online());
}

#[test]
fn sync_codes_wait_and_heal() {
    for code in [1, 2, 3, 4, 5, 6, 77] {
        let mut rig = Rig::new();
        rig.cloud.sync_codes.extend([code, code]);
        rig.boot();
        rig.pass(5 * LATENCY);
        rig.pass(120 * SECOND);
        assert!(rig.is_online(), "code {code}");
    }
}

#[test]
fn trouble_is_said_in_words_and_goes_when_it_heals() {
    let mut rig = Rig::new();
    rig.network(false);
    rig.boot();
    rig.pass(5 * SECOND);
    let status = rig.session.status(rig.now());
    assert_eq!((status.link, status.trouble.as_ref().unwrap().kind), (LinkState::Waiting, FailureKind::Network));
    assert!(status.trouble.unwrap().text.contains("discovery"));
    rig.network(true);
    rig.pass(400 * SECOND);
    assert_eq!(rig.session.status(rig.now()).trouble, None);
}

#[test]
fn a_portal_that_is_down_does_not_keep_a_known_device_from_its_hub() {
    let mut rig = online();
    let syncs = rig.cloud.syncs;
    rig.portal_up = false;
    rig.crash();
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.delivered("n"), [1], "the template is known from before");
    rig.portal_up = true;
    rig.pass(HOUR);
    assert!(rig.cloud.syncs > syncs, "the next renewal asks the portal again");
}

#[test]
fn a_reading_is_accepted_only_after_its_commit() {
    let mut rig = online();
    rig.offer(1, vec![reading("n", 1)]);
    assert!(rig.outcomes.is_empty(), "nothing is on disk yet");
    rig.pass(SECOND);
    assert_eq!(rig.outcomes, [(OfferId(1), vec![Outcome::Accepted])]);
    assert_eq!(rig.delivered("n"), [1]);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn a_store_that_fails_makes_a_refusal_not_a_silence() {
    let mut rig = online();
    rig.disk_fails = true;
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    assert_eq!(rig.outcomes, [(OfferId(1), vec![Outcome::Rejected("not stored: disk full".into())])]);
    assert_eq!(rig.delivered("n"), Vec::<i64>::new());
}

#[test]
fn each_sample_hears_what_became_of_it() {
    let mut rig = online();
    let mut mixed = reading("n", 1);
    mixed.values.push(("zzz".into(), 1.into()));
    rig.offer(1, vec![reading("n", 1), reading("nope", 1), mixed, reading("small", 99)]);
    rig.pass(SECOND);
    let [(_, outcomes)] = rig.outcomes.as_slice() else { panic!("one answer") };
    assert!(matches!(
        outcomes.as_slice(),
        [Outcome::Accepted, Outcome::Rejected(_), Outcome::AcceptedInPart(_), Outcome::Accepted]
    ));
    let fault = rig.cloud.received.iter().find(|body| body["mt"] == 1).unwrap();
    assert_eq!(fault["d"][0]["d"][0]["small"], "99");
}

#[test]
fn samples_from_before_the_first_sync_are_encoded_when_the_template_is_known() {
    let mut rig = Rig::new();
    rig.network(false);
    rig.boot();
    rig.offer(1, vec![reading("n", 1), reading("nope", 2)]);
    rig.pass(SECOND);
    assert_eq!(rig.outcomes, [(OfferId(1), vec![Outcome::Accepted, Outcome::Accepted])]);
    rig.crash();
    rig.network(true);
    rig.pass(400 * SECOND);
    assert_eq!(rig.delivered("n"), [1]);
    assert_eq!(rig.cloud.received[0]["od"], 1, "it waited offline");
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn what_was_in_flight_when_the_link_broke_is_sent_again_in_order() {
    let mut rig = online();
    rig.puback_delay = Some(10 * SECOND);
    for n in 0..250 {
        rig.offer(n, vec![reading("n", n)]);
    }
    rig.pass(SECOND);
    rig.cut();
    rig.puback_delay = Some(LATENCY);
    rig.pass(60 * SECOND);
    let delivered = rig.delivered("n");
    assert_eq!(delivered[..100], (0..100).collect::<Vec<_>>());
    assert_eq!(delivered[100..], (0..250).collect::<Vec<_>>());
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn a_command_is_acknowledged_once_with_the_plugins_words() {
    let mut rig = online();
    rig.plugin_up("p", None, true);
    rig.send_command("blink 3", "a-1");
    rig.pass(SECOND);
    assert_eq!(rig.calls, ["blink 3"]);
    assert_eq!(rig.acks(), [("a-1".to_owned(), 6)]);
    assert_eq!(rig.cloud.received[0]["d"]["msg"], "did blink 3");
    rig.send_command("blink 3", "a-1");
    rig.pass(SECOND);
    assert_eq!((rig.calls.len(), rig.acks().len()), (1, 1), "the same ack id is the same command");
}

#[test]
fn every_way_to_fail_makes_a_failure_acknowledgement() {
    let mut rig = online();
    rig.send_command("x", "nobody");
    rig.pass(SECOND);
    rig.plugin_up("p", None, true);
    rig.answer = |_| Some(Ok(Reply::Failed("no such pin".into())));
    rig.send_command("x", "refused");
    rig.pass(SECOND);
    rig.answer = |_| Some(Err(CallFailure("trapped: unreachable".into())));
    rig.send_command("x", "trapped");
    rig.pass(SECOND);
    rig.answer = |_| None;
    rig.send_command("x", "silent");
    rig.pass(200 * SECOND);
    let acks = rig.acks();
    assert_eq!(
        acks.iter().map(|(id, st)| (id.as_str(), *st)).collect::<Vec<_>>(),
        [("nobody", 4), ("refused", 4), ("trapped", 4), ("silent", 4)]
    );
    let messages: Vec<_> = rig.cloud.received.iter().map(|b| b["d"]["msg"].as_str().unwrap().to_owned()).collect();
    assert!(messages[0].contains("no plugin"));
    assert_eq!(messages[1], "no such pin");
    assert!(messages[2].contains("trapped"));
    assert!(messages[3].contains("in time"));
}

#[test]
fn commands_during_start_up_are_held_until_the_plugins_are_loaded() {
    let mut rig = Rig::new();
    rig.boot();
    rig.pass(SECOND);
    rig.send_command("early", "a-1");
    rig.pass(5 * SECOND);
    assert!(rig.acks().is_empty());
    rig.plugin_up("p", None, true);
    rig.handle(Event::PluginsScanned);
    rig.pass(SECOND);
    assert_eq!(rig.acks(), [("a-1".to_owned(), 6)]);
}

#[test]
fn a_crash_between_taking_and_finishing_a_command_runs_it_again_and_acknowledges_once() {
    let mut rig = online();
    rig.plugin_up("p", None, true);
    rig.answer = |_| None;
    rig.send_command("x", "a-1");
    rig.pass(SECOND);
    rig.answer = |_| Some(Ok(Reply::Done("done".into())));
    rig.crash();
    rig.plugin_up("p", None, true);
    rig.handle(Event::PluginsScanned);
    rig.pass(10 * SECOND);
    assert_eq!(rig.acks(), [("a-1".to_owned(), 6)]);
    assert!(rig.disk.acks.is_empty());
}

#[test]
fn what_cannot_be_understood_is_got_rid_of() {
    let mut rig = online();
    for body in ["not json", "{}", r#"{"cmdType":"0x42","data":{}}"#] {
        rig.send_c2d(body);
    }
    rig.pass(SECOND);
    rig.cut();
    rig.pass(60 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.acknowledged, 3, "none came again");
}

#[test]
fn a_command_that_cannot_be_carried_out_is_answered_all_the_same() {
    let mut rig = online();
    rig.plugin_up("p", None, true);
    rig.send_c2d(r#"{"cmdType":"0x01","data":{"command":"","ack":true,"ackId":"empty"}}"#);
    rig.pass(SECOND);
    assert_eq!(rig.acks(), [("empty".to_owned(), 4)]);
}

#[test]
fn commands_wait_for_a_plugin_that_restarts_but_not_for_ever() {
    let mut rig = online();
    rig.plugin_up("p", None, true);
    rig.handle(Event::PluginDown { plugin: "p".into(), gone: false });
    rig.send_command("x", "patient");
    rig.pass(5 * SECOND);
    assert!(rig.acks().is_empty());
    rig.plugin_up("p", None, true);
    rig.pass(SECOND);
    assert_eq!(rig.acks(), [("patient".to_owned(), 6)]);
    rig.handle(Event::PluginDown { plugin: "p".into(), gone: false });
    rig.send_command("x", "tired");
    rig.pass(100 * SECOND);
    assert_eq!(rig.acks().last(), Some(&("tired".to_owned(), 4)));
}

#[test]
fn a_stop_leaves_unfinished_commands_for_the_next_run() {
    let mut rig = online();
    rig.plugin_up("p", None, true);
    rig.answer = |_| None;
    rig.send_command("x", "running");
    rig.send_command("y", "waiting");
    rig.pass(SECOND);
    rig.handle(Event::PluginsStopping);
    rig.handle(Event::PluginDown { plugin: "p".into(), gone: true });
    rig.pass(SECOND);
    rig.handle(Event::Stop);
    rig.pass(10 * SECOND);
    assert!(rig.stopped && rig.acks().is_empty());
    rig.answer = |_| Some(Ok(Reply::Done("done".into())));
    rig.crash();
    rig.plugin_up("p", None, true);
    rig.handle(Event::PluginsScanned);
    rig.pass(10 * SECOND);
    let mut acks = rig.acks();
    acks.sort();
    assert_eq!(acks, [("running".to_owned(), 6), ("waiting".to_owned(), 6)]);
}

#[test]
fn a_hub_that_acknowledges_nothing_is_left_and_tried_again() {
    let mut rig = online();
    rig.puback_delay = None;
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(70 * SECOND);
    assert!(rig.cloud.connects >= 2);
    rig.puback_delay = Some(LATENCY);
    rig.pass(200 * SECOND);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn a_renewal_that_fails_is_an_outage_and_says_so() {
    let mut rig = online();
    assert!(rig.told_connected);
    rig.tpm_busy = true;
    rig.pass(HOUR);
    assert!(!rig.told_connected);
    rig.offer(1, vec![reading("n", 1)]);
    rig.tpm_busy = false;
    rig.pass(600 * SECOND);
    assert!(rig.told_connected);
    assert_eq!(rig.cloud.received[0]["od"], 1);
}

#[test]
fn a_template_without_attributes_keeps_what_was_stored_before_it() {
    let mut rig = Rig::new();
    rig.cloud.no_attributes = true;
    rig.network(false);
    rig.boot();
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    rig.network(true);
    rig.pass(600 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.disk.rows.len(), 1);
    rig.cloud.no_attributes = false;
    rig.crash();
    rig.pass(600 * SECOND);
    assert_eq!(rig.delivered("n"), [1]);
}

#[test]
fn samples_that_grow_past_a_message_when_encoded_are_split() {
    let mut rig = Rig::new();
    rig.network(false);
    rig.boot();
    // Fits as stored; as report entries it is half as large again.
    rig.offer(1, (0..3_500).map(|n| reading("n", n)).collect());
    rig.pass(SECOND);
    assert!(rig.outcomes[0].1.iter().all(|outcome| *outcome == Outcome::Accepted));
    rig.network(true);
    rig.pass(600 * SECOND);
    assert_eq!(rig.delivered("n"), (0..3_500).collect::<Vec<_>>());
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn a_mixed_backlog_stays_within_the_window() {
    let mut rig = Rig::new();
    rig.network(false);
    rig.boot();
    for n in 0..400 {
        let mut sample = reading("n", n);
        if n % 3 == 0 {
            sample.values.push(("small".into(), 99.into()));
        }
        rig.offer(n, vec![sample]);
        rig.pass(Duration::from_millis(10));
    }
    rig.network(true);
    rig.puback_delay = Some(SECOND);
    rig.pass(600 * SECOND);
    assert_eq!(rig.delivered("n"), (0..400).collect::<Vec<_>>());
    assert_eq!(rig.cloud.connects, 1);
}

#[test]
fn a_hub_that_dps_named_and_that_died_gives_way_to_the_portals() {
    let mut rig = Rig::unregistered();
    rig.cloud.other_hub = Some("dead");
    rig.boot();
    rig.pass(600 * SECOND);
    assert!(rig.is_online());
    assert_eq!(rig.cloud.hosts, ["hub"]);
    rig.crash();
    rig.pass(10 * SECOND);
    assert!(rig.is_online(), "the next run remembers");
}

#[test]
fn nothing_spins_while_it_waits() {
    let mut rig = online();
    rig.handle(Event::PluginDown { plugin: "p".into(), gone: false });
    rig.network(false);
    rig.crash();
    rig.send_command("x", "a");
    rig.pass(10 * SECOND);
    for _ in 0..1_000 {
        let now = rig.now();
        let at = rig.session.poll_timeout().expect("something is always due");
        if at > now.monotonic {
            return;
        }
        rig.handle(Event::Woke);
    }
    panic!("a time-out stays in the past");
}

#[test]
fn a_slow_plugin_misses_ticks_and_catches_up_with_none() {
    let mut rig = online();
    rig.plugin_up("p", Some(10 * SECOND), false);
    rig.pass(35 * SECOND);
    assert_eq!(rig.delivered("n"), [1, 2, 3, 4]);
}

#[test]
fn stopping_closes_the_link_and_says_so() {
    let mut rig = online();
    rig.handle(Event::Stop);
    rig.pass(SECOND);
    assert!(rig.stopped);
    let mut offline = Rig::new();
    offline.network(false);
    offline.boot();
    offline.handle(Event::Stop);
    offline.pass(5 * SECOND);
    assert!(offline.stopped);
}

/// Ten plugins, an outage of four hours, a crash, a renewal every 48 minutes, a thousand commands: nothing is lost,
/// nothing acknowledged twice, and no renewal looks like an outage.
#[test]
fn a_day_with_an_outage_renewals_and_a_thousand_commands_loses_nothing() {
    let started = Instant::now();
    let mut rig = online();
    for n in 0..4 {
        rig.plugin_up(&format!("sensor-{n}"), Some(20 * SECOND), false);
    }
    rig.plugin_up("actor", None, true);
    let minute = 60 * SECOND;
    for n in 0..24 * 60_u32 {
        match n {
            600 => rig.network(false),
            700 => {
                rig.crash();
                for n in 0..4 {
                    rig.plugin_up(&format!("sensor-{n}"), Some(20 * SECOND), false);
                }
                rig.plugin_up("actor", None, true);
                rig.handle(Event::PluginsScanned);
            }
            840 => rig.network(true),
            _ => {}
        }
        if n < 1_000 {
            rig.send_command(&format!("do {n}"), &format!("ack-{n}"));
        }
        rig.pass(minute);
    }
    rig.pass(10 * minute);
    let mut delivered = rig.delivered("n");
    let in_order = delivered.clone();
    delivered.sort_unstable();
    delivered.dedup();
    assert!(delivered.len() > 17_000);
    let missing: Vec<_> = (1..=*delivered.last().unwrap()).filter(|n| delivered.binary_search(n).is_err()).collect();
    // What a plugin had measured but the store had not committed when the process was killed was never accepted.
    assert!(missing.len() <= 4, "{missing:?}");
    assert!(in_order.len() - delivered.len() <= 200, "duplicates only of what was in flight");
    let acks: std::collections::BTreeSet<_> = rig.acks().into_iter().collect();
    assert_eq!(acks.len(), 1_000);
    assert!(acks.iter().all(|(_, status)| *status == 6));
    assert!(rig.cloud.connects >= 24, "{} connects", rig.cloud.connects);
    assert!(rig.disk.rows.is_empty() && rig.disk.acks.is_empty());
    let offline = rig.cloud.received.iter().filter(|body| body["od"] == 1 && body["mt"] == 0).count();
    // Four hours of four plugins at three a minute, and the first reconnect after it.
    assert!((2_700..3_100).contains(&offline), "{offline}");
    println!("a simulated day took {:?}", started.elapsed());
}

#[derive(Debug, Clone)]
enum Fate {
    Offer(u8),
    Pass(u16),
    Cut,
    Crash,
    Network(bool),
    Command(u8),
    SlowAcks(bool),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (1_u8..20).prop_map(Fate::Offer),
        4 => (1_u16..5_000).prop_map(Fate::Pass),
        1 => Just(Fate::Cut),
        1 => Just(Fate::Crash),
        1 => any::<bool>().prop_map(Fate::Network),
        2 => any::<u8>().prop_map(Fate::Command),
        1 => any::<bool>().prop_map(Fate::SlowAcks),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever happens in whatever order: once the world is well again, every accepted reading has arrived, in order
    /// but for repetitions, and every command that the ledger took has exactly one outcome.
    #[test]
    fn no_order_of_misfortunes_loses_an_accepted_reading(fates in proptest::collection::vec(fate(), 1..60)) {
        let mut rig = online();
        rig.plugin_up("actor", None, true);
        let (mut offered, mut commands) = (0_u64, 0_u64);
        for fate in fates {
            match fate {
                Fate::Offer(count) => for _ in 0..count {
                    rig.offer(offered, vec![reading("n", offered)]);
                    offered += 1;
                },
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Cut => rig.cut(),
                Fate::Crash => {
                    rig.crash();
                    rig.plugin_up("actor", None, true);
                    rig.handle(Event::PluginsScanned);
                }
                Fate::Network(up) => rig.network(up),
                Fate::Command(n) => { commands += 1; rig.send_command(&format!("c{n}"), &format!("id-{commands}")); }
                Fate::SlowAcks(slow) => rig.puback_delay = Some(if slow { 3 * SECOND } else { LATENCY }),
            }
        }
        rig.puback_delay = Some(LATENCY);
        rig.network(true);
        rig.pass(2 * HOUR);
        prop_assert!(rig.is_online());
        let delivered: std::collections::BTreeSet<_> = rig.delivered("n").into_iter().collect();
        for (OfferId(offer), outcomes) in &rig.outcomes {
            if outcomes == &[Outcome::Accepted] {
                prop_assert!(delivered.contains(&i64::try_from(*offer).unwrap()), "lost {}", offer);
            }
        }
        prop_assert!(rig.disk.rows.is_empty());
        prop_assert!(rig.disk.commands.values().all(|(_, finished)| *finished));
        let ids: std::collections::BTreeSet<_> = rig.acks().into_iter().collect();
        prop_assert_eq!(ids.len() as u64, commands);
    }
}

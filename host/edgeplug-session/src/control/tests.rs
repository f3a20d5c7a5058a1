use std::time::Duration;

use edgeplug_protocol::version::Version::V21;
use serde_json::json;

use crate::action::{Connection, Fact};
use crate::config::{HardStopPolicy, ProtocolChoice};
use crate::event::{Ask, Event, OperatorRequest};
use crate::rig::{LATENCY, Rig, connected, online, reading};
use crate::{AskId, LinkState, RequestId, Session};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const STOP: &str = r#"{"cmdType":"0x99","data":{}}"#;

fn v21() -> Rig {
    let mut rig = Rig::new();
    rig.config.protocol = ProtocolChoice::Only(V21);
    rig.session = Session::new(rig.config.clone(), 7);
    (rig.cloud.portal.v21, rig.cloud.portal.auth) = (true, 5);
    connected(rig)
}

fn with_policy(policy: HardStopPolicy, wipes: bool) -> Rig {
    let mut rig = Rig::new();
    (rig.config.hard_stop, rig.config.hard_stop_wipes) = (policy, wipes);
    rig.session = Session::new(rig.config.clone(), 7);
    connected(rig)
}

fn stopped(rig: &Rig) -> Option<String> {
    rig.session.status(rig.now()).stopped_by_cloud
}

fn resume(rig: &mut Rig) {
    rig.handle(Event::Operator { request: RequestId(9), what: OperatorRequest::Resume });
    rig.pass(10 * SECOND);
}

fn assert_at_rest(rig: &Rig) {
    let status = rig.session.status(rig.now());
    assert_eq!((status.link, status.trouble), (LinkState::Disconnected, None));
    assert!(status.stopped_by_cloud.is_some() && !rig.has_connection() && !rig.told_connected);
}

#[test]
fn a_stop_by_the_cloud_ends_everything_and_keeps_the_store() {
    let mut rig = online();
    rig.puback_delay = None;
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    rig.send_c2d(STOP);
    rig.pass(10 * SECOND);
    assert_at_rest(&rig);
    assert_eq!(rig.acknowledged, 1);
    assert_eq!(rig.disk.rows.len(), 1);
    let Some(Connection::Disconnected(reason)) = rig.told.last() else { panic!("{:?}", rig.told) };
    assert!(reason.contains("the cloud stopped this device"), "{reason}");
    let asked = rig.cloud.portal.asked.len();
    rig.pass(48 * HOUR);
    assert_at_rest(&rig);
    assert_eq!((rig.cloud.connects, rig.cloud.portal.asked.len()), (1, asked), "it does not even look");
    rig.puback_delay = Some(LATENCY);
    resume(&mut rig);
    assert!(rig.is_online() && stopped(&rig).is_none());
    assert_eq!(rig.operator_answers, [(RequestId(9), Ok("resumed".to_owned()))]);
    rig.offer(3, vec![reading("n", 3)]);
    rig.pass(SECOND);
    assert!(rig.delivered("n").contains(&3));
}

#[test]
fn every_order_to_stop_of_2_1_stops() {
    for ct in [106, 107, 108, 109] {
        let mut rig = v21();
        rig.send_c2d(json!({"v": 2.1, "ct": ct}).to_string());
        rig.pass(HOUR);
        assert_at_rest(&rig);
    }
}

#[test]
fn a_stop_is_on_disk_before_the_hub_forgets_it() {
    let mut rig = online();
    rig.ledger_fails = true;
    rig.send_c2d(STOP);
    rig.pass(10 * SECOND);
    assert_eq!(rig.acknowledged, 0);
    assert_at_rest(&rig);
    rig.ledger_fails = false;
    rig.pass(2 * MINUTE);
    rig.crash();
    rig.pass(HOUR);
    assert_at_rest(&rig);
    // Had it crashed before, the hub would have said it again.
    let mut rig = online();
    rig.ledger_fails = true;
    rig.send_c2d(STOP);
    rig.pass(10 * SECOND);
    rig.ledger_fails = false;
    rig.crash();
    rig.pass(MINUTE);
    assert_at_rest(&rig);
    assert_eq!(rig.acknowledged, 1);
}

#[test]
fn a_stop_survives_a_crash_at_any_moment() {
    for steps in 0..12 {
        let mut rig = online();
        rig.send_c2d(STOP);
        rig.pass(LATENCY / 2 * steps);
        rig.crash();
        rig.pass(MINUTE);
        assert_at_rest(&rig);
        rig.reboot(0);
        rig.pass(HOUR);
        assert_at_rest(&rig);
    }
}

#[test]
fn an_orderly_restart_ends_a_stop_if_so_configured() {
    for (policy, goes_on) in [(HardStopPolicy::UntilRestart, true), (HardStopPolicy::UntilResume, false)] {
        let mut rig = with_policy(policy, false);
        rig.send_c2d(STOP);
        rig.pass(10 * SECOND);
        rig.restart();
        rig.pass(MINUTE);
        assert_eq!((rig.is_online(), stopped(&rig).is_none()), (goes_on, goes_on), "{policy:?}");
        if !goes_on {
            resume(&mut rig);
            assert!(rig.is_online());
            rig.crash();
            rig.pass(MINUTE);
            assert!(rig.is_online(), "and it stays resumed");
        }
    }
}

#[test]
fn a_stop_wipes_the_store_if_so_configured() {
    let mut rig = with_policy(HardStopPolicy::UntilRestart, true);
    rig.puback_delay = None;
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    rig.send_c2d(STOP);
    rig.pass(10 * SECOND);
    assert!(rig.disk.rows.is_empty());
    assert_at_rest(&rig);
}

#[test]
fn a_crash_before_the_wipe_does_not_spare_the_store() {
    for wipes in [true, false] {
        let mut rig = with_policy(HardStopPolicy::UntilRestart, wipes);
        rig.network(false);
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(SECOND);
        rig.put_fact(Fact::HardStop, r#"{"reason":"hard stop (0x99)","at_unix_ms":1795392000000}"#);
        rig.crash();
        rig.pass(MINUTE);
        assert_at_rest(&rig);
        assert_eq!(rig.disk.rows.is_empty(), wipes);
    }
}

#[test]
fn nothing_that_was_held_back_is_stored_after_a_stop() {
    let mut rig = Rig::new();
    rig.cloud.portal.df = 60;
    let mut rig = connected(rig);
    rig.offer(1, vec![reading("n", 1)]);
    rig.offer(2, vec![reading("n", 2)]);
    rig.pass(SECOND);
    rig.send_c2d(STOP);
    rig.pass(10 * SECOND);
    let stored = rig.disk.last_row;
    rig.pass(HOUR);
    assert_eq!(rig.disk.last_row, stored);
    assert_eq!(rig.session.status(rig.now()).uplink.held_back_lost, 1);
}

#[test]
fn only_an_operator_takes_a_stop_back() {
    let mut rig = online();
    rig.send_c2d(STOP);
    rig.pass(10 * SECOND);
    rig.handle(Event::Asked { plugin: "p".into(), ask: AskId(1), request: Ask::Reconnect });
    rig.handle(Event::Operator { request: RequestId(1), what: OperatorRequest::Connect });
    rig.pass(MINUTE);
    assert_at_rest(&rig);
    assert!(rig.operator_answers[0].1.as_ref().unwrap_err().contains("resume"));
    rig.handle(Event::Asked { plugin: "p".into(), ask: AskId(2), request: Ask::Disconnect });
    resume(&mut rig);
    assert!(!rig.is_online() && stopped(&rig).is_none(), "a plugin wants no connection");
    rig.handle(Event::Asked { plugin: "p".into(), ask: AskId(3), request: Ask::Reconnect });
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
}

#[test]
fn a_resume_that_cannot_be_written_leaves_it_stopped() {
    let mut rig = online();
    rig.send_c2d(STOP);
    rig.pass(10 * SECOND);
    rig.ledger_fails = true;
    resume(&mut rig);
    assert_at_rest(&rig);
    assert!(rig.operator_answers[0].1.is_err());
    rig.ledger_fails = false;
    resume(&mut rig);
    assert!(rig.is_online());
    resume(&mut rig);
    assert_eq!(rig.operator_answers.len(), 3);
    assert_eq!(rig.cloud.connects, 2);
}

/// Every moment of the write and of the tries after it.
#[test]
fn a_stop_that_is_not_on_disk_is_not_acknowledged_whatever_an_operator_tries() {
    for steps in 0..40 {
        let mut rig = online();
        rig.ledger_fails = true;
        rig.send_c2d(STOP);
        rig.pass(LATENCY + LATENCY / 4 * steps);
        rig.handle(Event::Operator { request: RequestId(1), what: OperatorRequest::Resume });
        rig.pass(SECOND / 2);
        rig.send_c2d(STOP);
        rig.pass(SECOND / 2);
        assert_eq!(rig.acknowledged, 0, "{steps}");
        assert!(rig.operator_answers[0].1.is_err(), "{steps}");
        rig.pass(10 * SECOND);
        assert_at_rest(&rig);
        rig.ledger_fails = false;
        rig.pass(2 * MINUTE);
        rig.crash();
        rig.pass(MINUTE);
        assert_at_rest(&rig);
        resume(&mut rig);
        assert!(stopped(&rig).is_none(), "{steps}");
    }
}

#[test]
fn a_stop_on_every_step_of_the_way_ends_without_a_connection() {
    for steps in 0..30 {
        let mut rig = online();
        rig.cut();
        rig.send_c2d(STOP);
        for _ in 0..steps {
            let end = rig.monotonic + MINUTE;
            rig.pass_one(end);
        }
        rig.pass(2 * MINUTE);
        assert_at_rest(&rig);
        resume(&mut rig);
        assert!(rig.is_online(), "after {steps} steps");
    }
}

#[test]
fn heartbeats_are_sent_from_the_order_to_start_to_the_order_to_stop() {
    let mut rig = v21();
    let began = rig.monotonic;
    rig.send_c2d(json!({"v": 2.1, "ct": 110, "f": 1}).to_string());
    rig.pass(LATENCY + 10 * SECOND);
    assert_eq!(rig.session.status(rig.now()).heartbeat_s, Some(1));
    let beats: Vec<_> = rig.cloud.portal.heartbeats.iter().map(|at| *at - began - LATENCY).collect();
    assert_eq!(beats, (1..=10).map(|n| n * SECOND).collect::<Vec<_>>());
    rig.send_c2d(json!({"v": 2.1, "ct": 111}).to_string());
    rig.pass(LATENCY);
    rig.cloud.portal.heartbeats.clear();
    rig.pass(HOUR);
    assert_eq!((rig.cloud.portal.heartbeats.len(), rig.session.status(rig.now()).heartbeat_s), (0, None));
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn heartbeats_outlast_the_connection_and_are_never_made_up_for() {
    let mut rig = v21();
    rig.send_c2d(json!({"v": 2.1, "ct": 110, "f": 10}).to_string());
    rig.pass(MINUTE);
    rig.network(false);
    rig.cloud.portal.heartbeats.clear();
    rig.pass(HOUR);
    assert!(rig.cloud.portal.heartbeats.is_empty());
    rig.network(true);
    rig.pass(10 * MINUTE);
    let beats = rig.cloud.portal.heartbeats.len();
    assert!((25..=60).contains(&beats), "{beats}");
    rig.puback_delay = None;
    rig.cloud.portal.heartbeats.clear();
    rig.pass(MINUTE);
    assert!(rig.cloud.portal.heartbeats.len() <= 2, "none on top of one that is not acknowledged");
}

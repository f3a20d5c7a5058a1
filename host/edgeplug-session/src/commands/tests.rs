mod once;
pub(crate) mod targets;

use std::time::Duration;

use crate::event::{CallFailure, Event, Reply};
use crate::rig::{Rig, online};
use crate::{Action, ConnectionId, DeliveryId};

const SECOND: Duration = Duration::from_secs(1);

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
    let text = "x".repeat(edgeplug_protocol::c2d::COMMAND_BYTES_MAX + 1);
    rig.send_command(&text, "long");
    rig.pass(SECOND);
    assert_eq!((rig.acks(), rig.calls.len()), (vec![("long".to_owned(), 4)], 0));
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
fn a_ledger_that_fails_for_a_moment_costs_a_command_no_more() {
    let mut rig = online();
    rig.plugin_up("p", None, true);
    rig.ledger_fails = true;
    rig.send_command("x", "a-1");
    rig.pass(30 * SECOND);
    assert_eq!((rig.acknowledged, rig.calls.len()), (0, 0), "it is the hub's until it is written down");
    rig.ledger_fails = false;
    rig.pass(6 * SECOND);
    assert_eq!((rig.acknowledged, rig.acks()), (1, vec![("a-1".to_owned(), 6)]));
    rig.ledger_fails = true;
    rig.send_command("y", "a-2");
    rig.pass(8 * SECOND);
    rig.cut();
    rig.ledger_fails = false;
    rig.pass(30 * SECOND);
    assert_eq!((rig.calls.len(), rig.acks().len()), (2, 2), "neither twice nor not at all");
}

/// It was written, and the daemon was told that it was not.
#[test]
fn a_command_that_only_the_ledger_knows_of_is_carried_out_when_it_comes_again() {
    let mut rig = online();
    rig.plugin_up("p", None, true);
    rig.disk.commands.insert("a-1".into(), ("{}".into(), false));
    rig.send_command("x", "a-1");
    rig.pass(SECOND);
    assert_eq!((rig.calls.len(), rig.acks()), (1, vec![("a-1".to_owned(), 6)]));
}

#[test]
fn an_outcome_that_cannot_be_written_is_written_later_and_runs_nothing_twice() {
    let mut rig = online();
    rig.plugin_up("p", None, true);
    rig.answer = |_| None;
    rig.send_command("x", "a-1");
    rig.pass(SECOND);
    rig.ledger_fails = true;
    rig.pass(200 * SECOND);
    rig.cut();
    rig.pass(60 * SECOND);
    assert!(rig.is_online() && rig.acks().is_empty());
    rig.ledger_fails = false;
    rig.pass(6 * SECOND);
    assert_eq!((rig.calls.len(), rig.acks()), (1, vec![("a-1".to_owned(), 4)]));
}

/// Nothing can be said about it: not even its topic is known to be ours.
#[test]
fn a_message_of_a_connection_that_is_not_open_is_left_with_the_hub() {
    for state in ["before the first", "after the last", "beside the open one"] {
        let mut rig = if state == "before the first" { Rig::new() } else { online() };
        match state {
            "before the first" => rig.boot(),
            "after the last" => rig.network(false),
            _ => {}
        }
        let body = r#"{"cmdType":"0x01","data":{"command":"x","ack":true,"ackId":"a-1"}}"#;
        let message = Event::Received {
            connection: ConnectionId(2),
            delivery: DeliveryId(1),
            topic: "devices/CP-GW/messages/devicebound/".into(),
            payload: body.into(),
        };
        let now = rig.now();
        rig.session.handle(message, now);
        let mut actions = std::iter::from_fn(|| rig.session.poll_action());
        assert!(!actions.any(|action| matches!(action, Action::Acknowledge { .. })), "{state}");
    }
}

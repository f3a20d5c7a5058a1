//! Whom a message is for, who handles it, and what each target is owed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::action::{Answer, FinishFailure};
use crate::event::{Ask, CommandScope, Ending, Event, PluginUp, Reply};
use crate::rig::{Rig, connected, v21};
use crate::{AskId, Step};

const SECOND: Duration = Duration::from_secs(1);

/// A gateway with the children C1 and C2 of one tag, in the legacy protocol.
pub(crate) fn gateway() -> Rig {
    let mut rig = Rig::new();
    rig.cloud.portal.children = Some(vec!["C1", "C2"]);
    connected(rig)
}

pub(crate) fn gateway_v21() -> Rig {
    let mut rig = v21(|rig| {
        rig.cloud.portal.children = Some(vec!["C1", "C2"]);
        rig.cloud.portal.has = json!({"d": 1, "attr": 1, "set": 0, "r": 0, "ota": 0});
    });
    // Those were answers about the device.
    rig.acknowledged = 0;
    rig
}

fn plugin_up(rig: &mut Rig, plugin: &str, devices: &[&str], names: &[&str]) {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let commands = Some(CommandScope { names: owned(names), devices: owned(devices) });
    rig.handle(Event::PluginUp(PluginUp { plugin: plugin.into(), interval: None, commands, firmware: None }));
}

pub(crate) fn command_for(unique_id: &str, text: &str, ack_id: &str) -> String {
    json!({"cmdType": "0x01", "data": {"cpid": "cp", "uniqueId": unique_id, "command": text, "ack": true, "ackId": ack_id}})
        .to_string()
}

pub(crate) fn update(ack_id: &str, files: &[Value]) -> String {
    json!({"cmdType": "0x02", "data": {"cpid": "cp", "uniqueId": "GW", "command": "ota", "ack": false, "ackId": ack_id,
        "ver": {"sw": "1.0", "hw": "1.0"}, "urls": files}})
    .to_string()
}

/// Acknowledgements of the legacy protocol: kind, ack id, child, status, message.
pub(crate) fn acks(rig: &Rig) -> Vec<(i64, String, String, i64, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let acks = rig.cloud.received.iter().filter(|body| matches!(body["mt"].as_i64(), Some(5 | 11)));
    acks.map(|body| {
        let ack = &body["d"];
        let (mt, st) = (body["mt"].as_i64().unwrap(), ack["st"].as_i64().unwrap());
        (mt, text(&ack["ackId"]), text(&ack["childId"]), st, text(&ack["msg"]))
    })
    .collect()
}

/// Of 2.1, without their times.
pub(crate) fn acks_v21(rig: &Rig) -> Vec<Value> {
    rig.cloud.received.iter().filter(|body| body["d"]["ack"].is_string()).map(|body| body["d"].clone()).collect()
}

/// Its name may as well be the company's and another child's.
#[test]
fn a_child_named_like_the_company_is_one_task_before_it_is_known_and_after() {
    for arrives_s in [5, 60] {
        let mut rig = gateway();
        plugin_up(&mut rig, "all", &[], &[]);
        let body = command_for("CP-C9", "go", "A");
        rig.send_c2d(body.clone());
        rig.pass(arrives_s * SECOND);
        rig.cloud.portal.children = Some(vec!["C1", "CP-C9"]);
        rig.send_c2d(json!({"cmdType": "0x13", "data": {}}).to_string());
        rig.pass(60 * SECOND);
        // The hub's acknowledgement was lost.
        rig.send_c2d(body);
        rig.pass(60 * SECOND);
        assert_eq!(acks(&rig).len(), 1, "{arrives_s}: {:?}", acks(&rig));
        let expected: &[_] = if arrives_s == 5 { &[("all".to_owned(), Some("CP-C9".to_owned()))] } else { &[] };
        assert_eq!(rig.called, expected, "{arrives_s}");
    }
}

#[test]
fn a_childs_command_goes_to_the_plugin_that_has_the_child() {
    let mut rig = gateway();
    plugin_up(&mut rig, "all", &[], &[]);
    plugin_up(&mut rig, "child", &["C1"], &[]);
    plugin_up(&mut rig, "child-led", &["C1"], &["led"]);
    for (n, (id, text)) in
        [("GW", "led on"), ("C1", "fan on"), ("CP-C1", "led on"), ("cp-C2", "led on"), ("CP-GW", "x")]
            .iter()
            .enumerate()
    {
        rig.send_c2d(command_for(id, text, &format!("a-{n}")));
        rig.pass(SECOND);
    }
    let child = |id: &str| Some(id.to_owned());
    let called =
        [("all", None), ("child", child("C1")), ("child-led", child("C1")), ("all", child("C2")), ("all", None)];
    assert_eq!(rig.called, called.map(|(plugin, child)| (plugin.to_owned(), child)));
    assert!(acks(&rig).iter().all(|(mt, _, child, st, _)| (*mt, child.as_str(), *st) == (5, "", 6)));
    assert_eq!(acks(&rig).len(), 5);
}

#[test]
fn a_command_outside_every_scope_is_a_failure() {
    let mut rig = gateway();
    plugin_up(&mut rig, "led", &[], &["led"]);
    rig.send_c2d(command_for("C1", "fan on", "a"));
    rig.send_c2d(command_for("GW", "fan on", "b"));
    rig.pass(SECOND);
    let failed = |id: &str, message: &str| (5, id.to_owned(), String::new(), 4, message.to_owned());
    let reason = "no plugin on this device handles this command";
    assert_eq!(acks(&rig), [failed("a", &format!("{reason} for C1")), failed("b", reason)]);
}

#[test]
fn the_same_ack_id_for_two_children_is_two_commands() {
    let mut rig = gateway();
    plugin_up(&mut rig, "p", &[], &[]);
    for id in ["C1", "C2", "GW", "C1", "CP-C2", "GW"] {
        rig.send_c2d(command_for(id, "x", "same"));
        rig.pass(SECOND);
    }
    assert_eq!((rig.calls.len(), acks(&rig).len()), (3, 3));
}

#[test]
fn a_child_that_nobody_knows_is_waited_for_a_moment_and_then_a_failure() {
    let mut rig = gateway();
    plugin_up(&mut rig, "p", &[], &[]);
    rig.send_c2d(command_for("C9", "x", "a"));
    rig.pass(9 * SECOND);
    assert_eq!((acks(&rig), rig.calls.len()), (vec![], 0));
    rig.pass(2 * SECOND);
    let [(5, _, _, 4, reason)] = &acks(&rig)[..] else { panic!("{:?}", acks(&rig)) };
    assert_eq!(reason, "this device has no child \"C9\"");
}

#[test]
fn every_target_of_a_firmware_update_that_nobody_takes_gets_one_failure() {
    let mut rig = gateway();
    let failed = |id: &str, child: &str| {
        let (of, or) =
            if child.is_empty() { ("".into(), ", or set ota.installer") } else { (format!(" of {child}"), "") };
        let message =
            format!("no plugin on this device takes the firmware{of}; install a plugin that exports `firmware`{or}");
        (11, id.to_owned(), child.to_owned(), 4, message)
    };
    let files = [
        json!({"url": "https://x/y.bin?sig=1", "tag": "gw"}),
        json!({"url": "https://x/z.bin", "tag": "c", "uniqueId": "C1"}),
        json!({"url": "https://x/w.bin", "tag": "c"}),
    ];
    rig.send_c2d(update("all", &files));
    rig.send_c2d(update("all", &files));
    rig.pass(SECOND);
    assert_eq!(acks(&rig), [failed("all", ""), failed("all", "C1"), failed("all", "C2")]);
    rig.cloud.received.clear();
    rig.send_c2d(update("own", &[json!("https://x/y.bin")]));
    rig.send_c2d(update("nobody", &[json!({"url": "u", "tag": "no such tag"})]));
    rig.pass(SECOND);
    let no_tag = (11, "nobody".into(), String::new(), 4, "no device here has the tag that these files are for".into());
    assert_eq!(acks(&rig), [failed("own", ""), no_tag]);
    assert_eq!((rig.acknowledged, rig.ota.log.len()), (4, 0));
}

#[test]
fn a_firmware_update_stays_with_the_hub_until_all_of_its_targets_are_written_down() {
    for crash_keeps in [false, true] {
        // After so many events of the daemon it is killed.
        for events in 1..12 {
            let mut rig = gateway();
            rig.crash_keeps_unsaid = crash_keeps;
            rig.send_c2d(update("u", &[json!({"url": "u1", "tag": "c"}), json!({"url": "u2", "tag": "gw"})]));
            for _ in 0..events {
                rig.pass_one(rig.monotonic + SECOND);
            }
            rig.crash();
            rig.handle(Event::PluginsScanned);
            rig.pass(60 * SECOND);
            let mut children: Vec<_> = acks(&rig).into_iter().map(|(_, _, child, ..)| child).collect();
            children.sort();
            // One that was published before the kill is published again.
            children.dedup();
            assert_eq!(children, ["", "C1", "C2"], "killed after {events} events");
            assert!(rig.disk.commands.values().all(|(_, finished)| *finished) && rig.disk.acks.is_empty());
        }
    }
}

#[test]
fn an_update_for_very_many_children_needs_little_room() {
    let mut rig = Rig::new();
    rig.cloud.portal.children = Some((0..1_000).map(|n| &*format!("C{n}").leak()).collect());
    let mut rig = connected(rig);
    rig.send_c2d(update("u", &[json!({"url": "u1", "tag": "c"})]));
    rig.send_command("x", "after");
    rig.pass(60 * SECOND);
    let ended: std::collections::BTreeSet<_> = acks(&rig).into_iter().map(|(_, id, child, ..)| (id, child)).collect();
    assert_eq!((acks(&rig).len(), ended.len(), rig.acknowledged), (1_001, 1_001, 2));
}

#[test]
fn what_can_only_fail_does_not_wait_for_the_plugins() {
    let mut rig = Rig::new();
    rig.boot();
    rig.pass(SECOND);
    rig.send_c2d(update("u", &[json!({"url": "https://x/y.bin", "tag": "no such tag"})]));
    rig.send_c2d(json!({"cmdType": "0x03", "data": {"command": "m", "ack": true, "ackId": "m"}}).to_string());
    rig.send_command("x", "waits");
    rig.pass(2 * SECOND);
    let ids: Vec<_> = acks(&rig).into_iter().map(|(mt, id, _, st, _)| (mt, id, st)).collect();
    assert_eq!(ids, [(11, "u".to_owned(), 4), (5, "m".to_owned(), 4)]);
}

#[test]
fn acknowledgements_in_2_1_name_their_type_and_child() {
    let mut rig = gateway_v21();
    plugin_up(&mut rig, "p", &[], &[]);
    rig.send_c2d(r#"{"v":"2.1","ct":0,"cmd":"reboot","ack":"own"}"#);
    rig.send_c2d(r#"{"v":2.1,"ct":0,"cmd":"reboot","ack":"child","id":"C1"}"#);
    rig.send_c2d(r#"{"v":2.1,"ct":0,"cmd":"quiet"}"#);
    rig.send_c2d(r#"{"v":2.1,"ct":1,"cmd":"ota","ack":"ota","sw":"1","hw":"1","urls":[{"url":"u","fileName":"f","tg":"c"},{"url":"u","fileName":"f"}]}"#);
    rig.send_c2d(r#"{"v":2.1,"ct":2,"ack":"33","cmd":"m","urls":[]}"#);
    rig.pass(SECOND);
    let mut acks = acks_v21(&rig);
    acks.sort_by_key(|ack| ack.to_string());
    let no = "no plugin on this device takes the firmware";
    let child = |id: &str| format!("{no} of {id}; install a plugin that exports `firmware`");
    let own = format!("{no}; install a plugin that exports `firmware`, or set ota.installer");
    assert_eq!(
        acks,
        [
            json!({"ack": "33", "type": 2, "st": 1, "msg": "modules are not supported"}),
            json!({"ack": "child", "type": 0, "st": 2, "msg": "did reboot", "cid": "C1"}),
            json!({"ack": "ota", "type": 1, "st": 1, "msg": child("C1"), "cid": "C1"}),
            json!({"ack": "ota", "type": 1, "st": 1, "msg": child("C2"), "cid": "C2"}),
            json!({"ack": "ota", "type": 1, "st": 1, "msg": own}),
            json!({"ack": "own", "type": 0, "st": 2, "msg": "did reboot"}),
        ]
    );
    assert_eq!((rig.acknowledged, rig.calls.len()), (5, 3));
}

#[test]
fn a_command_of_2_1_is_taken_up_again_after_a_crash() {
    let mut rig = gateway_v21();
    plugin_up(&mut rig, "p", &[], &[]);
    rig.answer = |_| None;
    rig.send_c2d(r#"{"v":"2.1","ct":0,"cmd":"reboot now","ack":"a","id":"C2"}"#);
    rig.pass(SECOND);
    rig.answer = |_| Some(Ok(Reply::Done("done".into())));
    rig.crash();
    plugin_up(&mut rig, "p", &[], &[]);
    rig.handle(Event::PluginsScanned);
    rig.pass(60 * SECOND);
    assert_eq!(rig.calls, ["reboot now", "reboot now"]);
    assert_eq!(rig.called[1], ("p".to_owned(), Some("C2".to_owned())));
    assert_eq!(acks_v21(&rig), [json!({"ack": "a", "type": 0, "st": 2, "msg": "done", "cid": "C2"})]);
}

#[test]
fn the_numbers_of_2_1_are_those_of_the_configuration() {
    let mut rig = gateway_v21();
    plugin_up(&mut rig, "p", &[], &[]);
    rig.config.ack_status.command_done = 7;
    rig.crash();
    plugin_up(&mut rig, "p", &[], &[]);
    rig.handle(Event::PluginsScanned);
    rig.pass(60 * SECOND);
    rig.send_c2d(r#"{"v":"2.1","ct":0,"cmd":"x","ack":"a"}"#);
    rig.pass(SECOND);
    assert_eq!(acks_v21(&rig)[0]["st"], 7);
}

/// As a rule of the device that matched.
fn local(rig: &mut Rig, device: Option<&str>, text: &str) {
    let (now, session) = (rig.now(), &mut rig.session);
    let mut step = Step {
        now,
        unix_ms: session.clock.unix_ms(now),
        clock: &session.clock,
        config: &session.config,
        world: &session.world,
        rng: &mut session.rng,
        actions: &mut session.actions,
        last_ticket: &mut session.last_ticket,
    };
    session.commands.local(device, text, &mut step);
    rig.handle(Event::Woke);
}

#[test]
fn a_rules_command_reaches_its_plugin_and_nobody_else() {
    let mut rig = gateway();
    plugin_up(&mut rig, "all", &[], &[]);
    plugin_up(&mut rig, "fan", &["C1"], &["fan"]);
    local(&mut rig, Some("C1"), "fan on");
    local(&mut rig, Some("GW"), "fan on");
    local(&mut rig, None, "fan off");
    rig.pass(SECOND);
    let called = [("fan", Some("C1".to_owned())), ("all", None), ("all", None)];
    assert_eq!(rig.called, called.map(|(plugin, child)| (plugin.to_owned(), child)));
    assert_eq!((acks(&rig).len(), rig.disk.commands.len()), (0, 0));
    assert_eq!(rig.session.status(rig.now()).commands.open, 0);
}

#[test]
fn a_rules_command_may_be_deferred_and_ended() {
    let mut rig = gateway();
    plugin_up(&mut rig, "p", &[], &[]);
    rig.answer = |_| Some(Ok(Reply::Deferred));
    local(&mut rig, None, "slow");
    rig.pass(SECOND);
    let (id, _) = rig.calls_by_id[0].clone();
    for ask in [1, 2] {
        let request = Ask::Finish { id: id.clone(), ending: Ending::Done("done".into()) };
        rig.handle(Event::Asked { plugin: "p".into(), ask: AskId(ask), request });
    }
    let answers = [(AskId(1), Answer::Finished(Ok(()))), (AskId(2), Answer::Finished(Err(FinishFailure::Unknown)))];
    assert_eq!(rig.answers, answers);
    rig.pass(SECOND);
    assert_eq!((acks(&rig).len(), rig.session.status(rig.now()).deferred.len()), (0, 0));
}

#[test]
fn a_rule_that_matches_faster_than_its_plugin_acts_fills_no_memory() {
    let mut rig = gateway();
    plugin_up(&mut rig, "p", &[], &[]);
    rig.answer = |_| None;
    for n in 0..1_000 {
        local(&mut rig, None, &format!("fan {n}"));
    }
    rig.answer = |text| Some(Ok(Reply::Done(text.to_owned())));
    rig.pass(200 * SECOND);
    assert_eq!(rig.calls.len(), 1 + super::super::LOCAL_MAX, "the first one ran, and the last ones were kept");
    assert_eq!(rig.calls.last().unwrap(), "fan 999");
}

#[test]
fn commands_that_arrive_after_the_clouds_hard_stop_stay_with_the_hub() {
    let mut rig = gateway();
    plugin_up(&mut rig, "p", &[], &[]);
    rig.session.world.stopped = Some("0x99".into());
    rig.send_command("x", "a");
    rig.pass(10 * SECOND);
    assert_eq!((rig.acknowledged, rig.calls.len()), (0, 0));
}

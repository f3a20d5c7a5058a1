//! Into whose hands files go, and how each way ends.

use serde_json::json;

use super::{SECOND, device, ends, one_end, up_again, update};
use crate::action::{Answer, FinishFailure};
use crate::commands::tests::targets::{acks_v21, gateway, gateway_v21};
use crate::config::{DeviceWay, OtaPolicy};
use crate::event::*;
use crate::rig::ota::{Fate, deployment};
use crate::rig::{Rig, online};
use crate::status::UpdatePhase;
use crate::{AskId, Session};

fn with(policy: OtaPolicy) -> Rig {
    let mut rig = online();
    rig.config.ota = policy;
    rig.crash();
    up_again(&mut rig);
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
    rig
}

fn installer() -> OtaPolicy {
    OtaPolicy { device_way: DeviceWay::Installer, ..OtaPolicy::default() }
}

#[test]
fn an_update_is_fetched_handed_over_and_acknowledged_once() {
    let mut rig = device();
    rig.send_c2d(update("u", &["fw.bin", "fw.bin.minisig"]));
    rig.pass(SECOND);
    rig.send_c2d(update("u", &["fw.bin", "fw.bin.minisig"]));
    rig.pass(SECOND);
    assert_eq!(rig.ota.log, ["fetch", "update u fw.bin", "ended u"]);
    let (plugin, handed) = &rig.ota.updates[0];
    assert_eq!((plugin.as_str(), handed.version.as_str(), handed.size, &handed.child), ("f", "1.0", 7, &None));
    assert_eq!(one_end(&rig, "u"), (7, "flashed fw.bin".into()));
    assert_eq!((rig.acknowledged, rig.ota.staged.len(), rig.session.status(rig.now()).updates.len()), (2, 0, 0));
}

#[test]
fn a_gateway_and_its_children_get_their_files_and_an_acknowledgement_each() {
    let files = |child: &str, tag: &str| {
        [
            json!({"url": "https://x/gw.bin?s=1", "fileName": "gw.bin", tag: "gw"}),
            json!({"url": "https://x/c.bin?s=1", "fileName": "c.bin", tag: "c"}),
            json!({"url": "https://x/c2.bin?s=1", "fileName": "c2.bin", child: "C2", tag: "c"}),
        ]
    };
    let log = |rig: &Rig| {
        let updates = rig.ota.updates.iter();
        let mut log: Vec<_> = updates.map(|(by, it)| format!("{by} {} {} {:?}", it.id, it.name, it.child)).collect();
        log.sort();
        log
    };
    let handed = [
        "child a/C1 c.bin Some(\"C1\")",
        "child a/C2 c.bin Some(\"C2\")",
        "child a/C2/2 c2.bin Some(\"C2\")",
        "own a gw.bin None",
    ];
    let mut rig = gateway();
    rig.firmware_up("own", &[]);
    rig.firmware_up("child", &["C1", "C2"]);
    rig.send_c2d(crate::commands::tests::targets::update("a", &files("uniqueId", "tag")));
    rig.pass(10 * SECOND);
    assert_eq!(log(&rig), handed);
    let words = "flashed c.bin; flashed c2.bin";
    let expected = [("", 7, "flashed gw.bin"), ("C1", 7, "flashed c.bin"), ("C2", 7, words)];
    assert_eq!(ends(&rig, "a"), expected.map(|(child, st, words)| (child.into(), st, words.into())));
    assert_eq!(rig.cloud.received.iter().filter(|body| body["mt"] == 11).count(), 3);

    let mut rig = gateway_v21();
    rig.firmware_up("own", &[]);
    rig.firmware_up("child", &["C1", "C2"]);
    let body = json!({"v": 2.1, "ct": 1, "cmd": "ota", "ack": "a", "sw": "2", "hw": "1", "urls": files("id", "tg")});
    rig.send_c2d(body.to_string());
    rig.pass(10 * SECOND);
    assert_eq!(log(&rig), handed);
    let (downloading, mut ends): (Vec<_>, Vec<_>) = acks_v21(&rig).into_iter().partition(|ack| ack["st"] == 2);
    ends.sort_by_key(|ack| ack["cid"].to_string());
    assert_eq!(downloading.len(), 3);
    assert_eq!(
        ends,
        [
            json!({"ack": "a", "type": 1, "st": 3, "msg": "flashed c.bin", "cid": "C1"}),
            json!({"ack": "a", "type": 1, "st": 3, "msg": words, "cid": "C2"}),
            json!({"ack": "a", "type": 1, "st": 3, "msg": "flashed gw.bin"}),
        ]
    );
}

#[test]
fn a_plugin_that_fails_ends_the_update_with_its_words() {
    for (answer, words) in [
        (Ok(Reply::Failed("wrong board".to_owned())), "b.bin: wrong board"),
        (Err(CallFailure("trapped".into())), "b.bin: plugin f: trapped"),
    ] {
        let mut rig = device();
        rig.ota.update = match answer {
            Ok(_) => |update| match update.name.as_str() {
                "b.bin" => Some(Ok(Reply::Failed("wrong board".into()))),
                _ => Some(Ok(Reply::Done(String::new()))),
            },
            Err(_) => |update| match update.name.as_str() {
                "b.bin" => Some(Err(CallFailure("trapped".into()))),
                _ => Some(Ok(Reply::Done(String::new()))),
            },
        };
        rig.send_c2d(update("u", &["a.bin", "b.bin", "c.bin"]));
        rig.pass(10 * SECOND);
        assert_eq!(one_end(&rig, "u"), (4, words.into()));
        assert_eq!(rig.updates_of("u/3"), 0, "nothing follows a failure");
    }
}

#[test]
fn a_silent_plugin_is_given_up() {
    let mut rig = device();
    rig.ota.update = |_| None;
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(200 * SECOND);
    assert_eq!(one_end(&rig, "u"), (4, "plugin f did not answer in time".into()));
    assert_eq!(rig.ota.log.last().unwrap(), "ended u");
}

#[test]
fn a_deferred_update_is_ended_by_the_plugin_that_has_it_and_by_no_other() {
    let mut rig = device();
    rig.ota.update = |_| Some(Ok(Reply::Deferred));
    rig.send_c2d(update("u", &["a.bin", "b.bin"]));
    rig.pass(SECOND);
    let progress = |id: &str| Event::Progress { plugin: "f".into(), id: id.into(), percent: 30, message: "x".into() };
    rig.handle(progress("u"));
    rig.handle(progress("other"));
    let status = rig.session.status(rig.now()).updates[0].clone();
    assert_eq!(
        (status.phase, status.percent, status.file.as_deref()),
        (UpdatePhase::Deferred, Some(30), Some("a.bin"))
    );
    let finish = |plugin: &str, ask, id: &str, words: &str| {
        let request = Ask::Finish { id: id.into(), ending: Ending::Done(words.into()) };
        Event::Asked { plugin: plugin.into(), ask: AskId(ask), request }
    };
    rig.handle(finish("g", 1, "u", "x"));
    rig.handle(finish("f", 2, "u/2", "x"));
    // It may have fallen since.
    rig.handle(Event::PluginDown { plugin: "f".into(), gone: false });
    rig.ledger_fails = true;
    rig.handle(finish("f", 3, "u", "first"));
    rig.pass(SECOND);
    rig.ledger_fails = false;
    rig.handle(finish("f", 4, "u", "first"));
    rig.pass(30 * SECOND);
    assert_eq!(rig.updates_of("u/2"), 0, "its plugin is not back");
    rig.firmware_up("f", &[]);
    rig.pass(SECOND);
    rig.handle(finish("f", 5, "u/2", "second"));
    rig.pass(SECOND);
    rig.handle(finish("f", 6, "u/2", "second"));
    let unavailable = Err(FinishFailure::Unavailable("disk full".into()));
    let answers = [
        (1, Err(FinishFailure::NotYours)),
        (2, Err(FinishFailure::Unknown)),
        (3, unavailable),
        (4, Ok(())),
        (5, Ok(())),
        (6, Err(FinishFailure::Unknown)),
    ];
    assert_eq!(rig.answers, answers.map(|(ask, result)| (AskId(ask), Answer::Finished(result))));
    assert_eq!(one_end(&rig, "u"), (7, "first; second".into()));
}

#[test]
fn a_plugin_may_end_an_update_while_it_is_called_and_its_answer_counts_no_more() {
    let mut rig = device();
    rig.ota.update = |_| None;
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(SECOND);
    let ending = Ending::Failed("no".into());
    let request = Ask::Finish { id: "u".into(), ending };
    rig.handle(Event::Asked { plugin: "f".into(), ask: AskId(1), request });
    rig.pass(200 * SECOND);
    assert_eq!((one_end(&rig, "u"), rig.answers.len()), ((4, "no".into()), 1));
}

#[test]
fn a_deferred_update_is_not_waited_for_for_ever() {
    let mut rig = device();
    rig.ota.update = |_| Some(Ok(Reply::Deferred));
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(3_500 * SECOND);
    assert!(ends(&rig, "u").is_empty());
    rig.pass(200 * SECOND);
    assert_eq!(one_end(&rig, "u"), (4, "plugin f deferred it and did not end it in time".into()));
}

#[test]
fn a_plugin_that_restarts_is_waited_for_and_one_that_stays_away_is_a_failure() {
    let mut rig = device();
    rig.handle(Event::PluginDown { plugin: "f".into(), gone: false });
    rig.send_c2d(update("patient", &["a.bin"]));
    rig.pass(5 * SECOND);
    assert_eq!(rig.ota.log, ["fetch"], "in the meantime it is fetched");
    rig.firmware_up("f", &[]);
    rig.pass(SECOND);
    assert_eq!(one_end(&rig, "patient").0, 7);
    rig.handle(Event::PluginDown { plugin: "f".into(), gone: false });
    rig.send_c2d(update("tired", &["a.bin"]));
    rig.pass(100 * SECOND);
    assert_eq!(one_end(&rig, "tired"), (4, "plugin f is down".into()));
}

#[test]
fn an_update_that_nobody_takes_is_not_even_fetched() {
    let mut rig = online();
    rig.firmware_up("f", &["C1"]);
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(SECOND);
    let (st, words) = one_end(&rig, "u");
    assert!(st == 4 && words.contains("no plugin on this device takes the firmware"), "{words}");
    assert!(rig.ota.log.is_empty());
}

#[test]
fn updates_of_the_same_device_follow_each_other_and_others_pass_them() {
    let mut rig = gateway();
    rig.firmware_up("own", &["GW"]);
    rig.firmware_up("child", &["C1"]);
    rig.ota.update = |update| match update.id.as_str() {
        "slow" => Some(Ok(Reply::Deferred)),
        _ => Some(Ok(Reply::Done("done".into()))),
    };
    rig.send_c2d(update("slow", &["a.bin"]));
    rig.send_c2d(update("later", &["b.bin"]));
    let child = json!({"url": "https://x/c.bin", "uniqueId": "CP-C1"});
    rig.send_c2d(crate::commands::tests::targets::update("child", &[child]));
    rig.pass(10 * SECOND);
    assert_eq!((ends(&rig, "slow").len(), ends(&rig, "later").len(), ends(&rig, "child").len()), (0, 0, 1));
    let request = Ask::Finish { id: "slow".into(), ending: Ending::Done("at last".into()) };
    rig.handle(Event::Asked { plugin: "own".into(), ask: AskId(1), request });
    rig.pass(10 * SECOND);
    assert_eq!((ends(&rig, "slow").len(), ends(&rig, "later").len()), (1, 1));
}

#[test]
fn an_installer_gets_all_files_that_are_no_components_after_these() {
    let mut rig = with(installer());
    rig.send_c2d(update("u", &["os.img", "app.wasm", "boot.img", "os.img.sha256"]));
    rig.pass(100 * SECOND);
    assert_eq!(rig.ota.log, ["fetch", "deploy app.wasm", "install os.img boot.img 1"]);
    assert_eq!(one_end(&rig, "u"), (7, "plugin app runs it; installed it".into()));
    rig.ota.install = |_| Some(Err("exit 3: no space".into()));
    rig.send_c2d(update("v", &["os.img"]));
    rig.pass(10 * SECOND);
    assert_eq!(one_end(&rig, "v"), (4, "exit 3: no space".into()));
}

#[test]
fn what_needs_a_restart_is_confirmed_or_rolled_back_after_it_and_not_before() {
    for (restart, needs, runs) in [(true, false, true), (false, true, true), (true, true, false)] {
        let mut rig = with(OtaPolicy { restart, ..installer() });
        rig.ota.install = if needs {
            |_| Some(Ok(Installation::NeedsRestart("later".into())))
        } else {
            |_| Some(Ok(Installation::Done("now".into())))
        };
        rig.ota.confirm = if runs { || Some(Ok("2.0 runs".into())) } else { || Some(Err("1.0 runs".into())) };
        rig.send_c2d(update("u", &["os.img"]));
        rig.pass(1_000 * SECOND);
        assert_eq!(rig.session.status(rig.now()).updates[0].phase, UpdatePhase::AwaitingRestart);
        // The daemon's restart is none of the device.
        rig.crash();
        up_again(&mut rig);
        rig.pass(1_000 * SECOND);
        assert_eq!(
            (rig.ota.log.as_slice(), ends(&rig, "u").len()),
            (&["fetch".into(), "install os.img 1".into()][..], 0)
        );
        rig.reboot(0);
        up_again(&mut rig);
        rig.pass(100 * SECOND);
        assert_eq!(rig.ota.log.last().unwrap(), "confirm");
        assert_eq!(one_end(&rig, "u"), if runs { (7, "2.0 runs".into()) } else { (4, "1.0 runs".into()) });
    }
}

#[test]
fn an_installer_that_restarts_the_device_itself_has_done_its_work_if_it_runs() {
    for runs in [true, false] {
        let mut rig = with(OtaPolicy { restart: true, ..installer() });
        rig.ota.install = |attempt| if attempt == 1 { None } else { Some(Ok(Installation::Done(String::new()))) };
        rig.ota.confirm = if runs { || Some(Ok("runs".into())) } else { || Some(Err("does not run".into())) };
        rig.send_c2d(update("u", &["os.img"]));
        rig.pass(SECOND);
        rig.reboot(0);
        up_again(&mut rig);
        rig.pass(100 * SECOND);
        let again = rig.ota.log.iter().filter(|line| line.starts_with("install")).count();
        assert_eq!((again, ends(&rig, "u").len()), if runs { (1, 1) } else { (2, 0) }, "{:?}", rig.ota.log);
    }
}

#[test]
fn a_component_is_done_when_it_proved_itself() {
    let mut rig = device();
    rig.send_c2d(update("u", &["app.wasm"]));
    rig.pass(30 * SECOND);
    assert_eq!(rig.session.status(rig.now()).updates[0].phase, UpdatePhase::Probation);
    // Another version, and another plugin.
    let sha256 = "cd".repeat(32);
    let reason = "trapped".to_owned();
    rig.handle(Event::PluginRolledBack { plugin: "app".into(), sha256: sha256.clone(), reason: reason.clone() });
    let ours = deployment("x.wasm").sha256;
    rig.handle(Event::PluginRolledBack { plugin: "other".into(), sha256: ours, reason: reason.clone() });
    // The machine is at fault, and it is tried again.
    rig.handle(Event::PluginRefused { plugin: "app".into(), sha256: None, reason });
    rig.pass(60 * SECOND);
    assert_eq!(one_end(&rig, "u"), (7, "plugin app runs it".into()));
    assert_eq!(rig.ota.log, ["fetch", "deploy app.wasm"]);
}

#[test]
fn a_component_that_fails_is_withdrawn_and_the_cloud_hears_why() {
    fn rolled_back(deployed: Deployment) -> Fate {
        let Deployment { plugin, sha256 } = deployed;
        Some((5 * SECOND, Event::PluginRolledBack { plugin, sha256, reason: "trapped in start".into() }))
    }
    fn refused(deployed: Deployment) -> Fate {
        let Deployment { plugin, sha256 } = deployed;
        // Even before it was heard that it lies there.
        Some((
            std::time::Duration::ZERO,
            Event::PluginRefused { plugin, sha256: Some(sha256), reason: "no component".into() },
        ))
    }
    type Judge = fn(Deployment) -> Fate;
    for (verdict, words) in
        [(rolled_back as Judge, "plugin app: trapped in start"), (refused, "plugin app: no component")]
    {
        let mut rig = device();
        rig.ota.verdict = verdict;
        rig.send_c2d(update("u", &["app.edgeplug"]));
        rig.pass(100 * SECOND);
        assert_eq!(one_end(&rig, "u"), (4, words.into()));
        assert_eq!(rig.ota.log, ["fetch", "deploy app.edgeplug", "withdraw app"]);
    }
    let mut rig = device();
    rig.ota.verdict = |_| None;
    rig.send_c2d(update("u", &["app.wasm"]));
    rig.pass(4 * 3_600 * SECOND);
    assert_eq!(one_end(&rig, "u"), (4, "the component did not prove itself within 3 hours".into()));
    assert_eq!(rig.ota.log.last().unwrap(), "withdraw app");
}

#[test]
fn components_are_files_like_others_for_children_and_where_they_are_switched_off() {
    let mut rig = with(OtaPolicy { components: false, ..OtaPolicy::default() });
    rig.send_c2d(update("u", &["app.wasm"]));
    rig.pass(SECOND);
    assert_eq!(rig.ota.log, ["fetch", "update u app.wasm", "ended u"]);
    let mut rig = gateway();
    rig.firmware_up("f", &[]);
    let child = json!({"url": "https://x/app.wasm", "uniqueId": "C1"});
    rig.send_c2d(crate::commands::tests::targets::update("u", &[child]));
    rig.pass(SECOND);
    assert_eq!(rig.updates_of("u/C1"), 1);
}

#[test]
fn staging_directories_of_nobody_go_at_start() {
    let mut rig = device();
    rig.ota.staged.insert("0".repeat(32), Vec::new());
    rig.ota.update = |_| None;
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(SECOND);
    rig.crash();
    let kept = rig.ota.kept.clone().unwrap();
    assert_eq!(kept.len(), 1);
    let job = kept.first().unwrap();
    assert!(job.len() == 32 && job.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{job}");
    assert!(rig.ota.staged.keys().eq([job]));
    let mut fresh = Rig::new();
    fresh.session = Session::new(fresh.config.clone(), 1);
    fresh.boot();
    assert_eq!(fresh.ota.kept, Some(std::collections::BTreeSet::new()), "also when there is nothing to keep");
}

#[test]
fn an_update_for_very_many_children_leaves_room_for_commands() {
    let mut rig = Rig::new();
    rig.cloud.portal.children = Some((0..300).map(|n| &*format!("C{n}").leak()).collect());
    let mut rig = crate::rig::connected(rig);
    rig.firmware_up("f", &[]);
    rig.plugin_up("p", None, true);
    rig.ota.fetch_delay = SECOND;
    rig.send_c2d(crate::commands::tests::targets::update("u", &[json!({"url": "https://x/a.bin", "tag": "c"})]));
    rig.send_command("x", "command");
    rig.pass(20 * SECOND);
    assert_eq!(rig.acks(), [("command".to_owned(), 6)]);
    let unfinished = rig.disk.commands.values().filter(|(_, finished)| !finished).count();
    assert!((100..=128).contains(&unfinished), "{unfinished}");
    rig.pass(700 * SECOND);
    assert_eq!((ends(&rig, "u").len(), rig.acknowledged), (300, 2));
}

//! One end, wherever the daemon is killed; and none for what kills it again and again.

use std::time::Duration;

use super::{SECOND, device, ends, journal, one_end, up_again, update};
use crate::config::{DeviceWay, OtaPolicy};
use crate::event::*;
use crate::rig::Rig;

/// A way and what makes it: each goes through other phases.
const WAYS: [&str; 5] = ["plugin", "deferred", "installer", "restart", "component"];

fn prepared(way: &str) -> Rig {
    let mut rig = device();
    if way == "installer" || way == "restart" {
        rig.config.ota =
            OtaPolicy { device_way: DeviceWay::Installer, restart: way == "restart", ..OtaPolicy::default() };
        rig.crash();
        up_again(&mut rig);
        rig.pass(10 * SECOND);
    }
    rig
}

fn files(way: &str) -> &'static [&'static str] {
    if way == "component" { &["app.wasm", "lib.wasm"] } else { &["a.bin", "b.bin"] }
}

/// What a plugin does that deferred something, also after it fell.
fn finish_deferred(rig: &mut Rig) {
    let deferred: Vec<_> = rig.ota.updates.iter().map(|(_, update)| update.id.clone()).collect();
    for (n, id) in deferred.into_iter().enumerate() {
        let request = Ask::Finish { id, ending: Ending::Done("well".into()) };
        rig.handle(Event::Asked { plugin: "f".into(), ask: crate::AskId(n as u64), request });
    }
}

#[test]
fn a_kill_at_any_moment_leaves_one_end_to_every_update() {
    for way in WAYS {
        for crash_keeps in [false, true] {
            let mut phases = std::collections::BTreeSet::new();
            for events in 1..40 {
                let mut rig = prepared(way);
                rig.crash_keeps_unsaid = crash_keeps;
                if way == "deferred" {
                    rig.ota.update = |_| Some(Ok(Reply::Deferred));
                }
                rig.send_c2d(update("u", files(way)));
                for _ in 0..events {
                    rig.pass_one(rig.monotonic + 100 * SECOND);
                    if way == "deferred" && events % 3 == 0 {
                        finish_deferred(&mut rig);
                    }
                }
                phases.extend(rig.session.status(rig.now()).updates.iter().map(|update| format!("{:?}", update.phase)));
                if way == "restart" {
                    rig.reboot(0)
                } else {
                    rig.crash()
                }
                up_again(&mut rig);
                for _ in 0..10 {
                    rig.pass(100 * SECOND);
                    if way == "deferred" {
                        finish_deferred(&mut rig);
                    }
                    if way == "restart" {
                        rig.reboot(0);
                        up_again(&mut rig);
                    }
                }
                let (st, _) = one_end(&rig, "u");
                assert_eq!(st, 7, "{way}, killed after {events} events: {:?}", rig.ota.log);
                assert!(rig.disk.commands.values().all(|(_, finished)| *finished) && rig.disk.acks.is_empty());
                assert!(rig.ota.staged.is_empty(), "{way}, killed after {events} events");
            }
            assert!(phases.len() >= 3, "{way}: {phases:?}");
        }
    }
}

#[test]
fn what_kills_the_daemon_again_and_again_is_given_up() {
    for way in WAYS {
        let mut rig = prepared(way);
        rig.ota.update = |_| Some(Ok(Reply::Deferred));
        rig.ota.install = |_| None;
        rig.ota.verdict = |_| None;
        rig.send_c2d(update("u", &files(way)[..1]));
        for _ in 0..10 {
            rig.pass(10 * SECOND);
            rig.crash();
            up_again(&mut rig);
        }
        rig.pass(100 * SECOND);
        let (st, words) = one_end(&rig, "u");
        assert_eq!((st, words.as_str()), (4, "gave up after 5 attempts; the daemon ended during each"), "{way}");
        let begun =
            rig.ota.log.iter().filter(|line| ["update", "install", "deploy"].iter().any(|verb| line.starts_with(verb)));
        assert_eq!(begun.count(), 5, "{way}: {:?}", rig.ota.log);
        assert_eq!(rig.ota.log.iter().any(|line| line == "withdraw app"), way == "component");
    }
}

#[test]
fn a_fetch_that_kills_the_daemon_again_and_again_is_given_up() {
    let mut rig = device();
    rig.ota.fetch = |_, _| None;
    rig.send_c2d(update("u", &["a.bin"]));
    for _ in 0..30 {
        rig.pass(100 * SECOND);
        rig.crash();
        up_again(&mut rig);
    }
    rig.pass(100 * SECOND);
    let words = "gave up after 20 tries to fetch the files: the daemon ended each time while it fetched";
    assert_eq!((one_end(&rig, "u"), rig.ota.fetches.len()), ((4, words.into()), 20));
}

#[test]
fn a_question_after_a_restart_that_kills_the_daemon_is_given_up_too() {
    let mut rig = prepared("restart");
    rig.ota.confirm = || None;
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(10 * SECOND);
    rig.reboot(0);
    for _ in 0..10 {
        up_again(&mut rig);
        rig.pass(10 * SECOND);
        rig.crash();
    }
    up_again(&mut rig);
    rig.pass(100 * SECOND);
    assert_eq!(one_end(&rig, "u"), (4, "gave up after 5 attempts to find out whether it runs".into()));
}

#[test]
fn nothing_is_done_that_cannot_be_written_down() {
    let mut rig = device();
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(Duration::from_millis(22));
    rig.ledger_fails = true;
    rig.pass(600 * SECOND);
    assert!(rig.ota.log.len() <= 1 && rig.ota.updates.is_empty(), "{:?}", rig.ota.log);
    rig.ledger_fails = false;
    rig.pass(100 * SECOND);
    assert_eq!((one_end(&rig, "u").0, rig.ota.updates.len()), (7, 1));
}

#[test]
fn an_update_cut_off_by_a_stop_is_handed_over_again_under_the_same_id() {
    let mut rig = device();
    rig.ota.update = |_| None;
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(SECOND);
    rig.handle(Event::PluginsStopping);
    let call = rig.updating();
    rig.handle(Event::Replied { plugin: "f".into(), call, result: Err(CallFailure("stopped".into())) });
    rig.handle(Event::PluginDown { plugin: "f".into(), gone: true });
    rig.restart();
    assert!(ends(&rig, "u").is_empty());
    assert_eq!(journal(&rig, "u")["attempts"], 1);
    rig.ota.update = |_| Some(Ok(Reply::Done("done".into())));
    up_again(&mut rig);
    rig.pass(100 * SECOND);
    assert_eq!((one_end(&rig, "u"), rig.updates_of("u")), ((7, "done".into()), 2));
}

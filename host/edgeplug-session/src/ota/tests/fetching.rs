//! How files are fetched: with bounded tries, new URLs, and stops in between.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SECOND, device, ends, journal, one_end, up_again, update};
use crate::commands::tests::targets::{acks_v21, gateway_v21};
use crate::event::*;
use crate::rig::ota::{fetch_failure, verified};
use crate::rig::{Rig, connected};
use crate::status::UpdatePhase;

fn v21_update(ack_id: &str, signature: u32) -> Value {
    json!({"cmd": "ota", "ack": ack_id, "ver": {"sw": "2", "hw": "1"},
        "urls": [{"url": format!("https://fw/a.bin?sig={signature}"), "fileName": "a.bin"}]})
}

fn send_v21(rig: &mut Rig, update: &Value) {
    let body = json!({"v": 2.1, "ct": 1, "cmd": "ota", "ack": update["ack"], "sw": "2", "urls": update["urls"]});
    rig.send_c2d(body.to_string());
}

fn urls(rig: &Rig) -> Vec<String> {
    rig.ota.fetches.iter().map(|files| files[0].url.expose().to_owned()).collect()
}

#[test]
fn what_may_heal_is_tried_again_with_growing_waits_until_there_were_enough_tries() {
    for kind in [FetchFailureKind::Transient, FetchFailureKind::Disk] {
        let mut rig = device();
        rig.ota.fetch = match kind {
            FetchFailureKind::Disk => |_, _| Some(Err(fetch_failure(FetchFailureKind::Disk, "no space"))),
            _ => |_, _| Some(Err(fetch_failure(FetchFailureKind::Transient, "cut off"))),
        };
        rig.send_c2d(update("u", &["a.bin"]));
        rig.pass(100 * SECOND);
        let status = rig.session.status(rig.now()).updates[0].clone();
        assert!(status.attempts > 2 && status.trouble.is_some() && status.phase == UpdatePhase::Fetching);
        let soon = rig.ota.fetches.len();
        assert!((3..7).contains(&soon), "{soon}");
        rig.pass(24 * 3_600 * SECOND);
        assert_eq!(rig.ota.fetches.len(), 20);
        let (st, words) = one_end(&rig, "u");
        assert!(st == 4 && words.starts_with("gave up after 20 tries to fetch the files: "), "{words}");
    }
}

#[test]
fn whoever_serves_the_files_may_ask_for_patience() {
    let mut rig = device();
    rig.ota.fetch = |files, n| match n {
        1 => Some(Err(FetchFailure {
            retry_after: Some(Duration::from_secs(500)),
            ..fetch_failure(FetchFailureKind::Transient, "busy")
        })),
        _ => Some(Ok(verified(files))),
    };
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(499 * SECOND);
    assert_eq!(rig.ota.fetches.len(), 1);
    rig.pass(10 * SECOND);
    assert_eq!(one_end(&rig, "u").0, 7);
}

#[test]
fn a_try_that_brought_much_is_none() {
    let mut rig = device();
    rig.ota.fetch = |_, _| None;
    rig.send_c2d(update("u", &["a.bin"]));
    let cut_after = |rig: &mut Rig, bytes: u64| {
        rig.pass(3_700 * SECOND);
        let ticket = rig.fetching();
        rig.handle(Event::FetchProgress { ticket, bytes, total: Some(100 << 20) });
        let result = Err(fetch_failure(FetchFailureKind::Transient, "cut off"));
        rig.handle(Event::Fetched { ticket, result });
    };
    for n in 1..60 {
        cut_after(&mut rig, n << 20);
    }
    assert!(ends(&rig, "u").is_empty());
    for _ in 0..20 {
        cut_after(&mut rig, 59 << 20);
        if rig.session.status(rig.now()).updates.is_empty() {
            break;
        }
    }
    rig.pass(SECOND);
    assert_eq!(one_end(&rig, "u").0, 4, "but one that brings nothing new is");
}

#[test]
fn what_is_refused_is_not_tried_again() {
    let mut rig = device();
    rig.ota.fetch = |_, _| Some(Err(fetch_failure(FetchFailureKind::Refused, "a.bin has another SHA-256")));
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(10 * SECOND);
    assert_eq!(one_end(&rig, "u"), (4, "a.bin has another SHA-256".into()));
    rig.pass(3_600 * SECOND);
    assert_eq!(rig.ota.log, ["fetch"]);
    rig.ota.fetch = |_, _| Some(Ok(Vec::new()));
    rig.send_c2d(update("v", &["a.bin"]));
    rig.pass(10 * SECOND);
    assert_eq!(one_end(&rig, "v"), (4, "there is nothing to install".into()));
}

#[test]
fn an_expired_url_is_asked_for_anew_in_2_1() {
    let mut rig = gateway_v21();
    rig.firmware_up("f", &[]);
    rig.ota.fetch = |files, _| match files[0].url.expose().ends_with("sig=2") {
        true => Some(Ok(verified(files))),
        false => Some(Err(fetch_failure(FetchFailureKind::Expired, "403"))),
    };
    rig.cloud.portal.ota = v21_update("a", 2);
    send_v21(&mut rig, &v21_update("a", 1));
    rig.pass(10 * SECOND);
    assert_eq!(urls(&rig), ["https://fw/a.bin?sig=1", "https://fw/a.bin?sig=2"]);
    assert_eq!(rig.questions().iter().filter(|number| **number == 205).count(), 1);
    let acks: Vec<_> = acks_v21(&rig).iter().map(|ack| (ack["st"].clone(), ack["msg"].clone())).collect();
    assert_eq!(acks, [(json!(2), json!("downloading")), (json!(3), json!("flashed a.bin"))], "said once");
}

#[test]
fn an_expired_url_is_asked_for_anew_by_a_sync_in_1_0() {
    let mut rig = device();
    rig.ota.fetch = |files, _| match files[0].url.expose().ends_with("sig=new") {
        true => Some(Ok(verified(files))),
        false => Some(Err(fetch_failure(FetchFailureKind::Expired, "403"))),
    };
    let syncs = rig.cloud.syncs;
    rig.cloud.portal.ota =
        json!({"guid": "G", "urls": ["https://fw/a.bin?sig=new"], "ver": {"sw": "1.0", "hw": "1.0"}});
    rig.send_c2d(update("u", &["a.bin"]).replace("\"cpid\"", "\"guid\":\"G\",\"cpid\""));
    rig.pass(100 * SECOND);
    assert_eq!(urls(&rig), ["https://fw/a.bin?sig=secret", "https://fw/a.bin?sig=new"]);
    assert_eq!((rig.cloud.syncs - syncs, one_end(&rig, "u").0), (1, 7));
    assert!(ends(&rig, "G").is_empty(), "it is the same update by its guid");
    // And so it is while the portal goes on to say it.
    rig.cloud.portal.ota["force"] = true.into();
    rig.send_c2d(json!({"cmdType": "sync"}).to_string());
    rig.pass(100 * SECOND);
    assert!(ends(&rig, "G").is_empty() && rig.ota.fetches.len() == 2);
}

#[test]
fn urls_are_asked_for_a_few_times_and_then_the_update_fails() {
    let mut rig = gateway_v21();
    rig.firmware_up("f", &[]);
    rig.ota.fetch = |_, _| Some(Err(fetch_failure(FetchFailureKind::Expired, "the server answered 403")));
    send_v21(&mut rig, &v21_update("a", 1));
    rig.pass(30 * SECOND);
    assert_eq!(rig.session.status(rig.now()).updates[0].phase, UpdatePhase::AwaitingUrls);
    // Without a link nobody can tell them, and that does not count.
    rig.network(false);
    rig.pass(3_600 * SECOND);
    assert!(acks_v21(&rig).iter().all(|ack| ack["st"] == 2));
    rig.network(true);
    rig.pass(3_600 * SECOND);
    let last = acks_v21(&rig).pop().unwrap();
    assert_eq!(last["st"], 4);
    assert!(last["msg"].as_str().unwrap().contains("expired"), "{last}");
    assert_eq!(rig.ota.fetches.len(), 1);
}

#[test]
fn an_update_that_waits_is_taken_over_like_one_that_is_sent() {
    let mut rig = gateway_v21();
    rig.crash();
    rig.cloud.portal.has = json!({"d": 1, "attr": 1, "set": 0, "r": 0, "ota": 1});
    rig.cloud.portal.ota = v21_update("a", 1);
    up_again(&mut rig);
    rig.pass(60 * SECOND);
    for _ in 0..3 {
        rig.cut();
        rig.pass(60 * SECOND);
    }
    rig.crash();
    up_again(&mut rig);
    rig.pass(60 * SECOND);
    let done: Vec<_> = acks_v21(&rig).into_iter().filter(|ack| ack["st"] == 3).collect();
    assert_eq!(done, [json!({"ack": "a", "type": 1, "st": 3, "msg": "flashed a.bin"})]);
    assert_eq!(rig.ota.fetches.len(), 1);

    let mut rig = Rig::new();
    rig.cloud.portal.ota = json!({"guid": "G", "urls": ["https://fw/a.bin"], "ver": {"sw": "1.0", "hw": "1.0"}});
    let mut rig = connected(rig);
    rig.firmware_up("f", &[]);
    rig.pass(60 * SECOND);
    assert_eq!(one_end(&rig, "G").0, 7);
}

#[test]
fn nothing_is_fetched_without_a_link_and_tries_do_not_count_then() {
    let mut rig = device();
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(Duration::from_millis(22));
    rig.network(false);
    rig.pass(48 * 3_600 * SECOND);
    assert!(rig.ota.log.is_empty());
    rig.network(true);
    rig.pass(3_600 * SECOND);
    assert_eq!(one_end(&rig, "u").0, 7);
}

#[test]
fn a_hard_stop_ends_a_fetch_and_a_resume_goes_on_with_it() {
    let mut rig = device();
    rig.ota.fetch_delay = 100 * SECOND;
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(10 * SECOND);
    rig.send_c2d(json!({"cmdType": "0x99", "data": {}}).to_string());
    rig.pass(3_600 * SECOND);
    assert_eq!(rig.ota.log, ["fetch", "cancel"]);
    rig.crash();
    up_again(&mut rig);
    rig.pass(3_600 * SECOND);
    assert_eq!(rig.ota.log, ["fetch", "cancel"]);
    rig.handle(Event::Operator { request: crate::RequestId(1), what: OperatorRequest::Resume });
    rig.pass(3_600 * SECOND);
    assert_eq!(one_end(&rig, "u").0, 7);
}

#[test]
fn a_stop_of_the_daemon_ends_a_fetch_and_the_next_run_goes_on_with_it() {
    let mut rig = device();
    rig.ota.fetch_delay = 100 * SECOND;
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(10 * SECOND);
    rig.handle(Event::PluginsStopping);
    assert_eq!(rig.ota.log, ["fetch", "cancel"]);
    rig.pass(10 * SECOND);
    rig.restart();
    up_again(&mut rig);
    rig.pass(200 * SECOND);
    assert_eq!((rig.ota.log[2].as_str(), one_end(&rig, "u").0), ("fetch", 7));
}

#[test]
fn signed_urls_leave_the_ledger_when_the_files_are_there() {
    let mut rig = device();
    rig.ota.update = |_| None;
    rig.send_c2d(update("u", &["a.bin"]));
    rig.pass(Duration::from_millis(40));
    assert!(journal(&rig, "u").to_string().contains("sig=secret"), "they are needed after a crash");
    rig.pass(SECOND);
    assert!(!journal(&rig, "u").to_string().contains("sig="), "{}", journal(&rig, "u"));
}

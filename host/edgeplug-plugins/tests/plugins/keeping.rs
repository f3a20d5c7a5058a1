//! `state`: what a plugin keeps.

use std::collections::BTreeMap;

use bytes::Bytes;
use edgeplug_plugins::{Answer, Ask, PluginEvent};

use crate::rig::{Rig, Setup, guest, told, variant};

#[tokio::test]
async fn what_is_kept_is_shared_by_versions_and_not_by_plugins() {
    let setup = Setup::new();
    setup.put("one.wasm", &guest("probe"));
    setup.put("two.wasm", &guest("probe"));
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    assert_eq!(told(rig.command("one", "state get a").await), Ok("none".to_owned()));
    assert_eq!(told(rig.command("one", "state set a 1").await), Ok("kept".to_owned()));
    let wanted = Ask::KeepState { key: "a".to_owned(), value: Some(Bytes::from("1")) };
    assert_eq!(rig.asked, [wanted]);
    assert_eq!(told(rig.command("two", "state keys").await), Ok(String::new()));
    assert!(rig.command("one", "trap").await.is_err());
    rig.up("one").await;
    assert_eq!(told(rig.command("one", "state get a").await), Ok("1".to_owned()), "across a restart");
    rig.put("one.wasm", &variant(&guest("probe"), 1));
    rig.up("one").await;
    assert_eq!(told(rig.command("one", "state get a").await), Ok("1".to_owned()), "across versions");
    assert_eq!(told(rig.command("one", "state delete a").await), Ok("gone".to_owned()));
    assert_eq!(rig.asked.last(), Some(&Ask::KeepState { key: "a".to_owned(), value: None }));
    let asked = rig.asked.len();
    assert_eq!(told(rig.command("one", "state delete a").await), Ok("gone".to_owned()));
    assert_eq!(rig.asked.len(), asked, "what is not there needs no writing");
}

#[tokio::test]
async fn a_value_that_is_not_on_disk_is_not_there() {
    let mut rig = Rig::start();
    rig.put_and_up("probe", &guest("probe")).await;
    rig.answers = |_| Answer::Kept(Err("disk full".to_owned()));
    let refused = told(rig.command("probe", "state set a 1").await).expect_err("not kept");
    assert!(refused.contains("disk full"), "{refused}");
    assert_eq!(told(rig.command("probe", "state get a").await), Ok("none".to_owned()));
}

#[tokio::test]
async fn the_quota_is_refused_with_its_numbers() {
    let mut setup = Setup::new();
    setup.allow_limits("probe");
    setup.put("probe.wasm", &guest("probe"));
    setup.put("probe.toml", b"[limits]\ndeadline_ms = 5000");
    let mut rig = setup.start();
    rig.up("probe").await;
    assert_eq!(told(rig.command("probe", "state fill a 65535").await), Ok("kept".to_owned()));
    for (command, words) in [
        ("state set b 1".to_owned(), "65538 bytes; at most 65536"),
        (format!("state set {} 1", "k".repeat(129)), "1 to 128 bytes, not 129"),
        ("state fill a 65536".to_owned(), "at most 65536"),
    ] {
        let refused = told(rig.command("probe", &command).await).expect_err(&command);
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(told(rig.command("probe", "state delete a").await), Ok("gone".to_owned()));
    let refused = told(rig.command("probe", "state many 65").await).expect_err("too many");
    assert!(refused.contains("64 keys"), "{refused}");
    let keys = told(rig.command("probe", "state keys").await).expect("keys");
    assert_eq!(keys.split(' ').count(), 64);
}

#[tokio::test]
async fn what_was_kept_before_is_there_at_the_start_which_waits_for_it() {
    let setup = Setup::new();
    setup.put("probe.wasm", &guest("probe"));
    setup.put("probe.toml", b"[config]\non_start = \"state get a\"");
    let mut rig = setup.start_without_state();
    while rig.plugins.log_tail("probe", 0, 1).is_none() {
        tokio::task::yield_now().await;
    }
    rig.logged("probe", "starting").await;
    rig.plugins.restore_state(BTreeMap::from([(
        "probe".to_owned(),
        BTreeMap::from([("a".to_owned(), Bytes::from("from before"))]),
    )]));
    rig.up("probe").await;
    let log = rig.plugins.log_tail("probe", 0, 100).expect("a log");
    assert!(log.lines.iter().any(|line| line.text == "on start: from before"), "{log:?}");
    rig.plugins.state_unavailable("the ledger is locked".to_owned());
    let refused = told(rig.command("probe", "state get a").await).expect_err("unavailable");
    assert!(refused.contains("the ledger is locked"), "{refused}");
}

//! What operators do to plugins, and plugins that are left alone.

use std::time::Duration;

use edgeplug_plugins::{Change, NotOperated, NotReady, Operation, PluginEvent, PluginState};
use serde_json::json;

use crate::rig::{Rig, Setup, guest, value, variant};

async fn operate(rig: &Rig, plugin: &str, operation: Operation) -> String {
    rig.plugins.operate(plugin, operation).await.expect("it is done")
}

#[tokio::test]
async fn a_restart_keeps_what_the_plugin_saves() {
    let mut rig = Rig::start();
    rig.put("p.toml", b"[config]\nsaved = \"a\"");
    rig.put_and_up("p", &guest("probe")).await;
    rig.sample("p").await.expect("sample");
    assert!(operate(&rig, "p", Operation::Restart).await.contains("with what it had saved"));
    assert_eq!(rig.up("p").await, Change::Restarted);
    let samples = rig.sample("p").await.expect("sample");
    assert_eq!(value(&samples, "restored"), Some(&json!("a")));
    assert_eq!(value(&samples, "calls"), Some(&json!(1)), "a fresh instance");
    assert_eq!(rig.status("p").restarts, 1);
}

#[tokio::test]
async fn a_restart_ends_the_wait_after_a_fault() {
    let mut setup = Setup::new();
    setup.options.limits.restart_min = Duration::from_secs(3600);
    setup.options.limits.restart_max = Duration::from_secs(3600);
    setup.put("p.wasm", &guest("traps"));
    setup.put("p.toml", b"[config]\nevery = \"2\"");
    let mut rig = setup.start();
    rig.up("p").await;
    rig.sample("p").await.expect("sample");
    rig.sample("p").await.expect_err("a trap");
    rig.down("p").await;
    operate(&rig, "p", Operation::Restart).await;
    assert_eq!(rig.up("p").await, Change::Restarted);
}

#[tokio::test]
async fn a_plugin_that_was_switched_off_stays_off() {
    let mut rig = Rig::start();
    rig.put("p.toml", b"interval_s = 1");
    rig.put_and_up("p", &guest("probe")).await;
    assert_eq!(operate(&rig, "p", Operation::Disable).await, "switched off");
    let (reason, gone) = rig.down("p").await;
    assert!(gone && reason.contains("operator"), "{reason}");
    rig.logged("p", "stopped after 0 calls").await;
    assert_eq!(rig.status("p").state, PluginState::Disabled);
    assert_eq!(rig.plugins.sample("p", 1), Err(NotReady::Down("p".to_owned())));
    assert!(operate(&rig, "p", Operation::Disable).await.contains("already"));
    let refused = rig.plugins.operate("p", Operation::Restart).await.expect_err("it is off");
    assert!(refused.to_string().contains("plugin enable"), "{refused}");
    // Neither a new version nor a new daemon switches it on.
    rig.put("p.wasm", &variant(&guest("probe"), 1));
    let directory = rig.stop().await;
    let mut rig = Setup::after(directory).start();
    rig.until(|event| match event {
        PluginEvent::Up { plugin, .. } => panic!("{plugin} is up"),
        event => matches!(event, PluginEvent::ScanDone).then_some(()),
    })
    .await;
    assert_eq!(rig.status("p").state, PluginState::Disabled);
    // Nor does taking its files away for a moment.
    for name in ["p.wasm", "p.toml"] {
        std::fs::rename(rig.path(name), rig.path(&format!(".{name}"))).expect("rename");
    }
    while !rig.plugins.list().is_empty() {
        tokio::task::yield_now().await;
    }
    for name in ["p.toml", "p.wasm"] {
        std::fs::rename(rig.path(&format!(".{name}")), rig.path(name)).expect("rename");
    }
    while rig.plugins.list().is_empty() || rig.status("p").state != PluginState::Disabled {
        tokio::task::yield_now().await;
    }
    assert!(operate(&rig, "p", Operation::Enable).await.contains("switched on"));
    assert_eq!(rig.up("p").await, Change::First);
    rig.sample("p").await.expect("sample");
    assert!(operate(&rig, "p", Operation::Enable).await.contains("already"));
}

#[tokio::test]
async fn a_switch_while_a_version_is_loaded_is_obeyed() {
    let setup = Setup::new();
    setup.put("p.wasm", &variant(&guest("sequence"), 9));
    let mut rig = setup.start();
    while rig.plugins.list().is_empty() {
        tokio::task::yield_now().await;
    }
    operate(&rig, "p", Operation::Disable).await;
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    assert_eq!(rig.status("p").state, PluginState::Disabled);
    operate(&rig, "p", Operation::Enable).await;
    rig.up("p").await;
}

#[tokio::test]
async fn an_unknown_plugin_is_answered_with_those_there_are() {
    let mut rig = Rig::start();
    rig.put_and_up("one", &guest("probe")).await;
    let refused = rig.plugins.operate("two", Operation::Restart).await.expect_err("unknown");
    assert_eq!(refused, NotOperated::Unknown { plugin: "two".to_owned(), known: vec!["one".to_owned()] });
    assert_eq!(refused.to_string(), "there is no plugin \"two\"; there are: one");
    rig.plugins.stop(Duration::from_secs(5)).await;
    assert_eq!(rig.plugins.operate("one", Operation::Restart).await, Err(NotOperated::Stopping));
}

/// A plugin whose every call traps, until it is left alone.
async fn quarantined(setup: Setup) -> Rig {
    let mut setup = setup;
    setup.options.limits.restart_min = Duration::from_millis(1);
    setup.options.limits.quarantine_strikes = 3;
    setup.put("p.wasm", &guest("traps"));
    setup.put("p.toml", b"[config]\nevery = \"1\"");
    let mut rig = setup.start();
    for strike in 1..=3 {
        rig.up("p").await;
        rig.sample("p").await.expect_err("a trap");
        assert!(!rig.down("p").await.1, "strike {strike}");
    }
    let (reason, gone) = rig.down("p").await;
    assert!(gone && reason.contains("left alone after 3 faults"), "{reason}");
    rig
}

#[tokio::test]
async fn a_plugin_that_fails_again_and_again_is_left_alone_until_its_files_change() {
    let rig = quarantined(Setup::new()).await;
    assert_eq!(rig.status("p").state, PluginState::Quarantined);
    let directory = rig.stop().await;
    let mut rig = Setup::after(directory).start();
    rig.until(|event| match event {
        PluginEvent::Up { plugin, .. } => panic!("{plugin} is up"),
        event => matches!(event, PluginEvent::ScanDone).then_some(()),
    })
    .await;
    let status = rig.status("p");
    assert_eq!(status.state, PluginState::Quarantined);
    assert!(status.problem.expect("a problem").contains("trapping as configured"));
    rig.put("p.toml", b"[config]\nevery = \"2\"");
    assert_eq!(rig.up("p").await, Change::First);
    rig.sample("p").await.expect("sample");
}

#[tokio::test]
async fn an_operator_lifts_a_quarantine() {
    for operation in [Operation::Enable, Operation::Restart] {
        let mut rig = quarantined(Setup::new()).await;
        assert!(operate(&rig, "p", operation).await.contains("quarantine is lifted"));
        assert_eq!(rig.up("p").await, Change::First);
        rig.sample("p").await.expect_err("a trap");
        rig.down("p").await;
        assert_eq!(rig.up("p").await, Change::Restarted, "its strikes are forgotten");
    }
}

#[tokio::test]
async fn a_good_call_forgives_all_strikes() {
    let mut setup = Setup::new();
    setup.options.limits.restart_min = Duration::from_millis(1);
    setup.options.limits.quarantine_strikes = 2;
    setup.put("p.wasm", &guest("traps"));
    let mut rig = setup.start();
    for _ in 0..4 {
        rig.up("p").await;
        rig.sample("p").await.expect("sample");
        rig.sample("p").await.expect_err("a trap");
    }
    rig.up("p").await;
}

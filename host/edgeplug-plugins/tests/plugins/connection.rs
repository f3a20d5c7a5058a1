//! `connection-events`: every plugin that wants to knows the latest.

use edgeplug_plugins::{Connection, PluginEvent};

use crate::rig::{Rig, Setup, guest, told, variant};

fn told_of(rig: &Rig) -> Vec<String> {
    let log = rig.log("probe").into_iter();
    log.filter(|line| line.starts_with("connected") || line.starts_with("disconnected")).collect()
}

fn down(reason: &str) -> Connection {
    Connection::Disconnected(reason.to_owned())
}

#[tokio::test]
async fn a_plugin_is_told_after_its_start_and_at_every_change() {
    let setup = Setup::new();
    setup.put("probe.wasm", &guest("probe"));
    setup.put("other.wasm", &guest("echo-commands"));
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    rig.logged("probe", "disconnected: not connected yet").await;
    rig.plugins.connection_changed(Connection::Connected);
    rig.logged("probe", "connected").await;
    rig.plugins.connection_changed(Connection::Connected);
    rig.plugins.connection_changed(down("keepalive"));
    rig.logged("probe", "disconnected: keepalive").await;
    assert_eq!(told_of(&rig), ["disconnected: not connected yet", "connected", "disconnected: keepalive"]);
    assert!(rig.command("probe", "trap").await.is_err());
    rig.up("probe").await;
    rig.put("probe.wasm", &variant(&guest("probe"), 1));
    rig.up("probe").await;
    // Calls are served in order, so the news come before this answer or right after it.
    told(rig.command("probe", "id").await).expect("answers");
    while told_of(&rig).len() < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told_of(&rig)[3..], ["disconnected: keepalive", "disconnected: keepalive"], "after both starts");
}

#[tokio::test]
async fn a_slow_plugin_hears_the_latest_only() {
    let setup = Setup::new();
    setup.put("probe.wasm", &guest("probe"));
    setup.put("probe.toml", b"[config]\nlinger_ms = \"300\"");
    let mut rig = setup.start();
    rig.up("probe").await;
    rig.logged("probe", "disconnected: not connected yet").await;
    for number in 0..50 {
        rig.plugins.connection_changed(down(&number.to_string()));
    }
    rig.plugins.connection_changed(Connection::Connected);
    rig.logged("probe", "connected").await;
    told(rig.command("probe", "id").await).expect("answers");
    assert_eq!(told_of(&rig), ["disconnected: not connected yet", "connected"]);
}

#[tokio::test]
async fn taking_the_news_does_not_make_a_plugin_that_traps_sound() {
    let setup = Setup::new();
    setup.put("probe.wasm", &guest("probe"));
    setup.put("probe.toml", b"[config]\nsample = \"trap\"");
    let mut rig = setup.start();
    rig.up("probe").await;
    for strikes in 1..=3 {
        rig.sample("probe").await.expect_err("a trap");
        rig.up("probe").await;
        while told_of(&rig).len() <= strikes {
            tokio::task::yield_now().await;
        }
        let status = &rig.plugins.list()[0];
        assert_eq!(usize::try_from(status.strikes), Ok(strikes));
    }
}

//! `save-state` and `restore-state`: what one version hands to the next.

use edgeplug_plugins::Change;
use serde_json::json;

use crate::rig::{Rig, Setup, guest, value, variant};

/// Runs a version that saves as told and swaps it for one that restores as told.
async fn swapped(saved: &str, restore: &str) -> Rig {
    let setup = Setup::new();
    setup.put("probe.wasm", &guest("probe"));
    setup.put("probe.toml", format!("[config]\n{saved}").as_bytes());
    let mut rig = setup.start();
    rig.up("probe").await;
    rig.sample("probe").await.expect("sample");
    rig.put("probe.toml", format!("[config]\n{restore}").as_bytes());
    rig
}

async fn restored(rig: &mut Rig) -> Option<serde_json::Value> {
    let samples = rig.sample("probe").await.expect("sample");
    value(&samples, "restored").cloned()
}

#[tokio::test]
async fn the_new_version_goes_on_from_what_the_old_one_saved() {
    let mut rig = swapped("saved = \"the way so far\"", "").await;
    assert_eq!(rig.up("probe").await, Change::Replaced);
    assert_eq!(restored(&mut rig).await, Some(json!("the way so far")));
    rig.logged("probe", "stopped after 1 calls").await;
    // Nothing was saved this time.
    rig.put("probe.wasm", &variant(&guest("probe"), 1));
    rig.up("probe").await;
    assert_eq!(restored(&mut rig).await, None);
}

#[tokio::test]
async fn a_version_that_refuses_the_state_leaves_the_old_one_running() {
    for (restore, words) in [("refuse", "made by a stranger"), ("trap", "trapping as told")] {
        let mut rig = swapped("saved = \"a\"", &format!("restore = \"{restore}\"")).await;
        let reason = rig.refused("probe").await;
        assert!(reason.contains("does not take the state") && reason.contains(words), "{reason}");
        assert!(reason.ends_with("the version before goes on"), "{reason}");
        let samples = rig.sample("probe").await.expect("the old version");
        assert_eq!(value(&samples, "calls"), Some(&json!(2)), "with all it knew");
        assert!(rig.log("probe").contains(&reason));
        assert!(rig.plugins.list()[0].problem.is_some());
    }
}

#[tokio::test]
async fn a_version_that_saves_nothing_useful_is_swapped_all_the_same() {
    for (saved, words) in [
        ("error", "nothing to hand over"),
        ("trap", "trapping as told"),
        ("large", "1048577 bytes of state; at most 1048576"),
    ] {
        let mut rig = swapped(&format!("saved = \"{saved}\""), "").await;
        assert_eq!(rig.up("probe").await, Change::Replaced);
        assert_eq!(restored(&mut rig).await, None);
        let log = rig.log("probe");
        let said = log.iter().any(|line| line.contains("the new one starts with nothing") && line.contains(words));
        assert!(said, "{log:?}");
    }
}

#[tokio::test]
async fn a_version_without_a_lifecycle_starts_with_nothing() {
    let setup = Setup::new();
    setup.put("probe.wasm", &guest("probe"));
    setup.put("probe.toml", b"[config]\nsaved = \"a\"");
    let mut rig = setup.start();
    rig.up("probe").await;
    rig.put("probe.wasm", &guest("traps"));
    assert_eq!(rig.up("probe").await, Change::Replaced);
    assert!(rig.log("probe").iter().any(|line| line.contains("exports no `lifecycle` to take it")));
}

//! What a guest sees of the daemon's environment, of time and of chance, and what it may keep.

use edgeplug_plugins::{PluginPolicy, Variable};

use crate::rig::{Rig, Setup, guest, told};

const PLUGIN: &str = "probe";

async fn start(policy: PluginPolicy, component: &str, manifest: &str) -> Rig {
    let mut setup = Setup::new();
    setup.options.policy.plugins.insert(PLUGIN.to_owned(), policy);
    setup.put(&format!("{PLUGIN}.wasm"), &guest(component));
    setup.put(&format!("{PLUGIN}.toml"), manifest.as_bytes());
    let mut rig = setup.start();
    rig.up(PLUGIN).await;
    rig
}

async fn does(rig: &mut Rig, command: &str) -> Result<String, String> {
    told(rig.command(PLUGIN, command).await)
}

#[tokio::test]
async fn only_what_both_sides_name_of_the_environment_is_seen() {
    let allow = |names: &[&str]| names.iter().map(|name| Variable::parse(name).expect("name")).collect();
    let policy = PluginPolicy { environment: allow(&["PATH", "HOME"]), ..PluginPolicy::default() };
    let mut rig = start(policy, "rights-probe", "environment = [\"PATH\", \"USER\", \"LD_LIBRARY_PATH\"]").await;
    let path = std::env::var("PATH").expect("PATH");
    assert_eq!(does(&mut rig, "environment").await, Ok(format!("PATH={path}")));
    assert_eq!(does(&mut rig, "arguments").await.as_deref(), Ok("0"));
}

#[tokio::test]
async fn a_guest_without_clocks_lives_in_1970_and_measures_coarsely() {
    let policy = PluginPolicy { clocks: Some(false), ..PluginPolicy::default() };
    let mut rig = start(policy, "rights-probe", "").await;
    assert_eq!(does(&mut rig, "clock").await.as_deref(), Ok("0 s since 1970, coarse"));
    let mut rig = start(PluginPolicy::default(), "rights-probe", "").await;
    let clock = does(&mut rig, "clock").await.expect("answers");
    assert!(!clock.starts_with("0 s") && clock.ends_with("fine"), "{clock}");
}

#[tokio::test]
async fn a_guest_without_randomness_draws_the_same_numbers_at_each_start() {
    let policy = PluginPolicy { randomness: Some(false), ..PluginPolicy::default() };
    let mut drawn = Vec::new();
    for policy in [policy.clone(), policy, PluginPolicy::default()] {
        let mut rig = start(policy, "rights-probe", "").await;
        drawn.push(does(&mut rig, "random").await.expect("answers"));
    }
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[0], drawn[2]);
}

#[tokio::test]
async fn more_state_than_usual_needs_both_sides() {
    let asks = "[limits]\nstate_kb = 256";
    let mut rig = start(PluginPolicy::default(), "probe", asks).await;
    let refused = does(&mut rig, "state fill a 100000").await.expect_err("nobody allows it");
    assert!(refused.contains("65536") && refused.contains("state_kb"), "{refused}");
    let policy = PluginPolicy { state_kb: Some(128), ..PluginPolicy::default() };
    let mut rig = start(policy, "probe", asks).await;
    assert_eq!(does(&mut rig, "state fill a 100000").await.as_deref(), Ok("kept"));
    does(&mut rig, "state fill b 100000").await.expect_err("more than is allowed");
}

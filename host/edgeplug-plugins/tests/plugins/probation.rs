//! New versions that prove themselves, or do not.
//!
//! One manifest serves both versions here: `every` makes `traps` trap (or, where it is no number, fail) and `saved` is what
//! `probe` hands over; each ignores the other's.

use std::collections::BTreeSet;
use std::time::Duration;

use edgeplug_plugins::{Change, PluginEvent, PluginState};
use serde_json::json;

use crate::rig::{Rig, Setup, guest, killed, value, variant};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A trusted `probe` and, with this manifest, whatever comes next.
async fn trusted(manifest: &str) -> Rig {
    let setup = Setup::new().probation(1, Duration::ZERO);
    setup.put("p.wasm", &guest("probe"));
    setup.put("p.toml", manifest.as_bytes());
    let mut rig = setup.start();
    rig.up("p").await;
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    rig
}

fn sha256(component: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hashes of the components on the shelf.
fn shelved(directory: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path().join("shelf/p")).expect("shelf");
    let names = entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_suffix(".wasm").map(str::to_owned)).collect()
}

/// Waits until the shelf says so on disk, which nobody else does.
async fn recorded(rig: &Rig, words: &str) {
    let record = rig.directory.path().join("shelf/p/record.json");
    while !std::fs::read_to_string(&record).expect("record").contains(words) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_version_that_traps_is_rolled_back_with_the_state_of_the_swap() {
    let mut rig = trusted("[config]\nevery = \"1\"\nsaved = \"the way so far\"").await;
    rig.put("p.wasm", &guest("traps"));
    assert_eq!(rig.up("p").await, Change::Replaced);
    assert_eq!(rig.status("p").probation.expect("on probation").good_calls_wanted, 1);
    rig.sample("p").await.expect_err("a trap");
    let (bad, reason) = rig.rolled_back("p").await;
    assert_eq!(bad, sha256(&guest("traps")));
    assert!(reason.contains("trapping as configured"), "{reason}");
    assert_eq!(rig.up("p").await, Change::RolledBack);
    let samples = rig.sample("p").await.expect("the version before");
    assert_eq!(value(&samples, "restored"), Some(&json!("the way so far")));
    let status = rig.status("p");
    assert_eq!((status.rollbacks, status.swaps, status.state), (1, 1, PluginState::Running));
    assert_eq!(status.set_aside.expect("set aside").sha256, bad);
    assert!(status.problem.expect("a problem").contains("was rolled back"));
    assert_eq!(status.probation, None, "it is trusted as before");
}

#[tokio::test]
async fn a_version_that_failed_is_not_tried_again_until_it_changes() {
    let mut rig = trusted("[config]\nevery = \"1\"").await;
    rig.put("p.wasm", &guest("traps"));
    rig.up("p").await;
    rig.sample("p").await.expect_err("a trap");
    rig.rolled_back("p").await;
    rig.up("p").await;
    // Touched, written anew, and read once more two seconds later: it is the same.
    rig.put("p.wasm", &guest("traps"));
    rig.put("other.wasm", &guest("sequence"));
    rig.until(|event| match event {
        PluginEvent::Up { plugin, .. } if plugin == "other" => Some(()),
        PluginEvent::Up { .. } | PluginEvent::Refused { .. } => panic!("{event:?}"),
        _ => None,
    })
    .await;
    assert!(rig.status("p").set_aside.is_some());
    // The operator puts the old file back.
    rig.put("p.wasm", &guest("probe"));
    while rig.status("p").set_aside.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.status("p").problem, None);
    // A new manifest makes another version of it.
    rig.put("p.toml", b"[config]\nevery = \"1000\"");
    rig.up("p").await;
    rig.put("p.wasm", &guest("traps"));
    assert_eq!(rig.up("p").await, Change::Replaced);
    rig.sample("p").await.expect("it traps no more");
    assert_eq!(rig.confirmed("p").await, sha256(&guest("traps")));
    assert_eq!(shelved(&rig.directory), [sha256(&guest("traps"))]);
}

#[tokio::test]
async fn a_version_that_answers_nothing_but_errors_is_rolled_back() {
    let mut rig = trusted("[config]\nevery = \"no number\"").await;
    rig.put("p.wasm", &guest("traps"));
    rig.up("p").await;
    for _ in 0..5 {
        rig.sample("p").await.expect_err("an error");
    }
    let (_, reason) = rig.rolled_back("p").await;
    assert!(reason.contains("5 calls in a row"), "{reason}");
    assert_eq!(rig.up("p").await, Change::RolledBack);
    rig.sample("p").await.expect("the version before");
}

#[tokio::test]
async fn a_version_that_does_not_start_is_not_tried_again_by_the_next_daemon() {
    let mut rig = trusted("[config]\nper_call = \"many\"").await;
    rig.put("p.wasm", &guest("sequence"));
    let reason = rig.refused("p").await;
    assert!(reason.contains("does not start") && reason.contains("goes on"), "{reason}");
    let directory = rig.stop().await;
    let mut rig = Setup::after(directory).start();
    assert_eq!(rig.up("p").await, Change::First);
    let reason = rig.refused("p").await;
    assert!(reason.contains("failed before") && reason.contains("per_call"), "{reason}");
    rig.sample("p").await.expect("the last good version");
    assert_eq!(rig.status("p").sha256, sha256(&guest("probe")));
    assert_eq!(rig.status("p").set_aside.expect("set aside").sha256, sha256(&guest("sequence")));
}

#[tokio::test]
async fn of_several_new_versions_the_last_trusted_one_is_gone_back_to() {
    let mut rig = trusted("[config]\nevery = \"3\"\nsaved = \"a\"").await;
    // Too few calls for either to be trusted.
    let directory = rig.stop().await;
    rig = Setup::after(directory).probation(3, Duration::ZERO).start();
    rig.up("p").await;
    for number in 1..=2 {
        rig.put("p.wasm", &variant(&guest("traps"), number));
        assert_eq!(rig.up("p").await, Change::Replaced);
        rig.sample("p").await.expect("sample");
    }
    assert_eq!(shelved(&rig.directory).len(), 2, "the trusted one and the newest");
    rig.sample("p").await.expect("sample");
    rig.sample("p").await.expect_err("a trap");
    rig.rolled_back("p").await;
    assert_eq!(rig.up("p").await, Change::RolledBack);
    assert_eq!(rig.status("p").sha256, sha256(&guest("probe")));
    let samples = rig.sample("p").await.expect("sample");
    assert_eq!(value(&samples, "restored"), Some(&json!("a")));
}

#[tokio::test]
async fn a_first_version_that_traps_is_started_again_and_proves_itself_later() {
    let setup = Setup::new().probation(2, Duration::ZERO);
    setup.put("p.wasm", &guest("traps"));
    setup.put("p.toml", b"[config]\nevery = \"2\"");
    let mut rig = setup.start();
    rig.up("p").await;
    rig.sample("p").await.expect("sample");
    rig.sample("p").await.expect_err("a trap");
    assert_eq!(rig.up("p").await, Change::Restarted);
    rig.sample("p").await.expect("sample");
    assert_eq!(rig.status("p").probation.expect("a fault takes all back").good_calls, 1);
}

#[test]
fn a_probation_goes_on_after_the_daemon_was_killed() {
    let directory = killed(async {
        let mut rig = trusted("[config]\nevery = \"4\"\nsaved = \"a\"").await;
        let directory = std::mem::replace(&mut rig.directory, tempfile::tempdir().expect("directory"));
        rig.plugins.stop(Duration::from_secs(10)).await;
        directory
    });
    let directory = killed(async {
        let mut rig = Setup::after(directory).probation(3, DAY).start();
        rig.up("p").await;
        rig.put("p.wasm", &guest("traps"));
        rig.up("p").await;
        rig.sample("p").await.expect("sample");
        rig.sample("p").await.expect("sample");
        recorded(&rig, "\"good_calls\": 2").await;
        rig.directory
    });
    let directory = killed(async {
        let mut rig = Setup::after(directory).probation(3, DAY).start();
        assert_eq!(rig.up("p").await, Change::First);
        assert_eq!(rig.status("p").sha256, sha256(&guest("traps")), "what lies there is what runs");
        assert_eq!(rig.status("p").probation.expect("still on probation").good_calls, 2);
        for _ in 0..3 {
            rig.sample("p").await.expect("sample");
        }
        rig.sample("p").await.expect_err("a trap");
        rig.rolled_back("p").await;
        assert_eq!(rig.up("p").await, Change::RolledBack);
        let samples = rig.sample("p").await.expect("sample");
        assert_eq!(value(&samples, "restored"), Some(&json!("a")), "the state of the swap outlived the daemon");
        recorded(&rig, "trapping as configured").await;
        rig.directory
    });
    killed(async {
        let mut rig = Setup::after(directory).start();
        rig.up("p").await;
        assert_eq!(rig.status("p").sha256, sha256(&guest("probe")));
    });
}

#[test]
fn a_version_under_which_the_daemon_dies_again_and_again_is_rolled_back() {
    let mut directory = killed(async { trusted("").await.stop().await });
    std::fs::write(directory.path().join("plugins/p.wasm"), guest("traps")).expect("write");
    for _ in 0..3 {
        directory = killed(async {
            let mut rig = Setup::after(directory).start();
            rig.up("p").await;
            assert_eq!(rig.status("p").sha256, sha256(&guest("traps")));
            rig.directory
        });
    }
    killed(async {
        let mut rig = Setup::after(directory).start();
        rig.up("p").await;
        assert_eq!(rig.status("p").sha256, sha256(&guest("probe")));
        let (bad, reason) = rig.rolled_back("p").await;
        assert_eq!(bad, sha256(&guest("traps")));
        assert!(reason.contains("again and again"), "{reason}");
    });
}

#[tokio::test]
async fn a_daemon_that_is_stopped_well_counts_for_nothing() {
    let mut directory = trusted("").await.stop().await;
    std::fs::write(directory.path().join("plugins/p.wasm"), guest("traps")).expect("write");
    for _ in 0..6 {
        let mut rig = Setup::after(directory).start();
        rig.up("p").await;
        assert_eq!(rig.status("p").sha256, sha256(&guest("traps")));
        directory = rig.stop().await;
    }
}

#[tokio::test]
async fn a_file_that_broke_while_the_daemon_was_down_is_replaced_by_the_last_good_version() {
    for broken in [&b"not a component"[..], &guest("probe")[..1000], b""] {
        let directory = trusted("").await.stop().await;
        std::fs::write(directory.path().join("plugins/p.wasm"), broken).expect("write");
        let mut rig = Setup::after(directory).start();
        assert_eq!(rig.up("p").await, Change::First);
        rig.refused("p").await;
        rig.sample("p").await.expect("the last good version");
        assert!(rig.status("p").problem.is_some());
        rig.put("p.wasm", &variant(&guest("probe"), 1));
        assert_eq!(rig.up("p").await, Change::Replaced);
    }
}

#[tokio::test]
async fn a_removed_plugin_that_comes_back_is_a_new_one() {
    let mut rig = trusted("[config]\nevery = \"1\"").await;
    rig.put("p.wasm", &guest("traps"));
    rig.up("p").await;
    rig.sample("p").await.expect_err("a trap");
    rig.rolled_back("p").await;
    rig.up("p").await;
    for name in ["p.wasm", "p.toml"] {
        std::fs::remove_file(rig.path(name)).expect("remove");
    }
    assert!(rig.down("p").await.1);
    while !rig.plugins.list().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(shelved(&rig.directory).is_empty());
    rig.put("p.toml", b"[config]\nevery = \"1\"");
    rig.put("p.wasm", &guest("traps"));
    assert_eq!(rig.up("p").await, Change::First, "what failed is forgotten");
}

#[tokio::test]
async fn versions_of_one_component_under_several_names_are_judged_apart() {
    let setup = Setup::new().probation(1, Duration::ZERO);
    setup.put("shared.wasm", &guest("probe"));
    setup.put("good.toml", b"component = \"shared.wasm\"\n[config]\nevery = \"1000\"");
    setup.put("bad.toml", b"component = \"shared.wasm\"\n[config]\nevery = \"1\"");
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    for name in ["good", "bad"] {
        rig.sample(name).await.expect("sample");
        rig.confirmed(name).await;
    }
    rig.put("shared.wasm", &guest("traps"));
    let mut swapped = 0;
    while swapped < 2 {
        swapped += usize::from(matches!(rig.next().await, PluginEvent::Up { change: Change::Replaced, .. }));
    }
    rig.sample("bad").await.expect_err("a trap");
    rig.rolled_back("bad").await;
    assert_eq!(rig.up("bad").await, Change::RolledBack);
    rig.sample("good").await.expect("sample");
    assert_eq!(rig.confirmed("good").await, sha256(&guest("traps")));
    assert_eq!(rig.status("bad").sha256, sha256(&guest("probe")));
}

#[tokio::test]
async fn a_shelf_that_cannot_be_written_is_said_and_costs_no_swap() {
    let setup = Setup::new().probation(1, Duration::ZERO);
    std::fs::write(&setup.options.shelf_directory, b"no directory").expect("write");
    setup.put("p.wasm", &guest("probe"));
    setup.put("p.toml", b"[config]\nevery = \"1\"\nsaved = \"a\"");
    let mut rig = setup.start();
    rig.up("p").await;
    assert!(rig.status("p").problem.expect("a problem").contains("shelf"));
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    rig.put("p.wasm", &guest("traps"));
    assert_eq!(rig.up("p").await, Change::Replaced);
    rig.sample("p").await.expect_err("a trap");
    rig.rolled_back("p").await;
    assert_eq!(rig.up("p").await, Change::RolledBack);
    let samples = rig.sample("p").await.expect("sample");
    assert_eq!(value(&samples, "restored"), Some(&json!("a")));
}

#[tokio::test]
async fn a_version_to_go_back_to_that_traps_as_well_is_started_again() {
    let setup = Setup::new().probation(1, Duration::ZERO);
    setup.put("p.wasm", &guest("traps"));
    setup.put("p.toml", b"[config]\nevery = \"2\"");
    let mut rig = setup.start();
    rig.up("p").await;
    rig.sample("p").await.expect("sample");
    rig.confirmed("p").await;
    rig.put("p.wasm", &variant(&guest("traps"), 1));
    rig.put("p.toml", b"[config]\nevery = \"1\"");
    rig.up("p").await;
    rig.sample("p").await.expect_err("a trap");
    assert_eq!(rig.up("p").await, Change::RolledBack);
    rig.sample("p").await.expect("sample");
    rig.sample("p").await.expect_err("a trap of the good one");
    assert_eq!(rig.up("p").await, Change::Restarted);
    rig.sample("p").await.expect("sample");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_that_are_dropped_without_being_stopped_forget_nothing() {
    // Many, because a task must see its keeper gone before it is cut off itself.
    let names: Vec<_> = (0..24).map(|number| format!("p{number}")).collect();
    let setup = Setup::new();
    for name in &names {
        setup.put(&format!("{name}.wasm"), &guest("probe"));
    }
    let mut rig = setup.start();
    let mut missing: BTreeSet<_> = names.iter().cloned().collect();
    while !missing.is_empty() {
        let up = |event: &PluginEvent| match event {
            PluginEvent::Up { plugin, .. } => Some(plugin.clone()),
            _ => None,
        };
        missing.remove(&rig.until(up).await);
    }
    let directory = rig.abandon().await;
    for name in names {
        let record = directory.path().join(format!("shelf/{name}/record.json"));
        let kept = std::fs::read_to_string(record).expect("record");
        assert!(kept.contains(&sha256(&guest("probe"))), "{name}: {kept}");
    }
}

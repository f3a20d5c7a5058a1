//! Files that change while plugins run.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use edgeplug_plugins::{Change, NotReady, PluginEvent};
use edgeplug_protocol::sample::Sample;

use crate::rig::{Rig, Setup, guest, logged, value, variant};

fn sequence_of(sample: &Sample) -> (String, i64) {
    let field = |name: &str| sample.values.iter().find(|(held, _)| held == name).map(|(_, value)| value.clone());
    let run = field("run").and_then(|run| run.as_str().map(str::to_owned)).expect("run");
    (run, field("sequence").and_then(|number| number.as_i64()).expect("sequence"))
}

#[tokio::test]
async fn a_swap_between_two_calls_loses_nothing_and_leaves_neighbours_alone() {
    let setup = Setup::new();
    setup.put("swap.wasm", &guest("sequence"));
    setup.put("swap-neighbour.wasm", &guest("traps"));
    setup.put("swap-neighbour.toml", b"[config]\nevery = \"1000000\"");
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    let mut swaps = 0;
    let mut calls = 0;
    let mut neighbour_calls = 0;
    for number in 1..=5 {
        rig.put("swap.wasm", &variant(&guest("sequence"), number));
        let mut swapped = false;
        while !swapped {
            // Slow enough for the guest's log, which is the judge here and is cut off at 250 lines a second.
            tokio::time::sleep(Duration::from_millis(5)).await;
            calls += 1;
            neighbour_calls += 1;
            let (call, neighbour) = (rig.ask("swap"), rig.ask("swap-neighbour"));
            let mut open = 2;
            while open > 0 {
                match rig.next().await {
                    PluginEvent::Sampled { call: ended, result, .. } => {
                        let samples = result.expect("every call is answered");
                        if ended == neighbour {
                            let count = value(&samples, "calls").and_then(serde_json::Value::as_u64);
                            assert_eq!(count, Some(neighbour_calls), "the neighbour kept its state");
                        } else {
                            assert_eq!(ended, call);
                        }
                        open -= 1;
                    }
                    PluginEvent::Up { plugin, change, .. } => {
                        assert_eq!((plugin.as_str(), change), ("swap", Change::Replaced));
                        swaps += 1;
                        swapped = true;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!(swaps, 5);
    // Each run counts from 0 without a gap, and every call of ours sent exactly one reading.
    let mut runs: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (_, sample) in &rig.offered {
        let (run, number) = sequence_of(sample);
        runs.entry(run).or_default().push(number);
    }
    for numbers in runs.values() {
        let wanted: Vec<i64> = (0..).take(numbers.len()).collect();
        assert_eq!(*numbers, wanted);
    }
    assert_eq!(rig.offered.len(), calls);
    // The guests' own logs agree: nothing was accepted that we do not have, and each old version was stopped.
    let log = logged("swap");
    let accepted = log.iter().filter(|line| line.starts_with("accepted")).count();
    assert_eq!(accepted, calls);
    rig.plugins.stop(Duration::from_secs(5)).await;
    let stopped = logged("swap").iter().filter(|line| line.starts_with("stopped")).count();
    assert_eq!(stopped, 6);
}

#[tokio::test]
async fn a_truncated_file_leaves_the_old_version_running() {
    let mut rig = Rig::start();
    let whole = guest("traps");
    rig.put_and_up("traps", &whole).await;
    rig.put("traps.wasm", &whole[..whole.len() / 2]);
    let reason = rig.refused("traps").await;
    assert!(reason.contains("does not compile"), "{reason}");
    let samples = rig.sample("traps").await.expect("the old version goes on");
    assert_eq!(value(&samples, "calls"), Some(&serde_json::json!(1)));
    assert!(rig.plugins.list()[0].problem.as_ref().is_some_and(|problem| problem.contains("does not compile")));
    rig.put("traps.wasm", &variant(&whole, 1));
    assert_eq!(rig.up("traps").await, Change::Replaced);
    assert_eq!(rig.plugins.list()[0].problem, None);
}

#[tokio::test]
async fn a_slow_write_in_place_is_read_only_when_it_is_whole() {
    let mut rig = Rig::start();
    rig.put_and_up("traps", &guest("traps")).await;
    let new = variant(&guest("traps"), 7);
    let mut file = std::fs::File::create(rig.path("traps.wasm")).expect("open in place");
    for piece in new.chunks(new.len() / 20) {
        file.write_all(piece).expect("write");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(file);
    // `up` fails on any refusal in between: half a file was never tried.
    assert_eq!(rig.up("traps").await, Change::Replaced);
}

#[tokio::test]
async fn touching_or_rewriting_the_same_content_changes_nothing() {
    let mut rig = Rig::start();
    rig.put_and_up("traps", &guest("traps")).await;
    rig.sample("traps").await.expect("sample");
    rig.put("traps.wasm", &guest("traps"));
    rig.put("other.wasm", &guest("echo-commands"));
    rig.until(|event| match event {
        PluginEvent::Up { plugin, .. } if plugin == "other" => Some(()),
        PluginEvent::Up { plugin, .. } => panic!("{plugin} was loaded again"),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_changed_manifest_takes_effect_without_a_new_component() {
    let mut rig = Rig::start();
    rig.put_and_up("config", &guest("sequence")).await;
    rig.put("config.toml", b"interval_ms = 250\n[config]\nrun = \"from-manifest\"");
    let interval = rig
        .until(|event| match event {
            PluginEvent::Up { interval, change: Change::Replaced, .. } => Some(*interval),
            _ => None,
        })
        .await;
    assert_eq!(interval, Duration::from_millis(250));
    rig.sample("config").await.expect("sample");
    assert_eq!(sequence_of(&rig.offered[0].1).0, "from-manifest");
}

#[tokio::test]
async fn a_new_version_that_does_not_start_is_put_aside() {
    let setup = Setup::new();
    setup.put("stays.wasm", &guest("sequence"));
    let mut rig = setup.start();
    rig.up("stays").await;
    rig.put("stays.toml", b"[config]\nper_call = \"many\"");
    let reason = rig.refused("stays").await;
    assert!(reason.contains("does not start") && reason.contains("per_call"), "{reason}");
    rig.sample("stays").await.expect("the old version goes on");
}

#[tokio::test]
async fn removal_stops_the_plugin_and_it_can_come_back() {
    let mut rig = Rig::start();
    // Its manifest stays behind when the component goes.
    rig.put("removed.toml", b"interval_s = 1");
    rig.put_and_up("removed", &guest("sequence")).await;
    rig.sample("removed").await.expect("sample");
    std::fs::remove_file(rig.path("removed.wasm")).expect("remove");
    let (_, gone) = rig.down("removed").await;
    assert!(gone);
    assert!(logged("removed").last().is_some_and(|line| line.starts_with("stopped")), "lifecycle.stop ran");
    rig.put("removed.wasm", &guest("sequence"));
    assert_eq!(rig.up("removed").await, Change::First);
    std::fs::remove_file(rig.path("removed.wasm")).expect("remove");
    rig.down("removed").await;
    // The name is free once its task has ended, which is just after its last event.
    while !rig.plugins.list().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.plugins.sample("removed", 1), Err(NotReady::Unknown("removed".to_owned())));
}

#[tokio::test]
async fn a_swapped_link_is_a_swapped_plugin() {
    let mut rig = Rig::start();
    let elsewhere = tempfile::tempdir().expect("directory");
    for number in [1, 2] {
        std::fs::write(elsewhere.path().join(format!("{number}.wasm")), variant(&guest("traps"), number))
            .expect("write");
    }
    std::os::unix::fs::symlink(elsewhere.path().join("1.wasm"), rig.path("linked.wasm")).expect("link");
    rig.up("linked").await;
    std::os::unix::fs::symlink(elsewhere.path().join("2.wasm"), rig.path(".new-link")).expect("link");
    std::fs::rename(rig.path(".new-link"), rig.path("linked.wasm")).expect("rename");
    assert_eq!(rig.up("linked").await, Change::Replaced);
}

#[tokio::test]
async fn a_version_that_waits_for_its_restart_outlives_one_that_does_not_start() {
    let mut setup = Setup::new();
    // Long enough for the new version to be tried meanwhile; its component is compiled already.
    setup.options.limits.restart_min = Duration::from_secs(4);
    setup.put("warm.wasm", &guest("sequence"));
    setup.put("falls.wasm", &guest("traps"));
    setup.put("falls.toml", b"[config]\nevery = \"1\"\nper_call = \"many\"");
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    rig.sample("falls").await.expect_err("a trap");
    rig.put("falls.wasm", &guest("sequence"));
    let reason = rig.refused("falls").await;
    assert!(reason.contains("the version before will be tried again"), "{reason}");
    assert_eq!(rig.up("falls").await, Change::Restarted);
    assert!(rig.sample("falls").await.expect_err("a trap").to_string().contains("trapping as configured"));
}

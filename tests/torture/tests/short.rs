//! The short form of every mode of `make torture`: the same code, fewer cycles. Each prints its line.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use edgeplug_torture::powercut::Honesty;
use edgeplug_torture::random::Random;
use edgeplug_torture::shim::{self, Shim};
use edgeplug_torture::{Verdict, backlog, chaos, kill, ota, powercut, reload, soak};

fn settle(verdict: &Verdict) {
    println!("{verdict}");
    assert!(verdict.holds(), "{verdict}\n{}", verdict.complaints.join("\n"));
}

/// The driver is this crate's own program.
fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_edgeplug-torture"))
}

async fn kill(cycles: u64, durability: &'static str) -> Verdict {
    let options = kill::Options {
        cycles,
        seed: Random::any_seed(),
        disk: None,
        sync_ms: 10,
        // An unoptimised program on a machine that runs other tests beside this one.
        rate_min: 0,
        hits_min_of_1000: 0,
        durability,
    };
    kill::run(&options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_under_load_lose_nothing() {
    let verdict = kill(20, "power-loss").await;
    settle(&verdict);
    assert!(verdict.hit_open_transaction > 0, "no kill hit an open transaction: this test proves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_kept_in_memory_only_are_found_missing_after_kills() {
    let verdict = kill(5, "none").await;
    assert!(verdict.lost > 0, "the witnesses prove nothing: {verdict}");
}

fn powercut(cuts: u64, steps: u64, disk: Honesty) -> Verdict {
    let options = powercut::Options { cuts, steps, seed: Random::any_seed(), program: program(), threads: 2, disk };
    powercut::run(&options).unwrap()
}

#[test]
fn power_cuts_lose_nothing() {
    settle(&powercut(500, 450, Honesty::Honest));
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let verdict = powercut(60, 100, Honesty::LiesAboutSyncs);
    assert!(verdict.lost > 0, "the model of the disk proves nothing: {verdict}");
}

#[test]
fn segments_that_are_gone_before_their_eviction_are_found_out() {
    let verdict = powercut(90, 450, Honesty::LosesSegments);
    assert!(verdict.lost > 0, "the excuse of an eviction under way is too wide: {verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_network_loses_nothing() {
    let seed = Random::any_seed() % 1_000_000;
    settle(&chaos::run(&chaos::Options { seeds: 4, seed, jobs: 2, disk: None }).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_leave_nothing_behind() {
    settle(&soak::run(&soak::Options { time: Duration::from_secs(28), disk: None }).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn live_readings_stay_fresh_beside_a_backlog() {
    let options = backlog::Options { rows: 20_000, per_s: 80, limit: Duration::from_secs(60), disk: None };
    settle(&backlog::run(&options).await.unwrap());
}

#[test]
fn the_watched_disk_tells_of_an_open_transaction_after_the_kill() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, state) = (directory.path().join("disk"), directory.path().join("state"));
    std::fs::create_dir(&disk).unwrap();
    let unsynced = || {
        let files = shim::read_state(&state).unwrap_or_default();
        files.iter().filter(|file| file.path.ends_with("-wal")).map(|file| file.unsynced_bytes).sum::<u64>()
    };
    let mut driver = std::process::Command::new(program())
        .args(["driver", "--profile", "roomy", "--seed", "1", "--steps", "1000000"])
        .arg(&disk)
        .envs(Shim::build().unwrap().watch(&disk, &state, SYNC_MS))
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while unsynced() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "no transaction was ever open");
        std::thread::sleep(Duration::from_millis(2));
    }
    driver.kill().unwrap();
    driver.wait().unwrap();
    assert!(unsynced() > 0, "a sync of {SYNC_MS} ms ended in the moment between look and kill");
}

/// Long enough that no sync ends between a look and a kill.
const SYNC_MS: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn reloads_lose_and_double_nothing_and_bad_versions_do_not_stay() {
    let options = reload::Options { reloads: 64, seed: Random::any_seed(), disk: None, judge_figures: false };
    let verdict = reload::run(&options).await.unwrap();
    println!("{verdict}");
    assert!(verdict.holds(), "{verdict}\n{}", verdict.complaints.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_end_once_whatever_goes_wrong_on_the_way() {
    let options = ota::Options { cycles: 16, resumes: 28, seed: Random::any_seed(), disk: None };
    let verdict = ota::run(&options).await.unwrap();
    println!("{verdict}");
    assert!(verdict.holds(), "{verdict}\n{}", verdict.complaints.join("\n"));
}

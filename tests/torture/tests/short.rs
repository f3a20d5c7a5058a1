//! The short form of every mode of `make torture`: the same code, fewer cycles. Each prints its line.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use edgeplug_torture::random::Random;
use edgeplug_torture::shim::{self, Shim};
use edgeplug_torture::{Verdict, backlog, chaos, kill, powercut, soak};

fn settle(verdict: &Verdict) {
    println!("{verdict}");
    assert!(verdict.holds(), "{verdict}\n{}", verdict.complaints.join("\n"));
}

/// The driver is this crate's own program.
fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_edgeplug-torture"))
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_under_load_lose_nothing() {
    let options = kill::Options {
        cycles: 20,
        seed: Random::any_seed(),
        disk: None,
        sync_ms: 10,
        // An unoptimised program on a machine that runs other tests beside this one.
        rate_min: 0,
        hits_min_of_1000: 0,
    };
    settle(&kill::run(&options).await.unwrap());
}

fn powercut(cuts: u64, steps: u64, honest: bool) -> Verdict {
    let options = powercut::Options { cuts, steps, seed: Random::any_seed(), program: program(), threads: 2, honest };
    powercut::run(&options).unwrap()
}

#[test]
fn power_cuts_lose_nothing() {
    settle(&powercut(500, 450, true));
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let verdict = powercut(60, 100, false);
    assert!(verdict.lost > 0, "the model of the disk proves nothing: {verdict}");
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
    let options = backlog::Options { rows: 20_000, per_s: 300, limit: Duration::from_secs(60), disk: None };
    settle(&backlog::run(&options).await.unwrap());
}

#[test]
fn the_watched_disk_says_what_was_not_synced_when_a_program_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, state) = (directory.path().join("disk"), directory.path().join("state"));
    std::fs::create_dir(&disk).unwrap();
    let shim = Shim::build().unwrap();
    let run = |syncs: bool| {
        // `dd` writes 3 blocks and, if told so, syncs at its end; it ends without closing anything.
        let output = format!("of={}", disk.join("file-wal").display());
        let mut dd = std::process::Command::new("dd");
        dd.args(["if=/dev/zero", "bs=100", "count=3", "status=none", &output]);
        if syncs {
            dd.arg("conv=fsync");
        }
        assert!(dd.envs(shim.watch(&disk, &state, 0)).status().unwrap().success());
        let files = shim::read_state(&state).unwrap();
        files.into_iter().find(|file| file.path == "file-wal").unwrap()
    };
    assert_eq!(run(false).unsynced_bytes, 300);
    assert_eq!((run(true).unsynced_bytes, run(true).syncs), (0, 1));
    assert!(Path::new(&disk).is_dir());
}

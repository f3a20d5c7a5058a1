//! [`Trial`]: one component without a daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use edgeplug_plugins::{
    CallFailure, Change, Command, Connection, DeviceInfo, Fault, Limits, PluginEvent, Trial, TrialError, TrialOptions,
};
use tokio::sync::mpsc;

use crate::rig::{Setup, guest, told, value};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    /// Holds the files for as long as they are needed.
    _directory: tempfile::TempDir,
    trial: Trial,
    events: mpsc::Receiver<PluginEvent>,
}

fn options(setup: &Setup, component: &[u8], manifest: &str) -> TrialOptions {
    setup.put("probe.wasm", component);
    setup.put("probe.toml", manifest.as_bytes());
    TrialOptions {
        component: setup.options.directory.join("probe.wasm"),
        manifest: None,
        config: BTreeMap::new(),
        root: None,
        allow_network: false,
        compiler: setup.options.compiler.clone(),
        cache_directory: setup.options.cache_directory.clone(),
        device: DeviceInfo { unique_id: "bench".to_owned() },
        limits: Limits { restart_min: Duration::from_millis(20), ..Limits::default() },
        virtual_clock: true,
        faults: BTreeSet::new(),
        span: Duration::from_secs(4000),
    }
}

async fn start(manifest: &str, change: impl FnOnce(&mut TrialOptions)) -> Bench {
    let setup = Setup::new();
    let mut options = options(&setup, &guest("probe"), manifest);
    change(&mut options);
    let (trial, events) = Trial::start(options).expect("start");
    let mut bench = Bench { _directory: setup.directory, trial, events };
    match bench.next().await {
        PluginEvent::Up { change: Change::First, .. } => bench,
        other => panic!("{other:?}"),
    }
}

impl Bench {
    async fn next(&mut self) -> PluginEvent {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("in time").expect("it runs")
    }

    async fn command(&mut self, text: &str) -> Result<String, String> {
        let command = Command { id: String::new(), text: text.to_owned(), device: None };
        self.trial.plugins().command("probe", 1, command).expect("taken");
        loop {
            if let PluginEvent::Replied { result, .. } = self.next().await {
                return told(result);
            }
        }
    }

    /// Seconds since 1970 by the guest's clock.
    async fn unix_s(&mut self) -> i64 {
        self.trial.plugins().sample("probe", 2).expect("taken");
        loop {
            if let PluginEvent::Sampled { result, .. } = self.next().await {
                let samples = result.expect("samples");
                return value(&samples, "unix_s").and_then(serde_json::Value::as_i64).expect("a time");
            }
        }
    }
}

#[tokio::test]
async fn the_clock_moves_by_hand_and_by_sleeping() {
    let mut bench = start("", |_| {}).await;
    let began = bench.unix_s().await;
    let started = Instant::now();
    bench.trial.advance(Duration::from_secs(600));
    assert_eq!(bench.unix_s().await - began, 600);
    for _ in 0..30 {
        assert_eq!(bench.command("sleep 3").await, Ok("3".to_owned()));
    }
    assert_eq!(bench.unix_s().await - began, 690);
    assert_eq!(bench.trial.elapsed(), Duration::from_secs(690));
    assert_eq!(bench.trial.now().unix_ms() / 1000 - began, 690);
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_plugin_that_sleeps_past_its_deadline_is_stopped_as_in_the_daemon() {
    let mut bench = start("[limits]\ndeadline_ms = 2000", |_| {}).await;
    let started = Instant::now();
    let command = Command { id: String::new(), text: "sleep 10".to_owned(), device: None };
    bench.trial.plugins().command("probe", 1, command).expect("taken");
    let result = loop {
        if let PluginEvent::Replied { result, .. } = bench.next().await {
            break result;
        }
    };
    assert_eq!(result, Err(CallFailure::TimedOut));
    assert_eq!(bench.trial.elapsed(), Duration::from_secs(8));
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn the_schedule_is_that_of_the_daemon() {
    let bench = start("interval_ms = 1", |_| {}).await;
    assert_eq!(bench.trial.interval(), Duration::from_millis(10));
}

#[tokio::test]
async fn the_wall_clock_leaps_in_the_middle_and_comes_back() {
    let mut bench = start("", |options| options.faults.extend([Fault::ClockJump])).await;
    let began = bench.unix_s().await;
    bench.trial.advance(Duration::from_secs(2000));
    assert_eq!(bench.unix_s().await - began, 2000 + 10 * 365 * 24 * 60 * 60);
    bench.trial.advance(Duration::from_secs(1000));
    assert_eq!(bench.unix_s().await - began, 3000);
}

#[tokio::test]
async fn files_fail_and_lie_as_told_below_a_root_of_ones_own() {
    let manifest = "files = [\"/sys/class/thermal/*/temp\"]";
    let tree = |directory: PathBuf| {
        let zone = directory.join("tree/sys/class/thermal/thermal_zone0");
        std::fs::create_dir_all(&zone).expect("directory");
        std::fs::write(zone.join("temp"), "47250\n").expect("write");
        std::os::unix::fs::symlink("/etc/passwd", directory.join("tree/sys/class/thermal/escape")).expect("link");
        std::fs::create_dir(directory.join("tree/sys/class/thermal/linked")).expect("directory");
        std::os::unix::fs::symlink("/etc/passwd", directory.join("tree/sys/class/thermal/linked/temp")).expect("link");
        Some(directory.join("tree"))
    };
    let below = |options: &mut TrialOptions| {
        options.root = tree(options.component.parent().expect("directory").parent().expect("directory").to_owned());
    };
    let path = "/sys/class/thermal/thermal_zone0/temp";
    let mut bench = start(manifest, below).await;
    assert_eq!(bench.trial.grants(), ["may read /sys/class/thermal/*/temp"]);
    assert_eq!(bench.command(&format!("read {path}")).await, Ok("47250".to_owned()));
    let found = bench.command("find /sys/class/thermal/*/temp").await.expect("found");
    assert!(found.contains(path), "{found}");
    let refused = bench.command("read /sys/class/thermal/linked/temp").await.expect_err("it leads out");
    assert!(refused.contains("leads out of"), "{refused}");
    let mut bench = start(manifest, |options| {
        below(options);
        options.faults.extend([Fault::Eio, Fault::Nan]);
    })
    .await;
    assert_eq!(bench.command(&format!("read {path}")).await, Ok("nan".to_owned()));
    let failed = bench.command(&format!("read {path}")).await.expect_err("every second");
    assert!(failed.contains("Input/output error (os error 5)"), "{failed}");
    assert_eq!(bench.command(&format!("read-at {path} 0 3")).await, Ok("nan".to_owned()));
    assert!(bench.command("gpio").await.is_err_and(|failed| failed.contains("os error 5")));
}

#[tokio::test]
async fn a_manifest_is_used_and_its_configuration_overridden() {
    let manifest = "interval_s = 5\ndisconnect = true\n[config]\nsaved = \"a\"\non_start = \"state keys\"\n[limits]\nmemory_mb = 128";
    let bench = start(manifest, |options| {
        options.config.insert("on_start".to_owned(), "device connected".to_owned());
    })
    .await;
    assert_eq!((bench.trial.interval(), bench.trial.plugin()), (Duration::from_secs(5), "probe"));
    let grants = bench.trial.grants();
    assert_eq!(grants, ["may disconnect the device from the cloud", "may use 128 MiB of memory"]);
    let log = bench.trial.plugins().log_tail("probe", 0, 100).expect("a log");
    assert!(log.lines.iter().any(|line| line.text == "on start: false"), "{log:?}");
}

#[tokio::test]
async fn a_trial_restarts_after_a_fault_and_stops_well() {
    let mut bench = start("", |_| {}).await;
    bench.trial.plugins().connection_changed(Connection::Connected);
    let command = Command { id: String::new(), text: "trap".to_owned(), device: None };
    bench.trial.plugins().command("probe", 1, command).expect("taken");
    loop {
        if let PluginEvent::Up { change: Change::Restarted, .. } = bench.next().await {
            break;
        }
    }
    assert_eq!(bench.command("device connected").await, Ok("true".to_owned()));
}

#[tokio::test]
async fn what_cannot_run_is_refused_by_an_event_and_what_cannot_begin_by_an_error() {
    let setup = Setup::new();
    let (_trial, mut events) = Trial::start(options(&setup, b"\0asm\x01\0\0\0", "")).expect("start");
    match events.recv().await {
        Some(PluginEvent::Refused { reason, .. }) => assert!(reason.contains("edgeplug plugin build"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let error = |options: TrialOptions| Trial::start(options).err().expect("an error");
    let typo = error(options(&setup, b"", "filez = []"));
    assert!(matches!(&typo, TrialError::Manifest { reason, .. } if reason.contains("filez")), "{typo}");
    let missing = TrialOptions { manifest: Some("/nowhere/probe.toml".into()), ..options(&setup, b"", "") };
    assert!(error(missing).to_string().contains("there is no such file"));
    let named = TrialOptions { component: "/plugins/a b.wasm".into(), ..options(&setup, b"", "") };
    assert!(matches!(error(named), TrialError::Name(..)));
}

#[tokio::test]
async fn stopping_runs_the_plugins_own_stop() {
    let mut bench = start("", |_| {}).await;
    bench.command("id").await.expect("answers");
    let stragglers = bench.trial.stop(Duration::from_secs(5)).await;
    assert!(stragglers.is_empty());
    let log = bench.trial.plugins().log_tail("probe", 0, 100).expect("a log");
    assert!(log.lines.iter().any(|line| line.text == "stopped after 0 calls"), "{log:?}");
    bench.trial.plugins().sample("probe", 1).expect_err("it has ended");
}

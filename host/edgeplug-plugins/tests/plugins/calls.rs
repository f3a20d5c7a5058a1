//! Calling plugins: answers, traps, overruns, memory, queues.

use std::time::{Duration, Instant};

use edgeplug_plugins::{CallFailure, Change, Command, NotReady, PluginEvent, PluginState, Reply};
use serde_json::json;

use crate::rig::{Rig, Setup, guest, value};

#[tokio::test]
async fn a_dropped_in_component_is_loaded_and_samples() {
    let mut rig = Rig::start();
    assert!(matches!(rig.next().await, PluginEvent::ScanDone));
    rig.put("traps.wasm", &guest("traps"));
    match rig.next().await {
        PluginEvent::Up { plugin, exports, interval, sha256, change, grants, commands, firmware } => {
            assert_eq!((plugin.as_str(), change, sha256.len()), ("traps", Change::First, 64));
            assert!(exports.sensor && !exports.commands && !exports.lifecycle);
            assert_eq!(interval, Duration::from_secs(60));
            assert!(grants.is_empty() && commands.is_all() && firmware.is_none());
        }
        other => panic!("{other:?}"),
    }
    let samples = rig.sample("traps").await.expect("samples");
    assert_eq!(value(&samples, "calls"), Some(&json!(1)));
}

#[tokio::test]
async fn what_lies_there_at_the_start_is_up_before_the_scan_is_done() {
    let setup = Setup::new();
    setup.put("one.wasm", &guest("traps"));
    setup.put("two.wasm", &guest("echo-commands"));
    setup.put("broken.wasm", b"not a component");
    let mut rig = setup.start();
    let mut seen = Vec::new();
    loop {
        match rig.next().await {
            PluginEvent::Up { plugin, .. } | PluginEvent::Refused { plugin, .. } => seen.push(plugin),
            PluginEvent::ScanDone => break,
            other => panic!("{other:?}"),
        }
    }
    seen.sort();
    assert_eq!(seen, ["broken", "one", "two"]);
}

#[tokio::test]
async fn a_trap_is_told_with_its_words_and_the_plugin_comes_back() {
    let mut rig = Rig::start();
    rig.put_and_up("traps", &guest("traps")).await;
    rig.sample("traps").await.expect("the first call is good");
    match rig.sample("traps").await {
        Err(CallFailure::Trapped(text)) => {
            assert!(text.contains("unreachable"), "{text}");
            assert!(text.contains("trapping as configured, in call 2"), "the panic's own words: {text}");
        }
        other => panic!("{other:?}"),
    }
    let (reason, gone) = rig.down("traps").await;
    assert!(reason.contains("trapping as configured") && !gone);
    assert_eq!(rig.up("traps").await, Change::Restarted);
    let samples = rig.sample("traps").await.expect("a fresh instance");
    assert_eq!(value(&samples, "calls"), Some(&json!(1)));
    let status = &rig.plugins.list()[0];
    assert_eq!((status.faults, status.restarts, status.strikes, status.state), (1, 1, 0, PluginState::Running));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_loop_is_stopped_by_its_deadline_while_a_neighbour_goes_on() {
    let setup = Setup::new();
    setup.put("loops.wasm", &guest("loops"));
    setup.put("neighbour.wasm", &guest("echo-commands"));
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    let started = Instant::now();
    let looping = rig.ask("loops");
    let mut calls = 0;
    let mut slowest = Duration::ZERO;
    let outcome = loop {
        let asked = Instant::now();
        calls += 1;
        let command = Command { id: String::new(), text: "ok here".to_owned(), device: None };
        rig.plugins.command("neighbour", 1000 + calls, command).expect("taken");
        let ended = rig
            .until(|event| match event {
                PluginEvent::Sampled { call, result, .. } if *call == looping => Some(Some(result.clone())),
                PluginEvent::Replied { result, .. } => {
                    assert_eq!(*result, Ok(Reply::Done("here".to_owned())));
                    Some(None)
                }
                _ => None,
            })
            .await;
        slowest = slowest.max(asked.elapsed());
        if let Some(outcome) = ended {
            break outcome;
        }
    };
    assert_eq!(outcome, Err(CallFailure::TimedOut));
    // One worker thread: the neighbour runs only because the loop yields at every tick.
    assert!(calls >= 5, "the neighbour was called {calls} times");
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
    assert_eq!(rig.up("loops").await, Change::Restarted);
}

#[tokio::test]
async fn a_plugin_that_loops_in_its_start_disturbs_nobody() {
    let setup = Setup::new();
    setup.put("loops.wasm", &guest("loops"));
    setup.put("loops.toml", b"[config]\nin = \"start\"");
    setup.put("neighbour.wasm", &guest("traps"));
    let mut rig = setup.start();
    rig.up("neighbour").await;
    let reason = rig.refused("loops").await;
    assert!(reason.contains("does not start") && reason.contains("deadline"), "{reason}");
    rig.sample("neighbour").await.expect("samples");
}

#[tokio::test]
async fn memory_is_capped() {
    let mut setup = Setup::new();
    setup.allow_limits("hog");
    setup.put("hog.wasm", &guest("hog"));
    setup.put("hog.toml", b"[limits]\nmemory_mb = 8\ndeadline_ms = 5000");
    let mut rig = setup.start();
    rig.up("hog").await;
    match rig.sample("hog").await {
        Err(CallFailure::Trapped(text)) => assert!(text.contains("limits.memory_mb"), "{text}"),
        other => panic!("{other:?}"),
    }
    let memory = rig.plugins.list()[0].memory_bytes_max;
    assert!(memory > 1 << 20 && memory <= 8 << 20, "{memory}");
}

#[tokio::test]
async fn commands_are_answered_failed_and_survived() {
    let mut rig = Rig::start();
    rig.put_and_up("echo", &guest("echo-commands")).await;
    assert_eq!(rig.command("echo", "ok all well").await, Ok(Reply::Done("all well".to_owned())));
    assert_eq!(rig.command("echo", "fail too hot").await, Ok(Reply::Failed("too hot".to_owned())));
    assert_eq!(rig.command("echo", "error broken").await, Err(CallFailure::Error("broken".to_owned())));
    assert!(matches!(rig.command("echo", "trap").await, Err(CallFailure::Trapped(_))));
    assert_eq!(rig.up("echo").await, Change::Restarted);
    assert_eq!(rig.command("echo", "loop").await, Err(CallFailure::TimedOut));
    assert_eq!(rig.up("echo").await, Change::Restarted);
    assert_eq!(rig.command("echo", "ok again").await, Ok(Reply::Done("again".to_owned())));
    let wanted = Err(NotReady::NotExported { plugin: "echo".to_owned(), export: "sensor" });
    assert_eq!(rig.plugins.sample("echo", 1), wanted);
    assert_eq!(rig.plugins.sample("nobody", 1), Err(NotReady::Unknown("nobody".to_owned())));
}

#[tokio::test]
async fn a_guests_words_are_one_clean_line() {
    let mut rig = Rig::start();
    rig.put_and_up("echo", &guest("echo-commands")).await;
    let clean = "x\\n2026-01-01 ERROR forged\\u{1b}[2J";
    let told = rig.command("echo", "error x\n2026-01-01 ERROR forged\u{1b}[2J").await;
    assert_eq!(told, Err(CallFailure::Error(clean.to_owned())));
    let told = rig.command("echo", "fail x\n2026-01-01 ERROR forged\u{1b}[2J").await;
    assert_eq!(told, Ok(Reply::Failed(clean.to_owned())));
}

#[tokio::test]
async fn every_call_that_was_taken_is_answered_even_across_a_fault() {
    let mut rig = Rig::start();
    rig.put_and_up("loops", &guest("loops")).await;
    let mut taken = Vec::new();
    let refused = loop {
        let call = u64::try_from(taken.len()).expect("count");
        match rig.plugins.sample("loops", call) {
            Ok(()) => taken.push(call),
            Err(error) => break error,
        }
        assert!(taken.len() < 1000, "the queue has a bound");
    };
    assert_eq!(refused, NotReady::Busy("loops".to_owned()));
    let mut answered = Vec::new();
    rig.until(|event| match event {
        PluginEvent::Sampled { call, result, .. } => {
            let wanted = if answered.is_empty() { CallFailure::TimedOut } else { CallFailure::Gone };
            assert_eq!(result.as_ref().err(), Some(&wanted));
            answered.push(*call);
            None
        }
        PluginEvent::Down { .. } => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(answered, taken);
    assert_eq!(rig.plugins.sample("loops", 99), Err(NotReady::Down("loops".to_owned())));
}

#[tokio::test]
async fn stopping_ends_plugins_well_and_names_the_stragglers() {
    let mut setup = Setup::new();
    setup.allow_limits("stop-late");
    setup.put("stop-well.wasm", &guest("sequence"));
    setup.put("stop-late.wasm", &guest("loops"));
    setup.put("stop-late.toml", b"[limits]\ndeadline_ms = 50000");
    let mut rig = setup.start();
    rig.until(|event| matches!(event, PluginEvent::ScanDone).then_some(())).await;
    rig.ask("stop-late");
    // Make sure that the call is under way, so that the stop has something to wait for.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stragglers = rig.plugins.stop(Duration::from_millis(300)).await;
    let names: Vec<_> = stragglers.iter().map(|straggler| straggler.plugin.as_str()).collect();
    assert_eq!(names, ["stop-late"]);
    let log = crate::rig::logged("stop-well");
    assert!(log.last().is_some_and(|line| line.starts_with("stopped run=")), "{log:?}");
}

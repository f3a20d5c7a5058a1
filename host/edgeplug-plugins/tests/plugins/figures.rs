//! What is counted about a plugin.

use std::time::Duration;

use edgeplug_plugins::{CallFailure, Calls, Figures};

use crate::rig::{Rig, Setup, guest};

fn figures(rig: &Rig, plugin: &str) -> Figures {
    let status = rig.plugins.list().into_iter().find(|status| status.plugin == plugin);
    status.expect("a plugin of this name").figures
}

#[tokio::test]
async fn calls_are_counted_by_function_and_by_how_they_end() {
    let mut rig = Rig::start();
    rig.put_and_up("echo", &guest("echo-commands")).await;
    rig.command("echo", "ok").await.expect("an answer");
    rig.command("echo", "fail").await.expect("an answer");
    assert!(matches!(rig.command("echo", "error").await, Err(CallFailure::Error(_))));
    assert!(matches!(rig.command("echo", "trap").await, Err(CallFailure::Trapped(_))));
    rig.up("echo").await;
    assert_eq!(rig.command("echo", "loop").await, Err(CallFailure::TimedOut));
    rig.up("echo").await;
    let figures = figures(&rig, "echo");
    assert_eq!(figures.calls["commands.handle"], Calls { good: 2, errors: 1, traps: 1, timeouts: 1 });
    assert_eq!(figures.calls["instantiate"].good, 3);
    assert_eq!((figures.starts, figures.latency.count), (3, 5));
    let deadline_us = 200_000;
    assert!(figures.latency.max_us >= deadline_us && figures.latency.p50_us < deadline_us, "{figures:?}");
    assert!(figures.cpu_us > 0 && figures.cpu_us < 60_000_000, "{figures:?}");
    assert!(figures.memory_bytes >= 1 << 16 && figures.memory_bytes_max >= figures.memory_bytes, "{figures:?}");
}

#[tokio::test]
async fn readings_are_counted_with_their_bytes_whether_asked_for_or_sent() {
    let setup = Setup::new();
    setup.put("ten.wasm", &guest("ten-readings"));
    setup.put("probe.wasm", &guest("probe"));
    let mut rig = setup.start();
    rig.up("ten").await;
    rig.up("probe").await;
    for _ in 0..3 {
        rig.sample("ten").await.expect("samples");
    }
    let ten = figures(&rig, "ten");
    assert_eq!((ten.samples, ten.readings, ten.rejected), (3, 30, 0));
    assert!(ten.reading_bytes > 30 * 8, "{ten:?}");
    rig.command("probe", "send").await.expect("an answer");
    let probe = figures(&rig, "probe");
    assert_eq!((probe.samples, probe.readings, probe.reading_bytes), (2, 2, 18));
    assert_eq!(probe.waits, 1, "for the store");
}

#[tokio::test]
async fn what_a_plugin_has_no_right_to_is_counted() {
    let mut rig = Rig::start();
    rig.put_and_up("probe", &guest("probe")).await;
    rig.command("probe", "read /etc/shadow").await.expect("an answer");
    rig.command("probe", "device disconnect").await.expect("an answer");
    assert_eq!(figures(&rig, "probe").refused, 2);
}

#[tokio::test]
async fn waiting_is_part_of_the_latency_but_costs_no_processor_time() {
    let mut setup = Setup::new();
    setup.options.limits.deadline = Duration::from_secs(5);
    setup.put("probe.wasm", &guest("probe"));
    let mut rig = setup.start();
    rig.up("probe").await;
    rig.command("probe", "sleep 1").await.expect("an answer");
    let figures = figures(&rig, "probe");
    assert!(figures.latency.max_us >= 1_000_000, "{figures:?}");
    assert!(figures.cpu_us < 900_000, "{figures:?}");
}

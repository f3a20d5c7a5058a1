//! What plugins cost the process they run in: threads, wake-ups, address space, and each other's time. These tests look at
//! the whole process, so they are a program of their own and run one after the other.

// clippy gives leave to test functions only; what they call is test code too.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../plugins/rig.rs"]
#[expect(dead_code, reason = "the other test program uses what this one does not")]
mod rig;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use edgeplug_plugins::PluginEvent;
use tokio::sync::Mutex;

use crate::rig::{Rig, Setup, guest};

/// Held by the one test that runs.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Longer than anything takes here, even on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOPING: usize = 10;
/// A hundred calls a second.
const PERIOD: Duration = Duration::from_millis(10);
const CALLS: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_that_loop_do_not_slow_a_neighbour_down() {
    let _alone = ALONE.lock().await;
    let mut setup = Setup::new();
    setup.options.limits.deadline = Duration::from_secs(2);
    setup.put("neighbour.wasm", &guest("ten-readings"));
    let mut rig = setup.start();
    rig.up("neighbour").await;
    latencies(&mut rig, CALLS / 3).await;
    let alone = percentile_99(latencies(&mut rig, CALLS).await);
    for number in 0..LOOPING {
        rig.put(&format!("loops-{number}.wasm"), &guest("loops"));
    }
    for _ in 0..LOOPING {
        let plugin = rig.until(came_up).await;
        rig.ask(&plugin);
    }
    // Each has overrun its deadline once and loops again.
    latencies(&mut rig, CALLS).await;
    let beside = percentile_99(latencies(&mut rig, CALLS).await);
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    println!("a neighbour's call at p99: {alone:?} alone, {beside:?} beside {LOOPING} that loop, ratio {ratio:.2}");
    // Other tests and other programs share this machine: an order of magnitude.
    assert!(ratio < 10.0 || beside < Duration::from_millis(5), "{alone:?} became {beside:?}");
    rig.plugins.stop(Duration::from_secs(1)).await;
}

fn came_up(event: &PluginEvent) -> Option<String> {
    match event {
        PluginEvent::Up { plugin, .. } => Some(plugin.clone()),
        _ => None,
    }
}

/// Calls the neighbour once in each period; whoever else comes up meanwhile is called too.
async fn latencies(rig: &mut Rig, calls: usize) -> Vec<Duration> {
    let mut periods = tokio::time::interval(PERIOD);
    let mut latencies = Vec::with_capacity(calls);
    while latencies.len() < calls {
        periods.tick().await;
        let begun = Instant::now();
        let wanted = rig.ask("neighbour");
        loop {
            match rig.next().await {
                PluginEvent::Sampled { call, result, .. } if call == wanted => {
                    result.expect("samples");
                    break;
                }
                PluginEvent::Up { plugin, .. } => {
                    rig.ask(&plugin);
                }
                _ => {}
            }
        }
        latencies.push(begun.elapsed());
    }
    latencies
}

fn percentile_99(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort();
    latencies[latencies.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_middle_of_long_calls_names_them_and_leaves_no_thread() {
    let _alone = ALONE.lock().await;
    let mut setup = Setup::new();
    setup.options.limits.deadline = Duration::from_secs(50);
    for number in 0..LOOPING {
        setup.put(&format!("loops-{number}.wasm"), &guest("loops"));
    }
    let mut rig = setup.start();
    for _ in 0..LOOPING {
        let plugin = rig.until(came_up).await;
        rig.ask(&plugin);
    }
    until("all of them compute on threads of their own", || threads("plugin-lane").len() == LOOPING).await;
    let begun = Instant::now();
    let stragglers = rig.plugins.stop(Duration::from_millis(200)).await;
    assert_eq!(stragglers.len(), LOOPING, "{stragglers:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    until("their threads have ended", || threads("plugin-lane").is_empty()).await;
    drop(rig);
    until("the clock has ended", || threads("plugin-ticks").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_that_is_dropped_leaves_no_thread() {
    let _alone = ALONE.lock().await;
    let mut setup = Setup::new();
    setup.options.limits.deadline = Duration::from_secs(50);
    setup.put("loops.wasm", &guest("loops"));
    let mut rig = setup.start();
    rig.up("loops").await;
    rig.ask("loops");
    until("it computes on a thread of its own", || threads("plugin-lane").len() == 1).await;
    drop(rig);
    until("its thread has ended", || threads("plugin-lane").is_empty()).await;
    until("the clock has ended", || threads("plugin-ticks").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_ticks_while_no_guest_computes() {
    let _alone = ALONE.lock().await;
    let mut setup = Setup::new();
    setup.options.limits.deadline = Duration::from_secs(20);
    setup.put("probe.wasm", &guest("probe"));
    let mut rig = setup.start();
    rig.up("probe").await;
    rig.sample("probe").await.expect("samples");
    assert_eq!(wake_ups_in_a_second().await, 0, "nobody is called");
    // A reading that the store takes its time for.
    let command = edgeplug_plugins::Command { id: String::new(), text: "send".to_owned(), device: None };
    rig.plugins.command("probe", 1000, command).expect("taken");
    let offer = loop {
        if let PluginEvent::Offered { offer, .. } = rig.next_raw().await {
            break offer;
        }
    };
    assert_eq!(wake_ups_in_a_second().await, 0, "it waits for the host");
    rig.plugins.answer_offer(offer, Vec::new());
    rig.until(|event| matches!(event, PluginEvent::Replied { .. }).then_some(())).await;
    let command = edgeplug_plugins::Command { id: String::new(), text: "sleep 2".to_owned(), device: None };
    rig.plugins.command("probe", 1001, command).expect("taken");
    assert_eq!(wake_ups_in_a_second().await, 0, "it sleeps");
    rig.until(|event| matches!(event, PluginEvent::Replied { .. }).then_some(())).await;
    drop(rig);
}

/// Times that the thread of the clock woke up, after what came before has come to rest.
async fn wake_ups_in_a_second() -> u64 {
    tokio::time::sleep(Duration::from_millis(100)).await;
    let [thread] = &threads("plugin-ticks")[..] else { panic!("one clock") };
    let before = switches(thread);
    tokio::time::sleep(Duration::from_secs(1)).await;
    switches(thread) - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_plugins_of_which_ten_loop_stay_below_eight_gibibytes_of_address_space() {
    let _alone = ALONE.lock().await;
    let mut setup = Setup::new();
    setup.options.limits.deadline = Duration::from_secs(50);
    for number in 0..50 {
        let component = guest(if number < LOOPING { "loops" } else { "traps" });
        setup.put(&format!("plugin-{number}.wasm"), &component);
    }
    let mut rig = setup.start();
    for _ in 0..50 {
        let plugin = rig.until(came_up).await;
        rig.ask(&plugin);
    }
    until("ten of them compute on threads of their own", || threads("plugin-lane").len() == LOOPING).await;
    let kib = address_space_kib();
    println!("fifty plugins: {} MiB of address space", kib >> 10);
    assert!(kib < 8 << 20, "{} MiB", kib >> 10);
    rig.plugins.stop(Duration::ZERO).await;
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it is not so after a minute: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// This process's threads of this name, by their directory in `/proc`.
fn threads(name: &str) -> Vec<PathBuf> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    let tasks = tasks.filter_map(Result::ok).map(|entry| entry.path());
    // One that ends meanwhile has no name any more.
    tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)).collect()
}

/// How often a thread went to sleep: each time it had been woken before.
fn switches(thread: &std::path::Path) -> u64 {
    field(&thread.join("status"), "voluntary_ctxt_switches:")
}

fn address_space_kib() -> u64 {
    field(&PathBuf::from("/proc/self/status"), "VmSize:")
}

fn field(file: &std::path::Path, name: &str) -> u64 {
    let status = std::fs::read_to_string(file).expect("status");
    let value = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
    value.trim().trim_end_matches(" kB").parse().expect("a number")
}

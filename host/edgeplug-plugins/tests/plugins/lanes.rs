//! Plugins that compute for long, or more than their share: where their calls are made, and what stops them.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use edgeplug_plugins::{CallFailure, Change, Figures, Lane, PluginPolicy, Reply};

use crate::rig::{Rig, Setup, guest};

const DONE: Result<Reply, CallFailure> = Ok(Reply::Done(String::new()));

/// The plugin `busy`, which may compute for five seconds in a call.
async fn busy(manifest: &str) -> Rig {
    let mut setup = Setup::new();
    setup.options.limits.deadline = Duration::from_secs(5);
    let granted = PluginPolicy {
        network: vec![edgeplug_plugins::Endpoint::parse("tcp://127.0.0.1:*").expect("an address")],
        ..PluginPolicy::default()
    };
    setup.options.policy.plugins.insert("busy".to_owned(), granted);
    setup.put("busy.wasm", &guest("busy"));
    setup.put("busy.toml", manifest.as_bytes());
    let mut rig = setup.start();
    rig.up("busy").await;
    rig
}

fn figures(rig: &Rig) -> Figures {
    rig.plugins.list().remove(0).figures
}

#[tokio::test]
async fn a_plugin_that_computed_for_long_begins_on_a_thread_of_its_own_until_it_is_quick_again() {
    let mut rig = busy("").await;
    assert_eq!(figures(&rig).lane, Lane::Fast, "its start says nothing");
    assert_eq!(rig.command("busy", "compute 30").await, DONE);
    assert_eq!(figures(&rig).lane, Lane::Slow);
    for _ in 0..16 {
        assert_eq!(figures(&rig).lane, Lane::Slow);
        assert_eq!(rig.command("busy", "ok").await, DONE);
    }
    assert_eq!(figures(&rig).lane, Lane::Fast);
}

#[tokio::test]
async fn after_an_overrun_calls_wait_for_an_idle_machine_until_one_ends_in_time() {
    let mut setup = Setup::new();
    // Long enough to be given an eighth of it in four times as much, whoever else is busy.
    setup.options.limits.deadline = Duration::from_secs(2);
    setup.put("busy.wasm", &guest("busy"));
    let mut rig = setup.start();
    rig.up("busy").await;
    assert_eq!(rig.command("busy", "compute 60000").await, Err(CallFailure::TimedOut));
    assert_eq!(rig.up("busy").await, Change::Restarted);
    assert_eq!(figures(&rig).lane, Lane::Idle, "a restart forgives nothing");
    assert_eq!(rig.command("busy", "ok").await, DONE);
    assert_eq!(figures(&rig).lane, Lane::Slow);
}

#[tokio::test]
async fn more_than_its_share_is_said_once_and_every_call_is_still_answered() {
    let mut rig = busy("[limits]\ncpu_percent = 1").await;
    // Two seconds at once are granted; a machine that is busy takes a while to give them.
    for _ in 0..120 {
        assert_eq!(rig.command("busy", "compute 1000").await, DONE);
        if figures(&rig).lane == Lane::Idle {
            break;
        }
    }
    let figures = figures(&rig);
    assert_eq!(figures.lane, Lane::Idle);
    assert!(figures.cpu_us >= 2_000_000, "{figures:?}");
    for _ in 0..5 {
        assert_eq!(rig.command("busy", "compute 10").await, DONE);
    }
    let log = rig.log("busy");
    let said = log.iter().filter(|line| line.contains("more than 1 % of the time of one core")).count();
    assert_eq!(said, 1, "{log:?}");
}

#[tokio::test]
async fn a_guest_on_a_thread_of_its_own_sleeps_and_reaches_the_network_like_any_other() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut rig = busy(&format!("network = [\"tcp://127.0.0.1:{port}\"]")).await;
    assert_eq!(rig.command("busy", "compute 30").await, DONE);
    assert_eq!(figures(&rig).lane, Lane::Slow);
    assert_eq!(rig.command("busy", "sleep 20").await, DONE);
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        stream.write_all(b"hello").expect("written");
    });
    assert_eq!(figures(&rig).lane, Lane::Slow);
    assert_eq!(
        rig.command("busy", &format!("connect 127.0.0.1:{port}")).await,
        Ok(Reply::Done("hello".to_owned())),
        "{:?}",
        rig.log("busy")
    );
    answering.join().expect("answered");
}

#[tokio::test]
async fn host_calls_in_one_call_are_bounded() {
    let mut rig = busy("").await;
    for _ in 0..3 {
        assert_eq!(rig.command("busy", "ask 50000").await, DONE, "each call has its own");
    }
    match rig.command("busy", "ask 200000").await {
        Err(CallFailure::Trapped(text)) => assert!(text.contains("more than 100000 times in one call"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.up("busy").await, Change::Restarted);
}

#[tokio::test]
async fn samples_that_come_too_fast_are_rejected_with_the_reason() {
    let mut rig = busy("").await;
    match rig.command("busy", "send 100 100").await {
        Ok(Reply::Done(reason)) => assert!(reason.contains("more than 1000 samples a second"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let figures = figures(&rig);
    assert!(figures.samples >= 5_000 && figures.samples < 9_000, "{figures:?}");
    assert_eq!(figures.samples + figures.rejected, 10_000, "{figures:?}");
    assert_eq!(usize::try_from(figures.samples), Ok(rig.offered.len()));
}

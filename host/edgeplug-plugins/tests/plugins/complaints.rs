//! How a plugin that does badly shows: in its own log, in `Plugins::list`, and how often.

use edgeplug_plugins::{CallFailure, DesiredChange, LogLevel, LogStream, PluginEvent, PluginStatus};

use crate::rig::{Rig, Setup, guest};

/// What the daemon itself says in the plugin's log.
fn said(rig: &Rig, plugin: &str) -> Vec<String> {
    let page = rig.plugins.log_tail(plugin, 0, usize::MAX).expect("a log");
    let lines = page.lines.into_iter().filter(|line| line.stream == LogStream::Host);
    lines.inspect(|line| assert_eq!(line.level, LogLevel::Warn)).map(|line| line.text).collect()
}

fn status(rig: &Rig) -> PluginStatus {
    rig.plugins.list().into_iter().next().expect("a plugin")
}

#[tokio::test]
async fn a_trap_shows_the_frames_of_the_author_and_not_those_of_std() {
    let mut rig = Rig::start();
    rig.put_and_up("traps", &guest("traps")).await;
    rig.sample("traps").await.expect("the first call is good");
    let Err(CallFailure::Trapped(text)) = rig.sample("traps").await else { panic!("no trap") };
    let (words, frames) = text.split_once("; 0: ").expect("a backtrace");
    assert!(words.ends_with("trapping as configured, in call 2"), "{words}");
    assert!(frames.contains("edgeplug:plugin/sensor@0.2.0#sample"), "{frames}");
    for plumbing in ["abort", "rust_panic", "panic_with_hook", "core["] {
        assert!(!frames.contains(plumbing), "{plumbing}: {frames}");
    }
}

#[tokio::test]
async fn an_error_at_every_call_is_said_once_and_counted() {
    let setup = Setup::new();
    setup.put("traps.wasm", &guest("traps"));
    setup.put("traps.toml", b"[config]\nevery = \"often\"");
    let mut rig = setup.start();
    rig.up("traps").await;
    let mut text = String::new();
    for _ in 0..3 {
        let Err(CallFailure::Error(error)) = rig.sample("traps").await else { panic!("no error") };
        text = format!("sensor.sample failed: {error}");
    }
    let status = status(&rig);
    assert_eq!((status.calls, status.errors, status.faults, status.problem.as_ref()), (3, 3, 0, Some(&text)));
    assert_eq!(said(&rig, "traps"), [text]);
}

#[tokio::test]
async fn an_error_of_another_call_is_another_problem_and_a_good_call_of_its_kind_ends_it() {
    let mut rig = Rig::start();
    rig.put_and_up("probe", &guest("probe")).await;
    let desired = ["{\"unwanted\":1}", "{}"];
    for (call, problem) in [(0, Some("twin-events.desired-changed failed: unwanted")), (1, None)] {
        let change = DesiredChange { version: call, complete: true, desired: desired[call as usize].to_owned() };
        rig.plugins.desired_changed("probe", call, change).expect("taken");
        rig.until(|event| matches!(event, PluginEvent::DesiredHandled { .. }).then_some(())).await;
        assert_eq!(status(&rig).problem.as_deref(), problem);
        rig.sample("probe").await.expect("samples");
        assert_eq!(status(&rig).problem.as_deref(), problem, "a call of another kind changes nothing");
    }
    assert_eq!(status(&rig).errors, 1);
    assert_eq!(said(&rig, "probe"), ["twin-events.desired-changed failed: unwanted"]);
}

#[tokio::test]
async fn an_error_does_not_hide_a_refused_version() {
    let mut rig = Rig::start();
    rig.put_and_up("echo", &guest("echo-commands")).await;
    rig.put("echo.wasm", b"not a component");
    let refusal = rig.refused("echo").await;
    let answer = rig.command("echo", "error the bus is gone").await;
    assert_eq!(answer, Err(CallFailure::Error("the bus is gone".to_owned())));
    let status = status(&rig);
    assert_eq!((status.errors, status.problem), (1, Some(refusal)));
    assert!(said(&rig, "echo").contains(&"commands.handle failed: the bus is gone".to_owned()));
}

#[tokio::test]
async fn a_refusal_is_said_once_for_each_path() {
    let setup = Setup::new();
    setup.put("reader.wasm", &guest("reader"));
    setup.put("reader.toml", b"[config]\npath = \"/proc/uptime\"\nfind = \"proc\"");
    let mut rig = setup.start();
    rig.up("reader").await;
    for _ in 0..3 {
        rig.sample("reader").await.expect("samples");
    }
    let said = said(&rig, "reader");
    assert!(said.len() == 2 && said[0].contains("may not read /proc/uptime"), "{said:?}");
    // A new version is told anew: somebody may have mended its rights.
    rig.put("reader.toml", b"[config]\npath = \"/proc/uptime\"\nfind = \"proc\"\nnew = \"\"");
    rig.up("reader").await;
    rig.sample("reader").await.expect("samples");
    assert_eq!(self::said(&rig, "reader"), [&said[..], &said[..]].concat());
}

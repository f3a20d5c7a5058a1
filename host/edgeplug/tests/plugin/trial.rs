//! `try`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::rig::Rig;

#[test]
fn a_plugin_is_sampled_on_a_virtual_clock() {
    let rig = Rig::new();
    rig.guest("system-sensors-rust");
    std::fs::create_dir_all(rig.path("machine/proc")).unwrap();
    rig.write("machine/proc/uptime", "100.5 1.0\n");
    rig.write("sensors.toml", "interval_s = 60\nfiles = [\"/proc/uptime\"]\n");
    let said = rig.plugin([
        "try",
        "system-sensors-rust.wasm",
        "--manifest",
        "sensors.toml",
        "--root",
        "machine",
        "--virtual-time",
        "1h",
        "--command",
        "set-interval 120",
        "--command",
        "+30m fail",
        "--json",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.events("right"), [json!({"at_s": 0.0, "event": "right", "right": "may read /proc/uptime"})]);
    let readings = said.events("reading");
    // Every other minute, both ends included: the plugin skips what it was told to skip.
    assert_eq!(readings.len(), 31, "{said:?}");
    assert_eq!(readings[1]["at_s"], 120.0);
    assert_eq!(readings[1]["values"][0], json!(["uptime_s", 100.5]));
    let commands = said.events("command");
    assert_eq!((&commands[0]["outcome"], &commands[0]["at_s"]), (&json!("done"), &json!(0.0)));
    assert_eq!((&commands[1]["outcome"], &commands[1]["at_s"]), (&json!("failed"), &json!(1800.0)));
    let end = &said.events("end")[0];
    assert_eq!((&end["readings"], &end["failed_calls"], &end["calls"]), (&json!(31), &json!(0), &json!(63)));
}

#[test]
fn the_same_trial_says_the_same() {
    let rig = Rig::new();
    rig.guest("echo-commands");
    let arguments =
        ["try", "echo-commands.wasm", "--virtual-time", "1h", "--command", "+1m a", "--command", "+1m b", "--json"];
    let [first, second] = [rig.plugin(arguments), rig.plugin(arguments)].map(|said| {
        let mut lines = said.lines();
        assert_eq!(lines.pop().unwrap()["event"], "end");
        lines
    });
    assert_eq!(first, second);
    assert_eq!(first.iter().filter(|line| line["event"] == "command").count(), 2);
}

#[test]
fn what_is_broken_on_purpose_reaches_the_plugin() {
    let rig = Rig::new();
    rig.guest("reader");
    rig.write("reader.toml", "interval_s = 60\nfiles = [\"/proc/version\"]\n[config]\npath = \"/proc/version\"\n");
    let read = |faults: &[&str]| {
        let arguments = ["try", "reader.wasm", "--virtual-time", "3m", "--json"];
        let said = rig.plugin(arguments.iter().chain(faults).copied());
        assert_eq!(said.code, 0, "{said:?}");
        said.events("reading").iter().map(|reading| reading["values"].to_string()).collect::<Vec<_>>()
    };
    let whole = read(&[]);
    assert!(whole.len() == 4 && whole.iter().all(|value| value.contains("Linux version")), "{whole:?}");
    let failing = read(&["--inject", "EIO"]);
    assert_eq!(failing.iter().filter(|value| value.contains("os error 5")).count(), 2, "{failing:?}");
    let without_numbers = read(&["--inject", "NaN"]);
    assert!(without_numbers.iter().all(|value| value.contains("version nan")), "{without_numbers:?}");

    rig.guest("probe");
    rig.write("probe.toml", "interval_s = 60\n");
    let said = rig.plugin(["try", "probe.wasm", "--virtual-time", "4m", "--inject", "clock-jump", "--json"]);
    let seconds: Vec<i64> =
        said.events("reading").iter().map(|reading| reading["values"][1][1].as_i64().unwrap()).collect();
    let ten_years = 10 * 365 * 86_400;
    assert_eq!([1, 2, 3, 4].map(|minute| seconds[minute] - seconds[0] - 60 * minute as i64), [0, ten_years, 0, 0]);
}

#[test]
fn a_plugin_that_traps_comes_back_before_anything_else_happens() {
    let rig = Rig::new();
    rig.guest("traps");
    rig.write("traps.toml", "interval_s = 60\n");
    let trial = ["try", "traps.wasm", "--virtual-time", "5m", "--json"];
    let said = rig.plugin(trial);
    assert_eq!(said.code, 36, "{said:?}");
    assert!(said.err.contains("3 of 6 calls failed"), "{said:?}");
    let story = |said: &crate::rig::Said| -> Vec<_> {
        let lines = said.lines().into_iter().filter(|line| line["event"] != "log" && line["event"] != "end");
        lines.map(|line| format!("{} {}", line["at_s"], line["event"].as_str().unwrap())).collect()
    };
    let minute = |at: u32| [format!("{at}.0 sample"), format!("{at}.0 down"), format!("{at}.0 up")];
    let mut expected = vec!["0.0 up".to_owned()];
    for at in [0, 120, 240] {
        expected.push(format!("{at}.0 reading"));
        expected.extend(minute(at + 60));
    }
    assert_eq!(story(&said), expected);
    assert_eq!(said.events("log").iter().filter(|line| line["stream"] == "panic").count(), 3);

    // For people the whole death is told once, in the log.
    let said = rig.plugin(trial[..4].iter().copied());
    assert_eq!(said.out.matches("trapping as configured, in call 2").count(), 2 * 3, "{said:?}");
    assert_eq!(said.out.matches("down        by this fault").count(), 3, "{said:?}");
}

#[test]
fn a_plugin_that_came_back_knows_how_things_stand_before_its_next_call() {
    let rig = Rig::new();
    rig.guest("probe");
    rig.write("probe.toml", "interval_s = 60\n");
    let trial = ["try", "probe.wasm", "--virtual-time", "1m", "--command", "+30s trap", "--command", "+30s twin get"];
    for _ in 0..4 {
        let said = rig.plugin(trial);
        assert_eq!(said.code, 36, "{said:?}");
        let later = said.out.lines().skip_while(|line| !line.contains("by this fault")).map(|line| &line[12..]);
        insta::allow_duplicates!(insta::assert_snapshot!(later.take(7).collect::<Vec<_>>().join("\n"), @r#"
        down        by this fault
        log         info: starting
        log         info: connected
        up          sensor commands twin-events connection-events firmware lifecycle transform
        log         info: desired version=1 complete=true {}
        desired     {}: ok
        asked       twin.get
        "#));
    }
}

/// In the order printed: kind, outcome and message of what was asked of the plugin, or what the plugin asked.
fn story(said: &crate::rig::Said) -> Vec<String> {
    let told = ["command", "asked", "desired", "connection", "update", "transformed", "progress"];
    let lines = said.lines().into_iter().filter(|line| told.iter().any(|told| line["event"] == *told));
    let words = lines.map(|line| {
        let members = ["event", "ask", "id", "connected", "desired", "outcome", "message", "values"];
        let words = members
            .iter()
            .filter_map(|name| line.get(*name))
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        words.collect::<Vec<_>>().join(" ")
    });
    words.collect()
}

#[test]
fn the_cloud_is_played() {
    let rig = Rig::new();
    rig.guest("probe");
    rig.write("board.bin", "firmware");
    rig.write("probe.toml", "disconnect = true\n[config]\nprocess = \"double\"\n");
    let said = rig.plugin([
        "try",
        "probe.wasm",
        "--virtual-time",
        "5m",
        "--json",
        "--desired",
        "{\"limit\":3}",
        "--desired",
        "+1m {\"limit\":4}",
        "--command",
        "twin get",
        "--command",
        "twin report {\"limit\":3}",
        "--command",
        "defer",
        "--command",
        "+2m progress command-3 50",
        "--command",
        "+2m finish command-3 done at last",
        "--command",
        "+2m finish command-3 done twice",
        "--command",
        "+2m state set key value",
        "--command",
        "+2m state get key",
        "--command",
        "+3m device disconnect",
        "--command",
        "+4m twin get",
        "--connection",
        "+3m30s on",
        "--connection",
        "+3m40s off",
        "--update",
        "board.bin",
        "--transform",
        "[{\"values\":[[\"n\",21]]}]",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    insta::assert_snapshot!(story(&said).join("\n"), @r#"
    desired {} ok
    desired {"limit":3} ok
    asked twin.get
    command command-1 done 2 {"limit":3} 1 {}
    asked twin.report
    command command-2 done 2
    command command-3 deferred
    update update-1 done 8 bytes, the last is Some(101)
    transformed [["n",42]]
    desired {"limit":4} ok
    progress command-3 on\nthe way
    command command-4 done
    asked acks.finish command-3 done at last
    command command-5 done finished
    asked acks.finish command-3 done twice
    command command-6 failed nothing under way has this id, or it has its end already
    asked state.set
    command command-7 done kept
    command command-8 done value
    asked device.disconnect
    command command-9 done done
    connection true
    desired {"limit":4} ok
    connection false
    asked twin.get
    command command-10 failed the twin is unavailable: there is no connection to the cloud
    "#);
    let logged: Vec<_> = said.events("log").iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect();
    let told = logged.iter().filter(|line| line.starts_with("connected") || line.starts_with("desired"));
    assert_eq!(
        told.take(3).collect::<Vec<_>>(),
        ["connected", "desired version=1 complete=true {}", "desired version=2 complete=false {\"limit\":3}"]
    );
    assert!(logged.contains(&"stopped after 6 calls".to_owned()), "{logged:?}");
}

#[test]
fn without_a_virtual_clock_it_runs_until_ctrl_c() {
    let rig = Rig::new();
    rig.guest("probe");
    rig.write("probe.toml", "interval_ms = 50\n");
    let mut command = rig.command(["try", "probe.wasm", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.by_ref().filter(|line| line.contains("\"reading\"")).take(3).count(), 3);
    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let last: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{last:?}");
    assert!(last.iter().any(|line| line.contains("stopped after")), "{last:?}");
    assert!(last.last().is_some_and(|line| line.contains("\"end\"")), "{last:?}");
}

#[test]
fn what_never_ends_is_named() {
    let rig = Rig::new();
    rig.guest("probe");
    let said = rig.plugin(["try", "probe.wasm", "--virtual-time", "1m", "--command", "defer", "--json"]);
    assert_eq!(said.events("end")[0]["open"], json!(["command-1"]), "{said:?}");
}

#[test]
fn what_was_typed_wrong_is_said_before_anything_runs() {
    let rig = Rig::new();
    rig.guest("echo-commands");
    for (arguments, says) in [
        (&["--virtual-time", "soon"][..], "no length of time"),
        (&["--config", "unit"], "KEY=VALUE"),
        (&["--desired", "[1]"], "JSON object"),
        (&["--connection", "maybe"], "neither on nor off"),
        (&["--inject", "fire"], "clock-jump"),
    ] {
        let said = rig.plugin(["try", "echo-commands.wasm"].iter().chain(arguments).copied());
        assert!(said.code == 2 && said.err.contains(says) && said.out.is_empty(), "{said:?}");
    }
    for (arguments, code, says) in [
        (&["try", "echo-commands.wasm", "--inject", "clock-jump"][..], 1, "--virtual-time"),
        (&["try", "echo-commands.wasm", "--manifest", "none.toml"], 1, "none.toml"),
        (&["try", "echo-commands.wasm", "--virtual-time", "1m", "--command", "+2m x"], 1, "after the end"),
        (&["try", "nothing.wasm", "--virtual-time", "1m"], 1, "nothing.wasm"),
    ] {
        let said = rig.plugin(arguments.iter().copied());
        assert!(said.code == code && said.err.contains(says), "{said:?}");
    }
    rig.write("script.wasm", "#!/bin/sh");
    let said = rig.plugin(["try", "script.wasm", "--virtual-time", "1m"]);
    assert!(said.code == 35 && said.err.contains("does not run"), "{said:?}");
}

#[test]
fn a_reading_that_the_daemon_would_not_take_fails_the_trial() {
    let rig = Rig::new();
    rig.guest("reader");
    rig.write("reader.toml", "interval_s = 60\nfiles = [\"/log\"]\n[config]\npath = \"/log\"\n");
    std::fs::create_dir_all(rig.path("machine")).unwrap();
    rig.write("machine/log", "x".repeat(70_000));
    let said = rig.plugin(["try", "reader.wasm", "--root", "machine", "--virtual-time", "1m"]);
    assert_eq!(said.code, 36, "{said:?}");
    assert!(said.err.contains("2 readings were not taken"), "{said:?}");
    assert!(said.out.contains("2 calls, 0 failed; 0 readings, 2 not taken; "), "{said:?}");
}

#[test]
fn a_plugin_that_sleeps_for_too_long_fails_as_it_would_in_the_daemon() {
    let rig = Rig::new();
    rig.guest("probe");
    rig.write("probe.toml", "interval_s = 60\n[limits]\ndeadline_ms = 1000\n");
    let trial = ["try", "probe.wasm", "--virtual-time", "1m", "--json", "--command"];
    let said = rig.plugin(trial.iter().chain(&["sleep 3"]).copied());
    assert_eq!(said.code, 0, "{said:?}");
    let said = rig.plugin(trial.iter().chain(&["sleep 10"]).copied());
    assert_eq!(said.code, 36, "{said:?}");
    let command = &said.events("command")[0];
    assert_eq!((&command["at_s"], &command["outcome"]), (&json!(4.0), &json!("fault")), "{said:?}");
}

#[test]
fn the_cloud_is_heard_as_the_daemon_passes_it_on() {
    let rig = Rig::new();
    rig.guest("probe");
    rig.write("probe.toml", "interval_s = 60\ndisconnect = true\n[commands]\nnames = [\"device\"]\n");
    let said = rig.plugin([
        "try",
        "probe.wasm",
        "--virtual-time",
        "1m",
        "--json",
        "--command",
        "device disconnect",
        "--desired",
        "+10s {\"limit\":4}",
        "--command",
        "+20s device reconnect",
        "--command",
        "+30s twin get",
    ]);
    assert!(said.code == 36 && said.err.contains("1 of 7 calls failed"), "{said:?}");
    insta::assert_snapshot!(story(&said).join("\n"), @r#"
    desired {} ok
    asked device.disconnect
    command command-1 done done
    desired {"limit":4} waits
    asked device.reconnect
    command command-2 done done
    desired {"limit":4} ok
    command command-3 not taken `names` under [commands] in the manifest has only device
    "#);
}

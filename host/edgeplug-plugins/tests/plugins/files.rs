//! The right to read files, asked and allowed.

use serde_json::json;

use crate::rig::{Setup, guest, value};

#[tokio::test]
async fn a_refusal_names_the_plugin_the_right_and_the_file_to_edit() {
    let mut setup = Setup::new();
    let manifest = setup.options.directory.join("not-asked.toml").display().to_string();
    setup.allow("not-asked", &["/proc/uptime"]);
    for name in ["not-asked", "not-allowed"] {
        setup.put(&format!("{name}.wasm"), &guest("reader"));
    }
    setup.put("not-asked.toml", b"[config]\npath = \"/proc/uptime\"");
    setup.put("not-allowed.toml", b"files = [\"/proc/uptime\"]\n[config]\npath = \"/proc/uptime\"");
    let mut rig = setup.start();
    rig.until(|event| matches!(event, edgeplug_plugins::PluginEvent::ScanDone).then_some(())).await;
    for (plugin, file) in
        [("not-asked", manifest.as_str()), ("not-allowed", "[plugins.allow.not-allowed] in /etc/edgeplug.toml")]
    {
        let samples = rig.sample(plugin).await.expect("samples");
        let error = value(&samples, "error").and_then(|error| error.as_str()).expect("a refusal");
        for part in [plugin, "/proc/uptime", file] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_and_allowed_is_read() {
    let mut setup = Setup::new();
    setup.allow("reader", &["/proc/*"]);
    setup.put("reader.wasm", &guest("reader"));
    setup.put("reader.toml", b"files = [\"/proc/uptime\"]\n[config]\npath = \"/proc/uptime\"\nfind = \"/proc/*\"");
    let mut rig = setup.start();
    let grants = rig
        .until(|event| match event {
            edgeplug_plugins::PluginEvent::Up { grants, .. } => Some(grants.clone()),
            _ => None,
        })
        .await;
    assert_eq!(grants, ["may read /proc/uptime"]);
    rig.plugins.connection_changed(edgeplug_plugins::Connection::Connected);
    let samples = rig.sample("reader").await.expect("samples");
    let uptime = value(&samples, "text").and_then(|text| text.as_str()).expect("text");
    assert!(uptime.split_whitespace().all(|number| number.parse::<f64>().is_ok()), "{uptime}");
    assert_eq!(value(&samples, "found"), Some(&json!("/proc/uptime")));
    assert_eq!(value(&samples, "unique_id"), Some(&json!("gateway-1")));
    assert_eq!(value(&samples, "connected"), Some(&json!(true)));
}

#[tokio::test]
async fn the_daemons_memory_is_out_of_reach_of_every_grant() {
    let mut setup = Setup::new();
    setup.allow("nosy", &["/proc/*/*"]);
    setup.put("nosy.wasm", &guest("reader"));
    setup.put("nosy.toml", b"files = [\"/proc/*/*\"]\n[config]\npath = \"/proc/self/mem\"");
    let mut rig = setup.start();
    rig.up("nosy").await;
    let samples = rig.sample("nosy").await.expect("samples");
    let error = value(&samples, "error").and_then(|error| error.as_str()).expect("a refusal");
    assert!(error.contains("out of reach"), "{error}");
}

#[tokio::test]
async fn the_example_measures_this_machine() {
    let mut setup = Setup::new();
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/system-sensors-rust");
    let manifest = std::fs::read(example.join("system-sensors.toml")).expect("the example's manifest");
    setup.allow(
        "system-sensors",
        &["/proc/loadavg", "/proc/stat", "/proc/meminfo", "/proc/uptime", "/sys/class/thermal/thermal_zone*/temp"],
    );
    setup.put("system-sensors.wasm", &guest("system-sensors-rust"));
    setup.put("system-sensors.toml", &manifest);
    let mut rig = setup.start();
    rig.up("system-sensors").await;
    rig.sample("system-sensors").await.expect("samples");
    let samples = rig.sample("system-sensors").await.expect("samples");
    let number =
        |name: &str| value(&samples, name).and_then(serde_json::Value::as_f64).unwrap_or_else(|| panic!("{name}"));
    let uptime = std::fs::read_to_string("/proc/uptime").expect("uptime");
    let uptime: f64 = uptime.split(' ').next().expect("field").parse().expect("number");
    assert!((uptime - number("uptime_s")).abs() < 60.0);
    assert!((0.0..=100.0).contains(&number("memory_used_percent")));
    assert!(number("memory_available_mb") > 0.0 && number("cpu_load_1m") >= 0.0 && number("sequence") > 1e12);
    let failed = rig.command("system-sensors", "fail").await;
    assert!(matches!(failed, Ok(edgeplug_plugins::Reply::Failed(_))));
    let done = rig.command("system-sensors", "set-interval 3600").await;
    assert!(matches!(done, Ok(edgeplug_plugins::Reply::Done(_))));
    assert_eq!(rig.sample("system-sensors").await, Ok(vec![]));
}

use super::*;

fn parse(text: &str) -> Result<Manifest, String> {
    Manifest::parse(text, &Limits::default())
}

#[test]
fn a_silent_manifest_means_the_defaults() {
    assert_eq!(parse(""), Ok(Manifest::absent(&Limits::default())));
}

#[test]
fn every_key_is_understood() {
    let manifest = parse(
        r#"
        interval_ms = 250
        component = "bme280.wasm"
        disconnect = true
        files = ["/proc/stat", "/sys/class/thermal/thermal_zone*/temp"]
        directories = [{ path = "/var/lib/weather", guest = "/data", write = true }]
        network = ["tcp://api.example.com:443", "udp://10.0.0.0/24:161"]
        environment = ["TZ"]
        [config]
        unit = "celsius"
        [commands]
        names = ["blink"]
        devices = ["child-1"]
        [firmware]
        devices = ["gateway-1", "child-2"]
        [limits]
        memory_mb = 8
        deadline_ms = 20
        state_kb = 256
        cpu_percent = 50
        "#,
    )
    .expect("manifest");
    assert_eq!(manifest.interval, Duration::from_millis(250));
    assert_eq!(manifest.component.as_deref(), Some("bme280.wasm"));
    assert_eq!(manifest.files.len(), 2);
    assert!(manifest.disconnect);
    assert_eq!((manifest.directories.len(), manifest.network.len(), manifest.environment.len()), (1, 2, 1));
    assert_eq!((manifest.state_kb, manifest.cpu_percent), (256, 50));
    assert_eq!(
        (&manifest.commands.names[..], &manifest.commands.devices[..]),
        (&["blink".to_owned()][..], &["child-1".to_owned()][..])
    );
    assert_eq!(manifest.firmware.devices, ["gateway-1", "child-2"]);
    assert_eq!(manifest.config.get("unit").map(String::as_str), Some("celsius"));
    assert_eq!((manifest.memory_mb, manifest.deadline), (8, Duration::from_millis(20)));
}

#[test]
fn a_mistake_is_named_with_its_line_and_key() {
    let cases = [
        ("\nintervall_s = 1", &["line 2", "intervall_s"][..]),
        ("interval_s = \"1\"", &["line 1"]),
        ("interval_s = 0", &["interval_s", "1 to 86400"]),
        ("interval_s = 18446744073709551615", &["interval_s", "1 to 86400"]),
        ("interval_s = 1\ninterval_ms = 1", &["keep one"]),
        ("[limits]\nmemory_mb = 4096", &["limits.memory_mb", "1 to 1024"]),
        ("[limits]\nstate_kb = 4097", &["limits.state_kb", "1 to 4096"]),
        ("[limits]\ncpu_percent = 101", &["limits.cpu_percent", "1 to 100"]),
        ("directories = [{ path = \"/proc\" }]", &["line 1", "/proc", "cannot be granted"]),
        ("directories = [{ path = \"/a\" }, { path = \"/b\", guest = \"/a\" }]", &["directories", "guest"]),
        ("network = [\"tcp://*:443\"]", &["network", "each host and port"]),
        ("network = [\"tcp://a.example:*\"]", &["network", "each host and port"]),
        ("network = [\"a.example:443\"]", &["line 1", "tcp://HOST:PORT"]),
        ("environment = [\"A B\"]", &["line 1", "A B"]),
        ("[limits]\ncpu = 1", &["line 2", "cpu"]),
        ("[config]\nnumber = 1", &["line 2"]),
        ("component = \"../x.wasm\"", &["component"]),
        ("component = \"x\"", &["component"]),
        ("files = [\"/proc/self/mem\"]", &["/proc/self/mem", "cannot be granted"]),
        ("files = [\"relative\"]", &["relative", "absolute"]),
        ("[commands]\nname = [\"x\"]", &["line 2", "name"]),
        ("[commands]\nnames = [\"two words\"]", &["commands.names", "two words"]),
        ("[firmware]\nnames = [\"x\"]", &["line 2", "names"]),
        ("[firmware]\ndevices = \"x\"", &["line 2"]),
        ("[firmware]\ndevices = [\"\"]", &["firmware.devices", "one word"]),
        ("[firmware]\ndevices = [\"two words\"]", &["firmware.devices", "two words"]),
        ("= nonsense", &["line 1"]),
    ];
    for (text, parts) in cases {
        let error = parse(text).expect_err(text);
        for part in parts {
            assert!(error.contains(part), "{text:?}: {error}");
        }
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn long_lists_are_refused() {
    let list = |key: &str, entry: &dyn Fn(usize) -> String, count: usize| {
        let entries: Vec<_> = (0..count).map(entry).collect();
        parse(&format!("{key} = [{}]", entries.join(", ")))
    };
    let directory = |number: usize| format!("{{ path = \"/a{number}\" }}");
    let endpoint = |number: usize| format!("\"tcp://a:{}\"", number + 1);
    let variable = |number: usize| format!("\"A{number}\"");
    let name = |number: usize| format!("\"d{number}\"");
    for (key, entry, max) in [
        ("commands.devices", &name as &dyn Fn(usize) -> String, 256),
        ("firmware.devices", &name, 256),
        ("directories", &directory, DIRECTORIES_MAX),
        ("network", &endpoint, NETWORK_MAX),
        ("environment", &variable, ENVIRONMENT_MAX),
    ] {
        list(key, entry, max).expect(key);
        let error = list(key, entry, max + 1).expect_err(key);
        assert!(error.contains(key) && error.contains("at most"), "{error}");
    }
}

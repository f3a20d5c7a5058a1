use super::*;

fn capped(entries: &[(&str, PluginPolicy)], manifest: &str) -> Capped {
    let entries = entries.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect();
    let policy = Policy { source: "[allow.NAME]".to_owned(), plugins: entries };
    let limits = Limits::default();
    policy.cap("p", &Manifest::parse(manifest, &limits).expect("manifest"), &limits)
}

fn entry(memory_mb: u32, deadline_ms: u64) -> PluginPolicy {
    PluginPolicy {
        memory_mb: Some(memory_mb),
        deadline_ms: Some(deadline_ms),
        state_kb: Some(4096),
        cpu_percent: Some(100),
        ..PluginPolicy::default()
    }
}

const MUCH: &str = "[limits]\nmemory_mb = 512\ndeadline_ms = 20000\nstate_kb = 256\ncpu_percent = 80";

#[test]
fn more_than_usual_needs_both_sides() {
    let nobody_allows = capped(&[], MUCH);
    assert_eq!((nobody_allows.memory_mb, nobody_allows.deadline), (64, Duration::from_secs(1)));
    assert_eq!((nobody_allows.state_kb, nobody_allows.cpu_percent), (64, 25));
    assert_eq!(
        nobody_allows.words,
        [
            "asks for 512 MiB of memory; [allow.p] allows 64 (`memory_mb`)",
            "asks to compute for 20000 ms in one call; [allow.p] allows 1000 (`deadline_ms`)",
            "asks to keep 256 KiB of state; [allow.p] allows 64 (`state_kb`)",
            "asks for 80 percent of one processor; [allow.p] allows 25 (`cpu_percent`)",
        ]
    );
    let allowed = capped(&[("p", entry(1024, 30_000))], MUCH);
    assert_eq!((allowed.memory_mb, allowed.deadline), (512, Duration::from_secs(20)));
    assert_eq!((allowed.state_kb, allowed.cpu_percent), (256, 80));
    assert_eq!(
        allowed.words,
        [
            "may use 512 MiB of memory",
            "may compute for 20000 ms in one call",
            "may keep 256 KiB of state",
            "may use 80 percent of one processor",
        ]
    );
    let nobody_asks = capped(&[("p", entry(1024, 30_000))], "");
    let usual =
        Capped { memory_mb: 64, deadline: Duration::from_secs(1), state_kb: 64, cpu_percent: 25, words: vec![] };
    assert_eq!(nobody_asks, usual);
}

#[test]
fn the_plugins_own_entry_counts_before_everybodys() {
    let all = ("*", entry(256, 2000));
    assert_eq!(capped(std::slice::from_ref(&all), MUCH).memory_mb, 256);
    assert_eq!(capped(&[all, ("p", entry(16, 500))], MUCH).memory_mb, 16);
}

#[test]
fn a_plugins_own_word_on_disconnecting_counts_before_that_of_all() {
    let says = |allow_disconnect| PluginPolicy { allow_disconnect, ..PluginPolicy::default() };
    let allowed = |entries: &[(&str, Option<bool>)]| {
        let plugins = entries.iter().map(|(name, says_so)| ((*name).to_owned(), says(*says_so))).collect();
        Policy { plugins, ..Policy::default() }.allows_disconnect("p")
    };
    assert!(!allowed(&[]) && !allowed(&[("p", None)]) && !allowed(&[("q", Some(true))]));
    assert!(
        allowed(&[("p", Some(true))]) && allowed(&[("*", Some(true))]) && allowed(&[("p", None), ("*", Some(true))])
    );
    assert!(!allowed(&[("p", Some(false)), ("*", Some(true))]));
}

#[test]
fn clocks_and_randomness_are_there_until_somebody_says_otherwise() {
    let says = |clocks, randomness| PluginPolicy { clocks, randomness, ..PluginPolicy::default() };
    let policy = |entries: &[(&str, PluginPolicy)]| Policy {
        plugins: entries.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect(),
        ..Policy::default()
    };
    let nothing = policy(&[]);
    assert!(nothing.allows_clocks("p") && nothing.allows_randomness("p"));
    let all = ("*", says(Some(false), Some(false)));
    let without = policy(std::slice::from_ref(&all));
    assert!(!without.allows_clocks("p") && !without.allows_randomness("p"));
    let own = policy(&[all, ("p", says(Some(true), None))]);
    assert!(own.allows_clocks("p") && !own.allows_randomness("p"));
}

#[test]
fn a_policy_is_read_from_toml_and_its_mistakes_are_named() {
    let policy: PluginPolicy = toml::from_str(
        r#"
        directories = [{ path = "/var/lib/weather", write = true }]
        network = ["tcp://*.example.com:443", "udp://*:*"]
        environment = ["TZ"]
        state_kb = 256
        cpu_percent = 50
        clocks = false
        randomness = false
        "#,
    )
    .expect("policy");
    assert_eq!((policy.directories.len(), policy.network.len(), policy.environment.len()), (1, 2, 1));
    for (text, part) in [
        ("directories = [{ path = \"/proc\" }]", "cannot be granted"),
        ("directories = [{ path = \"/\" }]", "cannot be granted"),
        ("directories = [{ path = \"/a\", guest = \"/b\" }]", "guest"),
        ("network = [\"example.com\"]", "tcp://HOST:PORT"),
        ("environment = [\"A=B\"]", "no name of a variable"),
        ("networks = []", "networks"),
    ] {
        let error = toml::from_str::<PluginPolicy>(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

use super::*;

fn capped(entries: &[(&str, PluginPolicy)], manifest: &str) -> Capped {
    let entries = entries.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect();
    let policy = Policy { source: "[allow.NAME]".to_owned(), plugins: entries };
    let limits = Limits::default();
    policy.cap("p", &Manifest::parse(manifest, &limits).expect("manifest"), &limits)
}

fn entry(memory_mb: u32, deadline_ms: u64) -> PluginPolicy {
    PluginPolicy { memory_mb: Some(memory_mb), deadline_ms: Some(deadline_ms), ..PluginPolicy::default() }
}

const MUCH: &str = "[limits]\nmemory_mb = 512\ndeadline_ms = 20000";

#[test]
fn more_than_usual_needs_both_sides() {
    let nobody_allows = capped(&[], MUCH);
    assert_eq!((nobody_allows.memory_mb, nobody_allows.deadline), (64, Duration::from_secs(1)));
    assert_eq!(
        nobody_allows.words,
        [
            "asks for 512 MiB of memory; [allow.p] allows 64 (`memory_mb`)",
            "asks to compute for 20000 ms in one call; [allow.p] allows 1000 (`deadline_ms`)",
        ]
    );
    let allowed = capped(&[("p", entry(1024, 30_000))], MUCH);
    assert_eq!((allowed.memory_mb, allowed.deadline), (512, Duration::from_secs(20)));
    assert_eq!(allowed.words, ["may use 512 MiB of memory", "may compute for 20000 ms in one call"]);
    let nobody_asks = capped(&[("p", entry(1024, 30_000))], "");
    let usual = Capped { memory_mb: 64, deadline: Duration::from_secs(1), words: vec![] };
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

use super::*;
use crate::options::Limits;
use crate::pattern::Pattern;
use crate::policy::PluginPolicy;

fn rights(asked: &[&str], allowed: &[&str]) -> Rights {
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).expect("pattern")).collect();
    let policy = Policy {
        source: "[allow.NAME] in /etc/edgeplug.toml".to_owned(),
        plugins: [("p".to_owned(), PluginPolicy { files: patterns(allowed), ..PluginPolicy::default() })].into(),
    };
    Rights::new(
        "p",
        Path::new("/plugins/p.toml"),
        &Manifest { files: patterns(asked), ..Manifest::absent(&Limits::default()) },
        &policy,
        &[PathBuf::from("/var/lib/nobody-has-this")],
    )
}

#[test]
fn a_right_needs_both_sides() {
    let rights = rights(&["/proc/stat", "/a/*"], &["/proc/stat", "/b"]);
    assert_eq!(rights.check("/proc/stat"), Ok(()));
    let refused = rights.check("/b").expect_err("not asked");
    assert!(refused.contains("\"p\"") && refused.contains("/b") && refused.contains("/plugins/p.toml"), "{refused}");
    let refused = rights.check("/a/x").expect_err("not allowed");
    assert!(refused.contains("[allow.p] in /etc/edgeplug.toml"), "{refused}");
}

#[test]
fn no_grant_reaches_a_process_or_a_device() {
    let rights = rights(&["/proc/*", "/proc/*/mem", "/*/mem"], &["/proc/*", "/proc/*/mem", "/*/mem"]);
    for path in ["/proc/self/mem", "/proc/1/mem", "/dev/mem", "/proc/kcore", "/proc/../proc/stat", "proc/stat"] {
        rights.check(path).expect_err(path);
    }
}

#[test]
fn links_are_judged_by_where_they_lead() {
    let own = std::process::id();
    let rights = rights(
        &["/data/*", "/sys/class/thermal/*/temp", "/proc/net/dev"],
        &["/data/*", "/sys/class/thermal/*/temp", "/proc/net/dev"],
    );
    let led = |path: &str, real: &str| rights.check_real(path, Path::new(real));
    assert_eq!(led("/data/a", "/data/a"), Ok(()));
    assert_eq!(led("/data/a", "/data/b"), Ok(()));
    assert_eq!(led("/sys/class/thermal/z0/temp", "/sys/devices/virtual/thermal/z0/temp"), Ok(()));
    assert_eq!(led("/proc/net/dev", &format!("/proc/{own}/net/dev")), Ok(()));
    for (path, real) in [
        ("/data/a", "/etc/shadow"),
        ("/data/a", "/proc/1/mem"),
        ("/data/a", "/dev/mem"),
        ("/data/a", "/sys/devices/x"),
        ("/proc/net/dev", "/proc/1/net/dev"),
        ("/proc/net/dev", &format!("/proc/{own}/mem")),
        ("/data/a", "/var/lib/nobody-has-this/ledger.db"),
    ] {
        led(path, real).expect_err(real);
    }
}

#[test]
fn grants_are_told_in_words() {
    let rights = rights(&["/proc/stat", "/sys/*/temp", "/etc/shadow"], &["/proc/stat", "/sys/a/temp"]);
    assert_eq!(
        rights.words(),
        [
            "may read /proc/stat",
            "may read /sys/*/temp as far as [allow.p] in /etc/edgeplug.toml allows",
            "asks to read /etc/shadow, which [allow.p] in /etc/edgeplug.toml does not allow",
        ]
    );
}

#[test]
fn a_hostile_path_or_pattern_costs_nothing() {
    let nasty = format!("/{}b", "*a".repeat(250));
    let rights = rights(&vec![nasty.as_str(); 256], &["/proc/stat"]);
    let started = std::time::Instant::now();
    for path in [format!("/{}", "a".repeat(16 << 20)), "/a".repeat(8 << 20), format!("/{}", "a".repeat(4000))] {
        let refused = rights.check(&path).expect_err("too long");
        assert!(refused.contains("longer than any") && refused.len() < 200, "{refused:.300}");
    }
    for _ in 0..1000 {
        let refused = rights.check(&format!("/{}", "a".repeat(250))).expect_err("not allowed");
        assert!(refused.contains("the operator does not allow"), "{refused}");
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn the_network_and_the_environment_are_told_in_words() {
    let asked = Manifest::parse(
        "network = [\"tcp://a.example:1\", \"udp://10.0.0.0/8:1\", \"tcp://b.example:1\"]\nenvironment = [\"TZ\", \"USER\"]",
        &Limits::default(),
    );
    let allowed = "network = [\"tcp://a.example:*\", \"udp://10.0.0.0/24:*\"]\nenvironment = [\"TZ\"]\nclocks = false";
    let policy = Policy {
        source: "[allow.NAME]".to_owned(),
        plugins: [("*".to_owned(), toml::from_str(allowed).expect("policy"))].into(),
    };
    let rights = Rights::new("p", Path::new("/plugins/p.toml"), &asked.expect("manifest"), &policy, &[]);
    assert_eq!(
        rights.words(),
        [
            "may reach tcp://a.example:1",
            "may reach udp://10.0.0.0/8:1 as far as [allow.p] allows",
            "asks to reach tcp://b.example:1, which [allow.p] does not allow (`network`)",
            "may see the variable TZ of the daemon's environment",
            "asks to see the variable USER, which [allow.p] does not allow (`environment`)",
            "is not told the time, as [allow.p] says (`clocks`)",
        ]
    );
}

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("pattern")
}

#[test]
fn wildcards_stay_within_their_segment() {
    let cases = [
        ("/proc/stat", "/proc/stat", true),
        ("/proc/stat", "/proc/status", false),
        ("/proc/stat", "/proc/sta", false),
        ("/sys/class/thermal/thermal_zone*/temp", "/sys/class/thermal/thermal_zone0/temp", true),
        ("/sys/class/thermal/thermal_zone*/temp", "/sys/class/thermal/thermal_zone/temp", true),
        ("/sys/class/thermal/thermal_zone*/temp", "/sys/class/thermal/thermal_zone0/a/temp", false),
        ("/sys/class/thermal/thermal_zone?/temp", "/sys/class/thermal/thermal_zone0/temp", true),
        ("/sys/class/thermal/thermal_zone?/temp", "/sys/class/thermal/thermal_zone10/temp", false),
        ("/a/*", "/a/b", true),
        ("/a/*", "/a/b/c", false),
        ("/a/*", "/a", false),
        ("/a?b", "/a/b", false),
        ("/*a*b/c", "/xaaxb/c", true),
        ("/*a*b/c", "/xaax/c", false),
        ("/*/*/x", "/1/2/x", true),
        ("/*/*/x", "/1/x", false),
        ("/ä*/x", "/äö/x", true),
    ];
    for (glob, path, fits) in cases {
        assert_eq!(pattern(glob).matches(path), fits, "{glob} {path}");
    }
}

#[test]
fn what_a_pattern_covers_it_covers_whole() {
    assert!(pattern("/sys/*/temp").covers(&pattern("/sys/a*/temp")));
    assert!(pattern("/sys/*/temp").covers(&pattern("/sys/a?/temp")));
    assert!(pattern("/sys/*/temp").covers(&pattern("/sys/a/temp")));
    assert!(!pattern("/sys/?/temp").covers(&pattern("/sys/*/temp")));
    assert!(pattern("/sys/?/temp").covers(&pattern("/sys/?/temp")));
    assert!(!pattern("/sys/a*/temp").covers(&pattern("/sys/*/temp")));
}

#[test]
fn a_path_that_is_not_normal_is_no_pattern() {
    for text in ["", "stat", "/", "//proc", "/a//b", "/a/./b", "/a/../b", "/a/", "/a/**/b", "/a\0b"] {
        assert!(Pattern::parse(text).is_err(), "{text:?}");
    }
    assert!(Pattern::parse(&format!("/{}", "a".repeat(5000))).is_err());
}

#[test]
fn processes_kernel_memory_and_devices_cannot_be_granted() {
    for text in ["/proc/self/mem", "/proc/1/environ", "/proc/thread-self/maps", "/proc/kcore", "/dev/mem", "/dev/*"] {
        let error = Pattern::parse(text).expect_err(text).to_string();
        assert!(error.contains("cannot be granted"), "{error}");
    }
    for text in ["/proc/stat", "/proc/net/dev", "/proc/sys/kernel/random/boot_id", "/devices/a"] {
        Pattern::parse(text).expect(text);
    }
}

#[test]
fn a_nasty_pattern_ends_soon() {
    let glob = format!("/{}b", "*a".repeat(250));
    assert!(!pattern(&glob).matches(&format!("/{}", "a".repeat(4000))));
}

#[test]
fn a_directory_on_the_way_is_told_from_one_beside_it() {
    let way = pattern("/sys/class/thermal*/x");
    for directory in ["", "/sys", "/sys/class", "/sys/class/thermal_zone0", "/sys/class/thermal_zone0/x"] {
        assert!(way.leads_through(directory), "{directory}");
    }
    for directory in ["/home", "/sys/devices", "/sys/class/net", "/sys/class/thermal_zone0/x/y"] {
        assert!(!way.leads_through(directory), "{directory}");
    }
}

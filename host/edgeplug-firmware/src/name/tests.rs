use super::*;

#[test]
fn only_plain_names_are_names_of_files() {
    for name in ["fw.bin", "a", "Fw 1.0 (β).img", "-rf", "a..b", &"x".repeat(255), "SHA256SUMS", "~", "$(reboot)"] {
        assert!(is_file(name), "{name:?}");
    }
    for name in [
        "",
        ".",
        "..",
        ".hidden",
        "/",
        "/etc/passwd",
        "a/b",
        "../a",
        "a\0b",
        "a\nb",
        "a\u{7f}",
        "a\u{85}",
        "fw\u{202e}nib.exe",
        "a\u{200b}",
        "\u{feff}a",
        &"x".repeat(256),
        &"ä".repeat(128),
    ] {
        assert!(!is_file(name), "{name:?}");
    }
}

#[test]
fn staging_directories_are_named_by_hashes() {
    assert!(is_job("0123456789abcdef0123456789abcdef"));
    for job in [
        "",
        "..",
        "0123456789ABCDEF0123456789ABCDEF",
        "0123456789abcdef0123456789abcde",
        &"0".repeat(33),
        &"/".repeat(32),
    ] {
        assert!(!is_job(job), "{job:?}");
    }
}

#[test]
fn what_only_verifies_is_told_from_what_is_installed() {
    for name in ["SHA256SUMS", "SHA256SUMS.minisig", "fw.bin.minisig", "fw.bin.sha256", "a.wasm.minisig"] {
        assert!(is_sidecar(name), "{name}");
    }
    for name in ["fw.bin", "minisig", ".minisig", ".sha256", "sha256sums", "fw.minisig.bin"] {
        assert!(!is_sidecar(name), "{name}");
    }
}

#[test]
fn components_and_bundles_are_told_by_their_endings() {
    assert_eq!(Component::of("a.wasm"), Some(Component::Bare("a")));
    assert_eq!(Component::of("a.edgeplug"), Some(Component::Bundle("a")));
    assert_eq!(Component::of("a.WASM"), None);
    assert_eq!(Component::of("a.wasm.minisig"), None);
    for plugin in ["a", "a-b_c.1", &"x".repeat(64)] {
        assert!(is_plugin(plugin), "{plugin}");
    }
    for plugin in ["", ".a", "..", "a b", "ä", "a/b", &"x".repeat(65)] {
        assert!(!is_plugin(plugin), "{plugin}");
    }
}

use super::*;

/// Breaks every rule of a pure crate, one line each, among text that only looks as if it did.
const IMPURE: &str = r##"//! Never names tokio, `std::fs` or Instant::now().
use std::{collections::BTreeMap, fs};
use std::net::{IpAddr, TcpStream};
use tokio::time::sleep;
/* SystemTime::now() */
fn stamp(now: Instant) -> Instant {
    let text = "SystemTime::now() and rand::random()";
    let raw = r#"tokio::spawn"#;
    let _ = SystemTime::now();
    jiff::Timestamp::now();
    let clock: fn() -> std::time::Instant = std::time::Instant::now;
    rand::random::<u8>();
    HashMap::with_hasher(std::hash::RandomState::new());
    now
}
#[cfg(test)]
mod tests {
    fn measures() { std::time::Instant::now(); }
}
"##;

#[test]
fn the_scanner_catches_every_way_out_of_a_pure_crate_and_says_where() {
    let found = impure(Path::new("src/lib.rs"), IMPURE);
    let places: Vec<(usize, &str)> = found.iter().map(|finding| (finding.line, finding.name.as_str())).collect();
    let expected = [
        (2, "std::fs"),
        (3, "std::net::IpAddr"),
        (3, "std::net::TcpStream"),
        (4, "tokio::time::sleep"),
        (9, "SystemTime::now"),
        (10, "jiff::Timestamp::now"),
        (11, "std::time::Instant::now"),
        (12, "rand::random"),
        (13, "std::hash::RandomState::new"),
    ];
    assert_eq!(places, expected);
    assert_eq!(found[0].to_string(), "src/lib.rs:2: std::fs (no I/O in a pure crate)");
}

#[test]
fn a_generator_is_pure_only_with_a_seed() {
    let source =
        "use fastrand::Rng;\nRng::with_seed(7);\nfastrand::Rng::with_seed(7);\nRng::new();\nfastrand::u8(..);\n";
    let lines: Vec<usize> = impure(Path::new("x"), source).iter().map(|found| found.line).collect();
    assert_eq!(lines, [4, 5]);
}

#[test]
fn a_parameter_called_now_is_how_time_comes_in() {
    assert!(impure(Path::new("x"), "fn handle(&mut self, now: Now) { self.due < now.monotonic }").is_empty());
}

#[test]
fn an_owned_library_is_found_through_any_path() {
    let source = "use tss_esapi::Context;\nfn f(x: edgeplug_identity::tss_esapi::Error) {}\n// tss_esapi\n";
    let lines: Vec<usize> = names_any_of(Path::new("x"), source, &["tss_esapi"], "edgeplug-identity")
        .iter()
        .map(|found| found.line)
        .collect();
    assert_eq!(lines, [1, 2]);
}

#[test]
fn unsafe_is_found_but_not_in_text_or_in_longer_words() {
    let source = "#![deny(unsafe_code)]\n// unsafe\nlet x = \"unsafe\";\nunsafe { f() }\nunsafe fn g() {}";
    let lines: Vec<usize> = unsafe_code(Path::new("x"), source).iter().map(|found| found.line).collect();
    assert_eq!(lines, [4, 5]);
}

#[test]
fn files_of_tests_are_told_apart() {
    assert!(holds_only_tests(Path::new("src/connect/tests.rs")));
    assert!(holds_only_tests(Path::new("src/tests/rig.rs")));
    assert!(!holds_only_tests(Path::new("src/connect.rs")));
}

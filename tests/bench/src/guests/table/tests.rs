#![allow(clippy::unwrap_used)]

use super::*;
use crate::guests::project::LANGUAGES;

fn rows() -> Vec<Row> {
    let cost = Cost {
        component_bytes: 123_904,
        native_bytes: 5 << 20,
        compile_ms: 214.0,
        compile_peak_mb: 71.5,
        load_us: 99.4,
        start_us: 999.6,
        up_us: 1_250_000.0,
        first_sample_us: 45.0,
        sample_us: 12.3,
        memory_bytes: 128 << 10,
    };
    let [rust, c, ..] = LANGUAGES;
    vec![Row { language: rust, measured: Ok(cost) }, Row { language: c, measured: Err("run: make setup".to_owned()) }]
}

#[test]
fn a_measured_language_is_a_row_with_units() {
    let row = "| Rust | 121 KiB | 5.0 MiB | 214 ms | 71.5 MiB | 99 µs | 1.0 ms | 1.2 s | 45 µs | 12 µs | 128 KiB |";
    assert!(markdown(&rows()).lines().any(|line| line == row), "{}", markdown(&rows()));
}

#[test]
fn a_language_that_was_left_out_is_named_with_the_remedy() {
    assert!(markdown(&rows()).contains("\nC is left out: run: make setup.\n"));
    assert!(plain(&rows()).contains("C is left out: run: make setup\n"));
}

#[test]
fn the_lines_of_the_terminal_are_equally_long() {
    let lengths: Vec<_> = plain(&rows()).lines().take(2).map(|line| line.chars().count()).collect();
    assert_eq!(lengths.first(), lengths.last());
}

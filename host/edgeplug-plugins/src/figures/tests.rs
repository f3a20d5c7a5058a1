use std::time::{Duration, Instant};

use edgeplug_protocol::sample::Sample;
use serde_json::json;

use super::{Book, Called, Calls, Export, Outcome};
use crate::lane::Lane;

fn called(export: Export, outcome: Outcome) -> Called {
    Called {
        export,
        outcome,
        wall: Duration::from_micros(40),
        cpu: Duration::from_micros(30),
        waits: 2,
        memory_bytes: 1 << 20,
        is_left: outcome != Outcome::Trap && export != Export::Stop,
    }
}

#[test]
fn calls_are_counted_by_function_and_end() {
    let book = Book::default();
    book.called(&called(Export::Start, Outcome::Good));
    book.called(&called(Export::Sample, Outcome::Good));
    book.called(&called(Export::Sample, Outcome::Error));
    book.called(&called(Export::Handle, Outcome::Trap));
    book.called(&called(Export::Stop, Outcome::Timeout));
    let figures = book.read(Lane::Fast);
    assert_eq!(figures.calls.len(), 4);
    assert_eq!(figures.calls["sensor.sample"], Calls { good: 1, errors: 1, ..Calls::default() });
    assert_eq!(figures.calls["commands.handle"], Calls { traps: 1, ..Calls::default() });
    assert_eq!(figures.calls["lifecycle.stop"], Calls { timeouts: 1, ..Calls::default() });
    assert_eq!((figures.cpu_us, figures.waits), (150, 10));
    assert_eq!(figures.latency.count, 3, "not those of the lifecycle");
    assert_eq!((figures.memory_bytes, figures.memory_bytes_max), (0, 1 << 20), "it trapped");
}

#[test]
fn every_function_has_a_row_of_its_own() {
    for (row, export) in Export::ALL.into_iter().enumerate() {
        assert_eq!(row, export as usize, "{}", export.name());
    }
}

#[test]
fn readings_count_names_and_values() {
    let book = Book::default();
    let values = [("ab", json!(1.5)), ("c", json!("text")), ("d", json!({"x": true})), ("e", json!([1.0, 2.0]))];
    let values = values.map(|(name, value)| (name.to_owned(), value)).to_vec();
    book.took(&[Sample { device: None, time: None, values }]);
    let figures = book.read(Lane::Fast);
    assert_eq!((figures.samples, figures.readings), (1, 4));
    assert_eq!(figures.reading_bytes, 10 + 5 + 10 + 17);
}

#[test]
fn booking_a_call_costs_next_to_nothing() {
    let book = Book::default();
    let begun = Instant::now();
    for _ in 0..100_000 {
        book.called(&called(Export::Sample, Outcome::Good));
    }
    // A debug build on a busy machine; a release build takes some 20 ns.
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

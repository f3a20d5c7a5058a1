#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn chain(readings: &[(u32, i64)]) -> Chain {
    let mut chain = Chain::default();
    send(&mut chain, 0, readings);
    chain
}

fn send(chain: &mut Chain, from_us: i64, readings: &[(u32, i64)]) {
    for (at, (version, count)) in (from_us..).step_by(10_000).zip(readings) {
        let body = format!(r#"{{"mt":0,"d":[{{"d":[{{"count":{count},"version":{version},"us":{at}}}]}}]}}"#);
        chain.arrive(&Bytes::from(body)).unwrap();
    }
}

fn found(chain: &Chain) -> (u64, u64, u64) {
    (chain.lost(), chain.doubled(), chain.complaints())
}

#[test]
fn one_version_counts_on() {
    assert_eq!(found(&chain(&[(1, 1), (1, 2), (1, 3)])), (0, 0, 0));
}

#[test]
fn a_missing_number_is_lost() {
    assert_eq!(found(&chain(&[(1, 1), (1, 2), (1, 5)])), (2, 0, 1));
}

#[test]
fn a_number_that_comes_again_is_doubled() {
    assert_eq!(found(&chain(&[(1, 1), (1, 2), (1, 2)])), (0, 1, 1));
}

#[test]
fn an_expected_version_goes_on_with_the_count() {
    let mut swapped = chain(&[(1, 1), (1, 2)]);
    swapped.expect(2);
    send(&mut swapped, 30_000, &[(2, 3), (2, 4)]);
    assert_eq!(found(&swapped), (0, 0, 0));
    // 20 ms between two readings that are due every 10.
    assert!((swapped.gap_ms_p99(10) - 10.0).abs() < 0.01);
}

#[test]
fn a_swap_that_swallows_a_reading_is_found() {
    let mut swapped = chain(&[(1, 1), (1, 2)]);
    swapped.expect(2);
    send(&mut swapped, 20_000, &[(2, 4)]);
    assert_eq!(found(&swapped), (1, 0, 1));
}

#[test]
fn a_rollback_goes_on_where_the_swap_was() {
    let mut back = chain(&[(1, 1), (1, 2)]);
    back.expect(2);
    send(&mut back, 20_000, &[(2, 3), (2, 4), (1, 3), (1, 4)]);
    assert_eq!(found(&back), (0, 0, 0));
}

#[test]
fn a_version_from_nowhere_is_found() {
    assert_eq!(found(&chain(&[(1, 1), (3, 2)])).2, 1);
}

#[test]
fn a_plugin_that_was_taken_away_begins_with_one() {
    let mut back = chain(&[(1, 7), (1, 8)]);
    back.begin_anew();
    back.expect(2);
    send(&mut back, 20_000, &[(2, 1), (2, 2)]);
    assert_eq!(found(&back), (0, 0, 0));
}

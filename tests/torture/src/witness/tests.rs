#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

#[test]
fn order_is_a_merge_of_backlog_and_live() {
    for (sequence, holds) in [
        (&[][..], true),
        (&[1, 2, 3], true),
        // Live rows between backlog rows.
        (&[1, 10, 2, 11, 3], true),
        (&[10, 11, 1, 2, 3, 12], true),
        // Backlog out of order.
        (&[2, 1, 10, 3], false),
        (&[1, 10, 3, 2, 11], false),
        // Live out of order.
        (&[1, 11, 2, 10, 3], false),
        // Two ascending runs, but no mark splits them.
        (&[1, 5, 2, 6, 3, 10, 4, 8], false),
        (&[3, 2, 1], false),
    ] {
        assert_eq!(splits_into_two_runs(sequence), holds, "{sequence:?}");
    }
}

#[test]
fn a_redelivered_row_counts_where_it_came_first() {
    let mut order = Order::default();
    for number in [1, 2, 3, 1, 2, 4] {
        order.arrive(1, &ReadingId::new("one-5", number).unwrap());
    }
    assert_eq!(order.violations(), Vec::<String>::new());
    order.arrive(2, &ReadingId::new("one-5", 9).unwrap());
    for number in [3, 2, 1] {
        order.arrive(2, &ReadingId::new("one-5", number).unwrap());
    }
    assert_eq!(order.violations().len(), 1);
}

#[test]
fn runs_are_told_apart_and_ordered_by_their_start() {
    let first = ReadingId::new("one-1000", 7).unwrap();
    let second = ReadingId::new("one-1001", 0).unwrap();
    assert!(first < second);
    assert_eq!(ReadingId::new("nameless", 1), None);
}

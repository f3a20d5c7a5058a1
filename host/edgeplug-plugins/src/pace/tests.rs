use std::time::Duration;

use super::Pace;

const MS: Duration = Duration::from_millis(1);

#[test]
fn some_at_once_then_so_many_a_second() {
    let mut pace = Pace::new(10, 20);
    let mut now = 1000 * MS;
    assert_eq!((0..100).filter(|_| pace.admit(1, now)).count(), 20);
    now += 500 * MS;
    assert_eq!((0..100).filter(|_| pace.admit(1, now)).count(), 5);
    now += 99 * MS;
    assert!(!pace.admit(1, now));
    now += MS;
    assert!(pace.admit(1, now));
    now += 3_600_000 * MS;
    assert!(pace.admit(20, now) && !pace.admit(1, now));
}

#[test]
fn what_is_too_much_at_once_costs_nothing() {
    let mut pace = Pace::new(10, 20);
    assert!(!pace.admit(21, Duration::ZERO) && !pace.admit(usize::MAX, Duration::ZERO));
    assert!(pace.admit(20, Duration::ZERO));
}

#[test]
fn a_clock_that_goes_back_earns_nothing() {
    let mut pace = Pace::new(1, 1);
    assert!(pace.admit(1, 10_000 * MS));
    assert!(!pace.admit(1, 5_000 * MS));
    assert!(pace.admit(1, 6_000 * MS));
}

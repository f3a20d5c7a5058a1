use std::time::SystemTime;

use super::*;

#[test]
fn the_time_is_the_systems_until_it_is_corrected_and_then_runs_from_boot() {
    let clock = LinkClock::new();
    let system = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!((clock.unix_ms() - system).abs() < 5_000);

    let shared = clock.clone();
    shared.correct(0);
    let boot = milliseconds(clock_gettime(ClockId::Boottime));
    assert!((clock.unix_ms() - boot).abs() < 5_000);
    clock.correct(2_000_000_000_000);
    assert!((shared.unix_ms() - boot - 2_000_000_000_000).abs() < 5_000);
}

#[test]
fn an_absurd_correction_is_a_time_at_which_nothing_is_valid() {
    let clock = LinkClock::new();
    for zero in [i64::MIN + 1, -4_000_000_000_000, i64::MAX] {
        clock.correct(zero);
        assert!(clock.current_time().is_some());
    }
    clock.correct(-4_000_000_000_000);
    assert_eq!(clock.current_time(), Some(UnixTime::since_unix_epoch(Duration::ZERO)));
}

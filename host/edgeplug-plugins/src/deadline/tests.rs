use super::*;

const LIMIT: Duration = Duration::from_secs(1);

#[test]
fn a_guest_computes_for_as_long_as_it_may() {
    let deadline = Deadline::start(LIMIT);
    deadline.charge(LIMIT / 2);
    assert!(!deadline.has_passed());
    deadline.charge(LIMIT / 2);
    assert!(deadline.has_passed());
}

#[test]
fn wall_time_counts_but_not_what_it_waited_for_the_host() {
    let begun_ago = |ago: Duration, waited: Duration| {
        let deadline = Deadline::start(LIMIT);
        let mut clock = deadline.lock();
        clock.started = clock.started.checked_sub(ago).expect("a machine that runs for a minute");
        clock.waited = waited;
        drop(clock);
        deadline.has_passed()
    };
    assert!(!begun_ago(LIMIT * 3, Duration::ZERO) && begun_ago(LIMIT * 4, Duration::ZERO));
    assert!(!begun_ago(LIMIT * 9, LIMIT * 6));
    assert!(begun_ago(ABSOLUTE_MAX, ABSOLUTE_MAX), "whatever the host does");
}

#[test]
fn an_interruption_is_told_once() {
    let deadline = Deadline::start(LIMIT);
    assert!(!deadline.charge(Duration::ZERO));
    deadline.interrupt();
    assert!(deadline.interrupts());
    assert!(deadline.charge(Duration::ZERO) && !deadline.charge(Duration::ZERO));
}

#[test]
fn the_number_of_waits_is_bounded() {
    let deadline = Deadline::start(LIMIT);
    assert_eq!((0..2 * WAITS_MAX).filter(|_| deadline.wait().is_some()).count(), WAITS_MAX as usize);
    assert_eq!(deadline.waits(), WAITS_MAX);
    assert!(Deadline::start(LIMIT).wait().is_some(), "the next call has its own");
}

#[test]
fn sleeping_by_a_clock_moved_by_hand_is_wall_time_too() {
    let deadline = Deadline::start(LIMIT);
    assert_eq!(deadline.sleep(LIMIT * 3), Ok(()));
    assert!(!deadline.has_passed() && !deadline.interrupts());
    assert_eq!(deadline.sleep(LIMIT * 3), Err(LIMIT));
    assert!(deadline.has_passed() && deadline.interrupts());
    assert_eq!(deadline.sleep(LIMIT), Err(Duration::ZERO));
    assert_eq!(Deadline::start(ABSOLUTE_MAX).sleep(Duration::MAX), Err(ABSOLUTE_MAX));
}

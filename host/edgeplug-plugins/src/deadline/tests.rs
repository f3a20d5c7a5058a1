use super::*;

const LIMIT: Duration = Duration::from_secs(1);

/// Rounds of one wait each, in real proportion: so long a wait, and a tick as often as ticks come.
fn rounds_survived(wait: Duration, computed: Duration) -> u32 {
    let deadline = Deadline::start(LIMIT);
    let (mut now, mut ticks_seen) = (Duration::ZERO, 0);
    for round in 0..WAITS_MAX {
        now += wait + computed;
        deadline.lock().end_wait(wait);
        let ticks = now.as_nanos() / TICK.as_nanos();
        if ticks > ticks_seen && !deadline.charge_tick() {
            return round;
        }
        ticks_seen = ticks;
    }
    WAITS_MAX
}

#[test]
fn many_waits_do_not_end_a_call() {
    for wait_ms in [1, 5, 9, 10, 11, 25] {
        assert_eq!(rounds_survived(Duration::from_millis(wait_ms), Duration::ZERO), WAITS_MAX, "{wait_ms} ms");
    }
}

#[test]
fn what_is_computed_between_waits_is_charged() {
    for wait_ms in [0, 1, 5, 9] {
        let rounds = rounds_survived(Duration::from_millis(wait_ms), Duration::from_millis(1));
        assert!((1000..1100).contains(&rounds), "{wait_ms} ms: {rounds} ms computed");
    }
}

#[test]
fn the_number_of_waits_is_bounded() {
    let deadline = Deadline::start(LIMIT);
    assert_eq!((0..2 * WAITS_MAX).filter(|_| deadline.wait().is_some()).count(), WAITS_MAX as usize);
    assert!(Deadline::start(LIMIT).wait().is_some(), "the next call has its own");
}

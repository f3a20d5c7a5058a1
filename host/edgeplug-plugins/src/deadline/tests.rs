use super::*;

const LIMIT: Duration = Duration::from_secs(1);

#[test]
fn a_guest_computes_for_as_long_as_it_may() {
    let deadline = Deadline::start(LIMIT);
    let ticks = (0..).take_while(|_| deadline.charge_tick()).count();
    let computed = TICK * u32::try_from(ticks).expect("ticks");
    assert!(computed >= LIMIT && computed < LIMIT + TICK * 2, "{computed:?}");
}

#[test]
fn ticks_that_passed_while_it_waited_are_given_back() {
    let deadline = Deadline::start(LIMIT);
    for _ in 0..WAITS_MAX {
        deadline.return_tick();
        assert!(deadline.charge_tick(), "as often as it waits");
    }
}

#[test]
fn an_interruption_is_told_once() {
    let deadline = Deadline::start(LIMIT);
    assert!(!deadline.was_interrupted());
    deadline.charge_tick();
    assert!(deadline.was_interrupted() && !deadline.was_interrupted());
}

#[test]
fn the_number_of_waits_is_bounded() {
    let deadline = Deadline::start(LIMIT);
    assert_eq!((0..2 * WAITS_MAX).filter(|_| deadline.wait().is_some()).count(), WAITS_MAX as usize);
    assert_eq!(deadline.waits(), WAITS_MAX);
    assert!(Deadline::start(LIMIT).wait().is_some(), "the next call has its own");
}

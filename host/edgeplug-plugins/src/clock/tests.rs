use super::*;

#[test]
fn a_virtual_clock_moves_only_by_hand_and_never_back() {
    let clock = Clock::new(true, None);
    let began = clock.wall();
    assert_eq!(clock.elapsed(), Duration::ZERO);
    clock.advance(Duration::from_secs(3600));
    clock.advance_to(Duration::from_secs(60));
    assert_eq!((clock.elapsed(), clock.wall() - began), (Duration::from_secs(3600), Duration::from_secs(3600)));
    clock.advance(Duration::MAX);
    assert_eq!(clock.elapsed(), Duration::from_nanos(u64::MAX));
}

#[test]
fn the_wall_clock_leaps_and_comes_back() {
    let clock = Clock::new(true, Some(Duration::from_secs(100)));
    let began = clock.wall();
    let ahead = |at| {
        clock.advance_to(Duration::from_secs(at));
        clock.wall() - began - clock.elapsed()
    };
    assert_eq!([49, 50, 74, 75].map(ahead), [Duration::ZERO, LEAP, LEAP, Duration::ZERO]);
}

#[test]
fn a_guests_monotonic_clock_is_never_zero() {
    let clock = Clock::new(true, None);
    assert_eq!(clock.monotonic_ns(), 1_000_000_000);
    clock.advance(Duration::from_secs(2));
    assert_eq!(clock.monotonic_ns(), 3_000_000_000);
}

fn in_a_call() -> Clock {
    let clock = Clock::new(true, None);
    clock.call_begins(&Deadline::start(Duration::from_secs(1)));
    clock
}

#[tokio::test]
async fn of_several_sleeps_the_first_to_end_does() {
    let clock = in_a_call();
    let [long, short] = [3, 1].map(Duration::from_secs);
    tokio::select! {
        biased;
        () = clock.sleep_until(long) => panic!("the time-out before the timer"),
        () = clock.sleep_until(short) => (),
    }
    assert_eq!(clock.elapsed(), short);
    clock.sleep_until(short).await;
    clock.sleep_until(long).await;
    assert_eq!(clock.elapsed(), long);
}

#[tokio::test]
async fn who_sleeps_past_the_deadline_does_not_wake() {
    let clock = in_a_call();
    clock.sleep_until(Duration::from_secs(3)).await;
    let asleep = tokio::time::timeout(Duration::from_millis(10), clock.sleep_until(Duration::from_secs(60))).await;
    assert!(asleep.is_err());
    assert_eq!(clock.elapsed(), Duration::from_secs(4), "four deadlines, as in real time");
    clock.call_begins(&Deadline::start(Duration::from_secs(1)));
    clock.sleep_until(Duration::from_secs(7)).await;
}

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

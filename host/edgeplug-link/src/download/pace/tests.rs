use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Reads chunks as fast as the pace allows; how long that took.
fn drain(pace: &mut Pace, mut now: Instant, chunks: &[usize]) -> Duration {
    let begun = now;
    for &bytes in chunks {
        now = now.max(pace.ready_at());
        pace.took(bytes, now);
    }
    pace.ready_at().saturating_duration_since(begun)
}

fn pace(bytes_per_s: u64, now: Instant) -> Pace {
    Pace::new(NonZeroU64::new(bytes_per_s).unwrap(), now)
}

#[test]
fn over_time_no_more_comes_than_the_rate_allows_whatever_the_chunks() {
    let now = Instant::now();
    for chunks in [vec![1000; 100], vec![100_000], vec![1; 100_000], [vec![1; 50_000], vec![50_000]].concat()] {
        let took = drain(&mut pace(10_000, now), now, &chunks);
        assert!(took.abs_diff(10 * SECOND) < SECOND / 100, "{took:?}");
    }
}

#[test]
fn a_pause_is_made_up_for_only_a_little() {
    let now = Instant::now();
    let mut pace = pace(1000, now);
    let later = now + 3600 * SECOND;
    assert_eq!(drain(&mut pace, later, &[10_000]), 10 * SECOND - KEPT);
}

#[test]
fn absurd_rates_and_chunks_do_no_harm() {
    let now = Instant::now();
    assert_eq!(drain(&mut pace(u64::MAX, now), now, &[1_000_000, 1]), Duration::ZERO);
    let mut slowest = pace(1, now);
    slowest.took(usize::MAX, now);
    slowest.took(usize::MAX, now);
}

#[test]
fn a_wait_ends_at_the_limit_however_often_it_is_taken_up() {
    let now = Instant::now();
    let mut patience = Patience::new(10 * SECOND);
    for second in 0..9 {
        assert_eq!(patience.wait(now + second * SECOND), now + 10 * SECOND);
    }
    patience.received(PROGRESS_BYTES_MIN as usize, now + 9 * SECOND);
    assert_eq!(patience.wait(now + 20 * SECOND), now + 30 * SECOND);
}

#[test]
fn a_drip_is_a_stall_and_our_own_pauses_are_not() {
    let mut now = Instant::now();
    let mut patience = Patience::new(10 * SECOND);
    let mut drops = 0;
    while patience.wait(now) > now + SECOND {
        now += SECOND;
        patience.received(100, now);
        // The rate's pause, or a slow disk.
        now += 60 * SECOND;
        drops += 1;
    }
    assert_eq!(drops, 9);

    let mut patience = Patience::new(10 * SECOND);
    for _ in 0..1000 {
        assert!(patience.wait(now) > now + 4 * SECOND);
        now += 4 * SECOND;
        patience.received(600, now);
    }
}

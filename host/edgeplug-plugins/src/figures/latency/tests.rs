use std::time::Duration;

use super::{BUCKETS, Histogram, index, up_to};

#[test]
fn buckets_follow_each_other_without_gap_or_overlap() {
    for us in 0..100_000 {
        let held = index(us);
        assert!(us <= up_to(held), "{us} in {held}");
        assert!(held == 0 || us > up_to(held - 1), "{us} in {held}");
    }
    assert!(up_to(BUCKETS - 1) >= 100_000_000, "a hundred seconds have a bucket");
    assert_eq!(index(u64::MAX), BUCKETS - 1);
}

#[test]
fn percentiles_are_right_to_an_eighth() {
    let mut histogram = Histogram::default();
    for us in 1..=10_000 {
        histogram.add(Duration::from_micros(us));
    }
    let latency = histogram.read();
    assert_eq!((latency.count, latency.max_us), (10_000, 10_000));
    for (read, exact) in [(latency.p50_us, 5_000), (latency.p90_us, 9_000), (latency.p99_us, 9_900)] {
        assert!(read >= exact && read <= exact + exact / 8, "{read} for {exact}");
    }
    assert_eq!(latency.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), 10_000);
}

#[test]
fn nothing_has_no_percentiles() {
    let latency = Histogram::default().read();
    assert_eq!((latency.count, latency.p50_us, latency.p99_us, latency.max_us), (0, 0, 0, 0));
    assert!(latency.buckets.is_empty());
}

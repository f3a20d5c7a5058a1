use super::*;

#[test]
fn waits_double_up_to_the_cap_and_are_never_shorter_than_half() {
    let now = Instant::now();
    let mut backoff = Backoff::start(now);
    for wait_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
        let wait = backoff.due() - now;
        assert!(wait >= Duration::from_millis(wait_ms / 2) && wait <= Duration::from_millis(wait_ms), "{wait:?}");
        backoff.wait_again(now);
    }
}

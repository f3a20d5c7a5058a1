use super::*;

#[test]
fn the_wait_doubles_up_to_its_cap_and_keeps_its_spread() {
    let (min, max) = (Duration::from_secs(1), Duration::from_secs(300));
    for (failures, whole) in [(0, 1), (1, 2), (5, 32), (9, 300), (40, 300), (u32::MAX, 300)] {
        let wait = wait(min, max, failures);
        let whole = Duration::from_secs(whole);
        assert!(wait >= whole / 2 && wait <= whole, "{failures}: {wait:?}");
    }
}

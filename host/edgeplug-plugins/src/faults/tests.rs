use super::*;

#[test]
fn every_second_read_fails() {
    let faults = Faults::new(true, false);
    let failed: Vec<_> = (0..4).map(|_| faults.on_read().is_some()).collect();
    assert_eq!(failed, [false, true, false, true]);
    assert_eq!(Faults::default().on_read(), None);
}

#[test]
fn numbers_become_nan() {
    let faults = Faults::new(false, true);
    assert_eq!(faults.on_content(b"cpu0 12.5 -3\n".to_vec()), b"cpunan nan.nan -nan\n");
    assert_eq!(Faults::default().on_content(b"12".to_vec()), b"12");
}

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
    for (content, told) in [
        ("cpu0 12.5 -3\n", "cpunan nan nan\n"),
        ("0.52 1.5e-3 2E+10 +7", "nan nan nan nan"),
        ("1-2 3. .5 1e x-1", "nan-nan nan. .nan nane x-nan"),
        ("no number - here +\n", "no number - here +\n"),
        ("", ""),
    ] {
        assert_eq!(String::from_utf8(faults.on_content(content.into())).expect("text"), told, "{content:?}");
    }
    assert_eq!(Faults::default().on_content(b"12".to_vec()), b"12");
}

use super::*;

#[test]
fn several_memories_share_one_allowance() {
    let mut meter = Meter::new(1);
    assert!(meter.memory_growing(0, 600 << 10, None).expect("answer"));
    assert!(!meter.memory_growing(0, 600 << 10, None).expect("answer"));
    assert!(meter.refused());
    assert!(meter.memory_growing(600 << 10, 1 << 20, None).expect("answer"));
    assert_eq!(meter.memory_bytes(), 1 << 20);
}

#[test]
fn tables_are_bounded_too() {
    let mut meter = Meter::new(1);
    assert!(meter.table_growing(0, TABLE_ELEMENTS_MAX, None).expect("answer"));
    assert!(!meter.table_growing(0, 1, None).expect("answer"));
}

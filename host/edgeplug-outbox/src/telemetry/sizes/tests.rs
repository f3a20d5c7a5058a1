use super::{SIZES_MAX, Sizes};
use crate::request::Lane::{Alarm, Live};

fn ten() -> Sizes {
    let mut sizes = Sizes::default();
    (1..=10).for_each(|id| sizes.add(id, Live, 100 + id));
    sizes
}

#[test]
fn a_run_of_known_rows_is_summed_up_once() {
    let mut sizes = ten();
    assert_eq!(sizes.take(Live, (3, 4)), Some(207));
    assert_eq!(sizes.take(Live, (3, 4)), None);
    assert_eq!(sizes.take(Live, (4, 5)), None);
    assert_eq!(sizes.take(Live, (1, 2)), Some(203));
    assert_eq!(sizes.take(Live, (5, 10)), Some(645));
    assert!(sizes.sizes.is_empty());
}

#[test]
fn what_is_not_wholly_known_is_left_as_it_is() {
    let mut sizes = ten();
    sizes.add(11, Alarm, 7);
    for run in [(0, 1), (1, 11), (11, 11), (9, 12), (i64::MIN, 3), (i64::MIN, i64::MAX), (5, 4)] {
        assert_eq!(sizes.take(Live, run), None, "{run:?}");
    }
    assert_eq!(sizes.take(Alarm, (11, 11)), Some(7));
    assert_eq!(sizes.take(Live, (1, 10)), Some(1_055));
}

#[test]
fn a_gap_in_the_ids_begins_anew() {
    let mut sizes = ten();
    sizes.add(20, Live, 5);
    assert_eq!(sizes.take(Live, (10, 10)), None);
    assert_eq!(sizes.take(Live, (20, 20)), Some(5));
    sizes.add(21, Live, 6);
    assert_eq!(sizes.take(Live, (21, 21)), Some(6));
}

#[test]
fn the_oldest_make_way() {
    let mut sizes = Sizes::default();
    let last = SIZES_MAX as i64 + 1;
    (1..=last).for_each(|id| sizes.add(id, Live, 1));
    assert_eq!(sizes.take(Live, (1, 2)), None);
    assert_eq!(sizes.take(Live, (2, last)), Some(last - 1));
}

use super::{OWED_MAX, Owed, runs};
use crate::event::RowId;

fn ids(ids: &[i64]) -> Vec<RowId> {
    ids.iter().copied().map(RowId).collect()
}

#[test]
fn ids_without_a_gap_are_one_run() {
    type Runs<'a> = &'a [(i64, i64)];
    let cases: [(&[i64], Runs<'_>); 6] = [
        (&[], &[]),
        (&[5], &[(5, 5)]),
        (&[1, 2, 3], &[(1, 3)]),
        (&[1, 2, 4, 5, 9], &[(1, 2), (4, 5), (9, 9)]),
        (&[7, 7, 8, 8], &[(7, 8)]),
        (&[i64::MIN, i64::MAX, i64::MAX], &[(i64::MIN, i64::MIN), (i64::MAX, i64::MAX)]),
    ];
    for (from, wanted) in cases {
        assert_eq!(runs(&ids(from)).collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn what_is_owed_is_bounded() {
    let mut owed = Owed::default();
    owed.add(&(1..OWED_MAX as i64 + 10).map(RowId).collect::<Vec<_>>());
    assert_eq!(owed.len(), OWED_MAX);
}

#[test]
fn removals_are_paid_by_segment_and_forgotten_with_it() {
    let mut owed = Owed::default();
    owed.add(&ids(&[9, 3, -4, 0, 5, 12]));
    assert_eq!(owed.between(RowId(0), RowId(9), 2), ids(&[3, 5]));
    assert_eq!(owed.between(RowId(5), RowId(i64::MAX), 9), ids(&[9, 12]));
    assert_eq!(owed.between(RowId(5), RowId(5), 9), []);
    assert_eq!(owed.between(RowId(i64::MIN), RowId(i64::MIN), 9), []);
    owed.paid(&ids(&[3]));
    assert!(!owed.contains(RowId(3)) && owed.contains(RowId(5)));
    assert_eq!(owed.forget(RowId(9)), 2);
    assert_eq!(owed.between(RowId(0), RowId(i64::MAX), 9), ids(&[12]));
}

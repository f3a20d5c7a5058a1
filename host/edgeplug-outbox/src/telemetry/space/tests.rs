use bytes::Bytes;

use super::{Space, removal_cost, removals_costing, row_cost};
use crate::{
    database::PAGE_BYTES,
    event::RowId,
    outbox::SpaceLimits,
    request::{BODY_BYTES_MAX, Lane, NewRow},
};

fn row(bytes: usize) -> NewRow {
    let body = Bytes::from(vec![0; bytes]);
    NewRow { ticket: 0, lane: Lane::Live, kind: 0, link_down: false, created_unix_ms: 0, body }
}

#[test]
fn segments_and_logs_together_never_exceed_the_limit() {
    for files_max in [1, 2, 3, 8, 100, u16::MAX] {
        let least = Space::bytes_min(files_max);
        for bytes_max in [least, least + 1, 2 * least, 512 << 20, 100 << 30].into_iter().filter(|max| *max >= least) {
            let space = Space::new(SpaceLimits { bytes_max, files_max }).unwrap();
            let segment = u64::from(space.segment_pages_max) * PAGE_BYTES;
            assert!(2 * space.log_bytes_max + u64::from(files_max) * segment <= bytes_max, "{bytes_max} {files_max}");
            assert!(space.log.frames_max < 4_062, "the log's index has one block");
            assert!(space.refuses(&row(256 * 1024 - 4 * 1024)).is_none() || bytes_max < 2 * least);
        }
        assert!(Space::new(SpaceLimits { bytes_max: least - 1, files_max }).is_err());
    }
}

#[test]
fn the_default_takes_the_largest_body() {
    let space = Space::new(SpaceLimits::default()).unwrap();
    assert!(space.refuses(&row(BODY_BYTES_MAX)).is_none());
    assert!(space.refuses(&row(BODY_BYTES_MAX + 1)).unwrap().contains("send less"));
}

#[test]
fn a_row_never_costs_less_than_it_holds() {
    for bytes in (0..20_000).chain([BODY_BYTES_MAX]) {
        assert!(row_cost(bytes) > bytes as u64);
        assert!(row_cost(bytes) <= row_cost(bytes + 1) || bytes > 1_500, "{bytes}");
    }
}

#[test]
fn removing_neighbours_costs_a_page_each_and_lone_rows_more() {
    let ids = |ids: &[i64]| ids.iter().copied().map(RowId).collect::<Vec<_>>();
    for (named, pages) in [(&[][..], 0), (&[5], 4), (&[5, 6, 7], 6), (&[7, 6, 6], 6), (&[1, 3, i64::MAX, i64::MIN], 16)]
    {
        assert_eq!(removal_cost(&ids(named)), pages * PAGE_BYTES, "{named:?}");
    }
    assert_eq!(removals_costing(&ids(&[1, 2, 3, 9]), 6 * PAGE_BYTES), 3);
    assert_eq!(removals_costing(&ids(&[1, 2, 3, 9]), 0), 1, "one always goes");
}

use bytes::Bytes;

use super::{GROUP_BYTES_MAX, GROUP_ROWS_MAX, GROUP_ROWS_WORTH_A_SYNC, Group};
use crate::{
    event::RowId,
    request::{BODY_BYTES_MAX, Lane, NewRow, Request},
    telemetry::{Operation, space::REMOVAL_COST},
};

const COST_MAX: u64 = 100 * REMOVAL_COST;

fn rows(count: usize, bytes: usize) -> Request {
    let body = Bytes::from(vec![0; bytes]);
    let row =
        |ticket| NewRow { ticket, lane: Lane::Live, kind: 0, link_down: false, created_unix_ms: 0, body: body.clone() };
    Request::Append((0..count as u64).map(row).collect())
}

fn load() -> Request {
    Request::Load { ticket: 0, lane: Lane::Live, after: RowId(0), rows_max: 1, bytes_max: 1 }
}

#[test]
fn only_a_few_rows_wait_for_company() {
    let removals = |count: i64| Request::Remove((0..count).map(RowId).collect());
    let cases = [
        (vec![rows(1, 10)], false),
        (vec![rows(10, 10), removals(10)], false),
        (vec![rows(GROUP_ROWS_WORTH_A_SYNC, 10)], true),
        (vec![removals(1), load()], true),
        (vec![rows(1, 10), Request::Put { ticket: 0, name: "sync".into(), value: None }], true),
        (vec![rows(1, 10), Request::Drop { through: RowId(1) }], true),
        (vec![load()], true),
    ];
    for (requests, worth) in cases {
        let mut group = Group::new(COST_MAX);
        for request in requests.clone() {
            assert_eq!(group.add(request), None);
        }
        assert_eq!(group.is_worth_a_sync(), worth, "{requests:?}");
    }
}

#[test]
fn a_large_removal_is_done_in_parts_and_ends_once() {
    let mut rest = Request::Remove((0..250).map(RowId).collect());
    let mut parts = Vec::new();
    loop {
        let mut group = Group::new(COST_MAX);
        let next = group.add(rest);
        assert!(group.is_full() || next.is_none());
        let [Operation::Remove { ids, last }] = &group.telemetry[..] else { panic!("{:?}", group.telemetry) };
        parts.push((ids.len(), *last));
        match next {
            Some(next) => rest = next,
            None => break,
        }
    }
    assert_eq!(parts, [(97, false), (97, false), (56, true)]);
}

#[test]
fn a_group_takes_no_more_than_one_transaction_holds_but_at_least_one_row() {
    let mut group = Group::new(COST_MAX);
    let Some(Request::Append(rest)) = group.add(rows(10_000, 200)) else { panic!("all of them fit") };
    assert!(group.cost <= COST_MAX && group.cost > COST_MAX - 1_000, "{}", group.cost);
    assert_eq!(rest.len() + group.rows, 10_000);
    let mut group = Group::new(1);
    let Some(Request::Append(rest)) = group.add(rows(3, 200)) else { panic!("all of them fit") };
    assert_eq!(rest.len(), 2);
    let mut group = Group::new(u64::MAX);
    group.add(rows(2 * GROUP_ROWS_MAX, 0));
    assert_eq!(group.rows, GROUP_ROWS_MAX);
}

#[test]
fn nothing_follows_a_drop_in_its_group() {
    let mut group = Group::new(COST_MAX);
    group.add(rows(1, 10));
    assert!(!group.is_full());
    group.add(Request::Drop { through: RowId(1) });
    assert!(group.is_full());
}

#[test]
fn loads_that_ask_for_little_count_the_row_that_always_comes() {
    let mut group = Group::new(COST_MAX);
    let mut loads = 0;
    while !group.is_full() {
        group.add(load());
        loads += 1;
    }
    assert_eq!(loads * BODY_BYTES_MAX, GROUP_BYTES_MAX);
}

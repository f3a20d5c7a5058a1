//! How requests share commits, and what that writes.

use std::time::{Duration, Instant};

use edgeplug_outbox::{Durability, Lane, OutboxEvent, OutboxOptions, Request, RowId};

use crate::rig::{Rig, directory, row, rows};

#[test]
fn rows_that_come_one_by_one_share_commits() {
    let directory = directory();
    let mut options = OutboxOptions::new(directory.path());
    options.group_wait = Duration::from_millis(20);
    let mut rig = Rig::open_with(options);
    let before = rig.outbox.written();
    for ticket in 0..200 {
        rig.ask(Request::Append(rows(ticket..ticket + 1)));
    }
    let mut committed = 0;
    while committed < 200 {
        match rig.next() {
            OutboxEvent::Committed { rows } => committed += rows.len(),
            other => panic!("{other:?}"),
        }
    }
    let after = rig.outbox.written();
    assert_eq!(after.rows - before.rows, 200);
    assert!(after.commits - before.commits < 50, "{after:?}");
}

#[test]
fn no_request_waits_longer_than_the_cap_for_company() {
    let directory = directory();
    let mut options = OutboxOptions::new(directory.path());
    options.group_wait = Duration::from_secs(3_600);
    let mut rig = Rig::open_with(options);
    let started = Instant::now();
    for ticket in 0..5 {
        rig.append(rows(ticket..ticket + 1));
    }
    assert!(started.elapsed() < Duration::from_secs(60));
    rig.ask(Request::Append(rows(9..10)));
    let mut rig = rig.restart(directory.path());
    assert_eq!(rig.all(Lane::Live).len(), 6, "closing does not wait either");
}

#[test]
fn what_is_written_is_counted() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let before = rig.outbox.written();
    rig.append((0..1_000).map(|ticket| row(ticket, vec![7; 1_000])).collect());
    let after = rig.outbox.written();
    let bytes = after.bytes - before.bytes;
    // A million bytes of bodies went into the log, and some of them from there into the file.
    assert!((1_000_000..3_000_000).contains(&bytes), "{bytes}");
    assert_eq!((after.rows - before.rows, after.commits > before.commits), (1_000, true));
    rig.ask(Request::Load { ticket: 0, lane: Lane::Live, after: RowId(0), rows_max: 1, bytes_max: 1 });
    rig.next();
    let looked = rig.outbox.written();
    assert_eq!((looked.rows, looked.commits), (after.rows, after.commits), "reading writes nothing");
}

#[test]
fn a_store_that_need_not_survive_a_power_cut_keeps_its_rows_all_the_same() {
    let directory = directory();
    let mut options = OutboxOptions::new(directory.path());
    options.durability = Durability::ProcessCrash;
    let mut rig = Rig::open_with(options.clone());
    let ids: Vec<RowId> = rig.append(rows(0..100)).iter().map(|row| row.id).collect();
    rig.remove(ids[..50].to_vec());
    let mut rig = rig.restart_with(options);
    assert_eq!(rig.all(Lane::Live).iter().map(|row| row.id).collect::<Vec<_>>(), ids[50..]);
}

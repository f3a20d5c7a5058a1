//! Telemetry rows: accepted after the commit, kept in order, given up by name only.

use std::fs;

use bytes::Bytes;
use edgeplug_outbox::{
    BODY_BYTES_MAX, EVENTS_QUEUED_MAX, Lane, LaneState, NewRow, OutboxEvent, REQUEST_BYTES_OUTSTANDING_MAX,
    REQUESTS_OUTSTANDING_MAX, Refused, Request, RowId, Store, stats,
};

use crate::rig::{LEDGER, Rig, TELEMETRY, directory, look, row, rows};

#[test]
fn a_row_is_reported_only_after_another_connection_can_see_it() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let second = look(directory.path(), TELEMETRY);
    for ticket in 0..50 {
        for appended in rig.append(rows(ticket..ticket + 1)) {
            let body: Vec<u8> =
                second.query_row("SELECT body FROM live WHERE id = ?1", [appended.id.0], |row| row.get(0)).unwrap();
            assert_eq!(body, format!("reading {ticket}").into_bytes());
        }
    }
}

#[test]
fn ids_follow_the_order_of_appends_and_rows_come_back_as_they_were() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let new = NewRow {
        ticket: 7,
        lane: Lane::Live,
        kind: 255,
        link_down: true,
        created_unix_ms: -5,
        body: Bytes::from_static(b"\0\xff any bytes"),
    };
    for ticket in 0..100 {
        rig.ask(Request::Append(rows(ticket * 10..ticket * 10 + 10)));
    }
    rig.ask(Request::Append(vec![new.clone()]));
    let mut committed = Vec::new();
    while committed.len() < 1_001 {
        match rig.next() {
            OutboxEvent::Committed { rows } => committed.extend(rows),
            other => panic!("{other:?}"),
        }
    }
    assert!(committed.is_sorted_by_key(|row| row.id));
    assert_eq!(committed.iter().map(|row| row.ticket).collect::<Vec<_>>(), (0..1_000).chain([7]).collect::<Vec<_>>());

    let mut rig = rig.restart(directory.path());
    let all = rig.all(Lane::Live);
    assert_eq!(all.len(), 1_001);
    assert!(all.iter().zip(&committed).all(|(row, committed)| row.id == committed.id));
    let last = all.last().unwrap();
    assert_eq!((last.kind, last.link_down, last.created_unix_ms, &last.body), (255, true, -5, &new.body));
    assert_eq!(rig.restored.live.rows, 1_001);
    assert_eq!(rig.restored.live.first, Some(committed[0].id));
    assert_eq!(rig.restored.live.last, Some(last.id));
}

#[test]
fn only_what_was_named_is_removed() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let ids: Vec<RowId> = rig.append(rows(0..10)).iter().map(|row| row.id).collect();
    rig.remove(vec![ids[0], ids[4], ids[4], ids[9], RowId(-1), RowId(i64::MAX)]);
    let mut rig = rig.restart(directory.path());
    let left: Vec<RowId> = rig.all(Lane::Live).iter().map(|row| row.id).collect();
    assert_eq!(left, [1, 2, 3, 5, 6, 7, 8].map(|index| ids[index]));
    assert_eq!((rig.restored.live.rows, rig.restored.live.bytes), (7, 7 * "reading 1".len() as u64));
}

#[test]
fn ids_are_never_given_out_twice() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let last = rig.append(rows(0..5)).last().unwrap().id;
    let ids = rig.all(Lane::Live).iter().map(|row| row.id).collect();
    rig.remove(ids);
    let mut rig = rig.restart(directory.path());
    assert_eq!(rig.restored.live, LaneState::default());
    assert_eq!(rig.restored.last_row, last);
    assert!(rig.append(rows(0..1))[0].id > last);
}

#[test]
fn a_load_stops_at_its_bounds_and_says_whether_there_is_more() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let ids: Vec<RowId> =
        rig.append((0..6).map(|ticket| row(ticket, vec![0; 100])).collect()).iter().map(|row| row.id).collect();
    let mut load = |after, rows_max, bytes_max| {
        rig.ask(Request::Load { ticket: 3, lane: Lane::Live, after, rows_max, bytes_max });
        match rig.next() {
            OutboxEvent::Loaded { ticket: 3, lane: Lane::Live, rows, more } => {
                (rows.iter().map(|row| row.id).collect::<Vec<_>>(), more)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(load(RowId(0), 2, 1_000), (ids[0..2].to_vec(), true));
    assert_eq!(load(ids[1], 4, 1_000), (ids[2..6].to_vec(), false));
    assert_eq!(load(RowId(0), 6, 250), (ids[0..2].to_vec(), true));
    assert_eq!(load(RowId(0), 0, 0), (ids[0..1].to_vec(), true), "one row always comes");
    assert_eq!(load(ids[5], usize::MAX, usize::MAX), (vec![], false));
}

#[test]
fn lanes_are_read_apart_and_share_their_ids() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let alarm = |ticket| NewRow { lane: Lane::Alarm, ..row(ticket, "hot") };
    let ids: Vec<RowId> =
        rig.append(vec![row(0, "a"), alarm(1), row(2, "b"), alarm(3)]).iter().map(|row| row.id).collect();
    rig.remove(vec![ids[3]]);
    let mut rig = rig.restart(directory.path());
    assert_eq!(rig.all(Lane::Live).iter().map(|row| row.id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    assert_eq!(rig.all(Lane::Alarm).iter().map(|row| row.id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(rig.restored.alarm, LaneState { rows: 1, bytes: 3, first: Some(ids[1]), last: Some(ids[1]) });
}

#[test]
fn a_body_above_the_cap_is_refused_and_its_neighbours_are_not() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    rig.ask(Request::Append(vec![
        row(1, "before"),
        row(2, vec![0; 10_000_000]),
        row(3, vec![7; BODY_BYTES_MAX]),
        row(4, "after"),
    ]));
    match rig.next() {
        OutboxEvent::AppendFailed { tickets, reason } => {
            assert_eq!(tickets, [2]);
            assert_eq!(reason, "the body is larger than 1048576 bytes; send less at a time");
        }
        other => panic!("{other:?}"),
    }
    match rig.next() {
        OutboxEvent::Committed { rows } => {
            assert_eq!(rows.iter().map(|row| row.ticket).collect::<Vec<_>>(), [1, 3, 4]);
        }
        other => panic!("{other:?}"),
    }
    let too_large = vec![row(5, vec![0; REQUEST_BYTES_OUTSTANDING_MAX])];
    assert!(matches!(rig.outbox.request(Request::Append(too_large)), Err(Refused::TooLarge(_))));
    assert_eq!(rig.all(Lane::Live).len(), 3);
}

#[test]
fn a_full_queue_refuses_without_blocking_and_loses_nothing_it_took() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    // A second writer keeps the owner thread waiting in its first commit.
    let second = look(directory.path(), TELEMETRY);
    second.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut taken = 0;
    let refused = loop {
        match rig.outbox.request(Request::Append(rows(taken..taken + 1))) {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
        // Once the wait is over the owner refuses group by group, until as many answers wait as may: nobody reads them.
        let bound = (EVENTS_QUEUED_MAX + 2) * REQUESTS_OUTSTANDING_MAX;
        assert!(taken <= bound as u64, "the queue has no bound");
    };
    assert!(matches!(&refused, Refused::Full(Request::Append(given_back)) if given_back[0].ticket == taken));
    second.execute_batch("ROLLBACK").unwrap();
    let mut answered = 0;
    while answered < taken {
        match rig.next() {
            OutboxEvent::Committed { rows } => answered += rows.len() as u64,
            OutboxEvent::AppendFailed { tickets, .. } => answered += tickets.len() as u64,
            OutboxEvent::Degraded { .. } | OutboxEvent::Healed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn many_bytes_fill_the_queue_before_many_requests_do() {
    let directory = directory();
    let rig = Rig::open(directory.path());
    let second = look(directory.path(), TELEMETRY);
    second.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = Bytes::from(vec![1; BODY_BYTES_MAX]);
    let taken = (0..REQUESTS_OUTSTANDING_MAX as u64)
        .take_while(|ticket| rig.outbox.request(Request::Append(vec![row(*ticket, body.clone())])).is_ok())
        .count();
    // The owner thread may have taken one group (4 MiB) out of the queue already.
    assert!((31..=37).contains(&taken), "{taken} MiB were queued");
}

#[test]
fn closing_finishes_what_is_queued_even_if_nobody_reads_events() {
    let directory = directory();
    let rig = Rig::open(directory.path());
    let mut asked: u64 = 0;
    // More loads than events fit in the channel: the owner thread has to wait for room when closing begins.
    while asked < 2_000 {
        let load = Request::Load { ticket: asked, lane: Lane::Live, after: RowId(0), rows_max: 1, bytes_max: 1 };
        match rig.outbox.request(load) {
            Ok(()) => asked += 1,
            Err(Refused::Full(_)) if asked > 700 => break,
            Err(Refused::Full(_)) => std::thread::yield_now(),
            Err(other) => panic!("{other}"),
        }
    }
    let rig = rig.restart(directory.path());
    rig.ask(Request::Append(rows(0..100)));
    let mut rig = rig.restart(directory.path());
    assert_eq!(rig.all(Lane::Live).len(), 100);
}

#[test]
fn room_of_removed_rows_goes_back_to_the_file_system_and_the_log_stays_bounded() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let mut ids = Vec::new();
    for batch in 0..32_u64 {
        ids.extend(rig.append((0..64).map(|ticket| row(batch * 64 + ticket, vec![5; 16_000])).collect()));
    }
    let full = stats(directory.path()).unwrap();
    assert_eq!((full.live_rows, full.live_bytes), (2_048, 2_048 * 16_000));
    assert!(full.bytes_on_disk < 50_000_000, "{full:?}");
    rig.remove(ids.iter().map(|row| row.id).collect());
    // Closing waits for the owner thread, which gives room back when idle; another load lets it become idle.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while look(directory.path(), TELEMETRY)
        .pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0))
        .unwrap()
        > 1_024
    {
        assert!(std::time::Instant::now() < until, "the file was not made smaller");
        assert_eq!(rig.all(Lane::Live), []);
    }
    rig.outbox.close();
    let empty = stats(directory.path()).unwrap();
    assert_eq!(empty.live_rows, 0);
    assert!(empty.bytes_on_disk < 6_000_000, "{empty:?}");
}

#[test]
fn requests_on_one_store_take_effect_in_the_order_made() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let first = rig.append(rows(0..1))[0].id;
    let load = |ticket| Request::Load { ticket, lane: Lane::Live, after: RowId(0), rows_max: 10, bytes_max: 1_000 };
    rig.ask(Request::Append(rows(1..2)));
    rig.ask(load(100));
    rig.ask(Request::Remove(vec![first]));
    rig.ask(Request::Append(rows(2..3)));
    rig.ask(load(101));
    let (mut seen, mut removed) = (Vec::new(), 0);
    while seen.len() < 4 || removed < 1 {
        match rig.next() {
            OutboxEvent::Committed { rows } => seen.push(format!("committed {}", rows[0].ticket)),
            OutboxEvent::Loaded { ticket, rows, .. } => seen.push(format!("loaded {ticket}: {}", rows.len())),
            OutboxEvent::Removed { store: Store::Telemetry, requests, .. } => removed += requests,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["committed 1", "loaded 100: 2", "committed 2", "loaded 101: 2"]);
}

#[test]
fn what_a_crash_left_in_the_logs_is_moved_before_anything_is_committed_behind_it() {
    let (directory, left) = (directory(), crate::rig::directory());
    let mut rig = Rig::open(directory.path());
    let ids: Vec<RowId> =
        rig.append((0..50).map(|ticket| row(ticket, vec![9; 20_000])).collect()).iter().map(|row| row.id).collect();
    rig.ask(Request::Put { ticket: 1, name: "sync".into(), value: Some(Bytes::from(vec![1; 500_000])) });
    assert_eq!(rig.next(), OutboxEvent::Stored { ticket: 1 });
    // The files as a crash leaves them.
    fs::create_dir(left.path().join("telemetry")).unwrap();
    let logs = [TELEMETRY, LEDGER].map(|file| format!("{file}-wal"));
    for file in [TELEMETRY, LEDGER].into_iter().chain(logs.iter().map(String::as_str)) {
        fs::copy(directory.path().join(file), left.path().join(file)).unwrap();
    }
    let bytes = |log: &String| fs::metadata(left.path().join(log)).unwrap().len();
    assert!(logs.iter().all(|log| bytes(log) > 400_000));
    let mut rig = Rig::open(left.path());
    assert!(logs.iter().all(|log| bytes(log) < 40_000), "what may be in memory only is still part of the log");
    assert_eq!(rig.restored.facts["sync"].len(), 500_000);
    assert_eq!(rig.all(Lane::Live).iter().map(|row| row.id).collect::<Vec<_>>(), ids);
}

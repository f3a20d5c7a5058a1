//! Disks that refuse to write.

use std::time::{Duration, Instant};

use bytes::Bytes;
use edgeplug_outbox::{
    Ack, AckId, FinishOutcome, Lane, OutboxEvent, OutboxOptions, Request, RowId, SpaceLimits, Store, stats,
};

use crate::rig::{LEDGER, Rig, TELEMETRY, directory, look, row, rows};

#[test]
fn a_full_disk_degrades_once_still_drains_and_heals_by_itself() {
    let directory = directory();
    let mut options = OutboxOptions::new(directory.path());
    options.telemetry_pages_max_for_tests = Some(300);
    let mut rig = Rig::open_with(options);
    let mut kept: Vec<RowId> = Vec::new();
    let mut ticket = 0;
    // Until it is full.
    let reason = loop {
        rig.ask(Request::Append(vec![row(ticket, vec![9; 10_000])]));
        match rig.next() {
            OutboxEvent::Committed { rows } => kept.extend(rows.iter().map(|row| row.id)),
            OutboxEvent::Degraded { store: Store::Telemetry, reason } => break reason,
            other => panic!("{other:?}"),
        }
        ticket += 1;
        assert!(ticket < 1_000, "the disk never became full");
    };
    assert_eq!(reason, "cannot store telemetry: database or disk is full");
    assert_eq!(rig.next(), OutboxEvent::AppendFailed { tickets: vec![ticket], reason: reason.clone() });

    // Refused at once, and Degraded is not said again.
    rig.ask(Request::Append(rows(5_000..5_003)));
    assert_eq!(rig.next(), OutboxEvent::AppendFailed { tickets: vec![5_000, 5_001, 5_002], reason });
    // What is there can be read and delivered.
    assert_eq!(rig.all(Lane::Live).iter().map(|row| row.id).collect::<Vec<_>>(), kept);
    let delivered: Vec<RowId> = kept.drain(..kept.len() / 2).collect();
    let named = delivered.len() as u64;
    rig.ask(Request::Remove(delivered));
    assert_eq!(rig.next(), OutboxEvent::Removed { store: Store::Telemetry, requests: 1, rows: named });
    assert_eq!(rig.next(), OutboxEvent::Healed { store: Store::Telemetry, damaged: None });
    kept.extend(rig.append(rows(6_000..6_010)).iter().map(|row| row.id));

    let mut rig = rig.restart(directory.path());
    assert_eq!(rig.all(Lane::Live).iter().map(|row| row.id).collect::<Vec<_>>(), kept);
}

#[test]
fn removals_that_cannot_be_written_are_hidden_kept_and_paid_later() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let ids: Vec<RowId> = rig.append(rows(0..10)).iter().map(|row| row.id).collect();
    // No write gets through while another connection holds the lock.
    let second = look(directory.path(), TELEMETRY);
    second.execute_batch("BEGIN IMMEDIATE").unwrap();
    rig.ask(Request::Remove(ids[..4].to_vec()));
    match rig.next() {
        OutboxEvent::Degraded { store: Store::Telemetry, reason } => assert!(reason.contains("locked"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.next(), OutboxEvent::Removed { store: Store::Telemetry, requests: 1, rows: 4 });
    assert_eq!(rig.all(Lane::Live).iter().map(|row| row.id).collect::<Vec<_>>(), ids[4..]);
    let on_disk: i64 = second.query_row("SELECT count(*) FROM live", [], |row| row.get(0)).unwrap();
    assert_eq!(on_disk, 10);
    second.execute_batch("ROLLBACK").unwrap();
    assert_eq!(rig.next(), OutboxEvent::Healed { store: Store::Telemetry, damaged: None });
    let on_disk: i64 = second.query_row("SELECT count(*) FROM live", [], |row| row.get(0)).unwrap();
    assert_eq!(on_disk, 6);
}

#[test]
fn a_ledger_that_cannot_write_fails_each_request_and_telemetry_goes_on() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let record = |ticket| Request::RecordCommand { ticket, key: "c1".into(), body: Bytes::new(), received_unix_ms: 0 };
    let finish = |ticket| {
        let ack = Ack { kind: 0, link_down: false, created_unix_ms: 0, body: Bytes::from_static(b"ok") };
        Request::FinishCommand { ticket, key: "c1".into(), finished_unix_ms: 1, ack: Some(ack) }
    };
    rig.ask(record(1));
    assert!(matches!(rig.next(), OutboxEvent::Recorded { ticket: 1, .. }));
    let second = look(directory.path(), LEDGER);
    second.execute_batch("BEGIN IMMEDIATE").unwrap();
    rig.ask(finish(2));
    assert!(matches!(rig.next(), OutboxEvent::Degraded { store: Store::Ledger, .. }));
    assert!(matches!(rig.next(), OutboxEvent::FinishFailed { ticket: 2, .. }));
    rig.ask(record(3));
    assert!(matches!(rig.next(), OutboxEvent::RecordFailed { ticket: 3, .. }));
    rig.ask(Request::NoteCommand { ticket: 6, key: "c1".into(), body: Bytes::new() });
    assert!(matches!(rig.next(), OutboxEvent::CommandNoted { ticket: 6, result: Err(_) }));
    rig.ask(Request::Put { ticket: 4, name: "sync".into(), value: None });
    assert!(matches!(rig.next(), OutboxEvent::PutFailed { ticket: 4, .. }));
    assert_eq!(rig.append(rows(0..3)).len(), 3);
    second.execute_batch("ROLLBACK").unwrap();
    assert_eq!(rig.next(), OutboxEvent::Healed { store: Store::Ledger, damaged: None });
    rig.ask(finish(5));
    assert!(matches!(rig.next(), OutboxEvent::Finished { ticket: 5, outcome: FinishOutcome::Done { ack: Some(_) } }));
}

#[test]
fn delivered_acks_that_cannot_be_removed_do_not_hide_those_behind_them() {
    let directory = directory();
    let mut rig = Rig::open(directory.path());
    let mut acks: Vec<AckId> = Vec::new();
    for number in 0..6 {
        let key = format!("c{number}");
        rig.ask(Request::RecordCommand { ticket: 1, key: key.clone(), body: Bytes::new(), received_unix_ms: 0 });
        rig.next();
        let ack = Ack { kind: 0, link_down: false, created_unix_ms: 0, body: Bytes::from_static(b"ok") };
        rig.ask(Request::FinishCommand { ticket: 2, key, finished_unix_ms: 1, ack: Some(ack) });
        match rig.next() {
            OutboxEvent::Finished { outcome: FinishOutcome::Done { ack: Some(ack) }, .. } => acks.push(ack),
            other => panic!("{other:?}"),
        }
    }
    let second = look(directory.path(), LEDGER);
    second.execute_batch("BEGIN IMMEDIATE").unwrap();
    rig.ask(Request::RemoveAcks(acks[..4].to_vec()));
    assert!(matches!(rig.next(), OutboxEvent::Degraded { store: Store::Ledger, .. }));
    assert!(matches!(rig.next(), OutboxEvent::Removed { store: Store::Ledger, requests: 1, .. }));
    rig.ask(Request::LoadAcks { ticket: 3, after: AckId(0), rows_max: 2, bytes_max: 1_000 });
    match rig.next() {
        OutboxEvent::AcksLoaded { ticket: 3, acks: found, more } => {
            assert_eq!((found.iter().map(|ack| ack.id).collect::<Vec<_>>(), more), (acks[4..].to_vec(), false));
        }
        other => panic!("{other:?}"),
    }
    second.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn a_segment_that_alone_cannot_be_written_keeps_no_other_waiting_and_is_tried_with_pauses() {
    let directory = directory();
    let mut options = OutboxOptions::new(directory.path());
    options.limits = SpaceLimits { bytes_max: 8 << 20, files_max: 6 };
    let mut rig = Rig::open_with(options.clone());
    let mut ids = Vec::new();
    while !options.directory.join("telemetry/000003.db").exists() {
        ids.extend(rig.append((0..20).map(|ticket| row(ticket, vec![3; 8_000])).collect()).iter().map(|row| row.id));
    }
    let segments = stats(directory.path()).unwrap().segments;
    let second = look(directory.path(), TELEMETRY);
    second.execute_batch("BEGIN IMMEDIATE").unwrap();
    let third = segments[2].first_row.unwrap();
    rig.remove(ids.iter().copied().filter(|id| *id < third).collect());
    let wait_until_gone = |rig: &mut Rig, file: &std::path::Path| {
        let until = Instant::now() + Duration::from_secs(20);
        while file.exists() {
            assert!(Instant::now() < until, "{} was never emptied", file.display());
            assert!(rig.all(Lane::Live).iter().all(|row| row.id >= third));
        }
    };
    wait_until_gone(&mut rig, &segments[1].file);
    assert!(segments[0].file.exists());
    let before = rig.outbox.written();
    for ticket in 0..40 {
        rig.append(rows(ticket..ticket + 1));
    }
    let commits = rig.outbox.written().commits - before.commits;
    assert!(commits < 60, "{commits} commits for 40 groups: each tried the first segment again");
    second.execute_batch("ROLLBACK").unwrap();
    drop(second);
    wait_until_gone(&mut rig, &segments[0].file);
}

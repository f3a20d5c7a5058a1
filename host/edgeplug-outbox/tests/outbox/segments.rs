//! Many files: limits that hold, rows that move from one to the next, room that comes back.

use std::{collections::BTreeMap, fs, path::Path};

use bytes::Bytes;
use edgeplug_outbox::{
    Eviction, Lane, NewRow, OpenError, Outbox, OutboxEvent, OutboxOptions, Request, RowId, SpaceLimits, stats,
};
use proptest::{collection::vec, prelude::*};

use crate::rig::{Rig, directory, row, rows};

const MIB: u64 = 1024 * 1024;

fn limited(directory: &Path, bytes_max: u64, files_max: u16) -> OutboxOptions {
    let mut options = OutboxOptions::new(directory);
    options.limits = SpaceLimits { bytes_max, files_max };
    options
}

/// Segments there are, and the bytes of everything that belongs to them.
fn on_disk(directory: &Path) -> (usize, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(directory.join("telemetry")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.contains(".db") && !name.contains("damaged") {
            files += usize::from(name.ends_with(".db"));
            // What was deleted between the two looks takes no room.
            bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        }
    }
    (files, bytes)
}

/// Appends rows of 10 kB until so many segments are there.
fn fill(rig: &mut Rig, directory: &Path, segments: usize) -> Vec<RowId> {
    let mut ids = Vec::new();
    while on_disk(directory).0 < segments {
        let tickets = ids.len() as u64..ids.len() as u64 + 10;
        ids.extend(rig.append(tickets.map(|ticket| row(ticket, vec![7; 10_000])).collect()).iter().map(|row| row.id));
    }
    ids
}

fn ids_of(rig: &mut Rig, lane: Lane) -> Vec<RowId> {
    rig.all(lane).iter().map(|row| row.id).collect()
}

/// What an append of rows came to.
#[derive(Default)]
struct Appended {
    ids: Vec<RowId>,
    evicted_through: RowId,
    evicted_rows: u64,
}

fn append_evicting(rig: &mut Rig, rows: Vec<NewRow>) -> Appended {
    let (count, mut appended) = (rows.len(), Appended::default());
    rig.ask(Request::Append(rows));
    while appended.ids.len() < count {
        match rig.next() {
            OutboxEvent::Committed { rows } => appended.ids.extend(rows.iter().map(|row| row.id)),
            OutboxEvent::Evicted { through, rows, why: Eviction::Space, .. } => {
                assert!(through > appended.evicted_through);
                appended.evicted_through = through;
                appended.evicted_rows += rows;
            }
            other => panic!("{other:?}"),
        }
    }
    appended
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_after_every_group_and_only_the_oldest_rows_are_given_up(
        files_max in 1..5_u16,
        spare in 0..3 * MIB,
        groups in vec((1..60_usize, prop_oneof![3 => 0..900_usize, 2 => 900..5_000_usize, 1 => 5_000..60_000_usize], 0..40_usize), 20..40),
    ) {
        let directory = directory();
        let bytes_max = 3 * MIB / 2 + u64::from(files_max) * MIB / 2 + spare;
        let mut rig = Rig::open_with(limited(directory.path(), bytes_max, files_max));
        let mut kept: BTreeMap<RowId, (Lane, usize)> = BTreeMap::new();
        for (count, body, removed) in groups {
            let rows: Vec<NewRow> = (0..count)
                .map(|n| {
                    // With one file alarms go last: another test.
                    let lane = if n % 7 == 3 && files_max > 1 { Lane::Alarm } else { Lane::Live };
                    NewRow { lane, ..row(n as u64, vec![1; body + n % 13]) }
                })
                .collect();
            let wanted: Vec<(Lane, usize)> = rows.iter().map(|row| (row.lane, row.body.len())).collect();
            let appended = append_evicting(&mut rig, rows);
            // A large request is several groups: the last of them may push out the first.
            kept.extend(appended.ids.into_iter().zip(wanted));
            let before = kept.len() as u64;
            kept.retain(|id, _| *id > appended.evicted_through);
            prop_assert_eq!(before - kept.len() as u64, appended.evicted_rows, "through {:?}", appended.evicted_through);
            let (files, bytes) = on_disk(directory.path());
            prop_assert!(bytes <= bytes_max && files <= usize::from(files_max), "{bytes} of {bytes_max}, {files} of {files_max}");
            let gone: Vec<RowId> = kept.keys().step_by(3).take(removed).copied().collect();
            rig.remove(gone.clone());
            for id in gone {
                kept.remove(&id);
            }
            let (_, bytes) = on_disk(directory.path());
            prop_assert!(bytes <= bytes_max, "after removing: {bytes} of {bytes_max}");
        }
        let mut rig = rig.restart_with(limited(directory.path(), bytes_max, files_max));
        for lane in [Lane::Live, Lane::Alarm] {
            let found: Vec<_> = rig.all(lane).iter().map(|row| (row.id, row.body.len())).collect();
            let wanted: Vec<_> =
                kept.iter().filter(|(_, (at, _))| *at == lane).map(|(id, (_, bytes))| (*id, *bytes)).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}

#[test]
fn rows_come_in_order_across_segments_and_an_emptied_segment_is_deleted() {
    let directory = directory();
    let options = limited(directory.path(), 8 * MIB, 4);
    let mut rig = Rig::open_with(options.clone());
    let ids = fill(&mut rig, directory.path(), 4);
    assert_eq!(ids_of(&mut rig, Lane::Live), ids);
    let mut rig = rig.restart_with(options.clone());
    assert_eq!(ids_of(&mut rig, Lane::Live), ids);
    assert_eq!((rig.restored.live.first, rig.restored.live.last), (Some(ids[0]), ids.last().copied()));
    assert_eq!(rig.restored.live.rows, ids.len() as u64);

    // In one request, from both ends and the middle.
    let segments = stats(directory.path()).unwrap().segments;
    let second = segments[1].first_row.unwrap();
    let named: Vec<RowId> =
        ids.iter().copied().filter(|id| *id < second || *id == segments[2].first_row.unwrap()).rev().collect();
    rig.remove(named.clone());
    assert_eq!(on_disk(directory.path()).0, 3, "the first is empty");
    assert!(!segments[0].file.exists());
    let left: Vec<RowId> = ids.iter().copied().filter(|id| !named.contains(id)).collect();
    assert_eq!(ids_of(&mut rig, Lane::Live), left);
    let more = rig.append(rows(0..5));
    assert!(more[0].id > *ids.last().unwrap());
    let mut rig = rig.restart_with(options);
    rig.remove(left);
    assert_eq!(on_disk(directory.path()).0, 1, "the newest stays");
    assert_eq!(ids_of(&mut rig, Lane::Live).len(), 5);
}

#[test]
fn a_load_stops_at_its_bounds_also_at_a_segments_end() {
    let directory = directory();
    let mut rig = Rig::open_with(limited(directory.path(), 8 * MIB, 4));
    let ids = fill(&mut rig, directory.path(), 2);
    let end = stats(directory.path()).unwrap().segments[0].last_row.unwrap();
    let at = ids.iter().position(|id| *id == end).unwrap();
    for (after, rows_max, want) in [(at - 3, 3, at - 2..at + 1), (at - 3, 4, at - 2..at + 2), (at, 2, at + 1..at + 3)] {
        rig.ask(Request::Load { ticket: 1, lane: Lane::Live, after: ids[after], rows_max, bytes_max: MIB as usize });
        match rig.next() {
            OutboxEvent::Loaded { rows, more, .. } => {
                assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), ids[want]);
                assert!(more);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn with_one_file_live_rows_go_before_alarms() {
    let directory = directory();
    let mut rig = Rig::open_with(limited(directory.path(), 2 * MIB, 1));
    let alarm = rig.append(vec![NewRow { lane: Lane::Alarm, ..row(0, "it burns") }])[0].id;
    let mut evicted = 0;
    while evicted == 0 {
        evicted = append_evicting(&mut rig, (0..20).map(|ticket| row(ticket, vec![7; 5_000])).collect()).evicted_rows;
    }
    assert_eq!(ids_of(&mut rig, Lane::Alarm), [alarm]);
    assert_eq!(on_disk(directory.path()).0, 1);
}

#[test]
fn rows_that_were_delivered_do_not_count_as_evicted() {
    let directory = directory();
    let options = limited(directory.path(), 4 * MIB, 2);
    let mut rig = Rig::open_with(options);
    let ids = fill(&mut rig, directory.path(), 2);
    let oldest = stats(directory.path()).unwrap().segments[0].live_rows;
    rig.remove(ids[..7].to_vec());
    let mut evicted = 0;
    while evicted == 0 {
        evicted = append_evicting(&mut rig, vec![row(0, vec![7; 10_000])]).evicted_rows;
    }
    assert_eq!(evicted, oldest - 7);
}

#[test]
fn lowered_limits_are_kept_from_the_next_start_on() {
    for (bytes_max, files_max) in [(16 * MIB, 2), (4 * MIB, 8), (12 * MIB, 1), (2 * MIB, 1)] {
        let bytes_max = bytes_max.max(3 * MIB / 2 + u64::from(files_max) * MIB / 2);
        let directory = directory();
        let mut rig = Rig::open_with(limited(directory.path(), 24 * MIB, 4));
        let ids = fill(&mut rig, directory.path(), 4);
        let mut rig = rig.restart_with(limited(directory.path(), bytes_max, files_max));
        let mut evicted = 0;
        rig.ask(Request::Load { ticket: 1, lane: Lane::Live, after: RowId(0), rows_max: 1, bytes_max: 1 });
        let first = loop {
            match rig.next() {
                OutboxEvent::Evicted { rows, why: Eviction::Space, .. } => evicted += rows,
                OutboxEvent::Loaded { rows, .. } => break rows[0].id,
                other => panic!("{other:?}"),
            }
        };
        let (files, bytes) = on_disk(directory.path());
        assert!(bytes <= bytes_max && files <= usize::from(files_max), "{bytes} of {bytes_max}, {files}");
        let left = ids_of(&mut rig, Lane::Live);
        assert_eq!(left, ids[evicted as usize..], "the newest rows are kept");
        assert_eq!(left[0], first);
        assert!(rig.append(rows(0..1))[0].id > *ids.last().unwrap());
    }
}

#[test]
fn limits_without_room_for_anything_are_refused_by_name() {
    let directory = directory();
    for (bytes_max, files_max) in [(0, 1), (2 * MIB - 1, 1), (5 * MIB, 8), (u64::MAX, 0)] {
        let error = Outbox::open(limited(directory.path(), bytes_max, files_max)).unwrap_err();
        assert!(matches!(error, OpenError::Limits { .. }) && !error.may_heal(), "{error}");
        let text = error.to_string();
        assert!(text.contains("outbox.available_space_mb") && text.contains("outbox.file_count"), "{text}");
    }
    Rig::open_with(limited(directory.path(), 2 * MIB, 1)).append(rows(0..1));
    Rig::open_with(limited(directory.path(), u64::MAX, u16::MAX)).append(rows(0..1));
}

#[test]
fn a_body_that_could_never_fit_is_refused_and_nothing_is_given_up_for_it() {
    let directory = directory();
    let mut rig = Rig::open_with(limited(directory.path(), 2 * MIB, 1));
    let kept = rig.append((0..10).map(|ticket| row(ticket, vec![1; 20_000])).collect());
    rig.ask(Request::Append(vec![row(77, vec![0; 500_000])]));
    match rig.next() {
        OutboxEvent::AppendFailed { tickets, reason } => {
            assert_eq!(tickets, [77]);
            assert!(reason.contains("outbox.available_space_mb"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.all(Lane::Live).len(), kept.len());
    // The largest message the hub takes does fit.
    append_evicting(&mut rig, vec![row(78, vec![0; 256 * 1024])]);
}

#[test]
fn what_a_crash_left_of_a_deleted_segment_is_cleared_away() {
    let directory = directory();
    let options = limited(directory.path(), 8 * MIB, 4);
    let mut rig = Rig::open_with(options.clone());
    let ids = fill(&mut rig, directory.path(), 3);
    rig.outbox.close();
    let telemetry = directory.path().join("telemetry");
    fs::remove_file(telemetry.join("000001.db")).unwrap();
    fs::write(telemetry.join("000001.db-wal"), "of the segment that was being deleted").unwrap();
    fs::write(telemetry.join("000001.db-shm"), "its index").unwrap();
    let mut rig = Rig::open_with(options);
    assert!(!telemetry.join("000001.db-wal").exists() && !telemetry.join("000001.db-shm").exists());
    let left = ids_of(&mut rig, Lane::Live);
    assert_eq!(left, ids[ids.len() - left.len()..]);
    assert!(rig.append(rows(0..1))[0].id > *ids.last().unwrap());
}

#[test]
fn a_segment_that_an_earlier_attempt_left_behind_brings_no_old_ids_back() {
    let directory = directory();
    let options = limited(directory.path(), 8 * MIB, 4);
    let mut rig = Rig::open_with(options.clone());
    let mut ids: Vec<RowId> = rig.append(rows(0..10)).iter().map(|row| row.id).collect();
    // As if it had been made a moment too late for the disk, which failed before it could be used.
    let elsewhere = crate::rig::directory();
    Rig::open_with(limited(elsewhere.path(), 8 * MIB, 4)).outbox.close();
    fs::copy(elsewhere.path().join("telemetry/000001.db"), directory.path().join("telemetry/000002.db")).unwrap();
    while ids.len() < 200 {
        ids.extend(rig.append(vec![row(0, vec![7; 10_000])]).iter().map(|row| row.id));
    }
    assert!(stats(directory.path()).unwrap().segments[1].live_rows > 0, "the second segment was never used");
    assert!(ids.is_sorted_by(|one, other| one < other), "an id was given out twice");
    rig.remove(vec![ids[0]]);
    assert_eq!(ids_of(&mut rig, Lane::Live), ids[1..]);
    assert_eq!(ids_of(&mut rig.restart_with(options), Lane::Live), ids[1..]);
}

#[test]
fn rows_of_any_mixture_of_sizes_fit_where_room_was_made_for_them() {
    // Bytes of bodies in turn: pairs that do not fit one page, so that each takes its own.
    for mixture in
        [&[3_130, 960][..], &[3_900, 200], &[1_900, 2_250], &[2_100], &[3_500, 600, 600], &[4_200, 3_000, 1_100]]
    {
        for before in [0, 20, 40] {
            let directory = directory();
            let bytes_max = 3 * MIB;
            let mut rig = Rig::open_with(limited(directory.path(), bytes_max, 3));
            rig.append((0..before).map(|ticket| row(ticket, vec![1; 3_900])).collect());
            let sizes = || mixture.iter().copied().cycle();
            // Several transactions, each as large as they come. A degraded store fails the test.
            append_evicting(&mut rig, (0..).zip(sizes().take(400)).map(|(n, bytes)| row(n, vec![2; bytes])).collect());
            let (files, bytes) = on_disk(directory.path());
            assert!(bytes <= bytes_max && files <= 3, "{mixture:?} after {before}: {bytes}, {files}");
        }
    }
}

#[test]
fn limits_hold_while_rows_are_removed_here_and_there() {
    for files_max in [1, 2] {
        let directory = directory();
        let bytes_max = 12 * MIB;
        let mut rig = Rig::open_with(limited(directory.path(), bytes_max, files_max));
        let mut ids = Vec::new();
        let mut evicted = RowId(0);
        // A large and a small row share a page; without the large ones pages are merged.
        while evicted == RowId(0) {
            let group = (0..100).flat_map(|n| [row(n, vec![1; 3_000]), row(n, vec![2; 900])]).collect();
            let appended = append_evicting(&mut rig, group);
            ids.extend(appended.ids);
            evicted = appended.evicted_through;
        }
        ids.retain(|id| *id > evicted);
        for step in [8, 6, 10] {
            let lone: Vec<RowId> = ids.iter().copied().filter(|id| id.0 % step == 1).collect();
            rig.remove(lone.clone());
            let most = on_disk(directory.path()).1;
            assert!(most <= bytes_max, "{files_max} files, every {step}th row: {most} bytes of {bytes_max}");
            for entry in fs::read_dir(directory.path().join("telemetry")).unwrap() {
                let path = entry.unwrap().path();
                let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                let log = path.to_string_lossy().ends_with("-wal");
                assert!(!log || bytes <= LOG_BYTES_MAX, "every {step}th row: a log of {bytes} bytes");
            }
            ids.retain(|id| !lone.contains(id));
        }
        assert_eq!(ids_of(&mut rig, Lane::Live), ids);
    }
}

/// What one log may take where the limit is 12 MiB: the least there is, less its index.
const LOG_BYTES_MAX: u64 = (768 - 32) * 1024;

#[test]
fn dropping_through_an_id_gives_up_exactly_the_rows_up_to_it() {
    let directory = directory();
    let options = limited(directory.path(), 8 * MIB, 4);
    let mut rig = Rig::open_with(options.clone());
    let ids = fill(&mut rig, directory.path(), 4);
    let mut drop = |through| {
        rig.ask(Request::Drop { through });
        match rig.next() {
            OutboxEvent::Evicted { through, rows, bytes, why: Eviction::Asked } => (through, rows, bytes),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(drop(RowId(0)), (RowId(0), 0, 0));
    assert_eq!(drop(ids[4]), (ids[4], 5, 50_000));
    assert_eq!(drop(ids[150]), (ids[150], 146, 1_460_000));
    assert_eq!(drop(ids[150]), (ids[150], 0, 0));
    let mut rig = rig.restart_with(options.clone());
    assert_eq!(ids_of(&mut rig, Lane::Live), ids[151..]);
    rig.ask(Request::Append(rows(0..3)));
    rig.ask(Request::Drop { through: RowId(i64::MAX) });
    rig.ask(Request::Append(vec![row(9, Bytes::from_static(b"after"))]));
    let (mut gone, mut last) = (0, RowId(0));
    while gone == 0 || last == RowId(0) {
        match rig.next() {
            OutboxEvent::Committed { rows } if gone > 0 => last = rows[0].id,
            OutboxEvent::Committed { .. } => {}
            OutboxEvent::Evicted { rows, .. } => gone = rows,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gone, (ids.len() - 151 + 3) as u64);
    assert_eq!(ids_of(&mut rig, Lane::Live), [last]);
    let rig = rig.restart_with(options);
    assert_eq!(rig.restored.live.rows, 1);
}

//! Looking at the rows from outside, and giving them up while no daemon runs.

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::Path, time::SystemTime};

use edgeplug_outbox::{
    Lane, NewRow, OpenError, OutboxOptions, RowId, SpaceLimits, StatsError, StoredRow, drop_rows, export, stats,
};

use crate::rig::{Rig, directory, row};

fn options(directory: &Path) -> OutboxOptions {
    let mut options = OutboxOptions::new(directory);
    options.limits = SpaceLimits { bytes_max: 8 << 20, files_max: 6 };
    options
}

/// Three segments with rows of both lanes.
fn filled(options: &OutboxOptions) -> (Rig, Vec<StoredRow>) {
    let mut rig = Rig::open_with(options.clone());
    let mut stored = Vec::new();
    while !options.directory.join("telemetry/000003.db").exists() {
        let rows: Vec<NewRow> = (0..30)
            .map(|n| NewRow { lane: if n % 5 == 0 { Lane::Alarm } else { Lane::Live }, ..row(n, vec![n as u8; 3_000]) })
            .collect();
        for (row, appended) in rows.clone().into_iter().zip(rig.append(rows)) {
            let NewRow { lane, kind, link_down, created_unix_ms, body, .. } = row;
            stored.push(StoredRow { id: appended.id, lane, kind, link_down, created_unix_ms, body });
        }
    }
    (rig, stored)
}

fn exported(directory: &Path, lanes: &[Lane]) -> Vec<StoredRow> {
    let mut rows = Vec::new();
    let count = export(directory, lanes, |row| {
        rows.push(row);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(count, rows.len() as u64);
    rows
}

/// Every file with its length and the time of its last change.
fn files(directory: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let files = |directory: &Path| fs::read_dir(directory).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    files(directory)
        .into_iter()
        .chain(files(&directory.join("telemetry")))
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            (entry.file_name().into_string().unwrap(), (metadata.len(), metadata.modified().unwrap()))
        })
        .collect()
}

#[test]
fn an_export_hands_over_every_row_in_order_and_changes_nothing() {
    let directory = directory();
    let (rig, stored) = filled(&options(directory.path()));
    let live: Vec<StoredRow> = stored.iter().filter(|row| row.lane == Lane::Live).cloned().collect();
    let before = files(directory.path());
    assert_eq!(exported(directory.path(), &[Lane::Live, Lane::Alarm]), stored);
    assert_eq!(exported(directory.path(), &[Lane::Live]), live);
    assert_eq!(exported(directory.path(), &[]), []);
    stats(directory.path()).unwrap();
    let after = files(directory.path());
    assert!(after.keys().eq(before.keys()), "{after:?}");
    // Reading takes part in the locks of a running daemon's log index.
    assert!(after.iter().all(|(name, file)| name.ends_with("-shm") || before[name] == *file), "{after:?}");
    rig.outbox.close();
    let before = files(directory.path());
    assert_eq!(exported(directory.path(), &[Lane::Alarm, Lane::Live]), stored);
    assert_eq!(files(directory.path()), before);
}

#[test]
fn an_export_stops_when_it_is_told_to() {
    let directory = directory();
    let (rig, stored) = filled(&options(directory.path()));
    let mut seen = 0;
    let count = export(directory.path(), &[Lane::Live, Lane::Alarm], |row| {
        assert_eq!(row.id, stored[seen].id);
        seen += 1;
        if seen == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((count.unwrap(), seen), (7, 7));
    rig.outbox.close();
    let nowhere = directory.path().join("nowhere");
    let missing = export(&nowhere, &[Lane::Live], |_| ControlFlow::Continue(()));
    assert!(matches!(missing, Err(StatsError::Missing { .. })));
    assert!(!nowhere.exists());
}

#[test]
fn an_export_goes_on_while_the_daemon_empties_and_fills_segments() {
    let directory = directory();
    let (mut rig, stored) = filled(&options(directory.path()));
    let middle = stored[stored.len() / 2].id;
    let mut seen = Vec::new();
    export(directory.path(), &[Lane::Live, Lane::Alarm], |row| {
        if seen.is_empty() {
            rig.remove(stored.iter().map(|row| row.id).filter(|id| *id < middle).collect());
            rig.append((0..100).map(|n| crate::rig::row(n, vec![1; 3_000])).collect());
        }
        seen.push(row.id);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(seen.is_sorted());
    let last = stored.last().unwrap().id;
    let must: Vec<RowId> = stored.iter().map(|row| row.id).filter(|id| *id >= middle).collect();
    assert_eq!(seen.iter().copied().filter(|id| (middle..=last).contains(id)).collect::<Vec<_>>(), must);
    assert_eq!(seen.iter().filter(|id| **id > last).count(), 100);
}

#[test]
fn segments_are_named_in_the_totals() {
    let directory = directory();
    let (rig, stored) = filled(&options(directory.path()));
    let stats = stats(directory.path()).unwrap();
    assert_eq!(stats.segments.iter().map(|segment| segment.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(stats.live_rows + stats.alarm_rows, stored.len() as u64);
    assert_eq!(stats.segments.iter().map(|segment| segment.live_bytes).sum::<u64>(), stats.live_bytes);
    assert_eq!(stats.segments[0].first_row, Some(stored[0].id));
    assert_eq!(stats.segments[0].oldest_unix_ms, Some(stored[0].created_unix_ms));
    assert_eq!(stats.segments[2].last_row, Some(stored[stored.len() - 1].id));
    rig.outbox.close();
}

#[test]
fn rows_are_dropped_offline_and_only_while_no_daemon_runs() {
    let directory = directory();
    let (rig, stored) = filled(&options(directory.path()));
    let refused = drop_rows(directory.path(), RowId(i64::MAX)).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    rig.outbox.close();
    let at = stored.len() / 2;
    let dropped = drop_rows(directory.path(), stored[at].id).unwrap();
    assert_eq!((dropped.rows, dropped.bytes), (at as u64 + 1, (at as u64 + 1) * 3_000));
    assert_eq!(exported(directory.path(), &[Lane::Live, Lane::Alarm]), stored[at + 1..]);
    assert_eq!(drop_rows(directory.path(), RowId(i64::MAX)).unwrap().rows, (stored.len() - at - 1) as u64);
    assert_eq!(exported(directory.path(), &[Lane::Live, Lane::Alarm]), []);
    let mut rig = Rig::open_with(options(directory.path()));
    assert!(rig.append(crate::rig::rows(0..1))[0].id > stored[stored.len() - 1].id);
    rig.outbox.close();
    let nowhere = directory.path().join("nowhere");
    assert!(matches!(drop_rows(&nowhere, RowId(1)), Err(OpenError::Missing { .. })));
    assert!(!nowhere.exists());
}

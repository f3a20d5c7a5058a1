//! A look at an outbox from outside, also while a daemon uses it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use crate::{
    database::{COMPANIONS, beside},
    directory::Layout,
    error::StatsError,
    event::RowId,
    ledger::store::Counts,
    look::look,
    request::Lane,
    telemetry::tables::{self, Totals},
};

/// What an outbox holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub live_rows: u64,
    /// Bytes of the bodies.
    pub live_bytes: u64,
    pub alarm_rows: u64,
    pub alarm_bytes: u64,
    /// Acknowledgements waiting to be delivered.
    pub acks: u64,
    pub commands_unfinished: u64,
    pub commands_finished: u64,
    pub facts: u64,
    /// All files with their write-ahead logs (`-wal`) and the logs' indexes (`-shm`), in bytes.
    pub bytes_on_disk: u64,
    /// Room kept back for the time when the disk is full, in bytes.
    pub bytes_kept_back: u64,
    /// Files that were set aside because they were damaged, in bytes.
    pub bytes_set_aside: u64,
    /// The files of telemetry, oldest first.
    pub segments: Vec<SegmentStats>,
}

/// One file of telemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentStats {
    pub number: u32,
    pub file: PathBuf,
    pub live_rows: u64,
    /// Bytes of the bodies.
    pub live_bytes: u64,
    pub alarm_rows: u64,
    pub alarm_bytes: u64,
    /// The oldest and the newest row of all lanes.
    pub first_row: Option<RowId>,
    pub last_row: Option<RowId>,
    /// When the oldest row was created, by the clock of that moment: milliseconds since 1970-01-01 UTC.
    pub oldest_unix_ms: Option<i64>,
    /// The file with its log and the log's index, in bytes.
    pub bytes_on_disk: u64,
}

/// Reads the totals of the outbox in `directory`. Changes nothing and needs no lock; beside a running daemon it takes part in
/// the locks of the log's index, so it runs as the daemon's user or as root.
///
/// # Errors
/// See [`StatsError`].
pub fn stats(directory: &Path) -> Result<Stats, StatsError> {
    let layout = Layout { directory: directory.to_owned() };
    let missing = || StatsError::Missing { directory: directory.to_owned() };
    let Some(counts) = look(&layout.ledger(), Counts::read)? else { return Err(missing()) };
    let numbers = match layout.segments() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
        other => other.map_err(|source| StatsError::File { path: layout.telemetry_directory(), source })?,
    };
    let mut segments = Vec::new();
    for number in numbers {
        let file = layout.segment(number);
        // A segment that was emptied a moment ago is gone.
        if let Some((totals, first_row, last_row, oldest_unix_ms)) = look(&file, read)? {
            segments.push(SegmentStats {
                number,
                live_rows: totals.live.rows.unsigned_abs(),
                live_bytes: totals.live.bytes.unsigned_abs(),
                alarm_rows: totals.alarm.rows.unsigned_abs(),
                alarm_bytes: totals.alarm.bytes.unsigned_abs(),
                first_row,
                last_row,
                oldest_unix_ms,
                bytes_on_disk: store_bytes(&file)?,
                file,
            });
        }
    }
    if segments.is_empty() {
        return Err(missing());
    }
    let sum = |of: fn(&SegmentStats) -> u64| segments.iter().map(of).fold(0, u64::saturating_add);
    Ok(Stats {
        live_rows: sum(|segment| segment.live_rows),
        live_bytes: sum(|segment| segment.live_bytes),
        alarm_rows: sum(|segment| segment.alarm_rows),
        alarm_bytes: sum(|segment| segment.alarm_bytes),
        acks: counts.acks,
        commands_unfinished: counts.unfinished,
        commands_finished: counts.finished,
        facts: counts.facts,
        bytes_on_disk: sum(|segment| segment.bytes_on_disk) + store_bytes(&layout.ledger())?,
        bytes_kept_back: file_bytes(layout.telemetry_reserve())? + file_bytes(layout.ledger_reserve())?,
        bytes_set_aside: set_aside_bytes(&layout.telemetry_directory())? + set_aside_bytes(directory)?,
        segments,
    })
}

type Read = (Totals, Option<RowId>, Option<RowId>, Option<i64>);

fn read(connection: &Connection) -> rusqlite::Result<Read> {
    let totals = Totals::read(connection)?;
    let live = tables::lane_state(connection, Lane::Live, &totals)?;
    let alarm = tables::lane_state(connection, Lane::Alarm, &totals)?;
    let first = live.first.into_iter().chain(alarm.first).min();
    let last = live.last.max(alarm.last);
    let oldest = first.map(|first| tables::created(connection, first)).transpose()?;
    Ok((totals, first, last, oldest.flatten()))
}

fn store_bytes(file: &Path) -> Result<u64, StatsError> {
    let companions: u64 =
        COMPANIONS.into_iter().map(|suffix| file_bytes(beside(file, suffix))).sum::<Result<_, StatsError>>()?;
    Ok(file_bytes(file.to_owned())? + companions)
}

fn file_bytes(path: PathBuf) -> Result<u64, StatsError> {
    match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(StatsError::File { path, source }),
    }
}

fn set_aside_bytes(directory: &Path) -> Result<u64, StatsError> {
    let failed = |source| StatsError::File { path: directory.to_owned(), source };
    let mut bytes = 0;
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().contains(".db.damaged-") {
            bytes += file_bytes(entry.path())?;
        }
    }
    Ok(bytes)
}

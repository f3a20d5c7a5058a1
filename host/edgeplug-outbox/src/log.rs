//! The write-ahead log of one file: how long it is, when it moves into the file, and what all of that wrote.
//!
//! SQLite's own automatic checkpoint is off: it would run inside the commit, before the rows of that commit are reported.

use std::sync::Arc;

use rusqlite::Connection;

use crate::{database::PAGE_BYTES, written::Counters};

/// A page and its header (SQLite file format, "WAL File Format").
pub(crate) const FRAME_BYTES: u64 = PAGE_BYTES + 24;
/// SQLite file format, "WAL File Format".
const HEADER_BYTES: u64 = 32;
/// The index of a log of up to 4,062 frames (SQLite, "WAL-mode File Format": blocks of 32 KiB); ours never holds more.
pub(crate) const INDEX_BYTES: u64 = 32 * 1024;

/// Frames at which the log is moved into the file, and frames it may hold at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLimits {
    pub(crate) frames_moved_at: u32,
    pub(crate) frames_max: u32,
}

impl LogLimits {
    /// As much as fits `bytes`, index included.
    pub(crate) const fn within(bytes: u64) -> Self {
        let frames_max = (bytes.saturating_sub(INDEX_BYTES + HEADER_BYTES) / FRAME_BYTES) as u32;
        Self { frames_moved_at: frames_max / 2, frames_max }
    }
}

/// The log of one open file.
pub(crate) struct Log {
    limits: LogLimits,
    frames: u32,
    /// Of them, those that are in the file already.
    frames_moved: u32,
    written: Arc<Counters>,
}

/// How far a checkpoint goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checkpoint {
    /// Looks only.
    Noop,
    /// As far as no reader is in the way.
    Passive,
    /// Waits for readers; the next write starts the log over.
    Restart,
    /// As `Restart`, and gives the log's room back.
    Truncate,
}

impl Log {
    pub(crate) fn open(connection: &Connection, limits: LogLimits, written: Arc<Counters>) -> rusqlite::Result<Self> {
        let mut log = Self { limits, frames: 0, frames_moved: 0, written };
        log.look(connection)?;
        Ok(log)
    }

    /// Notes that a transaction was committed.
    pub(crate) fn committed(&mut self, connection: &Connection) {
        let (before, all_moved) = (self.frames, self.frames == self.frames_moved);
        if let Err(error) = self.look(connection) {
            // What is committed stays committed; the next transaction will ask for room first.
            tracing::debug!(%error, "cannot see how long the log is");
            self.frames = self.limits.frames_max;
            self.frames_moved = 0;
        }
        let started_over = self.frames <= before || all_moved;
        let (frames, header) =
            if started_over { (self.frames, HEADER_BYTES) } else { (self.frames.saturating_sub(before), 0) };
        self.written.bytes(u64::from(frames) * FRAME_BYTES + header);
        self.written.commit();
    }

    /// Makes sure that a transaction of so many pages fits.
    pub(crate) fn make_room(&mut self, connection: &Connection, pages: u32) -> rusqlite::Result<()> {
        if self.frames.saturating_add(pages) > self.limits.frames_max {
            self.checkpoint(connection, Checkpoint::Restart)?;
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    pub(crate) fn is_due(&self) -> bool {
        self.frames >= self.limits.frames_moved_at && self.frames > self.frames_moved
    }

    /// Moves what can be moved without waiting for anyone.
    pub(crate) fn move_some(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.checkpoint(connection, Checkpoint::Passive)
    }

    /// Moves all of it into the file and empties it.
    pub(crate) fn empty(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.checkpoint(connection, Checkpoint::Truncate)
    }

    fn look(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.checkpoint(connection, Checkpoint::Noop)
    }

    fn checkpoint(&mut self, connection: &Connection, mode: Checkpoint) -> rusqlite::Result<()> {
        let sql = match mode {
            Checkpoint::Noop => "PRAGMA wal_checkpoint(NOOP)",
            Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Checkpoint::Restart => "PRAGMA wal_checkpoint(RESTART)",
            Checkpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        let (busy, frames, moved): (bool, i64, i64) =
            connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        // Negative numbers mean that there is no log yet.
        let count = |number: i64| u32::try_from(number).unwrap_or(0);
        if mode != Checkpoint::Noop {
            let pages: i64 = connection.prepare_cached("PRAGMA page_count")?.query_row([], |row| row.get(0))?;
            let moved_now = match mode {
                // It reports the emptied log.
                Checkpoint::Truncate => self.frames.saturating_sub(self.frames_moved),
                _ => count(moved).saturating_sub(self.frames_moved),
            };
            self.written.bytes(u64::from(moved_now.min(count(pages))) * PAGE_BYTES);
        }
        if busy && mode != Checkpoint::Passive {
            let why = "another program reads the log and keeps it from starting over".to_owned();
            return Err(crate::database::failure(rusqlite::ffi::SQLITE_BUSY, why));
        }
        (self.frames, self.frames_moved) = match mode {
            Checkpoint::Restart => (0, 0),
            _ => (count(frames), count(moved)),
        };
        Ok(())
    }
}

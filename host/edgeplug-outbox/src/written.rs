//! What the outbox has written since it was opened: for the wear of a flash disk, and for the bytes of one reading.

use std::sync::atomic::{AtomicU64, Ordering};

/// Totals since the opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes handed to the file system for all files: every frame of a write-ahead log, and every page that a checkpoint
    /// moved. A page that is moved once for several of its frames may be counted up to as often as it has frames, never
    /// more often than the file has pages: the figure is an upper bound, and close.
    pub bytes: u64,
    /// Telemetry rows committed.
    pub rows: u64,
    /// Transactions committed, in all files; under [`Durability::PowerLoss`](crate::Durability) each is one sync.
    pub commits: u64,
}

/// Counts on the owner thread, is read from any.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    bytes: AtomicU64,
    rows: AtomicU64,
    commits: AtomicU64,
}

impl Counters {
    pub(crate) fn bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn commit(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Written {
        Written {
            bytes: self.bytes.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
        }
    }
}

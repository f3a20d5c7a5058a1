//! The rows that one load answers with.

use crate::{
    event::{OutboxEvent, RowId, StoredRow},
    request::{LOAD_BYTES_MAX, LOAD_ROWS_MAX, Lane},
};

/// What a load asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadRows {
    pub(crate) ticket: u64,
    pub(crate) lane: Lane,
    pub(crate) after: RowId,
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
}

impl LoadRows {
    pub(crate) fn answer(&self, page: Page, more: bool) -> OutboxEvent {
        OutboxEvent::Loaded { ticket: self.ticket, lane: self.lane, rows: page.rows, more }
    }

    pub(crate) fn failure(&self, reason: &str) -> OutboxEvent {
        OutboxEvent::LoadFailed { ticket: self.ticket, reason: reason.to_owned() }
    }
}

/// Fills with rows of one lane, from one segment after the other.
pub(crate) struct Page {
    pub(crate) lane: Lane,
    /// The next row has an id above it.
    pub(crate) after: RowId,
    pub(crate) rows: Vec<StoredRow>,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
}

impl Page {
    pub(crate) fn new(load: &LoadRows) -> Self {
        Self {
            lane: load.lane,
            after: load.after,
            rows: Vec::new(),
            bytes: 0,
            rows_max: load.rows_max.clamp(1, LOAD_ROWS_MAX),
            bytes_max: load.bytes_max.min(LOAD_BYTES_MAX),
        }
    }

    /// One row always has room.
    pub(crate) fn has_room_for(&self, body_bytes: usize) -> bool {
        self.rows.is_empty() || (self.rows.len() < self.rows_max && self.bytes + body_bytes <= self.bytes_max)
    }

    pub(crate) fn push(&mut self, row: StoredRow) {
        self.after = row.id;
        self.bytes += row.body.len();
        self.rows.push(row);
    }
    /// Takes rows out again: the page is as it was when it held so many.
    pub(crate) fn take_back(&mut self, rows: usize, after: RowId) {
        self.rows.truncate(rows);
        self.bytes = self.rows.iter().map(|row| row.body.len()).sum();
        self.after = after;
    }
}

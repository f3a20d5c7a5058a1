//! The arithmetic of room: what the operator's limit means for one segment, one log and one transaction.
//!
//! Besides its segments the store needs room for two logs: of the newest segment, and of the one older segment that is
//! open at a time. `bytes_max = 2 logs + files_max segments`; a log holds a transaction twice over.

use crate::{
    database::PAGE_BYTES,
    error::OpenError,
    event::RowId,
    log::LogLimits,
    outbox::SpaceLimits,
    request::{BODY_BYTES_MAX, NewRow},
};

/// A log needs no more for the largest groups the owner thread makes.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A log below this has no room for a message of the size that the hub takes at most (256 KB, Azure IoT Hub quotas).
const LOG_BYTES_MIN: u64 = 768 * 1024;
/// Share of a small limit that one log gets.
const LOG_SHARE: u64 = 16;
/// A segment below this is mostly overhead.
const SEGMENT_BYTES_MIN: u64 = 512 * 1024;
/// Pages that any transaction may touch besides those of its rows: both tables' half-filled leaves and interior pages,
/// totals, header, free list, pointer map.
const PAGES_BESIDES: u32 = 16;
/// Bytes of a row besides its body: record and cell headers, id, kind, flags, time, cell pointer.
const ROW_BYTES_BESIDES: u64 = 32;
/// Body bytes of one overflow page (SQLite file format, "Cell Payload Overflow Pages").
const OVERFLOW_BYTES: u64 = PAGE_BYTES - 4;
/// The largest row that finds a leaf three quarters full when it does not fit any more.
const SMALL_BYTES_MAX: u64 = 1_000;

/// Where everything ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    pub(crate) bytes_max: u64,
    pub(crate) files_max: usize,
    /// Pages of one segment's file.
    pub(crate) segment_pages_max: u32,
    /// Room for one log with its index; also the room kept back for a full disk.
    pub(crate) log_bytes_max: u64,
    pub(crate) log: LogLimits,
}

impl Space {
    pub(crate) fn bytes_min(files_max: u16) -> u64 {
        2 * LOG_BYTES_MIN + u64::from(files_max.max(1)) * SEGMENT_BYTES_MIN
    }

    /// # Errors
    /// [`OpenError::Limits`] if nothing of use would fit.
    pub(crate) fn new(limits: SpaceLimits) -> Result<Self, OpenError> {
        let SpaceLimits { bytes_max, files_max } = limits;
        let files = u64::from(files_max.max(1));
        let bytes_min = Self::bytes_min(files_max);
        if bytes_max < bytes_min || files_max == 0 {
            return Err(OpenError::Limits { bytes_max, files_max, bytes_min });
        }
        let for_segments_at_least = files * SEGMENT_BYTES_MIN;
        let log_bytes_max =
            (bytes_max / LOG_SHARE).clamp(LOG_BYTES_MIN, LOG_BYTES_MAX).min((bytes_max - for_segments_at_least) / 2);
        let segment_bytes = (bytes_max - 2 * log_bytes_max) / files;
        Ok(Self {
            bytes_max,
            files_max: usize::from(files_max),
            segment_pages_max: u32::try_from(segment_bytes / PAGE_BYTES).unwrap_or(PAGES_MAX),
            log_bytes_max,
            log: LogLimits::within(log_bytes_max),
        })
    }

    /// For a hand that only takes away.
    pub(crate) fn unlimited() -> Self {
        Self {
            bytes_max: u64::MAX,
            files_max: usize::MAX,
            segment_pages_max: PAGES_MAX,
            log_bytes_max: LOG_BYTES_MAX,
            log: LogLimits::within(LOG_BYTES_MAX),
        }
    }

    /// What the rows of one transaction may cost, by [`row_cost`].
    pub(crate) fn transaction_cost_max(&self) -> u64 {
        // It must fit an empty segment, whose own pages are fewer than those besides.
        let pages = (self.log.frames_max / 2).min(self.segment_pages_max.saturating_sub(PAGES_BESIDES));
        u64::from(pages.saturating_sub(PAGES_BESIDES)) * PAGE_BYTES
    }

    /// Why a row can never be stored.
    pub(crate) fn refuses(&self, row: &NewRow) -> Option<String> {
        let bytes = row.body.len();
        if bytes > BODY_BYTES_MAX {
            return Some(format!("the body is larger than {BODY_BYTES_MAX} bytes; send less at a time"));
        }
        (row_cost(bytes) > self.transaction_cost_max()).then(|| {
            format!("a body of {bytes} bytes does not fit; raise outbox.available_space_mb or send less at a time")
        })
    }
}

/// SQLite's own limit.
const PAGES_MAX: u32 = 0xffff_fffe;

/// The most disk that a row of so many body bytes takes in a file or a log, in bytes, whatever its neighbours are. What
/// stays empty at the end of a leaf is included: before a small row it is less than a third of what the leaf holds, and
/// each row there pays that third of itself; a larger row pays for what it leaves empty before it.
pub(crate) fn row_cost(body_bytes: usize) -> u64 {
    let bytes = body_bytes as u64 + ROW_BYTES_BESIDES;
    if bytes <= SMALL_BYTES_MAX {
        bytes + bytes / 3
    } else if bytes < PAGE_BYTES - ROW_BYTES_BESIDES {
        (2 * bytes + bytes / 3).min(2 * PAGE_BYTES)
    } else {
        2 * PAGE_BYTES + bytes.div_ceil(OVERFLOW_BYTES) * PAGE_BYTES
    }
}

/// What removing a row may cost in the log if its neighbour goes with it: its leaf.
pub(crate) const REMOVAL_COST: u64 = PAGE_BYTES;
/// What removing a row may cost if its neighbours stay: its leaf, the two beside it that it is merged with, and what
/// points to them.
const LONE_REMOVAL_COST: u64 = 4 * PAGE_BYTES;

/// What removing these rows may cost in the log. Ids that follow each other are neighbours.
pub(crate) fn removal_cost<'a>(ids: impl IntoIterator<Item = &'a RowId>) -> u64 {
    removal_costs(ids).sum()
}

/// How many of these rows may be removed at such a cost; at least one.
pub(crate) fn removals_costing(ids: &[RowId], cost_max: u64) -> usize {
    let mut cost = 0;
    let affordable = removal_costs(ids).take_while(|one| {
        cost += one;
        cost <= cost_max
    });
    affordable.count().max(1)
}

fn removal_costs<'a>(ids: impl IntoIterator<Item = &'a RowId>) -> impl Iterator<Item = u64> {
    ids.into_iter().scan(None::<i64>, |before, RowId(id)| {
        let beside = before.replace(*id).is_some_and(|before| before.abs_diff(*id) <= 1);
        Some(if beside { REMOVAL_COST } else { LONE_REMOVAL_COST })
    })
}

/// The pages that a transaction of such a cost touches at most.
pub(crate) fn pages(cost: u64) -> u32 {
    u32::try_from(cost.div_ceil(PAGE_BYTES)).unwrap_or(PAGES_MAX).saturating_add(PAGES_BESIDES)
}

#[cfg(test)]
mod tests;

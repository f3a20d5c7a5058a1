//! Rows that lie in the store and not in memory: which ones, the page of them that is next, and at what pace they go.
//!
//! At the first link, and after an outage, everything committed so far is one range. While the live lane has no room,
//! newer rows make further ranges behind it. Ranges only hold committed rows and never touch, so a row is in exactly one
//! of: a range, the page, the live lane, in flight, on its way out of the store. Alarms are the exception: one that is
//! committed while ranges grow goes its own way at once, and is passed over when its range is read.
//!
//! An alarm found on a page goes before all readings and unpaced, as far as there is room for it; those on later pages wait
//! until they are read.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::item::{Content, Item, ItemId};
use super::queue::Queue;
use crate::event::LoadedRows;
use crate::{Action, RowId, Step, Ticket};

/// Rows read at once, and again when less than half of them is left.
const PAGE_ROWS: usize = 500;
/// And their bytes: with a page on top of half a page, 6 MiB at most.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Wait before a page that could not be read is asked for again.
const LOAD_RETRY: Duration = Duration::from_secs(5);
/// Ranges remembered; each but the first follows thousands of live rows, so this many are a store full of rows.
const RANGES_MAX: usize = 64;
/// Alarms remembered that lie in a range and went their own way; more than that wait for their page.
const AHEAD_MAX: usize = 1_000;
/// How far the pace may run ahead of its schedule, so that timers of a millisecond carry thousands of messages a second.
const PACE_SLACK: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct Backlog {
    ranges: VecDeque<Range>,
    /// Alarms in the ranges that went ahead.
    ahead: BTreeSet<RowId>,
    /// The first rows of the first range.
    pub(super) page: Queue,
    loading: Option<Loading>,
    retry_at: Option<Duration>,
    /// When the next message is due.
    next: Duration,
    /// It was said that there are rows which only a newer version can read.
    newer_said: bool,
}

/// Rows from behind `after` to `through`.
#[derive(Debug)]
struct Range {
    after: RowId,
    through: RowId,
    /// Newer rows still join it.
    open: bool,
}

#[derive(Debug)]
struct Loading {
    ticket: Ticket,
    through: RowId,
}

impl Backlog {
    /// Everything up to here waits in the store.
    pub(super) fn begin(&mut self, through: Option<RowId>) {
        self.forget();
        if let Some(through) = through {
            self.ranges.push_back(Range { after: RowId(0), through, open: false });
        }
    }

    /// Nothing is known to wait any more.
    pub(super) fn forget(&mut self) {
        *self = Self { next: self.next, newer_said: self.newer_said, ..Self::default() };
    }

    /// A row for which the live lane has no room.
    pub(super) fn overflow(&mut self, row: RowId) {
        match self.ranges.back_mut() {
            Some(range) if range.open => range.through = row,
            _ => {
                let after = RowId(row.0.saturating_sub(1));
                self.ranges.push_back(Range { after, through: row, open: true });
            }
        }
    }

    /// An alarm was committed and goes its own way, unless this says no.
    pub(super) fn go_ahead(&mut self, row: RowId) -> bool {
        let Some(range) = self.ranges.back_mut().filter(|range| range.open) else { return true };
        if self.ahead.len() >= AHEAD_MAX {
            return false;
        }
        range.through = row;
        self.ahead.insert(row)
    }

    /// The live lane has room again; says whether new rows may go there.
    pub(super) fn end_overflow(&mut self) -> bool {
        let may = self.ranges.len() < RANGES_MAX;
        if may && let Some(range) = self.ranges.back_mut() {
            range.open = false;
        }
        may
    }

    pub(super) fn evict(&mut self, through: RowId) {
        for range in &mut self.ranges {
            range.after = range.after.max(through);
        }
        self.forget_done();
    }

    /// Reads the next page if it is wanted.
    pub(super) fn load(&mut self, step: &mut Step<'_>) {
        let wanted = self.wants_page() && self.retry_at.is_none_or(|at| step.now.monotonic >= at);
        let Some(Range { after, through, .. }) = self.ranges.front().filter(|_| wanted) else { return };
        let (ticket, after, through) = (step.ticket(), *after, *through);
        self.loading = Some(Loading { ticket, through });
        self.retry_at = None;
        let rows_max = usize::try_from(through.0.saturating_sub(after.0)).unwrap_or(PAGE_ROWS).min(PAGE_ROWS);
        step.act(Action::Load { ticket, after, rows_max, bytes_max: PAGE_BYTES_MAX });
    }

    /// When a page that could not be read is asked for again.
    pub(super) fn retry_at(&self) -> Option<Duration> {
        self.retry_at.filter(|_| self.wants_page())
    }

    /// Takes a page, but for rows that are not `wanted`; gives back the alarms on it, at most so many. Others take their turn.
    pub(super) fn loaded(
        &mut self,
        ticket: Ticket,
        result: Result<LoadedRows, String>,
        now: Duration,
        alarms_max: usize,
        wanted: impl Fn(RowId) -> bool,
    ) -> Vec<Item> {
        let mut alarms = Vec::new();
        let Some(Loading { through, .. }) = self.loading.take_if(|loading| loading.ticket == ticket) else {
            return alarms;
        };
        let page = match result {
            Ok(page) if page.rows.is_empty() && page.more => Err("a page without rows".to_owned()),
            result => result,
        };
        let page = match page {
            Ok(page) => page,
            Err(reason) => {
                tracing::warn!(reason, "stored readings cannot be read; trying again");
                self.retry_at = Some(now + LOAD_RETRY);
                return alarms;
            }
        };
        let last = page.rows.last().map_or(through, |row| row.id);
        let reached = if page.more { last.min(through) } else { through };
        for row in page.rows {
            if row.id > through || self.ahead.contains(&row.id) || !wanted(row.id) {
                continue;
            }
            let Some(content) = Content::from_stored(row.kind, row.body) else {
                if !std::mem::replace(&mut self.newer_said, true) {
                    let row_id = row.id.0;
                    tracing::error!(row = row_id, kind = row.kind, "rows of a newer version stay in the store");
                }
                continue;
            };
            let item = Item {
                id: ItemId::Row(row.id),
                content,
                offline: row.offline,
                created_unix_ms: row.created_unix_ms,
                since: now,
                is_part: false,
                published: false,
            };
            if item.content.is_alarm() && alarms.len() < alarms_max {
                alarms.push(item);
            } else {
                self.page.push(item);
            }
        }
        if let Some(range) = self.ranges.front_mut() {
            range.after = range.after.max(reached);
        }
        self.forget_done();
        alarms
    }

    /// What lies before the first range is no concern any more.
    fn forget_done(&mut self) {
        self.ranges.retain(|range| range.after < range.through);
        match self.ranges.front() {
            Some(range) if !self.ahead.is_empty() => self.ahead = self.ahead.split_off(&RowId(range.after.0 + 1)),
            Some(_) => {}
            None => self.ahead.clear(),
        }
    }

    /// When the next message may go, if not now.
    pub(super) fn paced(&self, now: Duration) -> Result<(), Duration> {
        let at = self.next.saturating_sub(PACE_SLACK);
        if at <= now { Ok(()) } else { Err(at) }
    }

    /// A message went.
    pub(super) fn sent(&mut self, now: Duration, per_s: u32) {
        self.next = self.next.max(now) + Duration::from_secs(1) / per_s.max(1);
    }

    fn wants_page(&self) -> bool {
        self.loading.is_none()
            && !self.ranges.is_empty()
            && self.page.len() < PAGE_ROWS / 2
            && self.page.bytes() < PAGE_BYTES_MAX / 2
    }
}

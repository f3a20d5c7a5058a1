//! How the shelf makes room: by a fresh segment, and by giving up the oldest rows where the limits leave no other way.

use crate::{
    database::{self, Check},
    event::{Eviction, OutboxEvent, RowId},
    telemetry::{
        segment::{Dropped, Segment},
        shelf::Shelf,
        space::pages,
        tables::LANES,
    },
    trouble::Cause,
};

/// Share of the file that is given up at once where one file holds everything, so that it is not done for every group.
const EVICTED_SHARE: u64 = 64;

impl Shelf {
    /// Makes room for rows of such a cost: in a fresh segment, or in place of the oldest rows.
    pub(super) fn make_room(&mut self, cost: u64) -> Result<(), Cause> {
        loop {
            let Some(active) = &mut self.active else { return Err(Cause::closed()) };
            if active.room() >= pages(cost) {
                return Ok(());
            }
            if active.totals.rows() == 0 {
                // Its free room is as large as it gets, and a row of more was refused.
                return Ok(());
            }
            if self.settings.space.files_max > 1 {
                self.roll_over()?;
            } else {
                let share = u64::from(self.settings.space.segment_pages_max) * database::PAGE_BYTES / EVICTED_SHARE;
                let cost = cost.max(share).min(self.settings.space.transaction_cost_max());
                if !self.evict_rows(cost)? {
                    return Ok(());
                }
            }
        }
    }

    /// Begins a new segment. Rows of the oldest ones are given up where the limits leave no other way.
    fn roll_over(&mut self) -> Result<(), Cause> {
        let Some(active) = &self.active else { return Err(Cause::closed()) };
        // The old one and the new one.
        let (files, bytes) = (2, active.bytes() + self.segment_bytes_max());
        self.evict_segments(files, bytes)?;
        // Its log makes way for that of the new one.
        self.sealed.close_open();
        let number = self.active_number.checked_add(1).ok_or_else(Cause::no_number)?;
        let (mut segment, damaged) = Segment::open(&self.settings, number, Check::Head, self.given_out)?;
        self.happened.extend(damaged.map(OutboxEvent::SetAside));
        // A file that an attempt before this one left behind knows only the ids of that moment.
        self.given_out = self.given_out.max(RowId(segment.totals.last_id));
        segment.totals.last_id = self.given_out.0;
        self.active_number = number;
        if let Some(full) = self.active.replace(segment) {
            self.sealed.adopt(full);
        }
        Ok(())
    }

    /// Gives up the oldest segments until the limits hold with so many more files and bytes.
    fn evict_segments(&mut self, files: usize, bytes: u64) -> Result<(), Cause> {
        let space = &self.settings.space;
        let (files_max, bytes_max) = (space.files_max, space.bytes_max);
        let logs = 2 * space.log_bytes_max;
        while (self.sealed.len() + files > files_max || self.sealed.bytes() + bytes + logs > bytes_max)
            && let Some(dropped) = self.sealed.evict_oldest()?
        {
            self.evicted(dropped);
        }
        Ok(())
    }

    /// Gives up some of the oldest rows of the newest segment, live ones before alarms.
    fn evict_rows(&mut self, cost: u64) -> Result<bool, Cause> {
        let Some(active) = &mut self.active else { return Err(Cause::closed()) };
        for lane in LANES {
            if let Some(dropped) = active.drop_oldest(lane, RowId(i64::MAX), cost)? {
                self.evicted(dropped);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes an eviction, as one with the one before it.
    fn evicted(&mut self, mut dropped: Dropped) {
        let delivered = self.owed.forget(dropped.through);
        dropped.rows = dropped.rows.saturating_sub(delivered);
        if let Some(OutboxEvent::Evicted { through, rows, bytes, why: Eviction::Space }) = self.happened.last_mut() {
            *through = dropped.through.max(*through);
            *rows += dropped.rows;
            *bytes += dropped.bytes;
        } else if dropped.rows > 0 {
            let Dropped { rows, bytes, through } = dropped;
            self.happened.push(OutboxEvent::Evicted { through, rows, bytes, why: Eviction::Space });
        }
    }

    /// Gives up what is above the limits, which the operator may have lowered.
    pub(super) fn fit(&mut self) -> Result<(), Cause> {
        let active_bytes = self.segment_bytes_max();
        self.evict_segments(1, active_bytes)?;
        loop {
            let Some(active) = &mut self.active else { return Ok(()) };
            let above = active.pages_above_limit();
            if above == 0 {
                return Ok(());
            }
            let goes_on = if active.pages_free() < above {
                let cost = u64::from(above - active.pages_free()) * database::PAGE_BYTES;
                let cost_max = self.settings.space.transaction_cost_max();
                self.evict_rows(cost.min(cost_max))?
            } else {
                active.shrink(active.pages_free() - above)?
            };
            self.move_logs();
            if !goes_on {
                return Ok(());
            }
        }
    }

    fn segment_bytes_max(&self) -> u64 {
        u64::from(self.settings.space.segment_pages_max) * database::PAGE_BYTES
    }
}

//! The segments that take no more rows: they are only read, emptied and given up.
//!
//! At most one of them is open at a time, so that many segments do not mean many page caches and logs.

use std::io;

use crate::{
    database::{Check, delete_file},
    directory::sync_directory,
    error::{Doing as _, Remedy, chain},
    event::{Damaged, OutboxEvent, RowId},
    telemetry::{
        owed::{Owed, REMOVALS_AT_ONCE},
        page::Page,
        segment::{Dropped, Segment, Settings},
        space::removals_costing,
        tables::{self, LANES, Totals},
    },
    trouble::Cause,
};

pub(crate) struct Sealed {
    settings: Settings,
    /// Oldest first, each with rows.
    entries: Vec<Entry>,
    open: Option<Segment>,
}

struct Entry {
    number: u32,
    totals: Totals,
    bytes: u64,
}

/// Why something could not be done with a sealed segment.
enum Failure {
    /// It was set aside and is out of the list.
    SetAside(Damaged),
    Trouble(Cause),
}

impl<E: Into<Cause>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

impl Sealed {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, entries: Vec::new(), open: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all files; their logs are empty but for the open one's.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    /// Rows at or below it are here or gone.
    pub(crate) fn last_id(&self) -> RowId {
        RowId(self.entries.last().map_or(i64::MIN, |entry| entry.totals.last_id))
    }

    /// Takes a segment that became full, and closes it. One without rows is deleted.
    pub(crate) fn adopt(&mut self, segment: Segment) {
        let entry = Entry { number: segment.number, totals: segment.totals, bytes: segment.bytes() };
        close(segment);
        if entry.totals.rows() == 0 {
            self.delete_empty(entry.number);
        } else {
            self.entries.push(entry);
        }
    }

    pub(crate) fn close_open(&mut self) {
        if let Some(segment) = self.open.take() {
            close(segment);
        }
    }

    /// Forgets connections that may be no good any more.
    pub(crate) fn disconnect(&mut self) {
        self.open = None;
    }

    /// Adds rows to a page; `true` if it became full.
    pub(crate) fn load(
        &mut self,
        page: &mut Page,
        owed: &Owed,
        happened: &mut Vec<OutboxEvent>,
    ) -> Result<bool, Cause> {
        while let Some(index) = self
            .entries
            .iter()
            .position(|entry| entry.totals.last_id > page.after.0 && entry.totals.lane(page.lane).rows > 0)
        {
            let (rows, after) = (page.rows.len(), page.after);
            match self.with(index, |segment| Ok(tables::read(&segment.connection, page, owed).doing("read telemetry")?))
            {
                Ok(true) => return Ok(true),
                Ok(false) => {
                    let last = self.entries.get(index).map_or(page.after.0, |entry| entry.totals.last_id);
                    page.after = page.after.max(RowId(last));
                }
                Err(Failure::SetAside(damaged)) => {
                    page.take_back(rows, after);
                    happened.push(OutboxEvent::SetAside(damaged));
                }
                Err(Failure::Trouble(cause)) => return Err(cause),
            }
        }
        Ok(false)
    }

    /// Removes the owed rows that lie here. A segment that cannot be written keeps none of the others waiting; the first
    /// failure is returned.
    pub(crate) fn pay(&mut self, owed: &mut Owed, happened: &mut Vec<OutboxEvent>) -> Result<(), Cause> {
        let cost_max = self.settings.space.transaction_cost_max();
        let (mut after, end) = (RowId(i64::MIN), self.last_id());
        let mut failed = None;
        loop {
            let mut ids = owed.between(after, end, REMOVALS_AT_ONCE);
            let Some(first) = ids.first() else { return failed.map_or(Ok(()), Err) };
            let Some(index) = self.entries.iter().position(|entry| entry.totals.last_id >= first.0) else {
                // Their segment went meanwhile.
                owed.paid(&ids);
                continue;
            };
            let last_id = self.entries.get(index).map_or(RowId::default(), |entry| RowId(entry.totals.last_id));
            ids.truncate(ids.partition_point(|id| *id <= last_id));
            ids.truncate(removals_costing(&ids, cost_max));
            match self.with(index, |segment| {
                segment.remove(&ids)?;
                Ok(segment.what_is_left()?)
            }) {
                Ok(totals) => self.changed(index, totals),
                Err(Failure::SetAside(damaged)) => happened.push(OutboxEvent::SetAside(damaged)),
                Err(Failure::Trouble(cause)) if cause.remedy() == Remedy::Room => return Err(cause),
                Err(Failure::Trouble(cause)) => {
                    failed.get_or_insert(cause);
                    after = last_id;
                    continue;
                }
            }
            owed.paid(&ids);
        }
    }

    /// Gives up the whole oldest segment.
    pub(crate) fn evict_oldest(&mut self) -> Result<Option<Dropped>, Cause> {
        let Some(Entry { number, totals, .. }) = self.entries.first() else { return Ok(None) };
        let (number, totals) = (*number, *totals);
        self.delete(number).map_err(|error| Cause::undeletable(&error))?;
        self.entries.remove(0);
        Ok(Some(Dropped { rows: totals.rows(), bytes: totals.bytes(), through: RowId(totals.last_id) }))
    }

    /// Gives up every row up to `through`.
    pub(crate) fn drop_through(&mut self, through: RowId, happened: &mut Vec<OutboxEvent>) -> Result<Dropped, Cause> {
        let mut dropped = Dropped::default();
        while self.entries.first().is_some_and(|entry| entry.totals.last_id <= through.0)
            && let Some(segment) = self.evict_oldest()?
        {
            dropped.add(segment);
        }
        if dropped.rows > 0 {
            // The answer says that they are gone: a power cut must not bring them back.
            let directory = self.settings.layout.telemetry_directory();
            if let Err(error) = sync_directory(&directory) {
                tracing::warn!(%error, "dropped telemetry may come back after a power cut");
            }
        }
        let cost = self.settings.space.transaction_cost_max();
        for lane in LANES {
            while !self.entries.is_empty() {
                match self.with(0, |segment| Ok((segment.drop_oldest(lane, through, cost)?, segment.what_is_left()?))) {
                    Ok((Some(rows), totals)) => {
                        dropped.add(rows);
                        self.changed(0, totals);
                    }
                    Ok((None, _)) => break,
                    Err(Failure::SetAside(damaged)) => happened.push(OutboxEvent::SetAside(damaged)),
                    Err(Failure::Trouble(cause)) => return Err(cause),
                }
            }
        }
        Ok(dropped)
    }

    /// Moves a long log into its file.
    pub(crate) fn move_log_if_due(&mut self) {
        if let Some(segment) = &mut self.open
            && segment.log_is_due()
            && let Err(error) = segment.move_log()
        {
            tracing::debug!(reason = chain(&error), "the log stays as it is");
        }
    }

    fn changed(&mut self, index: usize, totals: Totals) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.totals = totals;
        if totals.rows() == 0 {
            let number = entry.number;
            self.entries.remove(index);
            self.delete_empty(number);
        }
    }

    /// Does something with an open segment. If that shows damage, a full check decides what becomes of it.
    fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut Segment) -> Result<T, Cause>) -> Result<T, Failure> {
        let Some(number) = self.entries.get(index).map(|entry| entry.number) else {
            return Err(Failure::Trouble(Cause::closed()));
        };
        let mut segment = match self.open.take() {
            Some(segment) if segment.number == number => segment,
            other => {
                other.into_iter().for_each(close);
                match Segment::open_existing(&self.settings, number, Check::Head)? {
                    Ok(mut segment) => {
                        segment.settle_log();
                        segment
                    }
                    Err(damaged) => return Err(self.lost(index, damaged)),
                }
            }
        };
        match act(&mut segment) {
            Ok(done) => {
                self.open = Some(segment);
                Ok(done)
            }
            Err(cause) => {
                // A connection that failed once is not trusted again.
                drop(segment);
                if cause.remedy() == Remedy::Check
                    && let Some(damaged) = Segment::check(&self.settings, number)?
                {
                    return Err(self.lost(index, damaged));
                }
                Err(Failure::Trouble(cause))
            }
        }
    }

    fn lost(&mut self, index: usize, mut damaged: Damaged) -> Failure {
        let entry = self.entries.remove(index);
        damaged.rows_lost = damaged.rows_lost.or(Some(entry.totals.rows()));
        tracing::error!(set_aside = %damaged.set_aside.display(), reason = damaged.reason, rows = damaged.rows_lost,
            "a segment of telemetry was damaged; its rows are not sent");
        Failure::SetAside(damaged)
    }

    /// An empty segment that stays is found and deleted at the next start.
    fn delete_empty(&mut self, number: u32) {
        if let Err(error) = self.delete(number) {
            tracing::warn!(%error, number, "cannot delete a segment that is done with");
        }
    }

    fn delete(&mut self, number: u32) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|segment| segment.number == number) {
            self.close_open();
        }
        delete_file(&self.settings.layout.segment(number))
    }
}

fn close(segment: Segment) {
    if let Err(error) = segment.close() {
        tracing::debug!(reason = chain(&error), "a segment was not closed tidily; nothing is lost");
    }
}

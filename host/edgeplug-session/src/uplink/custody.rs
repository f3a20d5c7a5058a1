//! Taking readings into custody: into the store, or into memory in the modes that store less.
//!
//! What must stay true: readings are answered once, when their last row is committed or in memory. Rows in memory keep
//! their order: nothing that was accepted after them is stored before them, and what the store does not take at the
//! link's loss goes back to its place and is offered again. (A store that refuses rows and takes later ones of the same
//! moment puts these first; only [`Durability::OfflineOnly`] can meet that.)

use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::telemetry::Body;
use edgeplug_protocol::time::Timestamp;

use super::intake::{Batch, Prepared, Share};
use super::item::{Code, Content, Item, ItemId, Lane};
use super::{LIVE_BYTES_MAX, LIVE_ROWS_MAX, MATCHES_MAX, Uplink};
use crate::action::Outcome;
use crate::config::Durability;
use crate::{Action, OfferId, RowId, Step, Ticket};

/// Rows that may wait for their commit; beyond that the store is too slow and samples are refused.
pub(super) const STORING_MAX: usize = 4_096;
/// And their bytes: half of what the store queues at most, so that removals find room beside them.
const STORING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Wait before rows in memory that the store did not take are offered to it again.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// A row on its way into the store.
pub(super) struct Storing {
    source: Source,
    /// The row as it was in memory, if it was.
    memory: Option<u64>,
    content: Content,
    offline: bool,
    created_unix_ms: i64,
}

/// What a row is made of.
enum Source {
    /// Samples that wait to be answered.
    Batch(Ticket, Share),
    /// A window that ended.
    Window,
    /// Samples that were answered before.
    Answered,
}

/// Where accepted samples go.
#[derive(Clone, Copy)]
enum Custody {
    Store,
    Memory,
}

impl Uplink {
    /// Takes samples: into rows, and answers them when these are in custody. `offer` wants the answer.
    pub(crate) fn accept(&mut self, source: &str, offer: Option<OfferId>, samples: &[Sample], step: &mut Step<'_>) {
        let prepared = self.prepare(samples, step);
        self.take_in(source, offer, prepared, step);
    }

    /// Nothing of these is taken.
    pub(crate) fn refuse(&mut self, offer: Option<OfferId>, outcome: &Outcome, samples: usize, step: &mut Step<'_>) {
        let (_, batch) = Prepared::told(samples, outcome).into_batch(offer);
        self.answer(batch, step);
    }

    /// None of these is taken yet: they came too soon.
    pub(crate) fn hold_back(&mut self, offer: Option<OfferId>, samples: usize, step: &mut Step<'_>) {
        if let Some(offer) = offer {
            step.act(Action::AnswerOffer { offer, outcomes: vec![Outcome::HeldBack; samples] });
        }
    }

    /// What samples become, if there is room for it.
    pub(crate) fn prepare(&mut self, samples: &[Sample], step: &mut Step<'_>) -> Prepared {
        let stamp = self.stamp.take().filter(|(unix_ms, _)| *unix_ms == step.unix_ms);
        let (unix_ms, now) = stamp.unwrap_or_else(|| (step.unix_ms, Timestamp::from_unix_ms(step.unix_ms)));
        let custody = self.custody(step);
        let behind = self.storing.len() >= STORING_MAX || self.storing_bytes >= STORING_BYTES_MAX;
        let mut prepared = match custody {
            Custody::Store if behind => Prepared::rejected(samples.len(), "the store is behind; send less or later"),
            _ => Prepared::new(samples, &now, step),
        };
        self.stamp = Some((unix_ms, now));
        if matches!(custody, Custody::Memory) && !self.memory_has_room(&prepared) {
            prepared = Prepared::rejected(
                samples.len(),
                "the readings that wait fill the memory that outbox.durability leaves them; send less, or have them stored \
                 (\"power-loss\")",
            );
        }
        prepared
    }

    /// Takes what was prepared at this very moment.
    pub(crate) fn take_in(&mut self, source: &str, offer: Option<OfferId>, prepared: Prepared, step: &mut Step<'_>) {
        self.complain(source, &prepared);
        match self.custody(step) {
            Custody::Store => drop(self.store(prepared, offer, false, step)),
            Custody::Memory => self.keep_in_memory(prepared, offer, step),
        }
    }

    /// The same for samples whose numbers went into windows. They are answered when these are said to be kept under the
    /// ticket given back, too; there is none where nothing is kept.
    pub(crate) fn take_in_with_windows(
        &mut self,
        source: &str,
        offer: Option<OfferId>,
        prepared: Prepared,
        step: &mut Step<'_>,
    ) -> Option<Ticket> {
        self.complain(source, &prepared);
        match self.custody(step) {
            Custody::Store => self.store(prepared, offer, true, step),
            Custody::Memory => {
                self.keep_in_memory(prepared, offer, step);
                None
            }
        }
    }

    /// The windows that samples went into are on disk, or only in memory.
    pub(crate) fn windows_settled(&mut self, batch: Ticket, kept: bool, step: &mut Step<'_>) {
        if self.batches.get_mut(batch).is_some_and(|batch| batch.settle_windows(kept))
            && let Some(batch) = self.batches.take(batch)
        {
            self.answer(batch, step);
        }
    }

    /// Takes the message of a window that ended. `Some` says that it is stored under this ticket, as it is in any case if
    /// the window is `on_disk`: what was accepted as stored does not go back into memory.
    pub(crate) fn take_window(&mut self, body: Body, code: Code, on_disk: bool, step: &mut Step<'_>) -> Option<Ticket> {
        let (content, offline, created_unix_ms) = (Content::Message(body, code), step.offline(), step.unix_ms);
        if !on_disk && matches!(self.custody(step), Custody::Memory) {
            self.push_memory(content, step);
            return None;
        }
        let ticket = step.ticket();
        let storing = Storing { source: Source::Window, memory: None, content, offline, created_unix_ms };
        self.begin_storing(ticket, storing, step);
        Some(ticket)
    }

    /// Whether one more window may be taken.
    pub(crate) fn has_room_for_window(&self, on_disk: bool, step: &Step<'_>) -> bool {
        match self.custody(step) {
            _ if on_disk => self.storing.len() < STORING_MAX && self.storing_bytes < STORING_BYTES_MAX,
            Custody::Store => self.storing.len() < STORING_MAX && self.storing_bytes < STORING_BYTES_MAX,
            Custody::Memory => self.memory_rows < LIVE_ROWS_MAX && self.live.bytes() < LIVE_BYTES_MAX,
        }
    }

    /// Gives back the tickets of windows among them.
    pub(crate) fn committed(&mut self, rows: &[(Ticket, RowId)], step: &mut Step<'_>) -> Vec<Ticket> {
        let mut windows = Vec::new();
        for (ticket, row) in rows {
            self.last_row = self.last_row.max(Some(*row));
            let Some(storing) = self.take_storing(*ticket) else { continue };
            let is_evicted = Some(*row) <= self.evicted_through;
            self.counts.waiting += u64::from(!is_evicted);
            self.memory_rows = self.memory_rows.saturating_sub(usize::from(storing.memory.is_some()));
            let Storing { source, content, offline, created_unix_ms, .. } = storing;
            let (id, since) = (ItemId::Row(*row), step.now.monotonic);
            let item = Item { id, content, offline, created_unix_ms, since, is_part: false, published: false };
            if is_evicted {
                tracing::debug!(row = row.0, "a row was given up before its commit was said");
            } else if self.live_open {
                self.admit(item, *row, step);
            }
            match source {
                Source::Batch(batch, _) => self.row_settled(batch, None, step),
                Source::Window => windows.push(*ticket),
                Source::Answered => {}
            }
        }
        windows
    }

    /// A row was committed while there is a link: to its lane.
    fn admit(&mut self, item: Item, row: RowId, step: &Step<'_>) {
        let has_room = || !self.matches.is_full(MATCHES_MAX, LIVE_BYTES_MAX);
        if item.content.is_alarm() && has_room() && self.backlog.go_ahead(row) {
            self.matches.push(item);
        } else if step.config.durability != Durability::Stored {
            // Stored before the link came up, and so older than what is in memory: it goes with its like.
            self.backlog.overflow(row);
        } else if self.has_live_room() && !item.content.is_alarm() {
            self.live.push(item);
        } else {
            self.overflowing = true;
            self.backlog.overflow(row);
        }
    }

    /// Gives back the tickets of windows among them.
    pub(crate) fn not_stored(&mut self, tickets: &[Ticket], reason: &str, step: &mut Step<'_>) -> Vec<Ticket> {
        let mut windows = Vec::new();
        let mut kept = 0_u64;
        for ticket in tickets {
            let Some(storing) = self.take_storing(*ticket) else { continue };
            let Storing { source, memory, content, offline, created_unix_ms } = storing;
            if let Some(number) = memory {
                let (id, since) = (ItemId::Memory(number), step.now.monotonic);
                let item = Item { id, content, offline, created_unix_ms, since, is_part: false, published: false };
                let queue = if item.content.is_alarm() { &mut self.matches } else { &mut self.live };
                queue.put_back(item);
                kept += 1;
            }
            match source {
                Source::Batch(batch, share) => self.row_settled(batch, Some((share, reason)), step),
                Source::Window => windows.push(*ticket),
                Source::Answered => {}
            }
        }
        if kept > 0 {
            tracing::warn!(rows = kept, reason, "accepted readings cannot be stored and stay in memory; trying again");
            self.store_retry_at = Some(step.now.monotonic + STORE_RETRY);
        }
        windows
    }

    fn complain(&mut self, source: &str, prepared: &Prepared) {
        for complaint in prepared.outcomes.iter().filter_map(Outcome::complaint) {
            self.complaints.say(source, complaint);
        }
    }

    fn custody(&self, step: &Step<'_>) -> Custody {
        match step.config.durability {
            Durability::Stored => Custody::Store,
            // What is accepted behind rows in memory must not overtake them.
            Durability::OfflineOnly if !self.live_open && self.live.is_empty() => Custody::Store,
            Durability::OfflineOnly | Durability::None => Custody::Memory,
        }
    }

    /// Gives back the ticket of what waits for windows.
    fn store(
        &mut self,
        prepared: Prepared,
        offer: Option<OfferId>,
        windows: bool,
        step: &mut Step<'_>,
    ) -> Option<Ticket> {
        let (rows, mut batch) = prepared.into_batch(offer);
        if rows.is_empty() && !windows {
            self.answer(batch, step);
            return None;
        }
        let (offline, created_unix_ms) = (step.offline(), step.unix_ms);
        let mut of_batch = None;
        if windows {
            let ticket = step.ticket();
            batch.wait_for_windows();
            of_batch = Some(ticket);
        }
        let waits_for_windows = of_batch;
        let mut batch = Some(batch);
        for row in rows {
            let ticket = step.ticket();
            let of_batch = *of_batch.get_or_insert(ticket);
            if let Some(batch) = batch.take() {
                self.batches.push(of_batch, batch);
            }
            let source = Source::Batch(of_batch, row.share);
            let storing = Storing { source, memory: None, content: row.content, offline, created_unix_ms };
            self.begin_storing(ticket, storing, step);
        }
        if let Some((ticket, batch)) = waits_for_windows.zip(batch) {
            self.batches.push(ticket, batch);
        }
        waits_for_windows
    }

    fn begin_storing(&mut self, ticket: Ticket, storing: Storing, step: &mut Step<'_>) {
        let row = storing.content.new_row(storing.offline, storing.created_unix_ms);
        self.storing_bytes += row.body.len();
        self.storing.push(ticket, storing);
        step.act(Action::Store { ticket, row });
    }

    fn take_storing(&mut self, ticket: Ticket) -> Option<Storing> {
        let storing = self.storing.take(ticket)?;
        self.storing_bytes = self.storing_bytes.saturating_sub(storing.content.bytes().len());
        Some(storing)
    }

    fn memory_has_room(&self, prepared: &Prepared) -> bool {
        self.memory_rows + prepared.rows.len() <= LIVE_ROWS_MAX
            && self.live.bytes() + self.matches.bytes() + prepared.bytes() <= LIVE_BYTES_MAX
    }

    fn keep_in_memory(&mut self, mut prepared: Prepared, offer: Option<OfferId>, step: &mut Step<'_>) {
        for outcome in prepared.outcomes.iter_mut().filter(|outcome| **outcome == Outcome::Accepted) {
            *outcome = Outcome::AcceptedInMemory;
        }
        let (rows, batch) = prepared.into_batch(offer);
        for row in rows {
            self.push_memory(row.content, step);
        }
        self.answer(batch, step);
    }

    fn push_memory(&mut self, content: Content, step: &Step<'_>) {
        self.last_memory += 1;
        self.memory_rows += 1;
        let (id, since) = (ItemId::Memory(self.last_memory), step.now.monotonic);
        let (offline, created_unix_ms) = (step.offline(), step.unix_ms);
        let queue = if content.is_alarm() { &mut self.matches } else { &mut self.live };
        queue.push(Item { id, content, offline, created_unix_ms, since, is_part: false, published: false });
    }

    /// The link is down: what was only in memory is stored, as far as the store has room.
    pub(super) fn store_memory(&mut self, step: &mut Step<'_>) {
        if let Some(at) = self.store_retry_at.filter(|at| step.now.monotonic < *at) {
            return self.wake(Some(at));
        }
        while self.storing.len() < STORING_MAX / 2 && self.storing_bytes < STORING_BYTES_MAX / 2 {
            let lane = if self.matches.is_empty() { Lane::Live } else { Lane::Alarm };
            let Some(item) = self.queue_mut(lane).pop() else { return };
            let ItemId::Memory(number) = item.id else { continue };
            self.window.forget(lane, &item);
            let ticket = step.ticket();
            let Item { content, created_unix_ms, .. } = item;
            let source = Source::Answered;
            let storing = Storing { source, memory: Some(number), content, offline: true, created_unix_ms };
            self.begin_storing(ticket, storing, step);
        }
    }

    fn row_settled(&mut self, ticket: Ticket, failed: Option<(Share, &str)>, step: &mut Step<'_>) {
        if self.batches.get_mut(ticket).is_some_and(|batch| batch.settle(failed))
            && let Some(batch) = self.batches.take(ticket)
        {
            self.answer(batch, step);
        }
    }

    fn answer(&mut self, batch: Batch, step: &mut Step<'_>) {
        let (outcomes, offer, failed) = batch.finish();
        if let Some(reason) = failed {
            self.complaints.say("the store", &reason);
        }
        let rejected = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Rejected(_))).count();
        self.counts.rejected += rejected as u64;
        self.counts.accepted += (outcomes.len() - rejected) as u64;
        if let Some(offer) = offer {
            step.act(Action::AnswerOffer { offer, outcomes });
        }
    }

    fn has_live_room(&self) -> bool {
        !self.overflowing && !self.live.is_full(LIVE_ROWS_MAX, LIVE_BYTES_MAX)
    }
}

impl Outcome {
    fn complaint(&self) -> Option<&str> {
        match self {
            Self::Accepted | Self::AcceptedInMemory | Self::HeldBack => None,
            Self::AcceptedInPart(reason) | Self::Rejected(reason) => Some(reason),
        }
    }
}

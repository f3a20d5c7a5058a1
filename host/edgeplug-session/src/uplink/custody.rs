//! Taking readings into custody: into the store, or into memory in the modes that store less.
//!
//! What must stay true: readings are answered once, when their last row is committed or in memory. Rows in memory keep
//! their order: nothing that was accepted after them is stored before them, and what the store does not take at the
//! link's loss goes back to its place and is offered again. (A store that refuses rows and takes later ones of the same
//! moment puts these first; only [`Durability::OfflineOnly`] can meet that.)

use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;

use super::intake::{Batch, Prepared, Share};
use super::item::{Content, Item, ItemId, Lane};
use super::{LIVE_BYTES_MAX, LIVE_ROWS_MAX, Uplink};
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
    /// The samples it is made of; `None` if they were answered before.
    batch: Option<(Ticket, Share)>,
    /// The row as it was in memory, if it was.
    memory: Option<u64>,
    content: Content,
    offline: bool,
    created_unix_ms: i64,
}

/// Where accepted samples go.
#[derive(Clone, Copy)]
enum Custody {
    Store,
    Memory,
}

impl Uplink {
    pub(crate) fn accept_sampled(&mut self, plugin: &str, samples: &[Sample], step: &mut Step<'_>) {
        self.accept(plugin, None, samples, step);
    }

    pub(crate) fn accept_offered(&mut self, plugin: &str, offer: OfferId, samples: &[Sample], step: &mut Step<'_>) {
        self.accept(plugin, Some(offer), samples, step);
    }

    pub(crate) fn committed(&mut self, rows: &[(Ticket, RowId)], step: &mut Step<'_>) {
        for (ticket, row) in rows {
            self.last_row = self.last_row.max(Some(*row));
            let Some(storing) = self.take_storing(*ticket) else { continue };
            let is_evicted = Some(*row) <= self.evicted_through;
            self.counts.waiting += u64::from(!is_evicted);
            self.memory_rows = self.memory_rows.saturating_sub(usize::from(storing.memory.is_some()));
            let Storing { batch, content, offline, created_unix_ms, .. } = storing;
            if is_evicted {
                tracing::debug!(row = row.0, "a row was given up before its commit was said");
            } else if self.live_open && step.config.durability != Durability::Stored {
                // Stored before the link came up, and so older than what is in memory: it goes with its like.
                self.backlog.overflow(*row);
            } else if self.live_open && self.has_live_room() {
                let (id, since) = (ItemId::Row(*row), step.now.monotonic);
                self.live.push(Item { id, content, offline, created_unix_ms, since, is_part: false, published: false });
            } else if self.live_open {
                self.overflowing = true;
                self.backlog.overflow(*row);
            }
            if let Some((batch, _)) = batch {
                self.row_settled(batch, None, step);
            }
        }
    }

    pub(crate) fn not_stored(&mut self, tickets: &[Ticket], reason: &str, step: &mut Step<'_>) {
        let mut kept = 0_u64;
        for ticket in tickets {
            let Some(storing) = self.take_storing(*ticket) else { continue };
            let Storing { batch, memory, content, offline, created_unix_ms } = storing;
            if let Some(number) = memory {
                let (id, since) = (ItemId::Memory(number), step.now.monotonic);
                let item = Item { id, content, offline, created_unix_ms, since, is_part: false, published: false };
                self.live.put_back(item);
                kept += 1;
            }
            if let Some((batch, share)) = batch {
                self.row_settled(batch, Some((share, reason)), step);
            }
        }
        if kept > 0 {
            tracing::warn!(rows = kept, reason, "accepted readings cannot be stored and stay in memory; trying again");
            self.store_retry_at = Some(step.now.monotonic + STORE_RETRY);
        }
    }

    fn accept(&mut self, plugin: &str, offer: Option<OfferId>, samples: &[Sample], step: &mut Step<'_>) {
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
        for complaint in prepared.outcomes.iter().filter_map(Outcome::complaint) {
            self.complaints.say(plugin, complaint);
        }
        match custody {
            Custody::Store => self.store(prepared, offer, step),
            Custody::Memory => self.keep_in_memory(prepared, offer, step),
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

    fn store(&mut self, prepared: Prepared, offer: Option<OfferId>, step: &mut Step<'_>) {
        let (rows, batch) = prepared.into_batch(offer);
        if rows.is_empty() {
            return self.answer(batch, step);
        }
        let (offline, created_unix_ms) = (step.offline(), step.unix_ms);
        let mut first = None;
        let mut batch = Some(batch);
        for row in rows {
            let ticket = step.ticket();
            let of_batch = *first.get_or_insert(ticket);
            if let Some(batch) = batch.take() {
                self.batches.push(ticket, batch);
            }
            let batch = Some((of_batch, row.share));
            let storing = Storing { batch, memory: None, content: row.content, offline, created_unix_ms };
            self.begin_storing(ticket, storing, step);
        }
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
            && self.live.bytes() + prepared.bytes() <= LIVE_BYTES_MAX
    }

    fn keep_in_memory(&mut self, mut prepared: Prepared, offer: Option<OfferId>, step: &mut Step<'_>) {
        for outcome in prepared.outcomes.iter_mut().filter(|outcome| **outcome == Outcome::Accepted) {
            *outcome = Outcome::AcceptedInMemory;
        }
        let (rows, batch) = prepared.into_batch(offer);
        let (offline, created_unix_ms, since) = (step.offline(), step.unix_ms, step.now.monotonic);
        for row in rows {
            self.last_memory += 1;
            self.memory_rows += 1;
            let id = ItemId::Memory(self.last_memory);
            let content = row.content;
            self.live.push(Item { id, content, offline, created_unix_ms, since, is_part: false, published: false });
        }
        self.answer(batch, step);
    }

    /// The link is down: what was only in memory is stored, as far as the store has room.
    pub(super) fn store_memory(&mut self, step: &mut Step<'_>) {
        if let Some(at) = self.store_retry_at.filter(|at| step.now.monotonic < *at) {
            return self.wake(Some(at));
        }
        while self.storing.len() < STORING_MAX / 2 && self.storing_bytes < STORING_BYTES_MAX / 2 {
            let Some(item) = self.live.pop() else { return };
            let ItemId::Memory(number) = item.id else { continue };
            self.window.forget(Lane::Live, &item);
            let ticket = step.ticket();
            let Item { content, created_unix_ms, .. } = item;
            let storing = Storing { batch: None, memory: Some(number), content, offline: true, created_unix_ms };
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

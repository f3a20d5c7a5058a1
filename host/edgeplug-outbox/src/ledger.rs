//! Custody of commands, acknowledgements and facts, also while the file cannot be written.
//!
//! While degraded everything that must be durable fails at once with the reason; removals of delivered acknowledgements
//! are kept in memory, hidden from loads and tried again.

pub(crate) mod store;

use std::{collections::BTreeSet, time::Instant};

use crate::{
    database::Check,
    directory::Layout,
    error::{OpenError, Remedy, SqliteError, StoreError, chain},
    event::{AckId, Damaged, OutboxEvent, Restored, Store},
    request::{
        ACKS_UNDELIVERED_MAX, BODY_BYTES_MAX, COMMAND_BODY_BYTES_MAX, FACT_BYTES_MAX, KEY_BYTES_MAX, LOAD_BYTES_MAX,
        LOAD_ROWS_MAX,
    },
    reserve::Reserve,
    trouble::{Cause, Trouble},
};
use store::{Entry, LedgerStore, LoadAcks};

/// Room kept back for a full disk: a log at its checkpoint and one large group.
const RESERVE_BYTES: u64 = 4 * 1024 * 1024;

pub(crate) struct Ledger {
    layout: Layout,
    reserve: Reserve,
    /// `None` while the file is being opened again.
    store: Option<LedgerStore>,
    trouble: Option<Trouble>,
    /// At most as many as there are acknowledgements: [`ACKS_UNDELIVERED_MAX`].
    removals_owed: BTreeSet<AckId>,
}

impl Ledger {
    /// Adds to `events` if the store starts degraded.
    pub(crate) fn open(layout: &Layout, events: &mut Vec<OutboxEvent>) -> Result<(Self, Option<Damaged>), OpenError> {
        let mut ledger = Self {
            layout: layout.clone(),
            reserve: Reserve::new(layout.ledger_reserve(), RESERVE_BYTES),
            store: None,
            trouble: None,
            removals_owed: BTreeSet::new(),
        };
        let damaged = ledger.open_store(Check::Start)?;
        if let Err(error) = ledger.reserve.hold() {
            ledger.trouble = Some(Trouble::begin(Store::Ledger, Cause::no_reserve(&error), events));
        }
        Ok((ledger, damaged))
    }

    /// Fills in what the ledger holds.
    pub(crate) fn restore(&self, restored: &mut Restored) -> Result<(), OpenError> {
        let Some(store) = &self.store else { return Ok(()) };
        let failed = |source| OpenError::Store { file: self.layout.ledger(), source: SqliteError(source) };
        let load = LoadAcks { ticket: 0, after: AckId::default(), rows_max: LOAD_ROWS_MAX, bytes_max: LOAD_BYTES_MAX };
        (restored.acks, restored.acks_more) = store.load_acks(&load).map_err(|error| failed(error.source.0))?;
        restored.unfinished = store.unfinished().map_err(failed)?;
        restored.facts = store.facts().map_err(failed)?;
        Ok(())
    }

    /// Does a group of requests and adds what happened to `events`.
    pub(crate) fn process(&mut self, entries: Vec<Entry>, events: &mut Vec<OutboxEvent>) {
        if entries.is_empty() {
            return;
        }
        let removals =
            entries.iter().filter(|entry| matches!(entry, Entry::RemoveAcks(_) | Entry::Prune { .. })).count();
        let (entries, refused): (Vec<_>, Vec<_>) =
            entries.into_iter().map(|entry| (breaks_cap(&entry), entry)).partition(|(broken, _)| broken.is_none());
        let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
        events.extend(refused.into_iter().filter_map(|(reason, entry)| failure(&entry, &reason.unwrap_or_default())));
        match self.transact(&entries) {
            Some(Ok(happened)) => events.extend(happened),
            Some(Err(error)) => {
                self.degrade(&error, events);
                self.process_degraded(entries, events);
            }
            None => self.process_degraded(entries, events),
        }
        if removals > 0 {
            events.push(OutboxEvent::Removed { store: Store::Ledger, requests: removals, rows: 0 });
        }
    }

    /// When [`Self::retry`] wants to be called.
    pub(crate) fn retry_due(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.due())
    }

    /// Tries to write again.
    pub(crate) fn retry(&mut self, now: Instant, events: &mut Vec<OutboxEvent>) {
        let Some(mut trouble) = self.trouble.take() else { return };
        match self.mend(&mut trouble) {
            Ok(()) => events.push(trouble.end()),
            Err(cause) => {
                trouble.goes_on(cause, now);
                self.trouble = Some(trouble);
            }
        }
    }

    pub(crate) fn close(mut self) {
        if let Err(error) = self.pay_removals() {
            tracing::warn!(
                reason = chain(&error),
                acks = self.removals_owed.len(),
                "delivered acknowledgements could not be removed and will be sent again"
            );
        }
        if let Some(store) = self.store
            && let Err(error) = store.close()
        {
            tracing::warn!(reason = chain(&error), "the ledger was not closed tidily; nothing is lost");
        }
    }

    /// `None` while degraded.
    fn transact(&mut self, entries: &[Entry]) -> Option<Result<Vec<OutboxEvent>, StoreError>> {
        let store = self.store.as_mut().filter(|_| self.trouble.is_none())?;
        Some(store.transact(entries))
    }

    fn process_degraded(&mut self, entries: Vec<Entry>, events: &mut Vec<OutboxEvent>) {
        let reason = self.trouble.as_ref().map_or_else(String::new, |trouble| trouble.cause.reason.clone());
        for entry in entries {
            match entry {
                Entry::RemoveAcks(ids) => {
                    let room = (ACKS_UNDELIVERED_MAX as usize).saturating_sub(self.removals_owed.len());
                    self.removals_owed.extend(ids.into_iter().take(room));
                }
                Entry::LoadAcks(load) => events.push(self.load_degraded(&load, &reason)),
                entry => events.extend(failure(&entry, &reason)),
            }
        }
    }

    fn load_degraded(&self, load: &LoadAcks, reason: &str) -> OutboxEvent {
        let failed = |reason: String| OutboxEvent::LoadFailed { ticket: load.ticket, reason };
        let Some(store) = &self.store else { return failed(reason.to_owned()) };
        match store.load_acks(load) {
            Ok((mut acks, more)) => {
                acks.retain(|ack| !self.removals_owed.contains(&ack.id));
                OutboxEvent::AcksLoaded { ticket: load.ticket, acks, more }
            }
            Err(error) => failed(chain(&error)),
        }
    }

    fn pay_removals(&mut self) -> Result<(), StoreError> {
        if self.removals_owed.is_empty() {
            return Ok(());
        }
        let Some(store) = &mut self.store else { return Ok(()) };
        store.transact(&[Entry::RemoveAcks(self.removals_owed.iter().copied().collect())])?;
        self.removals_owed.clear();
        Ok(())
    }

    fn mend(&mut self, trouble: &mut Trouble) -> Result<(), Cause> {
        if let Some(check) = trouble.cause.remedy.reopen() {
            self.store = None;
            let damaged = self.open_store(check)?;
            trouble.damaged = damaged.or(trouble.damaged.take());
        }
        if trouble.cause.remedy == Remedy::Room {
            self.make_room();
        }
        self.pay_removals()?;
        if trouble.cause.remedy == Remedy::Room {
            self.reserve.hold().map_err(|error| Cause::no_reserve(&error))?;
        }
        Ok(self.store.as_ref().map_or(Ok(()), LedgerStore::try_writing)?)
    }

    /// Lets the log go into the file, where no commit may fit the log.
    fn make_room(&self) {
        self.reserve.release();
        if let Some(store) = &self.store
            && let Err(error) = store.checkpoint()
        {
            tracing::debug!(reason = chain(&error), "the log stays as it is");
        }
    }

    fn open_store(&mut self, check: Check) -> Result<Option<Damaged>, OpenError> {
        self.layout.create()?;
        let (store, damaged) = LedgerStore::open(&self.layout.ledger(), check)?;
        if let Some(damaged) = &damaged {
            tracing::error!(set_aside = %damaged.set_aside.display(), reason = damaged.reason,
                "the ledger was damaged: commands seen, waiting acknowledgements and the last sync are forgotten");
        }
        self.store = Some(store);
        Ok(damaged)
    }

    fn degrade(&mut self, error: &StoreError, events: &mut Vec<OutboxEvent>) {
        self.trouble = Some(Trouble::begin(Store::Ledger, error.into(), events));
    }
}

/// Why the entry can never be taken.
fn breaks_cap(entry: &Entry) -> Option<String> {
    let too_large = |what: &str, bytes: usize, max: usize| {
        (bytes > max).then(|| format!("the {what} is {bytes} bytes long, more than the {max} that are taken"))
    };
    match entry {
        Entry::Record { key, body, .. } => too_large("command's key", key.len(), KEY_BYTES_MAX)
            .or_else(|| too_large("command's body", body.len(), COMMAND_BODY_BYTES_MAX)),
        Entry::Finish { ack: Some(ack), .. } => too_large("acknowledgement's body", ack.body.len(), BODY_BYTES_MAX),
        Entry::Put { name, value, .. } => too_large("fact's name", name.len(), KEY_BYTES_MAX)
            .or_else(|| too_large("fact's value", value.as_ref().map_or(0, |value| value.len()), FACT_BYTES_MAX)),
        Entry::Finish { ack: None, .. } | Entry::RemoveAcks(_) | Entry::LoadAcks(_) | Entry::Prune { .. } => None,
    }
}

/// The event that says an entry was not done. Pruning has none: its caller asks again some day anyway.
fn failure(entry: &Entry, reason: &str) -> Option<OutboxEvent> {
    let reason = reason.to_owned();
    match entry {
        Entry::Record { ticket, .. } => Some(OutboxEvent::RecordFailed { ticket: *ticket, reason }),
        Entry::Finish { ticket, .. } => Some(OutboxEvent::FinishFailed { ticket: *ticket, reason }),
        Entry::Put { ticket, .. } => Some(OutboxEvent::PutFailed { ticket: *ticket, reason }),
        Entry::LoadAcks(load) => Some(OutboxEvent::LoadFailed { ticket: load.ticket, reason }),
        Entry::RemoveAcks(_) | Entry::Prune { .. } => None,
    }
}

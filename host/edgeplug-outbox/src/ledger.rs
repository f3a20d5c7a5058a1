//! Custody of commands, acknowledgements and facts, also while the file cannot be written.
//!
//! While degraded everything that must be durable fails at once with the reason; removals of delivered acknowledgements
//! are kept in memory, hidden from loads and tried again.

pub(crate) mod store;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use crate::{
    database::{CHECK_BYTES_MAX, Check},
    directory::Layout,
    error::{OpenError, SqliteError, StoreError, chain},
    event::{AckId, Damaged, OutboxEvent, Restored, Store},
    request::{
        ACKS_UNDELIVERED_MAX, BODY_BYTES_MAX, COMMAND_BODY_BYTES_MAX, FACT_BYTES_MAX, KEY_BYTES_MAX, LOAD_BYTES_MAX,
        LOAD_ROWS_MAX,
    },
    reserve::Reserve,
    trouble::{Cause, Health, Mend},
    written::Counters,
};
use store::{Entry, LedgerStore, LoadAcks};

/// Room kept back for a full disk: a log at its checkpoint and one large group.
const RESERVE_BYTES: u64 = 4 * 1024 * 1024;

pub(crate) struct Ledger {
    file: LedgerFile,
    health: Health,
}

struct LedgerFile {
    layout: Layout,
    written: Arc<Counters>,
    /// `None` while the file is being opened again.
    store: Option<LedgerStore>,
    /// At most as many as there are acknowledgements: [`ACKS_UNDELIVERED_MAX`].
    removals_owed: BTreeSet<AckId>,
}

impl Ledger {
    /// Adds to `events` if the store starts degraded.
    pub(crate) fn open(
        layout: &Layout,
        written: Arc<Counters>,
        events: &mut Vec<OutboxEvent>,
    ) -> Result<(Self, Option<Damaged>), OpenError> {
        let mut file = LedgerFile { layout: layout.clone(), written, store: None, removals_owed: BTreeSet::new() };
        let damaged = file.open(Check::within(&mut { CHECK_BYTES_MAX }, &layout.ledger()))?;
        let reserve = Reserve::new(layout.ledger_reserve(), RESERVE_BYTES);
        let health = Health::begin(Store::Ledger, reserve, events);
        Ok((Self { file, health }, damaged))
    }

    /// Fills in what the ledger holds.
    pub(crate) fn restore(&self, restored: &mut Restored) -> Result<(), OpenError> {
        let Some(store) = &self.file.store else { return Ok(()) };
        let failed = |source| OpenError::Store { file: self.file.layout.ledger(), source: SqliteError(source) };
        let load = LoadAcks { ticket: 0, after: AckId::default(), rows_max: LOAD_ROWS_MAX, bytes_max: LOAD_BYTES_MAX };
        (restored.acks, restored.acks_more) =
            store.load_acks(&load, &BTreeSet::new()).map_err(|error| failed(error.source.0))?;
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
        let removed = entries.iter().map(Entry::removed).sum();
        let (entries, refused): (Vec<_>, Vec<_>) =
            entries.into_iter().map(|entry| (breaks_cap(&entry), entry)).partition(|(broken, _)| broken.is_none());
        let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
        events.extend(refused.into_iter().filter_map(|(reason, entry)| failure(&entry, &reason.unwrap_or_default())));
        match self.transact(&entries) {
            Some(Ok(happened)) => events.extend(happened),
            Some(Err(error)) => {
                self.health.degrade(error.into(), events);
                self.process_degraded(entries, events);
            }
            None => self.process_degraded(entries, events),
        }
        if removals > 0 {
            events.push(OutboxEvent::Removed { store: Store::Ledger, requests: removals, rows: removed });
        }
    }

    /// When [`Self::retry`] wants to be called.
    pub(crate) fn retry_due(&self) -> Option<Instant> {
        self.health.retry_due()
    }

    /// Tries to write again.
    pub(crate) fn retry(&mut self, now: Instant, events: &mut Vec<OutboxEvent>) {
        self.health.retry(&mut self.file, now, events);
    }

    /// Moves a long log into its file, when what it holds has been reported.
    pub(crate) fn move_log(&mut self) {
        if let Some(store) = &mut self.file.store {
            store.move_log_if_due();
        }
    }

    pub(crate) fn close(mut self) {
        if let Err(cause) = self.file.pay_removals() {
            tracing::warn!(
                reason = cause.reason(),
                acks = self.file.removals_owed.len(),
                "delivered acknowledgements could not be removed and will be sent again"
            );
        }
        if let Some(store) = self.file.store
            && let Err(error) = store.close()
        {
            tracing::warn!(reason = chain(&error), "the ledger was not closed tidily; nothing is lost");
        }
    }

    /// `None` while degraded.
    fn transact(&mut self, entries: &[Entry]) -> Option<Result<Vec<OutboxEvent>, StoreError>> {
        let store = self.file.store.as_mut().filter(|_| self.health.reason().is_none())?;
        Some(store.transact(entries))
    }

    fn process_degraded(&mut self, entries: Vec<Entry>, events: &mut Vec<OutboxEvent>) {
        let reason = self.health.reason().unwrap_or_default().to_owned();
        for entry in entries {
            match entry {
                Entry::RemoveAcks(ids) => {
                    let room = (ACKS_UNDELIVERED_MAX as usize).saturating_sub(self.file.removals_owed.len());
                    self.file.removals_owed.extend(ids.into_iter().take(room));
                }
                Entry::LoadAcks(load) => events.push(self.file.load_degraded(&load, &reason)),
                entry => events.extend(failure(&entry, &reason)),
            }
        }
    }
}

impl LedgerFile {
    fn load_degraded(&self, load: &LoadAcks, reason: &str) -> OutboxEvent {
        let failed = |reason: String| OutboxEvent::LoadFailed { ticket: load.ticket, reason };
        let Some(store) = &self.store else { return failed(reason.to_owned()) };
        match store.load_acks(load, &self.removals_owed) {
            Ok((acks, more)) => OutboxEvent::AcksLoaded { ticket: load.ticket, acks, more },
            Err(error) => failed(chain(&error)),
        }
    }

    fn open(&mut self, check: Check) -> Result<Option<Damaged>, OpenError> {
        let (mut store, damaged) = LedgerStore::open(&self.layout.ledger(), check, Arc::clone(&self.written))?;
        store.settle_log();
        if let Some(damaged) = &damaged {
            tracing::error!(set_aside = %damaged.set_aside.display(), reason = damaged.reason,
                "the ledger was damaged: commands seen, waiting acknowledgements and the last sync are forgotten");
        }
        self.store = Some(store);
        Ok(damaged)
    }
}

impl Mend for LedgerFile {
    fn is_open(&self) -> bool {
        self.store.is_some()
    }

    fn reopen(&mut self, check: Check) -> Result<Option<Damaged>, OpenError> {
        self.store = None;
        self.layout.create()?;
        self.open(check)
    }

    fn empty_log(&mut self) -> Result<(), StoreError> {
        self.store.as_mut().map_or(Ok(()), LedgerStore::empty_log)
    }

    fn pay_removals(&mut self) -> Result<(), Cause> {
        if self.removals_owed.is_empty() {
            return Ok(());
        }
        let Some(store) = &mut self.store else { return Ok(()) };
        store.transact(&[Entry::RemoveAcks(self.removals_owed.iter().copied().collect())])?;
        self.removals_owed.clear();
        Ok(())
    }

    /// The ledger is small, and its free pages are soon used again.
    fn give_room_back(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn try_writing(&mut self) -> Result<(), StoreError> {
        self.store.as_mut().map_or(Ok(()), LedgerStore::try_writing)
    }
}

/// Why the entry can never be taken.
fn breaks_cap(entry: &Entry) -> Option<String> {
    let too_large = |what: &str, bytes: usize, max: usize| {
        (bytes > max).then(|| format!("the {what} is {bytes} bytes long, more than the {max} that are taken"))
    };
    match entry {
        Entry::Record { key, body, .. } | Entry::Note { key, body, .. } => {
            too_large("command's key", key.len(), KEY_BYTES_MAX)
                .or_else(|| too_large("command's body", body.len(), COMMAND_BODY_BYTES_MAX))
        }
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
        Entry::Note { ticket, .. } => Some(OutboxEvent::CommandNoted { ticket: *ticket, result: Err(reason) }),
        Entry::Finish { ticket, .. } => Some(OutboxEvent::FinishFailed { ticket: *ticket, reason }),
        Entry::Put { ticket, .. } => Some(OutboxEvent::PutFailed { ticket: *ticket, reason }),
        Entry::LoadAcks(load) => Some(OutboxEvent::LoadFailed { ticket: load.ticket, reason }),
        Entry::RemoveAcks(_) | Entry::Prune { .. } => None,
    }
}

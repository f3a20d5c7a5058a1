//! The rig's store: telemetry rows and the ledger, committed in order, with delays and failures to order.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;

use super::{LATENCY, Rig, START_UNIX_MS};
use crate::action::{Fact, NewRow};
use crate::event::{Event, LoadedRow, LoadedRows, Recorded, Restored, RestoredAck};
use crate::{AckId, Action, RowId, Ticket};

/// What survives a crash.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) rows: BTreeMap<u64, NewRow>,
    pub(crate) last_row: u64,
    evicted_through: u64,
    pub(crate) acks: BTreeMap<u64, (Bytes, bool)>,
    last_ack: u64,
    /// Bodies, and whether they have their outcome.
    pub(crate) commands: BTreeMap<String, (Bytes, bool)>,
    pub(crate) facts: HashMap<Fact, Bytes>,
    /// Facts written with an answer.
    pub(crate) keeps: u32,
    /// What no event has said to be on disk yet.
    unsaid: BTreeMap<Ticket, Unsaid>,
}

/// What a crash may undo.
enum Unsaid {
    Row(u64),
    Recorded(String),
    /// What stood there before.
    Noted(String, Bytes),
    Finished(String, Option<u64>),
    /// What stood there before.
    Kept(Fact, Option<Bytes>),
}

impl Disk {
    pub(crate) fn forget_the_clock(&mut self) {
        self.facts.remove(&Fact::Clock);
    }

    pub(super) fn restored(&self) -> Restored {
        let ack = |(id, (body, offline)): (&u64, &(Bytes, bool))| RestoredAck {
            id: AckId(*id),
            body: body.clone(),
            offline: *offline,
        };
        let unfinished = self.commands.iter().filter(|(_, (_, finished))| !finished);
        Restored {
            rows: self.rows.len() as u64,
            acks: self.acks.iter().map(ack).collect(),
            commands: unfinished.map(|(key, (body, _))| (key.clone(), body.clone())).collect(),
            sync: self.facts.get(&Fact::Sync).cloned(),
            assignment: self.facts.get(&Fact::Assignment).cloned(),
            clock: self.facts.get(&Fact::Clock).cloned(),
            budget: self.facts.get(&Fact::Budget).cloned(),
            windows: self.facts.get(&Fact::Windows).cloned(),
            hard_stop: self.facts.get(&Fact::HardStop).cloned(),
            twin: self.facts.get(&Fact::Twin).cloned(),
            last_row: (self.last_row > 0).then_some(RowId(self.last_row)),
        }
    }

    /// The process hears what is on disk.
    pub(super) fn said(&mut self, event: &Event) {
        match event {
            Event::Committed { rows } => rows.iter().for_each(|(ticket, _)| drop(self.unsaid.remove(ticket))),
            Event::Recorded { ticket, .. }
            | Event::Noted { ticket, .. }
            | Event::Finished { ticket, .. }
            | Event::Kept { ticket, .. } => {
                drop(self.unsaid.remove(ticket));
            }
            _ => {}
        }
    }

    /// The process dies: what it has not heard of may be on disk or not.
    pub(super) fn crash(&mut self, keeps_unsaid: bool) {
        // The latest first: what finished a command may depend on what recorded it.
        for unsaid in std::mem::take(&mut self.unsaid).into_values().rev().filter(|_| !keeps_unsaid) {
            match unsaid {
                Unsaid::Row(row) => drop(self.rows.remove(&row)),
                Unsaid::Recorded(key) => drop(self.commands.remove(&key)),
                Unsaid::Noted(key, before) => self.commands.get_mut(&key).unwrap().0 = before,
                Unsaid::Kept(fact, Some(before)) => drop(self.facts.insert(fact, before)),
                Unsaid::Kept(fact, None) => drop(self.facts.remove(&fact)),
                Unsaid::Finished(key, ack) => {
                    self.commands.get_mut(&key).unwrap().1 = false;
                    ack.map(|ack| self.acks.remove(&ack));
                }
            }
        }
    }
}

impl Rig {
    /// A row that another version wrote.
    pub(crate) fn put_row(&mut self, kind: u8, body: &str) {
        self.disk.last_row += 1;
        let body = Bytes::from(body.to_owned());
        self.disk.rows.insert(self.disk.last_row, NewRow { kind, offline: true, created_unix_ms: START_UNIX_MS, body });
    }

    pub(crate) fn put_fact(&mut self, fact: Fact, value: &str) {
        self.disk.facts.insert(fact, Bytes::from(value.to_owned()));
    }

    /// The store gives up its oldest rows.
    pub(crate) fn evict(&mut self, rows: usize) {
        let gone: Vec<_> = self.disk.rows.keys().copied().take(rows).collect();
        let Some(through) = gone.last().copied() else { return };
        gone.iter().for_each(|row| drop(self.disk.rows.remove(row)));
        self.disk.evicted_through = through;
        self.handle(Event::Evicted { through: RowId(through), rows: gone.len() as u64 });
    }

    /// Carries out an action on the store.
    pub(super) fn store(&mut self, action: Action) {
        match action {
            Action::Store { ticket, row } if self.disk_fails || (self.refuses_row)(&row) => {
                self.later(LATENCY, Event::NotStored { tickets: vec![ticket], reason: "disk full".into() });
            }
            Action::Store { ticket, row } => {
                self.disk.last_row += 1;
                let id = self.disk.last_row;
                self.disk.rows.insert(id, row);
                self.disk.unsaid.insert(ticket, Unsaid::Row(id));
                // Rows are committed in order, however slow the disk was in between.
                self.committed_at = self.committed_at.max(self.monotonic + self.commit_delay);
                let wait = self.committed_at - self.monotonic;
                self.later(wait, Event::Committed { rows: vec![(ticket, RowId(id))] });
            }
            Action::Remove { rows } => {
                for row in &rows {
                    let evicted = row.0 <= self.disk.evicted_through;
                    assert!(evicted || self.disk.rows.contains_key(&row.0), "a row was removed twice");
                    assert!(!self.removing.contains(&row.0), "a row was removed twice");
                    self.removing.push_back(row.0);
                }
                self.removed_at = self.removed_at.max(self.monotonic + self.removal_delay);
                let wait = self.removed_at - self.monotonic;
                self.later(wait, Event::Removed { rows: rows.len() as u64 });
            }
            Action::Load { ticket, .. } if self.load_failures > 0 => {
                self.load_failures -= 1;
                self.later(LATENCY, Event::Loaded { ticket, result: Err("disk I/O error".into()) });
            }
            Action::Load { ticket, after, rows_max, .. } => {
                // The store answers in order: what it was told to remove it does not show any more.
                let shown = |id: &u64| self.shows_removing || !self.removing.contains(id);
                let behind = self.disk.rows.range(after.0 + 1..).filter(|(id, _)| shown(id));
                let rows: Vec<_> = behind
                    .clone()
                    .take(rows_max)
                    .map(|(id, row)| LoadedRow {
                        id: RowId(*id),
                        kind: row.kind,
                        offline: row.offline,
                        created_unix_ms: row.created_unix_ms,
                        body: row.body.clone(),
                    })
                    .collect();
                let more = behind.take(rows_max + 1).count() > rows.len();
                self.later(Duration::from_millis(5), Event::Loaded { ticket, result: Ok(LoadedRows { rows, more }) });
            }
            Action::Record { ticket, .. } if self.ledger_fails => {
                self.later(LATENCY, Event::Recorded { ticket, result: Err("disk full".into()) });
            }
            Action::Record { ticket, key, body, .. } => {
                let recorded = match self.disk.commands.get(&key) {
                    Some((_, finished)) => Recorded::Seen { finished: *finished },
                    None => {
                        self.disk.unsaid.insert(ticket, Unsaid::Recorded(key.clone()));
                        self.disk.commands.insert(key, (body, false));
                        Recorded::New
                    }
                };
                self.later(Duration::from_millis(5), Event::Recorded { ticket, result: Ok(recorded) });
            }
            Action::Note { ticket, .. } if self.ledger_fails => {
                self.later(LATENCY, Event::Noted { ticket, result: Err("disk full".into()) });
            }
            Action::Note { ticket, key, body } => {
                let command = self.disk.commands.get_mut(&key).expect("noted commands were recorded");
                assert!(!command.1, "a finished command was noted");
                let before = std::mem::replace(&mut command.0, body);
                self.disk.unsaid.insert(ticket, Unsaid::Noted(key, before));
                self.later(Duration::from_millis(5), Event::Noted { ticket, result: Ok(()) });
            }
            Action::Finish { ticket, .. } if self.ledger_fails => {
                self.later(LATENCY, Event::Finished { ticket, result: Err("disk full".into()) });
            }
            Action::Finish { ticket, key, ack, offline, .. } => {
                let command = self.disk.commands.get_mut(&key).expect("finished commands were recorded");
                assert!(!std::mem::replace(&mut command.1, true), "a command was finished twice");
                let id = ack.map(|body| {
                    self.disk.last_ack += 1;
                    self.disk.acks.insert(self.disk.last_ack, (body, offline));
                    self.disk.last_ack
                });
                self.disk.unsaid.insert(ticket, Unsaid::Finished(key, id));
                self.later(Duration::from_millis(5), Event::Finished { ticket, result: Ok(id.map(AckId)) });
            }
            Action::RemoveAcks { acks } => acks.iter().for_each(|ack| drop(self.disk.acks.remove(&ack.0))),
            Action::Keep { fact, value } => drop(self.disk.facts.insert(fact, value)),
            Action::KeepFor { ticket, .. } if self.ledger_fails => {
                self.later(LATENCY, Event::Kept { ticket, result: Err("disk full".into()) });
            }
            Action::KeepFor { ticket, fact, value } => {
                let before = self.disk.facts.insert(fact, value);
                self.disk.unsaid.insert(ticket, Unsaid::Kept(fact, before));
                self.disk.keeps += 1;
                self.later(Duration::from_millis(5), Event::Kept { ticket, result: Ok(()) });
            }
            Action::Wipe => self.evict(usize::MAX),
            other => panic!("nobody carries out {other:?}"),
        }
    }
}

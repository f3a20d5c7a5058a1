//! Custody in memory: telemetry rows and the ledger, committed at once.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use edgeplug_session::action::NewRow;
use edgeplug_session::event::{LoadedRow, LoadedRows, Recorded};
use edgeplug_session::{AckId, Action, Event, RowId};

/// What the store holds.
#[derive(Default)]
pub(crate) struct Store {
    rows: BTreeMap<u64, NewRow>,
    last_row: u64,
    last_ack: u64,
    /// Whether a command has its outcome.
    commands: HashMap<String, bool>,
}

impl Store {
    /// Carries out an action on the store; says what to tell the session.
    pub(crate) fn carry_out(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Store { ticket, row } => {
                self.last_row += 1;
                self.rows.insert(self.last_row, row);
                Some(Event::Committed { rows: vec![(ticket, RowId(self.last_row))] })
            }
            Action::Remove { rows } => {
                rows.iter().for_each(|row| drop(self.rows.remove(&row.0)));
                Some(Event::Removed { rows: rows.len() as u64 })
            }
            Action::Load { ticket, after, rows_max, .. } => {
                let loaded = |(id, row): (&u64, &NewRow)| LoadedRow {
                    id: RowId(*id),
                    kind: row.kind,
                    offline: row.offline,
                    created_unix_ms: row.created_unix_ms,
                    body: Bytes::clone(&row.body),
                };
                let behind = self.rows.range(after.0.saturating_add(1)..);
                let rows: Vec<_> = behind.clone().take(rows_max).map(loaded).collect();
                let more = behind.take(rows_max.saturating_add(1)).count() > rows.len();
                Some(Event::Loaded { ticket, result: Ok(LoadedRows { rows, more }) })
            }
            Action::Record { ticket, key, .. } => {
                let known = self.commands.get(&key).copied();
                let recorded = known.map_or(Recorded::New, |finished| Recorded::Seen { finished });
                self.commands.entry(key).or_insert(false);
                Some(Event::Recorded { ticket, result: Ok(recorded) })
            }
            Action::Note { ticket, .. } => Some(Event::Noted { ticket, result: Ok(()) }),
            Action::Finish { ticket, key, ack, .. } => {
                self.commands.insert(key, true);
                self.last_ack += u64::from(ack.is_some());
                let id = ack.map(|_| AckId(self.last_ack));
                Some(Event::Finished { ticket, result: Ok(id) })
            }
            Action::Wipe => {
                let (through, rows) = (RowId(self.last_row), self.rows.len() as u64);
                self.rows.clear();
                Some(Event::Evicted { through, rows })
            }
            _ => None,
        }
    }
}

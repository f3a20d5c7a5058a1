//! What must be found on the disk at one moment of the log, and what may be.

use std::collections::{BTreeMap, BTreeSet};

use super::mark::Mark;

/// Folded from the marks before the moment.
#[derive(Clone, Default)]
pub(super) struct Promise {
    /// Accepted and not given up: id and ticket.
    pub(super) rows: BTreeMap<i64, u64>,
    /// Asked to be removed: may be there or not.
    pub(super) rows_removing: BTreeSet<i64>,
    /// Removed for good.
    pub(super) rows_removed: BTreeSet<i64>,
    pub(super) commands: BTreeMap<String, Command>,
    /// Acknowledgements that must be there.
    pub(super) acks: BTreeMap<i64, String>,
    pub(super) acks_removed: BTreeSet<i64>,
    /// The last value on the disk, and the one that may be.
    pub(super) facts: BTreeMap<String, (Option<u64>, Option<u64>)>,
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// May be there.
    Recording,
    /// Must be there, unfinished.
    Recorded,
    /// Must be there; may be finished.
    Finishing,
    /// Must not be unfinished.
    Finished,
}

impl Promise {
    pub(super) fn note(&mut self, mark: &Mark) {
        match mark {
            Mark::Committed(rows) => self.rows.extend(rows.iter().map(|(ticket, id)| (*id, *ticket))),
            Mark::Removing(ids) => {
                for id in ids {
                    self.rows.remove(id);
                }
                self.rows_removing.extend(ids);
            }
            Mark::Removed(ids) => {
                for id in ids {
                    self.rows_removing.remove(id);
                }
                self.rows_removed.extend(ids);
            }
            Mark::Evicted(through) => self.rows = self.rows.split_off(&(through + 1)),
            Mark::Recording(key) => {
                self.commands.insert(key.clone(), Command::Recording);
            }
            Mark::Recorded(key) => {
                self.commands.insert(key.clone(), Command::Recorded);
            }
            Mark::Finishing(key) => {
                self.commands.insert(key.clone(), Command::Finishing);
            }
            Mark::Finished(key, ack) => {
                self.commands.insert(key.clone(), Command::Finished);
                self.acks.insert(*ack, key.clone());
            }
            Mark::RemovingAcks(ids) => {
                for id in ids {
                    self.acks.remove(id);
                }
            }
            Mark::RemovedAcks(ids) => self.acks_removed.extend(ids),
            Mark::Putting(name, value) => self.facts.entry(name.clone()).or_default().1 = Some(*value),
            Mark::Put(name, value) => self.facts.entry(name.clone()).or_default().0 = Some(*value),
        }
    }
}

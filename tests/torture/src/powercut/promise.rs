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
    pub(super) facts: BTreeMap<String, Fact>,
}

/// The values one fact may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fact {
    /// The last value known to be on the disk.
    put: Option<u64>,
    /// Values asked for since, in order. Several are under way when one step puts a fact twice; the disk may be at any of
    /// them before the driver hears of the first.
    putting: Vec<u64>,
}

impl Fact {
    /// Everything the disk may hold; none is no value at all.
    pub(super) fn values(&self) -> impl Iterator<Item = Option<u64>> + '_ {
        std::iter::once(self.put).chain(self.putting.iter().copied().map(Some))
    }

    fn put(&mut self, value: u64) {
        self.put = Some(value);
        let done = self.putting.iter().position(|putting| *putting == value).map_or(0, |at| at + 1);
        self.putting.drain(..done);
    }
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
            Mark::Putting(name, value) => self.facts.entry(name.clone()).or_default().putting.push(*value),
            Mark::Put(name, value) => self.facts.entry(name.clone()).or_default().put(*value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_put_twice_at_once_may_have_its_old_value_or_either_new_one() {
        let mut promise = Promise::default();
        let name = "fact 1".to_owned();
        let values = |promise: &Promise| promise.facts.get("fact 1").map(|fact| fact.values().collect::<Vec<_>>());
        for mark in [Mark::Putting(name.clone(), 1), Mark::Put(name.clone(), 1)] {
            promise.note(&mark);
        }
        assert_eq!(values(&promise), Some(vec![Some(1)]));
        for mark in [Mark::Putting(name.clone(), 2), Mark::Putting(name.clone(), 3)] {
            promise.note(&mark);
        }
        assert_eq!(values(&promise), Some(vec![Some(1), Some(2), Some(3)]));
        promise.note(&Mark::Put(name.clone(), 2));
        assert_eq!(values(&promise), Some(vec![Some(2), Some(3)]));
        promise.note(&Mark::Put(name, 3));
        assert_eq!(values(&promise), Some(vec![Some(3)]));
    }
}

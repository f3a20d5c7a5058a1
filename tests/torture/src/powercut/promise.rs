//! What must be found on the disk at one moment of the log, and what may be.

use std::collections::{BTreeMap, BTreeSet};

use edgeplug_outbox::Lane;

use super::log::Op;
use super::mark::{Mark, lane};

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
    /// The highest row id that was given out.
    pub(super) last_row: i64,
    /// A segment was unlinked since the last step began, so that its eviction may be under way.
    unlinked: bool,
    /// There is only one file: nothing is unlinked, and alarms go last.
    one_file: bool,
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
    pub(super) fn new(one_file: bool) -> Self {
        Self { one_file, ..Self::default() }
    }

    /// Takes in what happened to the disk, marks among it.
    pub(super) fn note(&mut self, op: &Op) {
        match op {
            Op::Unlink { path } if path.ends_with(".db") => self.unlinked = true,
            Op::Mark(mark) => self.note_mark(mark),
            _ => {}
        }
    }

    /// Rows that may be gone already although their eviction is reported later: `ahead` is the log from this moment on. An
    /// eviction is reported in the step that it happens in, and begins with the unlinking of a segment.
    pub(super) fn evicting<'a>(&self, ahead: impl IntoIterator<Item = &'a Op>) -> BTreeSet<i64> {
        if !self.unlinked && !self.one_file {
            return BTreeSet::new();
        }
        let of_this_step = ahead.into_iter().take_while(|op| !matches!(op, Op::Mark(Mark::Step)));
        let through = of_this_step.filter_map(|op| if let Op::Mark(Mark::Evicted(id)) = op { Some(*id) } else { None });
        through.max().map_or_else(BTreeSet::new, |through| self.given_up(through))
    }

    /// Rows that an eviction up to `through` gives up. With one file alarms go only once no live row is left.
    fn given_up(&self, through: i64) -> BTreeSet<i64> {
        let is_live = |ticket: &u64| lane(*ticket) == Lane::Live;
        let live_left = self.one_file && self.rows.range(through + 1..).any(|(_, ticket)| is_live(ticket));
        let given_up = self.rows.range(..=through).filter(|(_, ticket)| !live_left || is_live(ticket));
        given_up.map(|(id, _)| *id).collect()
    }

    fn note_mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Step => self.unlinked = false,
            Mark::Committed(rows) => {
                self.last_row = rows.iter().map(|(_, id)| *id).fold(self.last_row, i64::max);
                self.rows.extend(rows.iter().map(|(ticket, id)| (*id, *ticket)));
            }
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
            Mark::Evicted(through) => {
                for id in self.given_up(*through) {
                    self.rows.remove(&id);
                }
            }
            Mark::Dropping(through) => {
                let kept = self.rows.split_off(&(through + 1));
                self.rows_removing.extend(std::mem::replace(&mut self.rows, kept).into_keys());
            }
            Mark::Dropped(through) => {
                let still = self.rows_removing.split_off(&(through + 1));
                self.rows_removed.extend(std::mem::replace(&mut self.rows_removing, still));
            }
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
            promise.note_mark(&mark);
        }
        assert_eq!(values(&promise), Some(vec![Some(1)]));
        for mark in [Mark::Putting(name.clone(), 2), Mark::Putting(name.clone(), 3)] {
            promise.note_mark(&mark);
        }
        assert_eq!(values(&promise), Some(vec![Some(1), Some(2), Some(3)]));
        promise.note_mark(&Mark::Put(name.clone(), 2));
        assert_eq!(values(&promise), Some(vec![Some(2), Some(3)]));
        promise.note_mark(&Mark::Put(name, 3));
        assert_eq!(values(&promise), Some(vec![Some(3)]));
    }

    fn segment_gone() -> Op {
        Op::Unlink { path: "outbox/telemetry/000001.db".into() }
    }

    #[test]
    fn rows_may_be_missing_only_between_the_unlinking_of_their_segment_and_the_word_of_it() {
        let mut promise = Promise::default();
        let evicted = [Op::Mark(Mark::Evicted(2))];
        promise.note(&Op::Mark(Mark::Committed(vec![(1, 1), (2, 2), (4, 3)])));
        promise.note(&Op::Mark(Mark::Step));
        assert!(promise.evicting(&evicted).is_empty(), "nothing was unlinked");
        promise.note(&segment_gone());
        assert_eq!(promise.evicting(&evicted), BTreeSet::from([1, 2]));
        assert!(promise.evicting(&[Op::Mark(Mark::Step), Op::Mark(Mark::Evicted(2))]).is_empty(), "of a later step");
        promise.note_mark(&Mark::Evicted(2));
        assert_eq!(promise.rows.keys().copied().collect::<Vec<_>>(), [3]);
        promise.note(&Op::Mark(Mark::Step));
        assert!(promise.evicting(&[Op::Mark(Mark::Evicted(3))]).is_empty(), "the unlinking was of an earlier step");
    }

    #[test]
    fn with_one_file_alarms_are_given_up_only_once_no_live_row_is_left() {
        let mut promise = Promise::new(true);
        // Tickets 3 and 13 are alarms.
        promise.note_mark(&Mark::Committed(vec![(3, 1), (4, 2), (13, 3), (5, 4)]));
        promise.note_mark(&Mark::Evicted(3));
        assert_eq!(promise.rows.keys().copied().collect::<Vec<_>>(), [1, 3, 4]);
        promise.note_mark(&Mark::Evicted(4));
        assert_eq!(promise.rows.len(), 0);
    }
}

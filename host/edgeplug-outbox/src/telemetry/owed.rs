//! Removals that are not on disk yet: hidden from loads, paid as soon as their segment can be written.

use std::{collections::BTreeSet, ops::Bound};

use crate::event::RowId;

/// Removals kept in memory while the store cannot write (16 bytes each with their tree). Beyond it removals are
/// forgotten and those rows are delivered again after the next start.
const OWED_MAX: usize = 200_000;
/// Rows removed in one transaction.
pub(crate) const REMOVALS_AT_ONCE: usize = 2_000;

#[derive(Default)]
pub(crate) struct Owed {
    ids: BTreeSet<RowId>,
}

impl Owed {
    pub(crate) fn contains(&self, id: RowId) -> bool {
        self.ids.contains(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Ids that were never given out are not kept.
    pub(crate) fn add(&mut self, ids: &[RowId]) {
        for id in ids.iter().filter(|id| id.0 > 0) {
            if self.ids.len() >= OWED_MAX {
                tracing::warn!(
                    max = OWED_MAX,
                    "too many delivered rows wait to be removed; the rest will be sent again after a restart"
                );
                return;
            }
            self.ids.insert(*id);
        }
    }

    /// The lowest ids above `after` up to `through`, at most `count` of them.
    pub(crate) fn between(&self, after: RowId, through: RowId, count: usize) -> Vec<RowId> {
        if after >= through {
            return Vec::new();
        }
        self.ids.range((Bound::Excluded(after), Bound::Included(through))).take(count).copied().collect()
    }

    pub(crate) fn paid(&mut self, ids: &[RowId]) {
        for id in ids {
            self.ids.remove(id);
        }
    }

    /// Forgets the ids up to `through`, whose rows are gone. Says how many there were.
    pub(crate) fn forget(&mut self, through: RowId) -> u64 {
        let gone: Vec<RowId> = self.ids.range(..=through).copied().collect();
        self.paid(&gone);
        gone.len() as u64
    }
}

/// Ids in ascending runs without a gap, so that each costs one statement.
pub(crate) fn runs(ids: &[RowId]) -> impl Iterator<Item = (i64, i64)> + '_ {
    let mut rest = ids;
    std::iter::from_fn(move || {
        let (RowId(first), mut tail) = rest.split_first().map(|(first, tail)| (*first, tail))?;
        let mut last = first;
        while let Some((RowId(next), after)) = tail.split_first()
            && (*next == last || Some(*next) == last.checked_add(1))
        {
            last = *next;
            tail = after;
        }
        rest = tail;
        Some((first, last))
    })
}

#[cfg(test)]
mod tests;

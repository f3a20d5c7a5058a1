//! The sizes of the rows that came last, so that their removal need not read them back from the table.
//!
//! What must stay true: what is in here is in the segment, of this lane and size. So it is forgotten as a whole whenever a
//! transaction fails or rows go in any other way than by a removal that names them.

use std::collections::VecDeque;

use crate::request::Lane;

/// A few times what a busy uplink has under way; 16 bytes each.
const SIZES_MAX: usize = 8_192;

#[derive(Debug, Default)]
pub(crate) struct Sizes {
    /// The id of the first.
    first: i64,
    /// Of consecutive ids; `None` for rows that are gone.
    sizes: VecDeque<Option<(Lane, i64)>>,
}

impl Sizes {
    /// Notes an appended row.
    pub(crate) fn add(&mut self, id: i64, lane: Lane, bytes: i64) {
        if self.index(id) != Some(self.sizes.len()) {
            self.sizes.clear();
            self.first = id;
        }
        self.sizes.push_back(Some((lane, bytes)));
        if self.sizes.len() > SIZES_MAX {
            self.sizes.pop_front();
            self.first += 1;
        }
        self.drop_gone();
    }

    /// Forgets these rows and says how many bytes they hold together; `None` if not all of them are known.
    pub(crate) fn take(&mut self, lane: Lane, (first, last): (i64, i64)) -> Option<i64> {
        let (from, to) = (self.index(first)?, self.index(last)?);
        if from > to || to >= self.sizes.len() {
            return None;
        }
        let known = |size: &Option<(Lane, i64)>| size.filter(|(of, _)| *of == lane).map(|(_, bytes)| bytes);
        let bytes = self.sizes.range(from..=to).map(known).sum::<Option<i64>>()?;
        self.sizes.range_mut(from..=to).for_each(|size| *size = None);
        self.drop_gone();
        Some(bytes)
    }

    fn index(&self, id: i64) -> Option<usize> {
        usize::try_from(id.checked_sub(self.first)?).ok()
    }

    fn drop_gone(&mut self) {
        while let Some(None) = self.sizes.front() {
            self.sizes.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests;

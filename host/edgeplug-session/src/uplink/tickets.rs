//! What waits for its answer, in the order it was asked for.
//!
//! Tickets only grow and answers come nearly in order, so the one looked for is nearly always the first. An answer out of
//! order costs a binary search and a move of what stands before it.

use std::collections::VecDeque;

use crate::Ticket;

/// A queue with look-up by ticket.
#[derive(Debug)]
pub(super) struct InOrder<T>(VecDeque<(Ticket, T)>);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> InOrder<T> {
    /// Adds one whose ticket is younger than all others.
    pub(super) fn push(&mut self, ticket: Ticket, waiting: T) {
        debug_assert!(self.0.back().is_none_or(|(last, _)| *last < ticket), "tickets grow");
        self.0.push_back((ticket, waiting));
    }

    pub(super) fn take(&mut self, ticket: Ticket) -> Option<T> {
        // Out of the middle costs moves that out of the front does not.
        let taken = match self.position(ticket)? {
            0 => self.0.pop_front(),
            at => self.0.remove(at),
        };
        taken.map(|(_, waiting)| waiting)
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let at = self.position(ticket)?;
        self.0.get_mut(at).map(|(_, waiting)| waiting)
    }

    pub(super) fn first(&self) -> Option<Ticket> {
        self.0.front().map(|(ticket, _)| *ticket)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes all, oldest first.
    pub(super) fn drain(&mut self) -> impl DoubleEndedIterator<Item = T> + '_ {
        self.0.drain(..).map(|(_, waiting)| waiting)
    }

    fn position(&self, ticket: Ticket) -> Option<usize> {
        if self.0.front().is_some_and(|(first, _)| *first == ticket) {
            return Some(0);
        }
        self.0.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()
    }
}

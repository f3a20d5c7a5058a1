//! When the hub's PUBACKs go out: at once, as the real one does, or as a fault switch says.
//!
//! Pure: it is told the time and the switch, and says which acknowledgements are due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How the hub acknowledges device-to-cloud messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pubacks {
    /// At once, in order.
    #[default]
    AtOnce,
    /// In order, each this long after its message.
    Delayed(Duration),
    /// Not until the switch is turned to something else; then in order.
    Held,
    /// Never.
    Dropped,
    /// In groups of this many, each group in reverse order; a group that does not fill up goes out after 100 ms.
    Reordered(usize),
}

/// How long a group of [`Pubacks::Reordered`] may take to fill up, so that a device that stops sending is not left hanging.
const GROUP_TIME: Duration = Duration::from_millis(100);

/// One acknowledgement owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) packet_id: u16,
    /// The record it acknowledges; none for a twin report or the like.
    pub(super) record: Option<u64>,
    pub(super) since: Instant,
}

#[derive(Default)]
pub(super) struct Queue(VecDeque<Owed>);

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn owe(&mut self, owed: Owed, mode: Pubacks) {
        if mode != Pubacks::Dropped {
            self.0.push_back(owed);
        }
    }

    /// Takes out what is due.
    pub(super) fn due(&mut self, mode: Pubacks, now: Instant) -> Vec<Owed> {
        match mode {
            Pubacks::AtOnce => self.0.drain(..).collect(),
            Pubacks::Held => Vec::new(),
            Pubacks::Dropped => {
                self.0.clear();
                Vec::new()
            }
            Pubacks::Delayed(delay) => {
                let count = self.0.iter().take_while(|owed| owed.since + delay <= now).count();
                self.0.drain(..count).collect()
            }
            Pubacks::Reordered(group) => {
                let group = group.max(1);
                let mut due = Vec::new();
                while self.0.len() >= group || self.0.front().is_some_and(|owed| owed.since + GROUP_TIME <= now) {
                    let count = group.min(self.0.len());
                    due.extend(self.0.drain(..count).rev());
                }
                due
            }
        }
    }

    /// When [`Queue::due`] should be asked again by itself.
    pub(super) fn next(&self, mode: Pubacks) -> Option<Instant> {
        match mode {
            Pubacks::Delayed(delay) => self.0.front().map(|owed| owed.since + delay),
            Pubacks::Reordered(_) => self.0.front().map(|owed| owed.since + GROUP_TIME),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(now: Instant, mode: Pubacks) -> Queue {
        let mut queue = Queue::default();
        for packet_id in 1..=5 {
            queue.owe(Owed { packet_id, record: None, since: now }, mode);
        }
        queue
    }

    fn ids(owed: Vec<Owed>) -> Vec<u16> {
        owed.into_iter().map(|owed| owed.packet_id).collect()
    }

    #[test]
    fn each_mode_does_what_it_says() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let cases: [(Pubacks, Duration, &[u16]); 7] = [
            (Pubacks::AtOnce, Duration::ZERO, &[1, 2, 3, 4, 5]),
            (Pubacks::Delayed(second), Duration::ZERO, &[]),
            (Pubacks::Delayed(second), second, &[1, 2, 3, 4, 5]),
            (Pubacks::Held, second, &[]),
            (Pubacks::Dropped, second, &[]),
            (Pubacks::Reordered(2), Duration::ZERO, &[2, 1, 4, 3]),
            (Pubacks::Reordered(2), GROUP_TIME, &[2, 1, 4, 3, 5]),
        ];
        for (mode, later, expected) in cases {
            assert_eq!(ids(queue(now, mode).due(mode, now + later)), expected, "{mode:?}");
        }
    }

    #[test]
    fn held_acknowledgements_go_out_in_order_when_released() {
        let now = Instant::now();
        let mut queue = queue(now, Pubacks::Held);
        assert!(queue.due(Pubacks::Held, now).is_empty());
        assert_eq!(ids(queue.due(Pubacks::AtOnce, now)), [1, 2, 3, 4, 5]);
    }
}

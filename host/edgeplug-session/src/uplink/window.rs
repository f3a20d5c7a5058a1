//! What is under way: publishes without PUBACK, and rows whose removal from disk is not confirmed.
//!
//! The window is counted in rows: a row counts from its first publish until [`crate::Event::Removed`] covers it, because
//! until then a crash would send it again. Publishes are counted apart: that bounds what the link holds. Alarms have a
//! window of their own beside it, as large as what the link holds, and leave a quarter of the link to others that wait: a
//! rule that is always true is no alarm any more.

use std::collections::{BTreeMap, VecDeque};

use super::item::{Alarm, Item, ItemId, Items, Lane};
use super::tickets::InOrder;
use crate::{AckId, RowId, SessionConfig, Ticket};

#[derive(Debug, Default)]
pub(super) struct Window {
    in_flight: InOrder<Message>,
    /// Messages of each lane among them.
    messages: [usize; 3],
    /// Rows published and not wholly acknowledged, by lane.
    published: [usize; 3],
    /// Rows whose removal was asked for and is not confirmed, in that order.
    removing: VecDeque<(RowId, Option<Lane>)>,
    /// Of those, rows that were published, by lane.
    removing_published: [usize; 3],
    /// The last of `removing`, which no action names yet.
    unsaid: Vec<RowId>,
    /// Rows that became several messages.
    parted: BTreeMap<ItemId, Parted>,
}

/// One publish.
#[derive(Debug)]
pub(super) enum Message {
    Alarm(Alarm),
    Rows(Lane, Items),
}

/// A row that became several messages.
#[derive(Debug)]
struct Parted {
    undelivered: usize,
    published: Option<Lane>,
}

/// What the hub took over.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) acks: Vec<AckId>,
    /// Whole rows, those in memory included.
    pub(super) rows: u64,
    /// Rows that were only in memory.
    pub(super) memory_rows: usize,
    /// Messages with rows.
    pub(super) messages: u64,
}

impl Window {
    pub(super) fn is_full(&self, config: &SessionConfig) -> bool {
        self.in_flight.len() >= handed_over_max(config)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The publish that has waited longest for its PUBACK.
    pub(super) fn oldest(&self) -> Option<Ticket> {
        self.in_flight.first()
    }

    /// Rows of one message at most: those of the live lane fit into what the backlog leaves free, and so need not wait
    /// for it.
    pub(super) fn message_rows_max(lane: Lane, config: &SessionConfig) -> usize {
        let window = usize::from(config.window);
        match lane {
            Lane::Alarm => 1,
            Lane::Live => window.saturating_sub(share(Lane::Backlog, window)).max(1),
            Lane::Backlog => share(lane, window),
        }
    }

    /// Whether one more message of these items may go. `others` says that other lanes have some, too.
    pub(super) fn has_room<'a>(
        &self,
        lane: Lane,
        items: impl Iterator<Item = &'a Item>,
        others: bool,
        config: &SessionConfig,
    ) -> bool {
        let messages = self.messages.get(lane.index()).copied().unwrap_or_default();
        if lane == Lane::Alarm {
            let max = handed_over_max(config);
            return self.rows_out(lane) < max && (!others || messages < share(Lane::Backlog, max));
        }
        if lane == Lane::Backlog && messages >= share(lane, handed_over_max(config)) {
            return false;
        }
        let new = items.filter(|item| !self.is_published(item)).count();
        let total = self.rows_out(Lane::Live) + self.rows_out(Lane::Backlog) + new;
        let of_lane = self.rows_out(lane) + new;
        let window = usize::from(config.window);
        new == 0 || (total <= window.max(1) && of_lane <= share(lane, window))
    }

    /// Rows of a lane that were published and may still be on disk.
    pub(super) fn rows_out(&self, lane: Lane) -> usize {
        let count = |counts: &[usize; 3]| counts.get(lane.index()).copied().unwrap_or_default();
        count(&self.published) + count(&self.removing_published)
    }

    pub(super) fn publish(&mut self, ticket: Ticket, mut message: Message) {
        if let Message::Rows(lane, items) = &mut message {
            add(&mut self.messages, *lane);
            for item in items.as_mut_slice() {
                let new = match self.parted.get_mut(&item.id).filter(|_| item.is_part) {
                    Some(parted) => parted.published.replace(*lane).is_none(),
                    None => !std::mem::replace(&mut item.published, true) && !item.is_part,
                };
                if new {
                    add(&mut self.published, *lane);
                }
            }
        }
        self.in_flight.push(ticket, message);
    }

    /// Takes PUBACKs; asks for the removal of rows that are wholly delivered.
    pub(super) fn delivered(&mut self, tickets: &[Ticket]) -> Delivered {
        let mut delivered = Delivered::default();
        self.unsaid.reserve(tickets.len());
        for ticket in tickets {
            match self.in_flight.take(*ticket) {
                None => {}
                Some(Message::Alarm(alarm)) => delivered.acks.push(alarm.ack),
                Some(Message::Rows(lane, items)) => {
                    subtract(&mut self.messages, lane);
                    delivered.messages += 1;
                    for item in items.as_slice() {
                        self.settle(lane, item, &mut delivered);
                    }
                }
            }
        }
        delivered
    }

    fn settle(&mut self, lane: Lane, item: &Item, delivered: &mut Delivered) {
        if item.is_part {
            // An evicted row has no entry any more.
            let Some(parted) = self.parted.get_mut(&item.id) else { return };
            parted.undelivered = parted.undelivered.saturating_sub(1);
            if parted.undelivered > 0 {
                return;
            }
            self.parted.remove(&item.id);
        }
        subtract(&mut self.published, lane);
        delivered.rows += 1;
        match item.id {
            ItemId::Row(row) => self.remove(row, Some(lane)),
            ItemId::Memory(_) => delivered.memory_rows += 1,
        }
    }

    /// Asks for the removal of a row that is never sent.
    pub(super) fn discard(&mut self, row: RowId) {
        self.remove(row, None);
    }

    fn remove(&mut self, row: RowId, published: Option<Lane>) {
        if let Some(lane) = published {
            add(&mut self.removing_published, lane);
        }
        self.removing.push_back((row, published));
        self.unsaid.push(row);
    }

    /// Rows whose removal has not been asked for yet, for one action.
    pub(super) fn take_removals(&mut self) -> Option<Vec<RowId>> {
        (!self.unsaid.is_empty()).then(|| std::mem::take(&mut self.unsaid))
    }

    /// So many rows are off the disk. Calls back with each.
    pub(super) fn removed(&mut self, rows: u64, mut gone: impl FnMut(RowId)) {
        for _ in 0..rows {
            let Some((row, published)) = self.removing.pop_front() else { return };
            if let Some(lane) = published {
                subtract(&mut self.removing_published, lane);
            }
            gone(row);
        }
    }

    /// Whether the removal of this row was asked for and is not confirmed.
    pub(super) fn is_removing(&self, row: RowId) -> bool {
        self.removing.iter().any(|(removing, _)| *removing == row)
    }

    /// A row becomes so many messages.
    pub(super) fn part(&mut self, id: ItemId, messages: usize) {
        self.parted.insert(id, Parted { undelivered: messages, published: None });
    }

    /// A row that waits in a lane is gone.
    pub(super) fn forget(&mut self, lane: Lane, item: &Item) {
        if item.is_part {
            if let Some(Parted { published: Some(lane), .. }) = self.parted.remove(&item.id) {
                subtract(&mut self.published, lane);
            }
        } else if item.published {
            subtract(&mut self.published, lane);
        }
    }

    /// Takes back everything in flight, oldest first. It counts as published still: it may have arrived.
    pub(super) fn take_back(&mut self) -> Vec<Message> {
        self.messages = [0; 3];
        self.in_flight.drain().collect()
    }

    /// Counts nothing as published any more but what is not in the store.
    pub(super) fn forget_published(&mut self) {
        self.published = [0; 3];
        self.parted.retain(|id, parted| {
            parted.published = None;
            matches!(id, ItemId::Memory(_))
        });
    }

    fn is_published(&self, item: &Item) -> bool {
        if item.is_part {
            self.parted.get(&item.id).is_some_and(|parted| parted.published.is_some())
        } else {
            item.published
        }
    }
}

/// Messages the link may hold: a window of them on the wire, and as many behind it, so that a PUBACK is followed by the next
/// message without a way through the session.
fn handed_over_max(config: &SessionConfig) -> usize {
    usize::from(config.in_flight_max.max(1)) * 2
}

/// Of a limit, what one lane may use: a quarter is kept free of backlog for what comes live.
fn share(lane: Lane, max: usize) -> usize {
    match lane {
        Lane::Alarm | Lane::Live => max.max(1),
        Lane::Backlog => (max * 3 / 4).max(1),
    }
}

fn add(counts: &mut [usize; 3], lane: Lane) {
    if let Some(count) = counts.get_mut(lane.index()) {
        *count += 1;
    }
}

fn subtract(counts: &mut [usize; 3], lane: Lane) {
    if let Some(count) = counts.get_mut(lane.index()) {
        *count = count.saturating_sub(1);
    }
}

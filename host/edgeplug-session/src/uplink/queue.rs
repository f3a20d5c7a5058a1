//! Items of one lane in the order they are sent, and how many of the first make one message.

use std::collections::VecDeque;

use edgeplug_protocol::telemetry::JoinedLen;

use super::item::{Content, Item, ItemId, Items};
use crate::RowId;

/// A lane's items in memory. The owner bounds it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    /// Of the bodies.
    bytes: usize,
    /// What was found out about the first items, so that each is looked at once.
    run: Option<Run>,
}

/// Items at the front that make one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) rows: usize,
    /// Of the message, topic and offline mark included.
    pub(super) bytes: usize,
    /// No later item can join them.
    pub(super) closed: bool,
    topic_bytes: usize,
    len: Option<JoinedLen>,
}

/// How large a message may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunMax {
    pub(super) rows: usize,
    /// Topic included; a single row may be larger.
    pub(super) bytes: usize,
}

/// What an item is found to be when its turn comes.
pub(super) enum Ripe {
    /// A message.
    Yes,
    /// Something that cannot be sent yet; neither can what stands behind it.
    NotYet,
    /// These messages instead, perhaps none.
    Instead(Vec<Item>),
}

impl Queue {
    pub(super) fn push(&mut self, item: Item) {
        self.bytes += item.content.bytes().len();
        self.items.push_back(item);
    }

    pub(super) fn push_front(&mut self, item: Item) {
        self.run = None;
        self.bytes += item.content.bytes().len();
        self.items.push_front(item);
    }

    /// Puts a row that is not in the store back where it was.
    pub(super) fn put_back(&mut self, item: Item) {
        let behind = |other: &Item| matches!(other.id, ItemId::Row(_)) || other.id > item.id;
        let at = self.items.iter().position(behind).unwrap_or(self.items.len());
        self.run = None;
        self.bytes += item.content.bytes().len();
        self.items.insert(at, item);
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        self.run = None;
        let item = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(item.content.bytes().len());
        Some(item)
    }

    /// Takes the items of a run.
    pub(super) fn pop_run(&mut self, run: Run) -> Option<Items> {
        if run.rows == 1 {
            return self.pop().map(Items::One);
        }
        Some(Items::Several(std::iter::from_fn(|| self.pop()).take(run.rows).collect()))
    }

    pub(super) fn front(&self) -> Option<&Item> {
        self.items.front()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_full(&self, rows_max: usize, bytes_max: usize) -> bool {
        self.items.len() >= rows_max || self.bytes >= bytes_max
    }

    /// Takes out every stored row. What is left counts as unpublished.
    pub(super) fn forget_stored(&mut self) {
        self.retain(|item| matches!(item.id, ItemId::Memory(_)));
        self.items.iter_mut().for_each(|item| item.published = false);
    }

    /// What was found out about the first items may not be so any more.
    pub(super) fn forget_run(&mut self) {
        self.run = None;
    }

    /// Takes out what does not fit a test.
    fn retain(&mut self, mut keep: impl FnMut(&Item) -> bool) {
        self.run = None;
        self.items.retain(|item| keep(item));
        self.bytes = self.items.iter().map(|item| item.content.bytes().len()).sum();
    }

    /// Takes out every stored row up to here.
    pub(super) fn evict(&mut self, through: RowId, mut gone: impl FnMut(&Item)) {
        let is_gone = |item: &Item| matches!(item.id, ItemId::Row(row) if row <= through);
        // Rows grow: usually nothing here is that old.
        if self.items.iter().any(is_gone) {
            self.retain(|item| {
                if is_gone(item) {
                    gone(item);
                }
                !is_gone(item)
            });
        }
    }

    /// The items that go as the next message; `None` if there is nothing to send. `topic_bytes` is asked once, of the first.
    pub(super) fn front_run(
        &mut self,
        max: RunMax,
        topic_bytes: impl Fn(&Item) -> usize,
        mut ripen: impl FnMut(&Item) -> Ripe,
    ) -> Option<Run> {
        let mut run = self.run.take().unwrap_or(Run { rows: 0, bytes: 0, closed: false, topic_bytes: 0, len: None });
        while !run.closed {
            let Some(item) = self.items.get(run.rows) else { break };
            match ripen(item) {
                Ripe::Yes => {
                    if run.rows == 0 {
                        run.topic_bytes = topic_bytes(item);
                    }
                    run = self.extended(run, item, max);
                }
                Ripe::NotYet if run.rows == 0 => return None,
                Ripe::NotYet => run.closed = true,
                Ripe::Instead(items) => self.replace(run.rows, items),
            }
        }
        self.run = (run.rows > 0).then_some(run);
        self.run
    }

    fn extended(&self, run: Run, item: &Item, max: RunMax) -> Run {
        let closed = Run { closed: true, ..run };
        let (len, bytes) = match (&item.content, run.len) {
            (Content::Message(body, _), None) => {
                let len = JoinedLen::of(body);
                (Some(len), run.topic_bytes + len.bytes(item.offline))
            }
            (Content::Message(body, _), Some(len)) => {
                let first = self.items.front().filter(|first| first.offline == item.offline);
                let joins = first.is_some_and(|first| first.content.joins(&item.content));
                let len = len.with(body);
                let bytes = run.topic_bytes + len.bytes(item.offline);
                if !joins || bytes > max.bytes {
                    return closed;
                }
                (Some(len), bytes)
            }
            (_, Some(_)) => return closed,
            (other, None) => {
                let bytes = run.topic_bytes + other.bytes().len() + OFFLINE_MARK_BYTES;
                return Run { rows: 1, bytes, closed: true, ..run };
            }
        };
        let rows = run.rows + 1;
        Run { rows, bytes, len, closed: rows >= max.rows || bytes >= max.bytes, ..run }
    }

    fn replace(&mut self, at: usize, items: Vec<Item>) {
        if let Some(old) = self.items.remove(at) {
            self.bytes = self.bytes.saturating_sub(old.content.bytes().len());
        }
        for item in items.into_iter().rev() {
            self.bytes += item.content.bytes().len();
            self.items.insert(at, item);
        }
    }
}

/// What the offline mark adds at most.
const OFFLINE_MARK_BYTES: usize = 7;

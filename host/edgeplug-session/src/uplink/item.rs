//! What waits to be sent: a stored row, a row kept in memory only, or one of several messages made of a row.

use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::telemetry::Body;

use crate::action::NewRow;
use crate::{AckId, RowId};

/// What a stored body is. Written into the store: never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A message ready for the wire but for the offline mark.
    Message = 1,
    /// Samples as JSON, each with its time, taken before any template was known.
    Samples = 2,
    /// Samples as JSON with the moment they were taken ([`super::stored::Unstamped`]): the template or the time of day was
    /// unknown.
    Unstamped = 3,
}

impl Kind {
    fn from_stored(number: u8) -> Option<Self> {
        [Self::Message, Self::Samples, Self::Unstamped].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ItemId {
    /// Never stored; grows with every such row.
    Memory(u64),
    Row(RowId),
}

/// The body, by what can be done with it.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// May be joined with others.
    Message(Body),
    /// Is sent alone.
    Other(Bytes),
    Samples(Bytes),
    Unstamped(Bytes),
}

impl Content {
    /// `None` for a kind that only a newer version writes.
    pub(super) fn from_stored(kind: u8, body: Bytes) -> Option<Self> {
        Some(match Kind::from_stored(kind)? {
            Kind::Message => match Body::read(body.clone()) {
                Some(body) => Self::Message(body),
                None => Self::Other(body),
            },
            Kind::Samples => Self::Samples(body),
            Kind::Unstamped => Self::Unstamped(body),
        })
    }

    pub(super) fn bytes(&self) -> &Bytes {
        match self {
            Self::Message(body) => body.bytes(),
            Self::Other(bytes) | Self::Samples(bytes) | Self::Unstamped(bytes) => bytes,
        }
    }

    pub(super) fn new_row(&self, offline: bool, created_unix_ms: i64) -> NewRow {
        let kind = match self {
            Self::Message(_) | Self::Other(_) => Kind::Message,
            Self::Samples(_) => Kind::Samples,
            Self::Unstamped(_) => Kind::Unstamped,
        };
        NewRow { kind: kind as u8, offline, created_unix_ms, body: self.bytes().clone() }
    }
}

/// A row on its way out.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) id: ItemId,
    pub(super) content: Content,
    /// Whether the link was down when it was accepted.
    pub(super) offline: bool,
    pub(super) created_unix_ms: i64,
    /// When it came into memory.
    pub(super) since: Duration,
    /// One of several messages made of the same row.
    pub(super) is_part: bool,
    /// Sent before on a connection that was renewed since, and counted as such.
    pub(super) published: bool,
}

/// The items of one message: mostly one, and then without a list.
#[derive(Debug)]
pub(super) enum Items {
    One(Item),
    Several(Vec<Item>),
}

impl Items {
    pub(super) fn as_slice(&self) -> &[Item] {
        match self {
            Self::One(item) => std::slice::from_ref(item),
            Self::Several(items) => items,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Item] {
        match self {
            Self::One(item) => std::slice::from_mut(item),
            Self::Several(items) => items,
        }
    }

    pub(super) fn into_vec(self) -> Vec<Item> {
        match self {
            Self::One(item) => vec![item],
            Self::Several(items) => items,
        }
    }
}

/// An acknowledgement on its way out.
#[derive(Debug, Clone)]
pub(super) struct Alarm {
    pub(super) ack: AckId,
    pub(super) body: Bytes,
    pub(super) offline: bool,
}

/// The two lanes of readings. Acknowledgements go before both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Accepted since the link came up.
    Live,
    /// Read back from the store.
    Backlog,
}

impl Lane {
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Live => 0,
            Self::Backlog => 1,
        }
    }
}

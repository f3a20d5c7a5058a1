//! What waits to be sent: a stored row, a row kept in memory only, or one of several messages made of a row.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::telemetry::{Body, BodyKind};
use edgeplug_protocol::v21::identity::CODE_BYTES_MAX;
use edgeplug_protocol::version::Version;

use crate::action::NewRow;
use crate::{AckId, RowId};

/// What a stored body is. Written into the store: never renumber.
///
/// A 2.1 body stands behind the template code it was made under and a line feed, because in 2.1 the code is part of the
/// topic and not of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Legacy report or fault, ready for the wire but for the offline mark.
    Message = 1,
    /// Samples as JSON, each with its time, taken before any template was known.
    Samples = 2,
    /// Samples as JSON with the moment they were taken ([`super::stored::Unstamped`]): the template or the time of day was
    /// unknown.
    Unstamped = 3,
    /// Legacy edge report.
    EdgeReport = 4,
    /// Legacy rule match.
    RuleMatch = 5,
    /// 2.1 report.
    Report21 = 6,
    /// 2.1 fault.
    Fault21 = 7,
    /// 2.1 edge report.
    EdgeReport21 = 8,
    /// 2.1 rule match.
    RuleMatch21 = 9,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Message,
        Self::Samples,
        Self::Unstamped,
        Self::EdgeReport,
        Self::RuleMatch,
        Self::Report21,
        Self::Fault21,
        Self::EdgeReport21,
        Self::RuleMatch21,
    ];

    fn from_stored(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    fn of(version: Version, kind: BodyKind) -> Self {
        match (version, kind) {
            (Version::Legacy, BodyKind::Report | BodyKind::Fault) => Self::Message,
            (Version::Legacy, BodyKind::EdgeReport) => Self::EdgeReport,
            (Version::Legacy, BodyKind::RuleMatch) => Self::RuleMatch,
            (Version::V21, BodyKind::Report) => Self::Report21,
            (Version::V21, BodyKind::Fault) => Self::Fault21,
            (Version::V21, BodyKind::EdgeReport) => Self::EdgeReport21,
            (Version::V21, BodyKind::RuleMatch) => Self::RuleMatch21,
        }
    }
}

/// The template code (`cd`) under which a 2.1 body is sent; legacy bodies have none.
pub(crate) type Code = Option<Arc<str>>;

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
    Message(Body, Code),
    /// Is sent alone.
    Other(Bytes, Wire),
    Samples(Bytes),
    Unstamped(Bytes),
}

/// What a message is, as far as its topic goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) version: Version,
    pub(super) kind: BodyKind,
    pub(super) code: Code,
}

impl Content {
    /// `None` for a kind that only a newer version writes.
    pub(super) fn from_stored(kind: u8, bytes: Bytes) -> Option<Self> {
        use BodyKind::{EdgeReport, Fault, Report, RuleMatch};
        Some(match Kind::from_stored(kind)? {
            Kind::Samples => Self::Samples(bytes),
            Kind::Unstamped => Self::Unstamped(bytes),
            Kind::Message => {
                let body =
                    [Report, Fault].into_iter().find_map(|kind| Body::read(Version::Legacy, kind, bytes.clone()));
                let wire = || Wire { version: Version::Legacy, kind: Report, code: None };
                body.map_or_else(|| Self::Other(bytes, wire()), |body| Self::Message(body, None))
            }
            Kind::EdgeReport => Self::read(Version::Legacy, EdgeReport, bytes),
            Kind::RuleMatch => Self::read(Version::Legacy, RuleMatch, bytes),
            Kind::Report21 => Self::read(Version::V21, Report, bytes),
            Kind::Fault21 => Self::read(Version::V21, Fault, bytes),
            Kind::EdgeReport21 => Self::read(Version::V21, EdgeReport, bytes),
            Kind::RuleMatch21 => Self::read(Version::V21, RuleMatch, bytes),
        })
    }

    fn read(version: Version, kind: BodyKind, stored: Bytes) -> Self {
        let (code, bytes) = match version {
            Version::Legacy => (None, stored),
            Version::V21 => split_code(&stored),
        };
        match Body::read(version, kind, bytes.clone()) {
            Some(body) => Self::Message(body, code),
            None => Self::Other(bytes, Wire { version, kind, code }),
        }
    }

    /// The body without its code.
    pub(super) fn bytes(&self) -> &Bytes {
        match self {
            Self::Message(body, _) => body.bytes(),
            Self::Other(bytes, _) | Self::Samples(bytes) | Self::Unstamped(bytes) => bytes,
        }
    }

    /// What it is on the wire; `None` for samples, which are not there yet.
    pub(super) fn wire(&self) -> Option<(Version, BodyKind, &Code)> {
        match self {
            Self::Message(body, code) => Some((body.version(), body.kind(), code)),
            Self::Other(_, wire) => Some((wire.version, wire.kind, &wire.code)),
            Self::Samples(_) | Self::Unstamped(_) => None,
        }
    }

    /// Whether it goes before all readings.
    pub(super) fn is_alarm(&self) -> bool {
        matches!(self.wire(), Some((_, BodyKind::RuleMatch, _)))
    }

    /// Whether both may become one message.
    pub(super) fn joins(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Message(body, code), Self::Message(other_body, other_code)) => {
                !self.is_alarm() && code == other_code && body.joins(other_body)
            }
            _ => false,
        }
    }

    pub(super) fn new_row(&self, offline: bool, created_unix_ms: i64) -> NewRow {
        let kind = match (self, self.wire()) {
            (_, Some((version, kind, _))) => Kind::of(version, kind),
            (Self::Samples(_), None) => Kind::Samples,
            (_, None) => Kind::Unstamped,
        };
        let body = match self.wire() {
            Some((Version::V21, _, code)) => with_code(code.as_deref().unwrap_or_default(), self.bytes()),
            _ => self.bytes().clone(),
        };
        NewRow { kind: kind as u8, offline, created_unix_ms, body }
    }
}

fn with_code(code: &str, body: &[u8]) -> Bytes {
    let mut row = Vec::with_capacity(code.len() + 1 + body.len());
    row.extend_from_slice(code.as_bytes());
    row.push(b'\n');
    row.extend_from_slice(body);
    row.into()
}

fn split_code(row: &Bytes) -> (Code, Bytes) {
    let end = row.iter().take(CODE_BYTES_MAX + 1).position(|byte| *byte == b'\n');
    match end.and_then(|end| std::str::from_utf8(row.get(..end)?).ok().map(|code| (end, code))) {
        Some((end, code)) => (Some(code.into()), row.slice(end + 1..)),
        None => (None, row.clone()),
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
    /// Which protocol it was made for.
    pub(super) version: Version,
}

/// The lanes of rows. Acknowledgements go before all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Rule matches.
    Alarm,
    /// Readings accepted since the link came up.
    Live,
    /// Readings read back from the store.
    Backlog,
}

impl Lane {
    pub(super) const ALL: [Self; 3] = [Self::Alarm, Self::Live, Self::Backlog];

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Alarm => 0,
            Self::Live => 1,
            Self::Backlog => 2,
        }
    }
}

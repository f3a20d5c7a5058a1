//! Bodies of telemetry, and several of them as one message.
//!
//! Bodies of one kind whose envelopes differ in nothing but the time (`t`; `dt` in 2.1) become one by joining their `d`:
//! the entries stay as they are, in order, and the time becomes the last body's. Every entry keeps its own `dt`, so no
//! reading changes its time.
//!
//! What must stay true: a [`Body`] was either written in this module's parent or read by [`Body::read`], so its parts lie
//! where they are said to lie, and joining gives JSON again. Deliberately absent: looking into the entries, and the
//! template's code of 2.1, which stands in the topic: whoever joins sees to it that it is the same.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::azure::hub::D2C_BYTES_MAX;
use crate::version::Version;

/// Appended inside the last brace of a message that waited offline.
const OFFLINE_MARK: &[u8] = b",\"od\":1";

/// What a body says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// Values that fit the template.
    Report,
    /// Values that do not.
    Fault,
    /// Closed windows of an edge device.
    EdgeReport,
    /// A rule of an edge device matched.
    RuleMatch,
}

impl BodyKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Report, Self::Fault, Self::EdgeReport, Self::RuleMatch];

    /// `mt` in the legacy protocol; in 2.1 the kind stands in the topic.
    #[must_use]
    pub fn legacy_number(self) -> u8 {
        match self {
            Self::Report => 0,
            Self::Fault => 1,
            Self::EdgeReport => 2,
            Self::RuleMatch => 3,
        }
    }
}

/// A message of telemetry, whole, without the offline mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    version: Version,
    kind: BodyKind,
    bytes: Bytes,
    parts: Parts,
}

/// Offsets into a body: the text of its time without quotes, and the list `d` without brackets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) t_start: usize,
    pub(super) t_end: usize,
    pub(super) d_start: usize,
    pub(super) d_end: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Legacy<'a> {
    #[serde(borrow, rename = "cpId")]
    _cpid: &'a RawValue,
    t: &'a str,
    mt: u8,
    #[serde(borrow)]
    d: &'a RawValue,
    #[serde(borrow, rename = "dtg")]
    _dtg: &'a RawValue,
    #[serde(borrow, rename = "sdk")]
    _sdk: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct V21<'a> {
    dt: &'a str,
    #[serde(borrow)]
    d: &'a RawValue,
}

impl Body {
    pub(super) fn written(version: Version, kind: BodyKind, bytes: Vec<u8>, parts: Parts) -> Self {
        Self { version, kind, bytes: bytes.into(), parts }
    }

    /// Finds the parts of a stored body; `None` if it is anything but a body of this protocol and kind without offline
    /// mark, written by us.
    #[must_use]
    pub fn read(version: Version, kind: BodyKind, bytes: Bytes) -> Option<Self> {
        if bytes.len() > D2C_BYTES_MAX || bytes.last() != Some(&b'}') {
            return None;
        }
        let (time, d) = match version {
            Version::Legacy => {
                let wire: Legacy<'_> = serde_json::from_slice(&bytes).ok()?;
                (wire.mt == kind.legacy_number()).then_some((wire.t, wire.d))?
            }
            Version::V21 => {
                let wire: V21<'_> = serde_json::from_slice(&bytes).ok()?;
                (wire.dt, wire.d)
            }
        };
        let entries = d.get().strip_prefix('[')?.strip_suffix(']')?;
        if entries.trim().is_empty() {
            return None;
        }
        let offset = |part: &str| (part.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize);
        let (t_start, d_start) = (offset(time)?, offset(entries)?);
        let parts = Parts { t_start, t_end: t_start + time.len(), d_start, d_end: d_start + entries.len() };
        (parts.t_end <= d_start).then_some(Self { version, kind, bytes, parts })
    }

    /// Which protocol it is written in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// What it says.
    #[must_use]
    pub fn kind(&self) -> BodyKind {
        self.kind
    }

    /// The body as it stands.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether both are of one kind and have the same envelope, the time apart.
    #[must_use]
    pub fn joins(&self, other: &Self) -> bool {
        (self.version, self.kind) == (other.version, other.kind)
            && self.head() == other.head()
            && self.middle() == other.middle()
            && self.tail() == other.tail()
    }

    fn head(&self) -> &[u8] {
        self.cut(0, self.parts.t_start)
    }

    fn t(&self) -> &[u8] {
        self.cut(self.parts.t_start, self.parts.t_end)
    }

    fn middle(&self) -> &[u8] {
        self.cut(self.parts.t_end, self.parts.d_start)
    }

    fn entries(&self) -> &[u8] {
        self.cut(self.parts.d_start, self.parts.d_end)
    }

    fn tail(&self) -> &[u8] {
        self.cut(self.parts.d_end, self.bytes.len())
    }

    fn cut(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }
}

impl From<Body> for Bytes {
    fn from(body: Body) -> Self {
        body.bytes
    }
}

/// How long a message made of several bodies will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinedLen {
    envelope: usize,
    t: usize,
    /// With the commas between bodies.
    entries: usize,
}

impl JoinedLen {
    /// Of one body.
    #[must_use]
    pub fn of(body: &Body) -> Self {
        let (t, entries) = (body.t().len(), body.entries().len());
        Self { envelope: body.bytes.len() - t - entries, t, entries }
    }

    /// With one more, whose envelope is the same.
    #[must_use]
    pub fn with(self, next: &Body) -> Self {
        Self { t: next.t().len(), entries: self.entries + 1 + next.entries().len(), ..self }
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self, offline: bool) -> usize {
        self.envelope + self.t + self.entries + if offline { OFFLINE_MARK.len() } else { 0 }
    }
}

/// One message of bodies that all [join](Body::joins) the first, in order; the bytes of none if there are none.
/// `offline` says that it waited while the link was down.
#[must_use]
pub fn merge<'a>(bodies: impl Iterator<Item = &'a Body> + Clone, offline: bool) -> Bytes {
    let (Some(first), Some(last)) = (bodies.clone().next(), bodies.clone().last()) else { return Bytes::new() };
    let mut others = bodies.clone().skip(1).peekable();
    if others.peek().is_none() && !offline {
        return first.bytes.clone();
    }
    let len = others.fold(JoinedLen::of(first), JoinedLen::with);
    let mut out = Vec::with_capacity(len.bytes(offline));
    out.extend_from_slice(first.head());
    out.extend_from_slice(last.t());
    out.extend_from_slice(first.middle());
    for (index, body) in bodies.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(body.entries());
    }
    match first.tail().split_last() {
        Some((brace, rest)) if offline => {
            out.extend_from_slice(rest);
            out.extend_from_slice(OFFLINE_MARK);
            out.push(*brace);
        }
        _ => out.extend_from_slice(first.tail()),
    }
    out.into()
}

#[cfg(test)]
mod tests;

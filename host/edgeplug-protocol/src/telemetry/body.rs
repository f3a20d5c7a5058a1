//! Report and fault bodies, and several of them as one message.
//!
//! Bodies whose envelopes differ in nothing but `t` become one by joining their `d`: the entries stay as they are, in
//! order, and `t` becomes the last body's. Every entry keeps its own `dt`, so no reading changes its time.
//!
//! What must stay true: a [`Body`] was either written by [`encode`](super::encode) or read by [`Body::read`], so its
//! parts lie where they are said to lie, and joining gives JSON again. Deliberately absent: looking into the entries.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::azure::hub::D2C_BYTES_MAX;

/// Appended inside the last brace of a message that waited offline.
const OFFLINE_MARK: &[u8] = b",\"od\":1";

/// A report or a fault, whole, without the offline mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    bytes: Bytes,
    parts: Parts,
}

/// Offsets into a body: the text of `t` without quotes, and the list `d` without brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) t_start: usize,
    pub(super) t_end: usize,
    pub(super) d_start: usize,
    pub(super) d_end: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
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

impl Body {
    pub(super) fn written(bytes: Vec<u8>, parts: Parts) -> Self {
        Self { bytes: bytes.into(), parts }
    }

    /// Finds the parts of a stored body; `None` if it is anything but a report or a fault without offline mark (IoTConnect
    /// device message 1.0).
    #[must_use]
    pub fn read(bytes: Bytes) -> Option<Self> {
        if bytes.len() > D2C_BYTES_MAX || bytes.last() != Some(&b'}') {
            return None;
        }
        let wire: Wire<'_> = serde_json::from_slice(&bytes).ok()?;
        let entries = wire.d.get().strip_prefix('[')?.strip_suffix(']')?;
        if wire.mt > 1 || entries.trim().is_empty() {
            return None;
        }
        let offset = |part: &str| (part.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize);
        let (t_start, d_start) = (offset(wire.t)?, offset(entries)?);
        let parts = Parts { t_start, t_end: t_start + wire.t.len(), d_start, d_end: d_start + entries.len() };
        (parts.t_end <= d_start).then_some(Self { bytes, parts })
    }

    /// The body as it stands.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether both have the same envelope, `t` apart.
    #[must_use]
    pub fn joins(&self, other: &Self) -> bool {
        self.head() == other.head() && self.middle() == other.middle() && self.tail() == other.tail()
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

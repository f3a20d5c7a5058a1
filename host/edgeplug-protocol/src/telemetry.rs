//! From samples to report and fault bodies, and several of those as one message.
//!
//! Valid values go into a report (`mt` 0), values that break the template into a fault (`mt` 1), report first; what the
//! template does not know goes into neither and is named in [`Encoded::dropped`]. One bad value never costs another
//! its delivery.
//!
//! Both bodies are written straight into their bytes while the values are judged: this is the dearest step of a reading.

mod body;

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;

pub use self::body::{Body, JoinedLen, merge};
use crate::legacy::{MessageType, Sdk};
use crate::sample::Sample;
use crate::template::{Attribute, Device, Scalar, Template};
use crate::time::Timestamp;
use crate::validation::{Verdict, judge};

/// What a batch of samples becomes.
#[derive(Debug, Default)]
pub struct Encoded {
    /// The report, if any value was valid.
    pub report: Option<Body>,
    /// The fault message, if any value was not.
    pub fault: Option<Body>,
    /// For each sample of the batch, where its values went.
    pub placed: Vec<Placed>,
    /// What went into neither, and why, in the order of the samples.
    pub dropped: Vec<Dropped>,
}

/// Which bodies hold values of a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Placed {
    /// The report does.
    pub report: bool,
    /// The fault message does.
    pub fault: bool,
}

impl Placed {
    /// Whether any body does.
    #[must_use]
    pub fn anywhere(self) -> bool {
        self.report || self.fault
    }
}

/// Something the template has no place for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Index of the sample in the batch.
    pub sample: usize,
    /// Why, naming device and attribute.
    pub reason: DropReason,
}

/// Why a value has no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// No such child.
    #[error("the template has no device {0:?}; known are the device itself and the children in the portal")]
    UnknownDevice(String),
    /// No such attribute for this device.
    #[error("the template has no attribute {0:?} for this device; add it in the portal or mend the plugin")]
    UnknownAttribute(String),
    /// The attribute is an object and the value is not.
    #[error("attribute {0:?} is an object; send an object")]
    NotAnObject(String),
    /// A sample without values.
    #[error("the sample holds no values")]
    Empty,
}

/// Encodes a batch as at most two bodies. `sent_at` becomes `t` and the time of samples that bring none.
#[must_use]
pub fn encode(template: &Template, sdk: &Sdk, samples: &[Sample], sent_at: &Timestamp) -> Encoded {
    let mut encoded = Encoded { placed: Vec::with_capacity(samples.len()), ..Encoded::default() };
    let envelope = Envelope { template, sdk, sent_at };
    let mut report = Writer::new(MessageType::Report, envelope, bytes_expected(samples));
    let mut fault = Writer::new(MessageType::Fault, envelope, ENVELOPE_BYTES);
    for (index, sample) in samples.iter().enumerate() {
        let mut drop_for = |reason| encoded.dropped.push(Dropped { sample: index, reason });
        let Some(device) = template.device(sample.device.as_deref()) else {
            drop_for(DropReason::UnknownDevice(sample.device.clone().unwrap_or_default()));
            encoded.placed.push(Placed::default());
            continue;
        };
        let time = sample.time.as_ref().unwrap_or(sent_at);
        report.open(device, time);
        fault.open(device, time);
        let attributes = template.attributes(&device.tag);
        let superseded = superseded(attributes, &sample.values);
        for (position, (name, value)) in sample.values.iter().enumerate() {
            let skip = superseded.get(position).copied().unwrap_or_default();
            let attribute = attributes.and_then(|attributes| attributes.get(name));
            if let Err(reason) = place(attribute, name, value, skip, &mut report, &mut fault) {
                drop_for(reason);
            }
        }
        if sample.values.is_empty() {
            drop_for(DropReason::Empty);
        }
        encoded.placed.push(Placed { report: report.close(), fault: fault.close() });
    }
    encoded.report = report.finish();
    encoded.fault = fault.finish();
    encoded
}

/// The device a sample without `device` belongs to, for messages about the device itself.
#[must_use]
pub fn own_id(template: &Template) -> &str {
    template.own_device().map_or("", |Device { id, .. }| id)
}

/// Writes one value into the body or bodies it belongs to, but for those in `skip`.
fn place<'a>(
    attribute: Option<&Attribute>,
    name: &'a str,
    value: &Value,
    skip: Placed,
    report: &mut Writer<'a>,
    fault: &mut Writer<'a>,
) -> Result<(), DropReason> {
    match attribute {
        None => Err(DropReason::UnknownAttribute(name.to_owned())),
        Some(Attribute::Scalar(scalar)) => {
            match judge(scalar, value) {
                Verdict::Valid(value) if !skip.report => put(report.field(name), &value),
                Verdict::Faulty(text) if !skip.fault => put(fault.field(name), &text),
                _ => {}
            }
            Ok(())
        }
        Some(Attribute::Object(children)) => {
            let Value::Object(members) = value else { return Err(DropReason::NotAnObject(name.to_owned())) };
            let mut unknown = None;
            let (mut valid, mut faulty) = (Object::default(), Object::default());
            for (child, value) in members {
                match children.get(child).map(|scalar| judge(scalar, value)) {
                    Some(Verdict::Valid(value)) if !skip.report => put(valid.member(report, name, child), &value),
                    Some(Verdict::Faulty(text)) if !skip.fault => put(faulty.member(fault, name, child), &text),
                    Some(_) => {}
                    None => unknown = unknown.or_else(|| Some(format!("{name}.{child}"))),
                }
            }
            valid.close(report);
            faulty.close(fault);
            unknown.map_or(Ok(()), |child| Err(DropReason::UnknownAttribute(child)))
        }
    }
}

/// For each value, the bodies in which a later one takes its place: a name given twice in one sample would make a JSON
/// object with two equal keys, so the last one counts. Empty if no name comes twice.
fn superseded(attributes: Option<&HashMap<String, Attribute>>, values: &[(String, Value)]) -> Vec<Placed> {
    if !names_repeat(values) {
        return Vec::new();
    }
    let mut later: HashMap<&str, Placed> = HashMap::new();
    let mut superseded: Vec<_> = values
        .iter()
        .rev()
        .map(|(name, value)| {
            let seen = later.entry(name).or_default();
            let before = *seen;
            let own = attributes.and_then(|attributes| attributes.get(name)).map_or(Placed::default(), |attribute| {
                let verdicts = verdicts(attribute, value);
                Placed { report: verdicts.0, fault: verdicts.1 }
            });
            *seen = Placed { report: before.report || own.report, fault: before.fault || own.fault };
            before
        })
        .collect();
    superseded.reverse();
    superseded
}

/// Whether a value makes something for the report, and something for the fault message.
fn verdicts(attribute: &Attribute, value: &Value) -> (bool, bool) {
    let is_valid = |scalar: &Scalar, value: &Value| matches!(judge(scalar, value), Verdict::Valid(_));
    match (attribute, value) {
        (Attribute::Scalar(scalar), value) => (is_valid(scalar, value), !is_valid(scalar, value)),
        (Attribute::Object(children), Value::Object(members)) => {
            let known = || members.iter().filter_map(|(child, value)| Some((children.get(child)?, value)));
            (
                known().any(|(scalar, value)| is_valid(scalar, value)),
                known().any(|(scalar, value)| !is_valid(scalar, value)),
            )
        }
        (Attribute::Object(_), _) => (false, false),
    }
}

fn names_repeat(values: &[(String, Value)]) -> bool {
    /// Beyond this the bits below say little.
    const BITS_MAX: usize = 64;
    if values.len() > BITS_MAX {
        let mut seen = HashSet::with_capacity(values.len());
        return !values.iter().all(|(name, _)| seen.insert(name));
    }
    // Names are compared only if a bit made of length, middle and end has come before, which it rarely has.
    let mut bits = 0_u64;
    values.iter().enumerate().any(|(at, (name, _))| {
        let bytes = name.as_bytes();
        let byte = |at: usize| usize::from(bytes.get(at).copied().unwrap_or_default());
        let bit = (bytes.len() * 31 + byte(bytes.len() / 2) * 7 + byte(bytes.len().wrapping_sub(1))) % BITS_MAX;
        let came_before = bits & (1 << bit) != 0;
        bits |= 1 << bit;
        came_before && values.iter().take(at).any(|(other, _)| other == name)
    })
}

/// What every body begins and ends with.
#[derive(Clone, Copy)]
struct Envelope<'a> {
    template: &'a Template,
    sdk: &'a Sdk,
    sent_at: &'a Timestamp,
}

/// One body in the making. The keys stand in the order of the old SDK.
struct Writer<'a> {
    message_type: MessageType,
    envelope: Envelope<'a>,
    /// Room that is made at once.
    bytes_expected: usize,
    bytes: Vec<u8>,
    parts: body::Parts,
    /// The entry that a field would belong to.
    entry: Option<(&'a Device, &'a Timestamp)>,
    /// Whether the entry has a field already.
    begun: bool,
}

/// Room for an envelope.
const ENVELOPE_BYTES: usize = 192;
/// Room for a value beside its name.
const VALUE_BYTES: usize = 24;

impl<'a> Writer<'a> {
    fn new(message_type: MessageType, envelope: Envelope<'a>, bytes_expected: usize) -> Self {
        let parts = body::Parts { t_start: 0, t_end: 0, d_start: 0, d_end: 0 };
        Self { message_type, envelope, bytes_expected, bytes: Vec::new(), parts, entry: None, begun: false }
    }

    /// Following fields belong to this device and time.
    fn open(&mut self, device: &'a Device, time: &'a Timestamp) {
        self.entry = Some((device, time));
        self.begun = false;
    }

    /// Begins a field; its value comes next.
    fn field(&mut self, name: &str) -> &mut Vec<u8> {
        if self.begun {
            self.bytes.push(b',');
        } else {
            self.begin();
        }
        put_text(&mut self.bytes, name);
        self.bytes.push(b':');
        &mut self.bytes
    }

    /// Ends the entry; says whether it has any fields.
    fn close(&mut self) -> bool {
        if let Some((device, _)) = self.entry.take().filter(|_| self.begun) {
            self.bytes.extend_from_slice(b"}],\"tg\":");
            put_text(&mut self.bytes, &device.tag);
            self.bytes.push(b'}');
        }
        std::mem::take(&mut self.begun)
    }

    fn finish(mut self) -> Option<Body> {
        if self.bytes.is_empty() {
            return None;
        }
        self.parts.d_end = self.bytes.len();
        self.bytes.extend_from_slice(b"],\"dtg\":");
        put_text(&mut self.bytes, &self.envelope.template.id);
        self.bytes.extend_from_slice(b",\"sdk\":");
        put(&mut self.bytes, self.envelope.sdk);
        self.bytes.push(b'}');
        Some(Body::written(self.bytes, self.parts))
    }

    /// Begins the body if need be, and the entry.
    fn begin(&mut self) {
        self.begun = true;
        if self.bytes.is_empty() {
            self.begin_body();
        } else {
            self.bytes.push(b',');
        }
        let Some((device, time)) = self.entry else { return };
        self.bytes.extend_from_slice(b"{\"id\":");
        put_text(&mut self.bytes, &device.id);
        self.bytes.extend_from_slice(b",\"dt\":");
        put_text(&mut self.bytes, time.as_str());
        self.bytes.extend_from_slice(b",\"d\":[{");
    }

    fn begin_body(&mut self) {
        self.bytes.reserve(self.bytes_expected);
        self.bytes.extend_from_slice(b"{\"cpId\":");
        put_text(&mut self.bytes, &self.envelope.template.cpid);
        self.bytes.extend_from_slice(b",\"t\":\"");
        self.parts.t_start = self.bytes.len();
        // A timestamp is digits and signs, nothing that JSON escapes.
        self.bytes.extend_from_slice(self.envelope.sent_at.as_str().as_bytes());
        self.parts.t_end = self.bytes.len();
        self.bytes.extend_from_slice(b"\",\"mt\":");
        put(&mut self.bytes, &(self.message_type as u8));
        self.bytes.extend_from_slice(b",\"d\":[");
        self.parts.d_start = self.bytes.len();
    }
}

/// The members of one object attribute that go into one body.
#[derive(Default)]
struct Object {
    begun: bool,
}

impl Object {
    fn member<'w>(&mut self, writer: &'w mut Writer<'_>, name: &str, child: &str) -> &'w mut Vec<u8> {
        let bytes = if self.begun { &mut writer.bytes } else { writer.field(name) };
        bytes.push(if self.begun { b',' } else { b'{' });
        self.begun = true;
        put_text(bytes, child);
        bytes.push(b':');
        bytes
    }

    fn close(self, writer: &mut Writer<'_>) {
        if self.begun {
            writer.bytes.push(b'}');
        }
    }
}

fn bytes_expected(samples: &[Sample]) -> usize {
    /// Room for an entry beside its values: id, time, tag.
    const ENTRY_BYTES: usize = 80;
    let value_bytes = |(name, _): &(String, Value)| name.len() + VALUE_BYTES;
    let entries = samples.iter().map(|sample| ENTRY_BYTES + sample.values.iter().map(value_bytes).sum::<usize>());
    ENVELOPE_BYTES + entries.sum::<usize>()
}

/// Writes a text as JSON. Names and ids hardly ever hold anything that needs an escape.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        bytes.reserve(text.len() + 3);
        bytes.push(b'"');
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'"');
    } else {
        put(bytes, text);
    }
}

/// Writes a value as JSON. Strings, numbers and trees of them have no way to fail; if one did, `null` keeps the body whole.
fn put<T: Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    let before = bytes.len();
    if serde_json::to_writer(&mut *bytes, value).is_err() {
        bytes.truncate(before);
        bytes.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests;

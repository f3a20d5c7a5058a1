//! From samples to report and fault bodies of either protocol, and several of those as one message.
//!
//! Valid values go into a report, values that break the template into a fault, report first. What the template does not
//! know goes into the fault in 2.1; the legacy protocol has no place for it, and it is named in [`Encoded::dropped`]. One
//! bad value never costs another its delivery, and none goes missing without a word.
//!
//! An edge device sends windows and rule matches in place of reports: see [`encode_edge`].
//!
//! Bodies are written straight into their bytes while the values are judged: this is the dearest step of a reading.

mod body;
mod decimal;
mod edge;
mod writer;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

pub use self::body::{Body, BodyKind, JoinedLen, merge};
pub use self::edge::{ClosedWindow, EdgeEncoded, ValidSample, ValidValue, edge_report, encode_edge, rule_match};
use self::writer::{ENVELOPE_BYTES, Envelope, Object, VALUE_BYTES, Writer};
use crate::legacy::Sdk;
use crate::sample::Sample;
use crate::template::{Attribute, Attributes, Device, Scalar, Template};
use crate::time::Timestamp;
use crate::validation::{Verdict, judge};
use crate::version::Version;

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
    /// The report does; on an edge device: a window does.
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
    /// No such attribute for this device (legacy; in 2.1 it is a fault).
    #[error("the template has no attribute {0:?} for this device; add it in the portal or mend the plugin")]
    UnknownAttribute(String),
    /// The attribute is an object and the value is not (legacy; in 2.1 it is a fault).
    #[error("attribute {0:?} is an object; send an object")]
    NotAnObject(String),
    /// An object without members.
    #[error("attribute {0:?} holds no members")]
    EmptyObject(String),
    /// 2.1 has no null.
    #[error("attribute {0:?} is null, and the protocol has no place for nothing")]
    Null(String),
    /// A sample without values.
    #[error("the sample holds no values")]
    Empty,
}

/// Encodes a batch as at most two bodies. `sent_at` becomes the time of the message and of samples that bring none.
#[must_use]
pub fn encode(template: &Template, sdk: &Sdk, samples: &[Sample], sent_at: &Timestamp) -> Encoded {
    let envelope = Envelope { template, sdk, sent_at };
    let mut report = Writer::new(BodyKind::Report, envelope, bytes_expected(samples));
    let mut fault = Writer::new(BodyKind::Fault, envelope, ENVELOPE_BYTES);
    let (placed, dropped) = place_all(envelope, samples, &mut report, &mut fault);
    Encoded { report: report.finish(), fault: fault.finish(), placed, dropped }
}

/// The device a sample without `device` belongs to, for messages about the device itself.
#[must_use]
pub fn own_id(template: &Template) -> &str {
    template.own_device().map_or("", |Device { id, .. }| id)
}

/// Where valid values go: into the report, or to the windows and rules of an edge device.
trait Accept<'a> {
    /// Following values belong to this sample, by its index in the batch.
    fn open(&mut self, sample: usize, device: &'a Device, time: &'a Timestamp);
    /// Takes a value; gives it back if there is no place for it, so that it becomes a fault.
    fn scalar(&mut self, name: &'a str, scalar: &'a Scalar, value: Cow<'a, Value>) -> Option<Cow<'a, Value>>;
    /// Takes a member of an object; gives it back like a value.
    fn member(
        &mut self,
        name: &'a str,
        member: &'a str,
        scalar: &'a Scalar,
        value: Cow<'a, Value>,
    ) -> Option<Cow<'a, Value>>;
    /// Following members belong to another object.
    fn close_object(&mut self);
    /// Ends the sample; says whether any value had a place.
    fn close(&mut self) -> bool;
}

/// Judges every value of every sample, and puts each where it belongs.
fn place_all<'a, A: Accept<'a>>(
    envelope: Envelope<'a>,
    samples: &'a [Sample],
    valid: &mut A,
    fault: &mut Writer<'a>,
) -> (Vec<Placed>, Vec<Dropped>) {
    let template = envelope.template;
    let mut all_placed = Vec::with_capacity(samples.len());
    let mut dropped = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        let mut drop_for = |reason| dropped.push(Dropped { sample: index, reason });
        let Some(device) = template.device(sample.device.as_deref()) else {
            drop_for(DropReason::UnknownDevice(sample.device.clone().unwrap_or_default()));
            all_placed.push(Placed::default());
            continue;
        };
        let time = sample.time.as_ref().unwrap_or(envelope.sent_at);
        valid.open(index, device, time);
        fault.open(device, time);
        let attributes = template.attributes(&device.tag);
        let superseded = superseded(template.version, attributes, &sample.values);
        for (position, (name, value)) in sample.values.iter().enumerate() {
            let skip = superseded.get(position).copied().unwrap_or_default();
            let attribute = attributes.and_then(|attributes| attributes.get(name));
            place(template.version, attribute, name, value, skip, valid, fault, &mut drop_for);
        }
        if sample.values.is_empty() {
            drop_for(DropReason::Empty);
        }
        all_placed.push(Placed { report: valid.close(), fault: fault.close() });
    }
    (all_placed, dropped)
}

/// Puts one value into the body or bodies it belongs to, but for those in `skip`.
#[expect(clippy::too_many_arguments, reason = "the hot path keeps its state on the stack of its caller")]
fn place<'a, A: Accept<'a>>(
    version: Version,
    attribute: Option<&'a Attribute>,
    name: &'a str,
    value: &'a Value,
    skip: Placed,
    valid: &mut A,
    fault: &mut Writer<'a>,
    drop_for: &mut impl FnMut(DropReason),
) {
    match (attribute, value) {
        (Some(Attribute::Scalar(_)), Value::Null) if version == Version::V21 => {
            drop_for(DropReason::Null(name.to_owned()));
        }
        (Some(Attribute::Scalar(scalar)), _) => match judge(scalar, value) {
            Verdict::Valid(value) if !skip.report => {
                if let Some(value) = valid.scalar(name, scalar, value).filter(|_| !skip.fault) {
                    fault.fault(name, &value);
                }
            }
            Verdict::Faulty(value) if !skip.fault => fault.fault(name, &value),
            Verdict::Valid(_) | Verdict::Faulty(_) => {}
        },
        (Some(Attribute::Object(_)), Value::Object(members)) if members.is_empty() => {
            drop_for(DropReason::EmptyObject(name.to_owned()));
        }
        (Some(Attribute::Object(children)), Value::Object(members)) => {
            let mut faulty = Object::default();
            for (child, value) in members {
                let refused = match children.get(child) {
                    Some(_) if version == Version::V21 && value.is_null() => {
                        drop_for(DropReason::Null(format!("{name}.{child}")));
                        None
                    }
                    Some(scalar) => match judge(scalar, value) {
                        Verdict::Valid(_) if skip.report => None,
                        Verdict::Valid(value) => valid.member(name, child, scalar, value),
                        Verdict::Faulty(value) => Some(value),
                    },
                    None if version == Version::V21 => Some(Cow::Borrowed(value)),
                    None => {
                        drop_for(DropReason::UnknownAttribute(format!("{name}.{child}")));
                        None
                    }
                };
                if let Some(value) = refused.filter(|_| !skip.fault) {
                    faulty.fault(fault, name, child, &value);
                }
            }
            valid.close_object();
            faulty.close(fault);
        }
        (Some(Attribute::Object(_)), Value::Null) if version == Version::V21 => {
            drop_for(DropReason::Null(name.to_owned()));
        }
        (Some(Attribute::Object(_)), _) if version == Version::Legacy => {
            drop_for(DropReason::NotAnObject(name.to_owned()));
        }
        (None, _) if version == Version::Legacy => drop_for(DropReason::UnknownAttribute(name.to_owned())),
        (Some(Attribute::Object(_)) | None, _) => {
            if !skip.fault {
                fault.fault(name, value);
            }
        }
    }
}

/// For each value, the bodies in which a later one takes its place: a name given twice in one sample would make a JSON
/// object with two equal keys, so the last one counts. Empty if no name comes twice.
fn superseded(version: Version, attributes: Option<&Attributes>, values: &[(String, Value)]) -> Vec<Placed> {
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
            let own = verdicts(version, attributes.and_then(|attributes| attributes.get(name)), value);
            *seen = Placed { report: before.report || own.report, fault: before.fault || own.fault };
            before
        })
        .collect();
    superseded.reverse();
    superseded
}

/// In which bodies a value has a part.
fn verdicts(version: Version, attribute: Option<&Attribute>, value: &Value) -> Placed {
    let of_scalar = |scalar: Option<&Scalar>, value: &Value| match scalar {
        Some(_) if version == Version::V21 && value.is_null() => Placed::default(),
        Some(scalar) => {
            let valid = matches!(judge(scalar, value), Verdict::Valid(_));
            Placed { report: valid, fault: !valid }
        }
        None => Placed { report: false, fault: version == Version::V21 },
    };
    match (attribute, value) {
        (Some(Attribute::Scalar(scalar)), value) => of_scalar(Some(scalar), value),
        (Some(Attribute::Object(children)), Value::Object(members)) => {
            members.iter().fold(Placed::default(), |all, (child, value)| {
                let one = of_scalar(children.get(child), value);
                Placed { report: all.report || one.report, fault: all.fault || one.fault }
            })
        }
        (Some(Attribute::Object(_)), Value::Null) => Placed::default(),
        (Some(Attribute::Object(_)) | None, _) => of_scalar(None, value),
    }
}

fn names_repeat(values: &[(String, Value)]) -> bool {
    /// Beyond this the bits below say little.
    const VALUES_MAX: usize = 64;
    if values.len() > VALUES_MAX {
        let mut seen = HashSet::with_capacity(values.len());
        return !values.iter().all(|(name, _)| seen.insert(name));
    }
    // Names are compared only if a bit made of length, middle and end has come before, which it rarely has.
    let mut bits = [0_u64; 4];
    values.iter().enumerate().any(|(at, (name, _))| {
        let bytes = name.as_bytes();
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let mark = [bytes.len() as u8, byte(bytes.len() / 2), byte(bytes.len().wrapping_sub(1)), 0];
        // Fibonacci hashing to eight bits.
        let hash = (u32::from_le_bytes(mark).wrapping_mul(0x9E37_79B1) >> 24) as usize;
        let Some(word) = bits.get_mut(hash / 64) else { return true };
        let bit = 1 << (hash % 64);
        let came_before = *word & bit != 0;
        *word |= bit;
        came_before && values.iter().take(at).any(|(other, _)| other == name)
    })
}

fn bytes_expected(samples: &[Sample]) -> usize {
    /// Room for an entry beside its values: id, time, tag.
    const ENTRY_BYTES: usize = 80;
    let value_bytes = |(name, _): &(String, Value)| name.len() + VALUE_BYTES;
    let entries = samples.iter().map(|sample| ENTRY_BYTES + sample.values.iter().map(value_bytes).sum::<usize>());
    ENVELOPE_BYTES + entries.sum::<usize>()
}

#[cfg(test)]
mod tests;

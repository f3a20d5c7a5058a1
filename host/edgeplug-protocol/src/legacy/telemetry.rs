//! From samples to report and fault bodies.
//!
//! Valid values go into a report (`mt` 0), values that break the template into a fault (`mt` 1), report first; what the
//! template does not know goes into neither and is named in [`Encoded::dropped`]. One bad value never costs another
//! its delivery.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

use crate::legacy::template::{Attribute, Device, Template};
use crate::legacy::validation::{Verdict, judge};
use crate::legacy::{MessageType, Sdk};
use crate::sample::Sample;
use crate::time::Timestamp;

/// What a batch of samples becomes.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Body of the report, if any value was valid.
    pub report: Option<String>,
    /// Body of the fault message, if any value was not.
    pub fault: Option<String>,
    /// For each sample of the batch, whether any of its values went into a body.
    pub taken: Vec<bool>,
    /// What went into neither, and why.
    pub dropped: Vec<Dropped>,
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
    let mut encoded = Encoded::default();
    let (mut report, mut fault) = (Vec::new(), Vec::new());
    for (index, sample) in samples.iter().enumerate() {
        let Some(device) = template.device(sample.device.as_deref()) else {
            let reason = DropReason::UnknownDevice(sample.device.clone().unwrap_or_default());
            encoded.dropped.push(Dropped { sample: index, reason });
            encoded.taken.push(false);
            continue;
        };
        let mut split = Split::default();
        for (name, value) in &sample.values {
            if let Err(reason) = split.place(template.attribute(&device.tag, name), name, value) {
                encoded.dropped.push(Dropped { sample: index, reason });
            }
        }
        if sample.values.is_empty() {
            encoded.dropped.push(Dropped { sample: index, reason: DropReason::Empty });
        }
        encoded.taken.push(!split.valid.is_empty() || !split.faulty.is_empty());
        let time = sample.time.as_ref().unwrap_or(sent_at).as_str();
        if !split.valid.is_empty() {
            report.push(Entry { id: &device.id, dt: time, d: [Fields(split.valid)], tg: &device.tag });
        }
        if !split.faulty.is_empty() {
            fault.push(Entry { id: &device.id, dt: time, d: [Fields(split.faulty)], tg: &device.tag });
        }
    }
    let body = |message_type, entries: Vec<Entry<'_>>| {
        (!entries.is_empty()).then(|| envelope(template, sdk, message_type, &entries, sent_at)).flatten()
    };
    encoded.report = body(MessageType::Report, report);
    encoded.fault = body(MessageType::Fault, fault);
    encoded
}

/// The device a sample without `device` belongs to, for messages about the device itself.
#[must_use]
pub fn own_id(template: &Template) -> &str {
    template.own_device().map_or("", |Device { id, .. }| id)
}

#[derive(Default)]
struct Split<'a> {
    valid: Vec<(&'a str, Value)>,
    faulty: Vec<(&'a str, Value)>,
}

impl<'a> Split<'a> {
    fn place(&mut self, attribute: Option<&Attribute>, name: &'a str, value: &Value) -> Result<(), DropReason> {
        match attribute {
            None => Err(DropReason::UnknownAttribute(name.to_owned())),
            Some(Attribute::Scalar(scalar)) => {
                match judge(scalar, value) {
                    Verdict::Valid(value) => self.valid.push((name, value)),
                    Verdict::Faulty(text) => self.faulty.push((name, Value::String(text))),
                }
                Ok(())
            }
            Some(Attribute::Object(children)) => {
                let Value::Object(members) = value else { return Err(DropReason::NotAnObject(name.to_owned())) };
                let (mut valid, mut faulty) = (serde_json::Map::new(), serde_json::Map::new());
                let mut unknown = None;
                for (child, value) in members {
                    match children.get(child).map(|scalar| judge(scalar, value)) {
                        Some(Verdict::Valid(value)) => drop(valid.insert(child.clone(), value)),
                        Some(Verdict::Faulty(text)) => drop(faulty.insert(child.clone(), Value::String(text))),
                        None => unknown = unknown.or_else(|| Some(format!("{name}.{child}"))),
                    }
                }
                if !valid.is_empty() {
                    self.valid.push((name, Value::Object(valid)));
                }
                if !faulty.is_empty() {
                    self.faulty.push((name, Value::Object(faulty)));
                }
                unknown.map_or(Ok(()), |child| Err(DropReason::UnknownAttribute(child)))
            }
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "cpId")]
    cpid: &'a str,
    t: &'a str,
    mt: u8,
    d: &'a [Entry<'a>],
    dtg: &'a str,
    sdk: &'a Sdk,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    dt: &'a str,
    /// Always one element: the wire wants a list.
    d: [Fields<'a>; 1],
    tg: &'a str,
}

struct Fields<'a>(Vec<(&'a str, Value)>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            // A name given twice in one sample would make a JSON object with two equal keys: the last one counts.
            if !self.0.iter().skip(index + 1).any(|(later, _)| later == name) {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

fn envelope(
    template: &Template,
    sdk: &Sdk,
    kind: MessageType,
    entries: &[Entry<'_>],
    at: &Timestamp,
) -> Option<String> {
    let envelope =
        Envelope { cpid: &template.cpid, t: at.as_str(), mt: kind as u8, d: entries, dtg: &template.id, sdk };
    // Serialising owned strings, numbers and finite values into memory has no way to fail.
    serde_json::to_string(&envelope).ok()
}

#[cfg(test)]
mod tests;

//! What an edge device says: closed windows and rule matches, and faults as any other device does.
//!
//! Valid numbers are for windows and rules. Other valid values (texts, truth values, …) are for rules; since no window
//! can hold them they also go out as faults, as the Python SDK for 2.1 does it (the old SDK lets them vanish).

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::writer::{ENVELOPE_BYTES, Envelope, Object, Writer, put, rounded};
use super::{Accept, Body, BodyKind, Dropped, Placed, place_all};
use crate::aggregate::{Aggregate, Number};
use crate::definition::Rule;
use crate::legacy::Sdk;
use crate::rules::{Match, Reference};
use crate::sample::Sample;
use crate::template::{Aggregates, Attribute, DataType, Device, Scalar, Template};
use crate::time::Timestamp;
use crate::version::Version;

/// What a batch of samples of an edge device becomes.
#[derive(Debug)]
pub struct EdgeEncoded<'a> {
    /// The valid values of each sample that has any, in the order of the samples.
    pub valid: Vec<ValidSample<'a>>,
    /// Values that no window can hold, if there are any.
    pub fault: Option<Body>,
    /// For each sample of the batch, where its values went; `report` stands for the windows.
    pub placed: Vec<Placed>,
    /// What went into neither, and why, in the order of the samples.
    pub dropped: Vec<Dropped>,
}

/// The valid values of one sample.
#[derive(Debug, Clone)]
pub struct ValidSample<'a> {
    /// Index of the sample in the batch.
    pub sample: usize,
    /// Whose they are.
    pub device: &'a Device,
    /// In the order given.
    pub values: Vec<ValidValue<'a>>,
}

/// A valid value of an attribute or of a member.
#[derive(Debug, Clone)]
pub struct ValidValue<'a> {
    /// The attribute's name.
    pub attribute: &'a str,
    /// The member's name, if the attribute is an object.
    pub member: Option<&'a str>,
    /// What the template says of it, the length of its window among others.
    pub scalar: &'a Scalar,
    /// The value as it would stand in a report.
    pub value: Cow<'a, Value>,
}

/// A window that has come to its end. Those of one device that follow each other share an entry of the message, and those
/// of one object a field.
#[derive(Debug, Clone, Copy)]
pub struct ClosedWindow<'a> {
    /// Unique id of the device.
    pub device: &'a str,
    /// The attribute's name.
    pub attribute: &'a str,
    /// The member's name, if the attribute is an object.
    pub member: Option<&'a str>,
    /// What it holds; an empty one is left out.
    pub aggregate: &'a Aggregate,
}

impl ValidValue<'_> {
    /// What a window takes of it: `None` for anything but the types that are numbers.
    #[must_use]
    pub fn number(&self) -> Option<Number> {
        let is_number =
            matches!(self.scalar.data_type, DataType::Number | DataType::Integer | DataType::Long | DataType::Decimal);
        self.value.as_number().filter(|_| is_number).map(Number::from)
    }

    fn is(&self, reference: &Reference) -> bool {
        reference.attribute == self.attribute && reference.member.as_deref() == self.member
    }
}

impl ValidSample<'_> {
    /// What a rule means: `None` if the sample has no such value, or the rule means devices of another tag.
    #[must_use]
    pub fn value(&self, reference: &Reference) -> Option<&Value> {
        let meant = reference.tag.as_ref().is_none_or(|tag| *tag == self.device.tag);
        let value = self.values.iter().filter(|_| meant).find(|value| value.is(reference))?;
        Some(&value.value)
    }
}

/// Judges a batch of an edge device. `sent_at` becomes the time of the fault message and of samples that bring none.
#[must_use]
pub fn encode_edge<'a>(
    template: &'a Template,
    sdk: &'a Sdk,
    samples: &'a [Sample],
    sent_at: &'a Timestamp,
) -> EdgeEncoded<'a> {
    let envelope = Envelope { template, sdk, sent_at };
    let mut collector = Collector::default();
    let mut fault = Writer::new(BodyKind::Fault, envelope, ENVELOPE_BYTES);
    let (placed, dropped) = place_all(envelope, samples, &mut collector, &mut fault);
    let mut valid = collector.samples;
    valid.retain(|sample| !sample.values.is_empty());
    EdgeEncoded { valid, fault: fault.finish(), placed, dropped }
}

/// A message of closed windows (`mt` 2; `erpt`), or `None` if there is nothing in them. Windows of devices that the template
/// has no more are left out.
#[must_use]
pub fn edge_report(template: &Template, sdk: &Sdk, windows: &[ClosedWindow<'_>], at: &Timestamp) -> Option<Body> {
    let envelope = Envelope { template, sdk, sent_at: at };
    let mut writer = Writer::new(BodyKind::EdgeReport, envelope, ENVELOPE_BYTES);
    if template.version == Version::V21 && !is_gateway(template) {
        writer = writer.without_devices();
    }
    let closed: Vec<_> = windows.iter().filter(|window| !window.aggregate.is_empty()).collect();
    for of_device in closed.chunk_by(|one, next| one.device == next.device) {
        let id = of_device.first().map(|window| window.device);
        let Some(device) = template.device(id) else { continue };
        writer.open(device, at);
        for of_attribute in of_device
            .chunk_by(|one, next| one.attribute == next.attribute && one.member.is_some() == next.member.is_some())
        {
            let mut object = Object::default();
            for window in of_attribute {
                let bytes = match window.member {
                    Some(member) => object.member(&mut writer, window.attribute, member),
                    None => writer.field(window.attribute),
                };
                put_aggregates(bytes, template.version, scalar(template, device, window), window.aggregate);
            }
            object.close(&mut writer);
        }
        writer.close();
    }
    writer.finish()
}

/// A message about a rule that matched (`mt` 3; `erm`). It carries the sample's valid numbers and what the rule names.
#[must_use]
pub fn rule_match(
    template: &Template,
    sdk: &Sdk,
    rule: &Rule,
    sample: &ValidSample<'_>,
    matched: &Match,
    at: &Timestamp,
) -> Option<Body> {
    let mut values = Map::new();
    for value in
        sample.values.iter().filter(|value| value.number().is_some() || matched.names(value.attribute, value.member))
    {
        insert(&mut values, value.attribute, value.member, as_sent(value.scalar, &value.value));
    }
    let mut named = Map::new();
    for reference in &matched.named {
        if let Some(value) = sample.values.iter().find(|value| value.is(reference)) {
            insert(&mut named, value.attribute, value.member, as_sent(value.scalar, &value.value));
        }
    }
    let envelope = Envelope { template, sdk, sent_at: at };
    let mut writer = Writer::new(BodyKind::RuleMatch, envelope, ENVELOPE_BYTES);
    let d = match template.version {
        Version::Legacy => json!([values]),
        Version::V21 => Value::Object(values),
    };
    writer.entry(&MatchEntry {
        id: &sample.device.id,
        dt: at.as_str(),
        cv: named,
        d,
        rg: &rule.guid,
        ct: &rule.condition,
        sg: rule.event_subscription.as_deref(),
        tg: (template.version == Version::V21).then_some(&sample.device.tag),
    });
    writer.finish()
}

#[derive(Serialize)]
struct MatchEntry<'a> {
    id: &'a str,
    dt: &'a str,
    cv: Map<String, Value>,
    d: Value,
    rg: &'a str,
    ct: &'a str,
    sg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tg: Option<&'a String>,
}

/// Valid values of every opened sample, kept as they are.
#[derive(Default)]
struct Collector<'a> {
    samples: Vec<ValidSample<'a>>,
}

impl<'a> Collector<'a> {
    fn keep(&mut self, value: ValidValue<'a>) -> Option<Cow<'a, Value>> {
        let homeless = value.number().is_none().then(|| value.value.clone());
        if let Some(sample) = self.samples.last_mut() {
            sample.values.push(value);
        }
        homeless
    }
}

impl<'a> Accept<'a> for Collector<'a> {
    fn open(&mut self, sample: usize, device: &'a Device, _time: &'a Timestamp) {
        self.samples.push(ValidSample { sample, device, values: Vec::new() });
    }

    fn scalar(&mut self, name: &'a str, scalar: &'a Scalar, value: Cow<'a, Value>) -> Option<Cow<'a, Value>> {
        self.keep(ValidValue { attribute: name, member: None, scalar, value })
    }

    fn member(
        &mut self,
        name: &'a str,
        member: &'a str,
        scalar: &'a Scalar,
        value: Cow<'a, Value>,
    ) -> Option<Cow<'a, Value>> {
        self.keep(ValidValue { attribute: name, member: Some(member), scalar, value })
    }

    fn close_object(&mut self) {}

    fn close(&mut self) -> bool {
        self.samples.last().is_some_and(|sample| sample.values.iter().any(|value| value.number().is_some()))
    }
}

/// Whether entries of 2.1 windows say whose they are.
fn is_gateway(template: &Template) -> bool {
    template.devices.len() > 1 || template.own_device().is_some_and(|device| !device.tag.is_empty())
}

/// `None` if the template changed while the window was open.
fn scalar<'t>(template: &'t Template, device: &Device, window: &ClosedWindow<'_>) -> Option<&'t Scalar> {
    match (template.attributes(&device.tag)?.get(window.attribute)?, window.member) {
        (Attribute::Scalar(scalar), None) => Some(scalar),
        (Attribute::Object(members), Some(member)) => members.get(member),
        _ => None,
    }
}

fn put_aggregates(bytes: &mut Vec<u8>, version: Version, scalar: Option<&Scalar>, aggregate: &Aggregate) {
    let aggregates = match version {
        Version::Legacy => scalar.map_or(Aggregates::ALL, |scalar| scalar.aggregates),
        Version::V21 => Aggregates::ALL,
    };
    bytes.push(b'[');
    for (index, number) in aggregate.chosen(aggregates).enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        let number = match (scalar.and_then(|scalar| scalar.decimals), number) {
            (Some(decimals), Number::Decimal(decimal)) => Number::Decimal(rounded(decimal, decimals)),
            (_, number) => number,
        };
        put(bytes, &number);
    }
    bytes.push(b']');
}

fn as_sent(scalar: &Scalar, value: &Value) -> Value {
    match (scalar.decimals, value) {
        (Some(decimals), Value::Number(number)) if number.is_f64() => {
            rounded(number.as_f64().unwrap_or_default(), decimals).into()
        }
        _ => value.clone(),
    }
}

fn insert(values: &mut Map<String, Value>, attribute: &str, member: Option<&str>, value: Value) {
    match member {
        None => {
            values.insert(attribute.to_owned(), value);
        }
        Some(member) => {
            let object = values.entry(attribute).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(members) = object {
                members.insert(member.to_owned(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests;

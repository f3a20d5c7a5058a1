//! What bodies say, in both protocols (IoTConnect device message 1.0 and 2.1): readings, faults, windows, rule matches and
//! acks. What does not fit the form says nothing here; `judge.rs` says what is wrong with it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{MessageKind, Record};
use crate::protocol::Protocol;

/// One value of one attribute in a report or a fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// The record it came in.
    pub record: u64,
    /// The unique id of the device or child it is of (`d[].id`); empty when the message names none, as 2.1 allows.
    pub device: String,
    /// When it was taken (`d[].dt`), as sent.
    pub time: String,
    /// The attribute's local name.
    pub attribute: String,
    /// Its value; an object for an OBJECT attribute.
    pub value: Value,
    /// Whether the message was stored while the device was offline (`od` 1).
    pub offline: bool,
}

/// All values that one device reported together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// The record it came in.
    pub record: u64,
    /// The unique id of the device or child it is of; empty when the message names none.
    pub device: String,
    /// When it was taken (`d[].dt`), as sent.
    pub time: String,
    /// The values by attribute.
    pub values: Map<String, Value>,
    /// Whether the message was stored while the device was offline (`od` 1).
    pub offline: bool,
}

/// One aggregated window of one attribute of an edge device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    /// The record it came in.
    pub record: u64,
    /// The unique id of the device or child it is of; empty when the message names none.
    pub device: String,
    /// When it ended (`d[].dt`), as sent.
    pub time: String,
    /// The attribute's local name; `gyro.x` for the member of an object.
    pub attribute: String,
    /// The aggregates: in the legacy protocol those of `agt`, in 2.1 minimum, maximum, sum, average, count, latest.
    pub values: Vec<Value>,
    /// Whether the message was stored while the device was offline (`od` 1).
    pub offline: bool,
}

/// One match of a rule of an edge device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleMatch {
    /// The record it came in.
    pub record: u64,
    /// The unique id of the device or child it is of.
    pub device: String,
    /// When it matched (`d[].dt`), as sent.
    pub time: String,
    /// The rule's guid (`rg`).
    pub rule: String,
    /// The condition's text (`ct`).
    pub condition: String,
    /// The event subscription's guid (`sg`).
    pub subscription: String,
    /// The values the condition names (`cv`).
    pub values: Value,
    /// The whole sample (`d`).
    pub sample: Value,
    /// Whether the message was stored while the device was offline (`od` 1).
    pub offline: bool,
}

/// One ack of a command, a firmware update or a module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ack {
    /// The record it came in.
    pub record: u64,
    /// The protocol it is in, which its status belongs to.
    pub protocol: Protocol,
    /// What it acknowledges.
    pub kind: AckKind,
    /// The id of the command it answers.
    pub ack_id: String,
    /// Legacy: 4 failed, 6 executed, 7 update done. 2.1: by the status table the device is configured with.
    pub status: i64,
    /// The device's own words.
    pub message: String,
    /// The child it is of, if any.
    pub child: Option<String>,
}

/// What an ack acknowledges: legacy `mt`, `type` in 2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckKind {
    /// Legacy 5, 2.1 0.
    Command,
    /// Legacy 11, 2.1 1.
    Firmware,
    /// 2.1 2.
    Module,
}

impl Ack {
    /// Whether nothing more is to come: all but "downloading" of 2.1.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        const DOWNLOADING: i64 = 2;
        !(self.protocol == Protocol::V21 && self.kind == AckKind::Firmware && self.status == DOWNLOADING)
    }
}

impl Sample {
    fn readings(self) -> impl Iterator<Item = Reading> {
        let Self { record, device, time, values, offline } = self;
        values.into_iter().map(move |(attribute, value)| {
            let (device, time) = (device.clone(), time.clone());
            Reading { record, device, time, attribute, value, offline }
        })
    }
}

impl Reading {
    pub(super) fn of(mut self, path: &str) -> Option<Self> {
        if self.attribute == path {
            return Some(self);
        }
        let member = path.strip_prefix(&self.attribute)?.strip_prefix('.')?;
        self.value = self.value.get(member)?.clone();
        self.attribute = path.to_owned();
        Some(self)
    }
}

pub(super) fn readings(record: &Record) -> Vec<Reading> {
    samples(record).into_iter().flat_map(Sample::readings).collect()
}

pub(super) fn faults(record: &Record) -> Vec<Reading> {
    entries(record, MessageKind::Fault).into_iter().flat_map(Sample::readings).collect()
}

pub(super) fn samples(record: &Record) -> Vec<Sample> {
    entries(record, MessageKind::Report)
}

pub(super) fn windows(record: &Record) -> Vec<Window> {
    let mut windows = Vec::new();
    for entry in Entry::all(record, MessageKind::Aggregate) {
        for (name, value) in entry.values() {
            let mut add = |attribute: String, values: &Vec<Value>| {
                let (device, time) = (entry.text("id"), entry.text("dt"));
                let (record, offline, values) = (record.number, entry.offline, values.clone());
                windows.push(Window { record, device, time, attribute, values, offline });
            };
            match value {
                Value::Array(values) if entry.sure || is_window(value) => add(name.clone(), values),
                Value::Object(members) => {
                    for (member, value) in members {
                        if let Value::Array(values) = value {
                            add(format!("{name}.{member}"), values);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    windows
}

pub(super) fn rule_matches(record: &Record) -> Vec<RuleMatch> {
    let entries = Entry::all(record, MessageKind::RuleMatch);
    let matches = entries.iter().filter(|entry| entry.json.get("rg").is_some()).map(|entry| RuleMatch {
        record: record.number,
        device: entry.text("id"),
        time: entry.text("dt"),
        rule: entry.text("rg"),
        condition: entry.text("ct"),
        subscription: entry.text("sg"),
        values: entry.json.get("cv").cloned().unwrap_or_default(),
        sample: entry.values().map(|(name, value)| (name.clone(), value.clone())).collect(),
        offline: entry.offline,
    });
    matches.collect()
}

pub(super) fn ack(record: &Record) -> Option<Ack> {
    if record.kind() != MessageKind::Ack {
        return None;
    }
    let body = record.json()?;
    let protocol = record.protocol();
    let d = body.get("d")?;
    let (id, child, kind) = match protocol {
        Protocol::Legacy => ("ackId", "childId", body.get("mt")?.as_i64()?),
        Protocol::V21 => ("ack", "cid", d.get("type")?.as_i64()?),
    };
    let kind = match (protocol, kind) {
        (Protocol::Legacy, 5) | (Protocol::V21, 0) => AckKind::Command,
        (Protocol::Legacy, 11) | (Protocol::V21, 1) => AckKind::Firmware,
        (Protocol::V21, 2) => AckKind::Module,
        _ => return None,
    };
    Some(Ack {
        record: record.number,
        protocol,
        kind,
        ack_id: d.get(id)?.as_str()?.to_owned(),
        status: d.get("st")?.as_i64()?,
        message: d.get("msg").and_then(Value::as_str).unwrap_or_default().to_owned(),
        child: d.get(child).and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned),
    })
}

fn entries(record: &Record, wanted: MessageKind) -> Vec<Sample> {
    let plain = |entry: &Entry| entry.json.get("rg").is_none();
    let entries = Entry::all(record, wanted).into_iter().filter(plain).map(|entry| Sample {
        record: record.number,
        device: entry.text("id"),
        time: entry.text("dt"),
        values: entry
            .values()
            .filter(|(_, value)| entry.sure || !is_window(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        offline: entry.offline,
    });
    entries.collect()
}

/// What 2.1 stores while offline comes on one topic, whatever it was: a window is known by its six numbers.
fn is_window(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.len() == 6 && values.iter().all(Value::is_number),
        Value::Object(members) => {
            !members.is_empty() && members.values().all(|member| member.is_array() && is_window(member))
        }
        _ => false,
    }
}

/// One element of a message's `d`.
struct Entry {
    json: Value,
    protocol: Protocol,
    offline: bool,
    /// Whether the message itself says what its values are.
    sure: bool,
}

impl Entry {
    /// Those of a message of this kind, or of one that was stored while offline and may be of this kind.
    fn all(record: &Record, wanted: MessageKind) -> Vec<Self> {
        let kind = record.kind();
        let sure = kind == wanted;
        // Faults cannot be told from reports there, and count as those.
        let maybe = kind == MessageKind::Offline && wanted != MessageKind::Fault;
        let Some(mut body) = record.json().filter(|_| sure || maybe) else { return Vec::new() };
        let protocol = record.protocol();
        let offline = body.get("od").and_then(Value::as_i64) == Some(1);
        let Some(Value::Array(entries)) = body.get_mut("d").map(Value::take) else { return Vec::new() };
        entries.into_iter().map(|json| Self { json, protocol, offline, sure }).collect()
    }

    fn text(&self, name: &str) -> String {
        self.json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A list of one object in the legacy protocol, the object itself in 2.1.
    fn values(&self) -> impl Iterator<Item = (&String, &Value)> {
        let d = self.json.get("d");
        let objects: Vec<&Value> = match self.protocol {
            Protocol::Legacy => d.and_then(Value::as_array).map(|list| list.iter().collect()).unwrap_or_default(),
            Protocol::V21 => d.into_iter().collect(),
        };
        objects.into_iter().filter_map(Value::as_object).flatten()
    }
}

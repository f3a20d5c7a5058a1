//! What IoTConnect would silently drop: bodies held against the device's template, in the words of both protocols
//! (`judge/legacy.rs`, `judge/v21.rs`).
//!
//! The hub takes any bytes, as the real one does. This looks at the records afterwards and says in words what in them is not
//! of the protocol's form or does not belong to the device. It checks form, not validation (`dv`).

use jiff::Timestamp;
use serde_json::Value;

use crate::device::Device;
use crate::protocol::Protocol;
use crate::recorder::Record;
use crate::template::Rule;

mod legacy;
mod v21;

/// One thing that is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Complaint {
    /// The record's number.
    pub record: u64,
    /// What is wrong with it. What begins with "malformed" has not even the frame of a message.
    pub what: String,
}

/// Everything wrong with one record of `device`.
pub(crate) fn complaints(record: &Record, cpid: &str, device: &Device) -> Vec<Complaint> {
    let mut judge = Judge { device, found: Vec::new() };
    let protocol = record.protocol();
    if !device.offer.includes(protocol) {
        judge.say(format!("the device is not offered {protocol:?}"));
    }
    match protocol {
        Protocol::Legacy => match record.json().as_ref().and_then(Value::as_object) {
            Some(body) => judge.legacy(body, cpid),
            None => judge.say("the body is not a JSON object"),
        },
        Protocol::V21 => judge.v21(record),
    }
    judge.found.into_iter().map(|what| Complaint { record: record.number, what }).collect()
}

struct Judge<'a> {
    device: &'a Device,
    found: Vec<String>,
}

impl Judge<'_> {
    fn say(&mut self, what: impl Into<String>) {
        self.found.push(what.into());
    }

    fn check(&mut self, good: bool, what: &str) {
        if !good {
            self.say(what);
        }
    }

    /// What a rule match says of its rule.
    fn rule(&mut self, entry: &Value) {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let is = |rule: &&Rule| rule.guid == text("rg");
        match self.device.template.rules.iter().find(is) {
            Some(rule) => {
                self.check(text("ct") == rule.condition, "ct is not the rule's condition");
                self.check(text("sg") == rule.subscription, "sg is not the rule's event subscription");
            }
            None => self.say(format!("there is no rule {:?}", text("rg"))),
        }
        let named = entry.get("cv").and_then(Value::as_object).is_some_and(|values| !values.is_empty());
        self.check(named, "cv does not have the values that the condition names");
    }
}

fn is_time(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|text| text.parse::<Timestamp>().is_ok())
}

fn is_list_of(value: &Value, length: usize) -> bool {
    value.as_array().is_some_and(|values| values.len() == length && values.iter().all(Value::is_number))
}

#[cfg(test)]
mod tests;

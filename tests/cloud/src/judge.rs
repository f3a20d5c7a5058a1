//! What IoTConnect would silently drop: legacy bodies held against the device's template (IoTConnect device message 1.0).
//!
//! The hub takes any bytes, as the real one does. This looks at the records afterwards and says in words what in them is not
//! of the protocol's form or does not belong to the device. It checks form, not validation (`dv`).

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::device::{Attribute, Device, Kind};
use crate::recorder::Record;

/// One thing that is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Complaint {
    /// The record's number.
    pub record: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Everything wrong with one record of `device`.
pub(crate) fn complaints(record: &Record, cpid: &str, device: &Device) -> Vec<Complaint> {
    let mut judge = Judge { device, found: Vec::new() };
    match record.json().as_ref().and_then(Value::as_object) {
        Some(body) => judge.body(body, cpid),
        None => judge.say("the body is not a JSON object"),
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

    fn body(&mut self, body: &Map<String, Value>, cpid: &str) {
        // The C library writes cpid, all others cpId.
        let named = body.get("cpId").or_else(|| body.get("cpid")).and_then(Value::as_str);
        self.check(named == Some(cpid), "cpId is not the one sync gave");
        self.check(is_time(body.get("t")), "t is not a time");
        let sdk = body.get("sdk").and_then(Value::as_object);
        let complete =
            sdk.is_some_and(|sdk| ["l", "v", "e"].iter().all(|key| sdk.get(*key).is_some_and(Value::is_string)));
        self.check(complete, "sdk does not have l, v and e");
        let kind = body.get("mt").and_then(Value::as_i64);
        match kind {
            Some(kind @ 0..=3) => {
                let guid = body.get("dtg").and_then(Value::as_str);
                self.check(guid == Some(self.device.template.guid.as_str()), "dtg is not the template's");
                match body.get("d").and_then(Value::as_array) {
                    Some(entries) if !entries.is_empty() => entries.iter().for_each(|entry| self.entry(kind, entry)),
                    _ => self.say("d is not a list of entries"),
                }
            }
            Some(5 | 11) => {
                let named = body.get("uniqueId").and_then(Value::as_str);
                self.check(named == Some(self.device.unique_id.as_str()), "uniqueId is not the device's");
                let ack = body.get("d").and_then(Value::as_object);
                self.check(
                    ack.is_some_and(|ack| ack.get("ackId").is_some_and(Value::is_string)),
                    "the ack has no ackId",
                );
                self.check(ack.is_some_and(|ack| ack.get("st").is_some_and(Value::is_i64)), "the ack has no st");
            }
            _ => self.say("mt is none of 0, 1, 2, 3, 5, 11"),
        }
    }

    fn entry(&mut self, kind: i64, entry: &Value) {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let template = &self.device.template;
        let id = text("id").unwrap_or_default();
        let child = template.children.iter().find(|child| child.id == id).map(|child| child.tag.as_str());
        let Some(tag) = child.or((id == self.device.unique_id).then_some(template.tag.as_str())) else {
            return self.say(format!("{id:?} is neither the device nor a child"));
        };
        // A rule match carries no tag.
        self.check(kind == 3 || text("tg") == Some(tag), &format!("tg of {id} is not its tag"));
        self.check(is_time(entry.get("dt")), &format!("dt of {id} is not a time"));
        let values = match entry.get("d").and_then(Value::as_array).map(Vec::as_slice) {
            Some([Value::Object(values)]) if !values.is_empty() => values,
            _ => return self.say(format!("d of {id} is not a list of one object with values")),
        };
        for (name, value) in values {
            let known = template.attributes.iter().find(|attribute| attribute.name == *name && attribute.tag == tag);
            match known {
                Some(attribute) => self.value(kind, attribute, value, name),
                None => self.say(format!("{id} has no attribute {name}")),
            }
        }
    }

    fn value(&mut self, kind: i64, attribute: &Attribute, value: &Value, name: &str) {
        match (attribute.kind, value) {
            (Kind::Object, Value::Object(members)) => {
                for (member, value) in members {
                    match attribute.children.iter().find(|child| child.name == *member) {
                        Some(child) => self.value(kind, child, value, &format!("{name}.{member}")),
                        None => self.say(format!("{name} has no member {member}")),
                    }
                }
            }
            (Kind::Object, _) => self.say(format!("{name} is not an object")),
            // A report has a number for a NUMBER, a fault the offending value as text, an aggregate a list.
            (Kind::Number, value) if kind == 0 => self.check(value.is_number(), &format!("{name} is not a number")),
            (_, value) if kind == 1 => {
                self.check(value.is_string(), &format!("{name} is not text, as it is in a fault"))
            }
            (Kind::Number, value) if kind == 2 => self.check(value.is_array(), &format!("{name} is not a list")),
            _ => {}
        }
    }
}

fn is_time(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|text| text.parse::<Timestamp>().is_ok())
}

#[cfg(test)]
mod tests;

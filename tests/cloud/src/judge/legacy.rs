//! Legacy bodies (IoTConnect device message 1.0).

use serde_json::{Map, Value};

use super::{Judge, is_list_of, is_time};
use crate::template::{Attribute, Kind};

impl Judge<'_> {
    pub(super) fn legacy(&mut self, body: &Map<String, Value>, cpid: &str) {
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
                    Some(entries) if !entries.is_empty() => {
                        entries.iter().for_each(|entry| self.legacy_entry(kind, entry));
                    }
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
                let child = ack.and_then(|ack| ack.get("childId")?.as_str()).filter(|child| !child.is_empty());
                if let Some(child) = child {
                    let known = self.device.template.children.iter().any(|known| known.id == child);
                    self.check(known, &format!("childId {child} is not a child"));
                }
            }
            _ => self.say("mt is none of 0, 1, 2, 3, 5, 11"),
        }
    }

    fn legacy_entry(&mut self, kind: i64, entry: &Value) {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let id = text("id").unwrap_or_default();
        let template = &self.device.template;
        let Some(tag) = template.tag_of(&self.device.unique_id, id) else {
            return self.say(format!("{id:?} is neither the device nor a child"));
        };
        if kind == 3 {
            // A match carries no tag.
            self.rule(entry);
        } else {
            self.check(text("tg") == Some(tag), &format!("tg of {id} is not its tag"));
        }
        self.check(is_time(entry.get("dt")), &format!("dt of {id} is not a time"));
        let values = match entry.get("d").and_then(Value::as_array).map(Vec::as_slice) {
            Some([Value::Object(values)]) if !values.is_empty() => values,
            _ => return self.say(format!("d of {id} is not a list of one object with values")),
        };
        for (name, value) in values {
            match template.attribute(tag, name) {
                Some(attribute) => self.legacy_value(kind, attribute, attribute.aggregate, value, name),
                None => self.say(format!("{id} has no attribute {name}")),
            }
        }
    }

    /// `aggregate` is the attribute's own, and that of an object for its members without one.
    fn legacy_value(&mut self, kind: i64, attribute: &Attribute, aggregate: u8, value: &Value, name: &str) {
        match (attribute.kind, value) {
            (Kind::Object, Value::Object(members)) => {
                for (member, value) in members {
                    match attribute.children.iter().find(|child| child.name == *member) {
                        Some(child) => {
                            let own = if child.aggregate == 0 { aggregate } else { child.aggregate };
                            self.legacy_value(kind, child, own, value, &format!("{name}.{member}"));
                        }
                        None => self.say(format!("{name} has no member {member}")),
                    }
                }
            }
            (Kind::Object, _) => self.say(format!("{name} is not an object")),
            (_, value) if kind == 1 => {
                self.check(value.is_string(), &format!("{name} is not text, as it is in a fault"));
            }
            (_, value) if kind == 2 => {
                let length = aggregate.count_ones() as usize;
                self.check(is_list_of(value, length), &format!("{name} is not a list of its {length} aggregates"));
            }
            (own, value) if kind == 0 && own.is_number() => {
                self.check(value.is_number(), &format!("{name} is not a number"));
            }
            _ => {}
        }
    }
}

//! Messages of 2.1 (IoTConnect device message 2.1): the topic's bag, the frame of the body, and what is in it.

use serde_json::{Map, Value};

use super::{Judge, is_list_of, is_time};
use crate::recorder::{MessageKind, Record, v21};
use crate::template::{Attribute, Kind};

impl Judge<'_> {
    pub(super) fn v21(&mut self, record: &Record) {
        let properties = record.properties();
        let (code, kind) = match v21::kind(&properties, &record.body) {
            Ok(known) => known,
            Err(what) => return self.say(format!("malformed: {what}")),
        };
        let template = &self.device.template;
        if code != template.code {
            self.say(format!("malformed: cd {code} in the topic is not the template's {}", template.code));
        }
        if matches!(kind, MessageKind::Aggregate | MessageKind::RuleMatch) && !template.edge {
            self.say(format!("{kind:?} of a device that is no edge device"));
        }
        let body = record.json().unwrap_or_default();
        if let Some(time) = body.get("dt") {
            self.check(is_time(Some(time)), "dt is not a time");
        }
        match kind {
            MessageKind::Report
            | MessageKind::Fault
            | MessageKind::Aggregate
            | MessageKind::RuleMatch
            | MessageKind::Offline => match body.get("d").and_then(Value::as_array) {
                Some(entries) if !entries.is_empty() => {
                    entries.iter().for_each(|entry| self.v21_entry(kind, entry));
                }
                _ => self.say("d is not a list of entries"),
            },
            MessageKind::Ack => self.v21_ack(body.get("d").and_then(Value::as_object)),
            MessageKind::Heartbeat | MessageKind::DeviceLog | MessageKind::Identity | MessageKind::Malformed => {}
        }
    }

    fn v21_ack(&mut self, ack: Option<&Map<String, Value>>) {
        let get = |key| ack.and_then(|ack| ack.get(key));
        self.check(get("ack").is_some_and(Value::is_string), "the ack has no ack");
        self.check(
            get("type").and_then(Value::as_i64).is_some_and(|kind| (0..=2).contains(&kind)),
            "type is not 0, 1, 2",
        );
        self.check(get("st").is_some_and(Value::is_i64), "the ack has no st");
        self.check(get("msg").is_none_or(Value::is_string), "msg of the ack is not text");
        let keys = ack.map(|ack| ack.keys().map(String::as_str).collect::<Vec<_>>()).unwrap_or_default();
        for key in keys.iter().filter(|key| !["ack", "type", "st", "msg", "cid"].contains(key)) {
            self.say(format!("the ack has an unknown key {key}"));
        }
        if let Some(child) = get("cid") {
            let known = self.device.template.children.iter().any(|known| child.as_str() == Some(known.id.as_str()));
            self.check(known, &format!("cid {child} is not a child"));
        }
    }

    fn v21_entry(&mut self, kind: MessageKind, entry: &Value) {
        let template = &self.device.template;
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        // Without an id it is of the device itself; a gateway has to say.
        let id = text("id").unwrap_or(&self.device.unique_id).to_owned();
        self.check(template.children.is_empty() || entry.get("id").is_some(), "an entry of a gateway has no id");
        let Some(tag) = template.tag_of(&self.device.unique_id, &id) else {
            return self.say(format!("{id:?} is neither the device nor a child"));
        };
        self.check(entry.get("tg").is_none() || text("tg") == Some(tag), &format!("tg of {id} is not its tag"));
        if let Some(time) = entry.get("dt") {
            self.check(is_time(Some(time)), &format!("dt of {id} is not a time"));
        }
        let is_match = kind == MessageKind::RuleMatch || (kind == MessageKind::Offline && entry.get("rg").is_some());
        let allowed: &[&str] =
            if is_match { &["id", "tg", "dt", "d", "cv", "rg", "ct", "sg"] } else { &["id", "tg", "dt", "d"] };
        for key in entry.as_object().into_iter().flat_map(Map::keys).filter(|key| !allowed.contains(&key.as_str())) {
            self.say(format!("the entry of {id} has an unknown key {key}"));
        }
        if is_match {
            self.rule(entry);
        }
        let values = match entry.get("d") {
            Some(Value::Object(values)) if !values.is_empty() => values,
            _ => return self.say(format!("d of {id} is not an object with values")),
        };
        for (name, value) in values {
            match template.attribute(tag, name) {
                Some(attribute) => self.v21_value(kind, attribute, value, name),
                // Unknown ones are reported as faults.
                None if matches!(kind, MessageKind::Fault | MessageKind::Offline) => {}
                None => self.say(format!("{id} has no attribute {name}")),
            }
        }
    }

    fn v21_value(&mut self, kind: MessageKind, attribute: &Attribute, value: &Value, name: &str) {
        match (kind, attribute.kind, value) {
            // A fault holds what the device was given; what was stored may be one.
            (MessageKind::Fault | MessageKind::Offline, ..) => {}
            (_, Kind::Object, Value::Object(members)) => {
                for (member, value) in members {
                    match attribute.children.iter().find(|child| child.name == *member) {
                        Some(child) => self.v21_value(kind, child, value, &format!("{name}.{member}")),
                        None => self.say(format!("{name} has no member {member}")),
                    }
                }
            }
            (_, Kind::Object, _) => self.say(format!("{name} is not an object")),
            (MessageKind::Aggregate, ..) => {
                self.check(is_list_of(value, 6), &format!("{name} is not a list of six aggregates"));
            }
            (_, own, value) => self.check(own.takes(value), &format!("{name} is not of its type {own:?}")),
        }
    }
}

impl Kind {
    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Number | Self::Decimal => value.is_number(),
            Self::Integer | Self::Long => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Self::Bit => matches!(value.as_f64(), Some(0.0 | 1.0)),
            Self::Boolean => value.is_boolean(),
            Self::LatLong => is_list_of(value, 2),
            Self::String | Self::Time | Self::Date | Self::DateTime => value.is_string(),
            Self::Object => value.is_object(),
        }
    }
}

//! Attributes, settings, rules and devices, read one by one.
//!
//! Whatever cannot be used is left out alone, and said in [`LeftOut`]: a device with one odd attribute still sends the
//! others. A null is the empty list or text, a number in the place of a text is its digits, unknown members are ignored.
//! Names and ids are the exception: they must be texts, because values and commands are found by them.
//!
//! Deliberately absent: whether a valid-values text, window or condition makes sense; who uses it reads it.

use std::slice;

use serde_json::{Map, Value};

use super::{int_of, text_of};
use crate::c2d::Part;
use crate::definition::{AttributeDefinition, Group, Place, Rule, Setting, Update};
use crate::template::Device;
use crate::version::Version;

/// Most reasons kept of a part; they are for a log, where the first ones say enough.
const REASONS_MAX: usize = 20;
/// Most letters shown of a name.
const NAME_SHOWN_MAX: usize = 64;
/// Stands for a type that is no number; neither protocol defines it, so its values go out as faults.
const DATA_TYPE_UNKNOWN: i64 = -1;

/// What of a part was left out or not taken as it stands, and why.
#[derive(Default)]
pub(crate) struct LeftOut {
    reasons: Vec<String>,
    /// How many there are beyond [`REASONS_MAX`].
    more: usize,
}

impl LeftOut {
    pub(crate) fn say(&mut self, reason: String) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn into_reasons(mut self) -> Vec<String> {
        if self.more > 0 {
            self.reasons.push(format!("{} more", self.more));
        }
        self.reasons
    }
}

/// What an answer says of a part; the error says why nothing of it can be used.
pub(crate) fn updates(version: Version, part: Part, said: &Value) -> Result<Vec<Update>, String> {
    if part == Part::Ota {
        return Ok(vec![Update::Ota(Some(said.clone()).filter(|ota| !ota.is_null()))]);
    }
    let elements = elements(said).ok_or_else(|| format!("{} is no list", part.member()))?;
    let mut left_out = LeftOut::default();
    let update = match part {
        Part::Attributes => Update::Attributes(groups(version, elements, &mut left_out)),
        Part::Settings => Update::Settings(settings(elements, &mut left_out)),
        Part::Rules => Update::Rules(rules(elements, &mut left_out)),
        Part::Devices | Part::Ota if version == Version::V21 => Update::Children(devices(elements, &mut left_out)),
        Part::Devices | Part::Ota => {
            let own = elements.first().map(|own| devices(slice::from_ref(own), &mut LeftOut::default()));
            if own.is_some_and(|own| own.is_empty()) {
                // The next one would be taken for the device itself.
                return Err("device 1, which is this device itself, has no id".into());
            }
            Update::Devices(devices(elements, &mut left_out))
        }
    };
    Ok(vec![update, Update::LeftOut(place(part), left_out.into_reasons())])
}

/// Where it is told what of a part was left out.
pub(crate) fn place(part: Part) -> Place {
    match part {
        Part::Attributes => Place::Attributes,
        Part::Settings => Place::Settings,
        Part::Rules => Place::Rules,
        Part::Devices => Place::Devices,
        Part::Ota => Place::Device,
    }
}

fn elements(list: &Value) -> Option<&[Value]> {
    match list {
        Value::Null => Some(&[]),
        Value::Array(elements) => Some(elements),
        _ => None,
    }
}

fn groups(version: Version, groups: &[Value], left_out: &mut LeftOut) -> Vec<Group> {
    each(
        groups,
        |place| format!("group {place}"),
        left_out,
        |mut group| {
            let name = match group.members.get("p") {
                Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => return Err("has a name that is no text"),
                name => text_of(name).unwrap_or_default(),
            };
            let attributes =
                group.members.get("d").map_or(Some(&[][..]), elements).ok_or("has no list of attributes")?;
            let (tag, window) = (group.text("tg"), group.text("tw"));
            let noun = |place| match name.as_str() {
                "" => format!("attribute {place}"),
                object => format!("attribute {place} of group {}", shown(object)),
            };
            let attributes = each(attributes, noun, group.left_out, |attribute| attribute.attribute(version));
            Ok(Group { object: Some(name).filter(|name| !name.is_empty()), tag, window, attributes })
        },
    )
}

fn settings(settings: &[Value], left_out: &mut LeftOut) -> Vec<Setting> {
    each(
        settings,
        |place| format!("setting {place}"),
        left_out,
        |mut setting| {
            Ok(Setting { name: setting.name("ln")?, data_type: setting.data_type(), validity: setting.text("dv") })
        },
    )
}

fn rules(rules: &[Value], left_out: &mut LeftOut) -> Vec<Rule> {
    each(
        rules,
        |place| format!("rule {place}"),
        left_out,
        |mut rule| {
            Ok(Rule {
                guid: rule.text("g"),
                event_subscription: rule.members.get("es").filter(|es| !es.is_null()).map(|_| rule.text("es")),
                condition: rule.text("con"),
                command: Some(rule.text("cmd")).filter(|command| !command.is_empty()),
            })
        },
    )
}

fn devices(devices: &[Value], left_out: &mut LeftOut) -> Vec<Device> {
    each(
        devices,
        |place| format!("device {place}"),
        left_out,
        |mut device| Ok(Device { id: device.name("id").map_err(|_| "has no id")?, tag: device.text("tg") }),
    )
}

/// What `read` makes of the elements that can be used; `noun` says which one an element is, counted from 1.
fn each<T>(
    elements: &[Value],
    noun: impl Fn(usize) -> String,
    left_out: &mut LeftOut,
    read: impl Fn(Element<'_>) -> Result<T, &'static str>,
) -> Vec<T> {
    let mut usable = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let noun = noun(index + 1);
        let read = match element {
            Value::Object(members) => read(Element { noun: &noun, members, left_out }),
            _ => Err("is no object"),
        };
        match read {
            Ok(element) => usable.push(element),
            Err(problem) => left_out.say(format!("{noun} {problem}")),
        }
    }
    usable
}

/// One of a list.
struct Element<'a> {
    noun: &'a str,
    members: &'a Map<String, Value>,
    left_out: &'a mut LeftOut,
}

impl Element<'_> {
    fn name(&self, member: &str) -> Result<String, &'static str> {
        let name = self.members.get(member).and_then(Value::as_str).filter(|name| !name.is_empty());
        name.map(str::to_owned).ok_or("has no name")
    }

    /// Empty where nothing can be used.
    fn text(&mut self, member: &str) -> String {
        let value = self.members.get(member);
        if let Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) = value {
            self.left_out.say(format!("{} has a {member} that is no text", self.noun));
        }
        text_of(value).unwrap_or_default()
    }

    fn attribute(mut self, version: Version) -> Result<AttributeDefinition, &'static str> {
        Ok(AttributeDefinition {
            name: self.name("ln")?,
            data_type: self.data_type(),
            validity: self.text("dv"),
            tag: self.text("tg"),
            // 2.1 has no choice: an edge device sends all six.
            aggregates: (version == Version::Legacy).then(|| self.aggregates()),
            window: self.text("tw"),
        })
    }

    /// A text of digits is no type either, as in the SDKs.
    fn data_type(&mut self) -> i64 {
        let number = self.members.get("dt").filter(|number| number.is_number());
        int_of(number).unwrap_or_else(|| {
            self.left_out
                .say(format!("{} has a type (dt) that is no number, so its values go out as faults", self.noun));
            DATA_TYPE_UNKNOWN
        })
    }

    /// Null and the empty text are none.
    fn aggregates(&mut self) -> u8 {
        let value = self.members.get("agt").filter(|value| !value.is_null() && value.as_str() != Some(""));
        let aggregates = int_of(value).and_then(|aggregates| u8::try_from(aggregates).ok());
        if value.is_some() && aggregates.is_none() {
            self.left_out.say(format!("{} has aggregates (agt) that are no number from 0 to 255", self.noun));
        }
        aggregates.unwrap_or(0)
    }
}

fn shown(name: &str) -> String {
    format!("{:?}", name.chars().take(NAME_SHOWN_MAX).collect::<String>())
}

#[cfg(test)]
mod tests;

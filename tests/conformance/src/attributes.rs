//! The answer of upstream's `GetAttributes`, made of what plugins are told of the device.
//!
//! The legacy SDK lists attributes by device, the 2.1 SDK hands on the cloud's own groups. Both are brought to one list
//! of attributes with tag, name, type and validity.

use std::collections::BTreeSet;

use edgeplug_protocol::definition::Definition;
use edgeplug_protocol::model::{Attribute, Kind, Member};
use edgeplug_protocol::template::DataType;
use edgeplug_protocol::version::Version;
use serde_json::{Value, json};

/// What plugins see, as the legacy SDK lists it: one element for each distinct tag that has attributes, with the first
/// device of that tag.
pub(crate) fn by_device(definition: &Definition) -> Value {
    let model = definition.model();
    let mut tags = BTreeSet::new();
    let devices = definition.devices.iter().filter(|device| tags.insert(&device.tag));
    let element = |device: &edgeplug_protocol::template::Device| {
        let of_tag = model.attributes.iter().filter(|attribute| attribute.tag == device.tag);
        let attributes: Vec<_> = of_tag.map(|attribute| listed(definition.version, attribute)).collect();
        let device = json!({"id": device.id, "tg": device.tag});
        (!attributes.is_empty()).then(|| json!({"device": device, "attributes": attributes}))
    };
    normal(&devices.filter_map(element).collect())
}

/// What plugins see, as a list in a fixed order.
pub(crate) fn all(definition: &Definition) -> Value {
    let mut attributes: Vec<_> = definition
        .model()
        .attributes
        .iter()
        .map(|attribute| json!([attribute.tag, normal(&listed(definition.version, attribute))]))
        .collect();
    attributes.sort_by_key(Value::to_string);
    attributes.into()
}

/// The 2.1 cloud's groups as the same list; anything else as it is.
pub(crate) fn of_groups(groups: &Value) -> Value {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = |value: &Value| {
        let number = value.get("dt").and_then(Value::as_i64).unwrap_or_default();
        kind_name(Version::V21, DataType::from_wire(Version::V21, number).kind())
    };
    let Some(list) = groups.as_array() else { return groups.clone() };
    let mut attributes = Vec::new();
    for group in list {
        let members = group.get("d").and_then(Value::as_array).cloned().unwrap_or_default();
        let listed = |member: &Value| json!({"ln": text(member, "ln"), "dt": kind(member), "dv": text(member, "dv")});
        match text(group, "p") {
            object if object.is_empty() => {
                attributes.extend(members.iter().map(|scalar| json!([text(scalar, "tg"), listed(scalar)])));
            }
            object => {
                let members: Vec<_> = members.iter().map(listed).collect();
                attributes.push(json!([text(group, "tg"), {"ln": object, "dt": "OBJECT", "d": members}]));
            }
        }
    }
    attributes.sort_by_key(Value::to_string);
    attributes.into()
}

fn listed(version: Version, attribute: &Attribute) -> Value {
    let (ln, dt) = (&attribute.name, kind_name(version, attribute.kind));
    let member =
        |member: &Member| json!({"ln": member.name, "dt": kind_name(version, member.kind), "dv": member.validity});
    match attribute.kind {
        Kind::Object => json!({"ln": ln, "dt": dt, "d": attribute.members.iter().map(member).collect::<Vec<_>>()}),
        _ => json!({"ln": ln, "dt": dt, "dv": attribute.validity}),
    }
}

/// The same without what upstream adds by accident or plugins do not see: tags of attributes and members, empty tags of
/// devices, and the type FLOAT (which is a number).
pub(crate) fn normal(listing: &Value) -> Value {
    match listing {
        Value::Array(list) => list.iter().map(normal).collect(),
        Value::Object(members) => {
            let is_attribute = members.contains_key("ln");
            let kept = members.iter().filter(|(name, value)| {
                let is_tag = name.as_str() == "tg" && (is_attribute || value.as_str() == Some(""));
                let is_wire_only = matches!(name.as_str(), "sq" | "agt" | "tw");
                let is_no_validity = name.as_str() == "dv" && members.contains_key("d");
                !is_tag && !is_wire_only && !is_no_validity
            });
            let value = |name: &str, value: &Value| match (name, value) {
                ("dt", Value::String(kind)) if kind == "FLOAT" => json!("NUMBER"),
                ("dv", Value::Null) => json!(""),
                _ => normal(value),
            };
            Value::Object(kept.map(|(name, member)| (name.clone(), value(name, member))).collect())
        }
        other => other.clone(),
    }
}

fn kind_name(version: Version, kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "BOOLEAN",
        Kind::Bit => "BIT",
        Kind::Integer => "INTEGER",
        Kind::Long => "LONG",
        Kind::Number if version == Version::V21 => "DECIMAL",
        Kind::Number => "NUMBER",
        Kind::Text => "STRING",
        Kind::Date => "DATE",
        Kind::Time => "TIME",
        Kind::DateTime => "DATETIME",
        Kind::LatLong => "LATLONG",
        Kind::Object => "OBJECT",
    }
}

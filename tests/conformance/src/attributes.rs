//! The answer of upstream's `GetAttributes`, made of what plugins are told of the device.

use edgeplug_protocol::definition::Definition;
use edgeplug_protocol::model::{Attribute, Kind, Member};
use edgeplug_protocol::version::Version;
use serde_json::{Value, json};

/// One element for each distinct tag, with the first device that has it.
pub(crate) fn as_upstream_lists_them(definition: &Definition) -> Value {
    let model = definition.model();
    let name = |kind| kind_name(definition.version, kind);
    let attribute = |attribute: &Attribute| {
        let (ln, dt) = (&attribute.name, name(attribute.kind));
        let member = |member: &Member| json!({"ln": member.name, "dt": name(member.kind), "dv": member.validity});
        match attribute.kind {
            Kind::Object => json!({"ln": ln, "dt": dt, "d": attribute.members.iter().map(member).collect::<Vec<_>>()}),
            _ => json!({"ln": ln, "dt": dt, "dv": attribute.validity}),
        }
    };
    let mut tags = Vec::new();
    let mut elements = Vec::new();
    for device in definition.devices.iter().filter(|device| {
        let is_new = !tags.contains(&device.tag);
        tags.push(device.tag.clone());
        is_new
    }) {
        let of_tag = model.attributes.iter().filter(|attribute| attribute.tag == device.tag);
        let attributes: Vec<_> = of_tag.map(attribute).collect();
        elements.push(json!({"device": {"id": device.id, "tg": device.tag}, "attributes": attributes}));
    }
    normal(&Value::Array(elements))
}

/// The same without what upstream adds by accident or plugins do not see: tags of attributes and members, empty tags of
/// devices, the type FLOAT (which is a number), and types by number.
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

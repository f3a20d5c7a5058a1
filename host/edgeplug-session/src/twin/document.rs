//! Twin documents as the hub sends them.

use serde_json::{Map, Value};

use crate::action::TwinDocument;

/// The answer to a question for all of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Document {
    pub(super) desired: Properties,
    pub(super) reported: Properties,
}

/// One half of a twin, or a patch of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Properties {
    /// `$version`; none where the hub did not say it in the body.
    pub(super) version: Option<u64>,
    /// Without `$version` and `$metadata`; no property of a user begins with `$` (Azure IoT Hub, "Understand and use
    /// device twins").
    pub(super) members: Map<String, Value>,
}

impl Document {
    /// `{"desired":{…,"$version":3},"reported":{…,"$version":2}}`; a half that is missing is empty.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let mut halves = object(body)?;
        let mut half = |name: &str| match halves.remove(name) {
            None | Some(Value::Null) => Ok(Properties::default()),
            Some(Value::Object(members)) => Ok(Properties::of(members)),
            Some(_) => Err(format!("the hub's twin cannot be read: {name} is no JSON object")),
        };
        Ok(Self { desired: half("desired")?, reported: half("reported")? })
    }

    pub(super) fn into_texts(self) -> TwinDocument {
        TwinDocument {
            desired_version: self.desired.version.unwrap_or_default(),
            reported_version: self.reported.version.unwrap_or_default(),
            desired: text(self.desired.members),
            reported: text(self.reported.members),
        }
    }
}

impl Properties {
    /// A patch.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        object(body).map(Self::of)
    }

    fn of(mut members: Map<String, Value>) -> Self {
        let version = members.get("$version").and_then(Value::as_u64);
        members.retain(|name, _| !name.starts_with('$'));
        Self { version, members }
    }
}

/// Merges a patch as the hub does: `null` removes, objects are merged, anything else replaces (RFC 7386). Both come out
/// of the JSON parser, which bounds their depth.
pub(super) fn merge(members: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => drop(members.remove(name)),
            Value::Object(patch) => {
                let place = members.entry(name.as_str()).or_insert(Value::Null);
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                if let Value::Object(members) = place {
                    merge(members, patch);
                }
            }
            other => drop(members.insert(name.clone(), other.clone())),
        }
    }
}

pub(super) fn text(members: Map<String, Value>) -> String {
    Value::Object(members).to_string()
}

fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    serde_json::from_slice(body).map_err(|error| format!("the hub's twin cannot be read: {error}"))
}

#[cfg(test)]
mod tests;

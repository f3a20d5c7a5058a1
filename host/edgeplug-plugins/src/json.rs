//! JSON texts from guests: objects, capped in length and depth, before anybody else looks at them.

use serde_json::Value;

/// Bytes of one text: what the hub takes of one part of a twin (Azure IoT Hub, "Understand and use device twins").
const TEXT_LEN_MAX: usize = 32 << 10;
/// Objects and lists within each other, the outermost counted; the hub's own limit (ibid.).
const DEPTH_MAX: usize = 10;

/// Whether the text may go to the cloud, or what is wrong and where.
pub(crate) fn check_object(text: &str) -> Result<(), String> {
    if text.len() > TEXT_LEN_MAX {
        return Err(format!("it has {} bytes; at most {TEXT_LEN_MAX} are taken", text.len()));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    if !value.is_object() {
        return Err("it is not a JSON object".to_owned());
    }
    match too_deep(&value, DEPTH_MAX) {
        Some(place) => Err(format!("it is nested more than {DEPTH_MAX} deep, at {}", place.join("."))),
        None => Ok(()),
    }
}

/// The way to the first object or list that is one level too deep.
fn too_deep(value: &Value, depth_left: usize) -> Option<Vec<String>> {
    let below = |name: String, value: &Value| {
        let mut place = too_deep(value, depth_left.saturating_sub(1))?;
        place.insert(0, name);
        Some(place)
    };
    match value {
        Value::Object(_) | Value::Array(_) if depth_left == 0 => Some(Vec::new()),
        Value::Object(members) => members.iter().find_map(|(name, value)| below(name.clone(), value)),
        Value::Array(values) => values.iter().enumerate().find_map(|(index, value)| below(index.to_string(), value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

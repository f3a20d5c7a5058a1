//! What may be reported.

use edgeplug_protocol::definition::Definition;
use edgeplug_protocol::validation::{Verdict, judge};
use edgeplug_protocol::version::Version;
use serde_json::{Map, Value};

/// Bytes of one report, and the depth of its objects and lists, the outermost counted: what the hub takes of one half of
/// a twin (Azure IoT Hub, "Understand and use device twins"). Promised in `wit/imports.wit`.
const BYTES_MAX: usize = 32 * 1024;
const DEPTH_MAX: usize = 10;

/// Whether this may go to the hub, or what is wrong with it. 2.1 takes only settings that the template declares, with their
/// valid values; `null` takes one back.
pub(super) fn check(patch: &str, definition: Option<&Definition>) -> Result<(), String> {
    if patch.len() > BYTES_MAX {
        return Err(format!("it has {} bytes; at most {BYTES_MAX} are taken", patch.len()));
    }
    let members: Map<String, Value> =
        serde_json::from_str(patch).map_err(|error| format!("it is not a JSON object: {error}"))?;
    if let Some((name, _)) = members.iter().find(|(_, value)| is_deeper(value, DEPTH_MAX - 1)) {
        return Err(format!("{name:?} is nested more than {DEPTH_MAX} deep"));
    }
    match definition.filter(|definition| definition.version == Version::V21) {
        None => Ok(()),
        Some(definition) => members.iter().try_for_each(|(name, value)| check_setting(name, value, definition)),
    }
}

/// Where no valid values are stated anything is, of whatever type: the old SDK looks no closer.
fn check_setting(name: &str, value: &Value, definition: &Definition) -> Result<(), String> {
    let stated = definition.settings.iter().find(|setting| setting.name == name);
    let (Some(stated), Some(setting)) = (stated, definition.setting(name)) else {
        return Err(format!("the device template has no setting {name:?}; add it in the portal"));
    };
    let takes_it = value.is_null() || stated.validity.trim().is_empty();
    if takes_it || matches!(judge(&setting, value), Verdict::Valid(_)) {
        return Ok(());
    }
    Err(format!("setting {name:?} is of another type or range; its valid values are {:?}", stated.validity))
}

/// Whether objects and lists lie deeper within each other than this.
fn is_deeper(value: &Value, depth: usize) -> bool {
    match (value, depth.checked_sub(1)) {
        (Value::Object(_) | Value::Array(_), None) => true,
        (Value::Object(members), Some(depth)) => members.values().any(|value| is_deeper(value, depth)),
        (Value::Array(values), Some(depth)) => values.iter().any(|value| is_deeper(value, depth)),
        _ => false,
    }
}

//! The form of 2.1: which kind of message the topic's property bag says it is, and the frame of its body (IoTConnect device
//! message 2.1, "identity", `topics`).

use serde_json::Value;

use super::MessageKind;
use crate::iotconnect::is_identity_message as is_identity_message_type;
use crate::topic::Properties;

/// Whether the bag is one of 2.1 at all, right or wrong.
pub(crate) fn is_meant(properties: &Properties) -> bool {
    ["cd", "v", "mt", "di"].iter().any(|key| properties.contains_key(*key))
}

/// Whether it marks an identity message; only a bag without fault is answered.
pub(crate) fn is_identity_message(properties: &Properties) -> bool {
    properties.contains_key("di") && matches!(bag(properties), Ok((_, MessageKind::Identity)))
}

/// The template code and the kind of message; what is wrong with the form of its topic or body otherwise.
pub(crate) fn kind<'a>(properties: &'a Properties, body: &[u8]) -> Result<(&'a str, MessageKind), String> {
    let (code, kind) = bag(properties)?;
    let body: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
    let body = body.as_object().ok_or("the body is not a JSON object")?;
    let (allowed, d): (&[&str], fn(&Value) -> bool) = match kind {
        MessageKind::Heartbeat => (&[], |_| true),
        MessageKind::Identity => (&["mt", "sid", "d"], |_| true),
        MessageKind::Ack => (&["d", "dt"], Value::is_object),
        MessageKind::Offline => (&["d", "dt", "od"], Value::is_array),
        // Its body was never published.
        MessageKind::DeviceLog => return Ok((code, kind)),
        _ => (&["d", "dt"], Value::is_array),
    };
    if let Some(unknown) = body.keys().find(|key| !allowed.contains(&key.as_str())) {
        return Err(format!("the body of {kind:?} has an unknown key {unknown}"));
    }
    let needs_d = !matches!(kind, MessageKind::Heartbeat | MessageKind::Identity);
    if !body.get("d").map_or(!needs_d, d) {
        return Err(format!("the body of {kind:?} is not {{d, dt}}"));
    }
    if kind == MessageKind::Offline && body.get("od") != Some(&Value::from(1)) {
        return Err("what was stored while offline does not say od 1".to_owned());
    }
    if kind == MessageKind::Identity && !body.get("mt").and_then(Value::as_i64).is_some_and(is_identity_message_type) {
        return Err("mt in the body is no identity message".to_owned());
    }
    Ok((code, kind))
}

fn bag(properties: &Properties) -> Result<(&str, MessageKind), String> {
    let text = |key: &str| properties.get(key).and_then(Option::as_deref);
    if let Some(unknown) = properties.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("the topic has an unknown property {unknown}"));
    }
    for (key, wanted) in FIXED {
        if text(key) != Some(wanted) {
            return Err(format!("{key} in the topic is not {wanted}"));
        }
    }
    let code = text("cd").filter(|code| !code.is_empty()).ok_or("the topic has no cd")?;
    let kind = match (properties.contains_key("mt"), properties.contains_key("di")) {
        (true, false) => {
            let mt = text("mt").unwrap_or_default();
            // As it is written, so that "00" and "+1" are unknown.
            let index = mt.parse::<usize>().ok().filter(|index| index.to_string() == mt);
            *index.and_then(|index| KINDS.get(index)).ok_or_else(|| format!("mt {mt:?} in the topic is unknown"))?
        }
        (false, true) if text("di") == Some("1") => MessageKind::Identity,
        (false, true) => return Err("di in the topic is not 1".to_owned()),
        (true, true) => return Err("the topic has both mt and di".to_owned()),
        (false, false) => return Err("the topic has neither mt nor di".to_owned()),
    };
    Ok((code, kind))
}

const KEYS: [&str; 6] = ["cd", "v", "mt", "di", "$.ct", "$.ce"];
const FIXED: [(&str, &str); 3] = [("v", "2.1"), ("$.ct", "application/json"), ("$.ce", "utf-8")];

/// By `mt`.
const KINDS: [MessageKind; 8] = [
    MessageKind::Report,
    MessageKind::Aggregate,
    MessageKind::RuleMatch,
    MessageKind::Fault,
    MessageKind::Offline,
    MessageKind::Heartbeat,
    MessageKind::Ack,
    MessageKind::DeviceLog,
];

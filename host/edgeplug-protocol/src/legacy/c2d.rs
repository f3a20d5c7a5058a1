//! Cloud-to-device messages of the legacy protocol, told apart by the text `cmdType`.
//!
//! The texts are compared as they stand: `0X01` is no command, as in the TPM SDK 3.0.1. The `data` of control messages was
//! never seen on the wire, so only 0x17 looks into it. 0x16 (connection status) is made up by the old SDK on the device and
//! never comes from the cloud.

use serde_json::{Map, Value};

use crate::c2d::{self, AckKind, CloudMessage, Control, Ota, OtaFile, Part};
use crate::wire;

pub(crate) fn parse(body: &[u8]) -> CloudMessage {
    let message = match c2d::object(body) {
        Ok(message) => message,
        Err(reason) => return CloudMessage::NotUnderstood(reason),
    };
    let Some(kind) = message.get("cmdType").and_then(Value::as_str) else {
        return CloudMessage::NotUnderstood("no cmdType".into());
    };
    let data = message.get("data").and_then(Value::as_object);
    let control = match kind {
        "0x01" | "0x02" | "0x03" => {
            let Some(data) = data else { return CloudMessage::NotUnderstood(format!("{kind} without data")) };
            return match kind {
                "0x01" => command(data),
                "0x02" => ota(data),
                _ => CloudMessage::Module { ack_id: c2d::id_of(data.get("ackId")).filter(|_| wants_ack(data)) },
            };
        }
        "0x10" => Control::Refresh(Part::Attributes),
        "0x11" => Control::Refresh(Part::Settings),
        "0x12" | "resetpwd" => Control::RefreshConnection,
        "0x13" => Control::Refresh(Part::Devices),
        "0x15" => Control::Refresh(Part::Rules),
        "sync" => Control::RefreshAll,
        "0x17" => match wire::seconds_of(data.and_then(|data| data.get("df"))) {
            Some(seconds) => Control::Frequency(seconds),
            None => return CloudMessage::NotUnderstood("0x17 without a data.df in seconds".into()),
        },
        "0x99" => Control::HardStop("hard stop (0x99)".into()),
        other => return CloudMessage::Other(other.chars().take(32).collect()),
    };
    CloudMessage::Control(control)
}

fn command(data: &Map<String, Value>) -> CloudMessage {
    // The old SDK hands on whatever stands there, also nothing; it is for the plugin to say that it knows no such command.
    let text = match data.get("command") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    c2d::command(text, data.get("uniqueId"), c2d::id_of(data.get("ackId")), wants_ack(data))
}

/// An ack id always comes along; only `true` wants an answer.
fn wants_ack(data: &Map<String, Value>) -> bool {
    match data.get("ack") {
        Some(Value::Bool(wanted)) => *wanted,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

fn ota(data: &Map<String, Value>) -> CloudMessage {
    let ack_id = c2d::id_of(data.get("ackId"));
    match update(data, ack_id.clone()) {
        Ok(ota) => CloudMessage::Ota(ota),
        Err(problem) => c2d::unusable(AckKind::Ota, ack_id, problem),
    }
}

/// `ota` of a sync.
pub(crate) fn waiting_ota(said: &Map<String, Value>) -> Result<Ota, String> {
    let id = c2d::id_of(said.get("ackId")).or_else(|| c2d::id_of(said.get("guid")));
    update(said, Some(id.ok_or("the waiting firmware update has no guid")?))
}

fn update(data: &Map<String, Value>, ack_id: Option<String>) -> Result<Ota, String> {
    let version = |what: &str| wire::text_of(data.get("ver").and_then(|ver| ver.get(what))).unwrap_or_default();
    let text = wire::text_of(data.get("command")).unwrap_or_default();
    // The oldest form says it in the command alone: `ota https://…`.
    let in_text = text.strip_prefix("ota ").map(|url| Value::Array(vec![url.trim().into()]));
    let urls = data.get("urls").filter(|urls| !urls.is_null()).or(in_text.as_ref());
    let files = c2d::files(urls, file)?;
    let guid = c2d::id_of(data.get("guid"));
    Ok(Ota { ack_id, guid, software: version("sw"), hardware: version("hw"), files, text })
}

/// A bare URL, or `{url, tag, uniqueId}`.
fn file(entry: &Value) -> Result<OtaFile, &'static str> {
    let text = |name: &str| wire::text_of(entry.get(name));
    let url = entry.as_str().filter(|url| !url.is_empty()).map(str::to_owned).or_else(|| text("url"));
    Ok(OtaFile { url: url.ok_or("has no url")?, name: None, tag: text("tag"), unique_id: text("uniqueId") })
}

#[cfg(test)]
mod tests;

//! Cloud-to-device messages of 2.1: flat objects told apart by the number `ct`; answers have their content under `d`.
//!
//! `v` is a number or a text, depending on the age of the cloud, and says nothing that `ct` does not. 112 and 113 mean
//! different things to different SDKs, so nothing acts on them.

use serde_json::{Map, Value};

use super::messages;
use crate::c2d::{self, AckKind, CloudMessage, Control, Ota, OtaFile, Part};
use crate::wire;

pub(crate) fn parse(body: &[u8]) -> CloudMessage {
    let message = match c2d::object(body) {
        Ok(message) => message,
        Err(reason) => return CloudMessage::NotUnderstood(reason),
    };
    // Also within `data`, as iotc-python-sdk (master-std-21, onMessage) takes it.
    let message = message.get("data").and_then(filled).unwrap_or(&message);
    if let Some(content) = message.get("d").and_then(filled) {
        return messages::reply(content);
    }
    let number = match message.get("ct") {
        Some(Value::String(word)) => return CloudMessage::Other(word.chars().take(32).collect()),
        number => match number.and_then(Value::as_i64) {
            Some(number) => number,
            None => return CloudMessage::NotUnderstood("no ct".into()),
        },
    };
    let seconds = |name: &str| {
        let seconds = wire::seconds_of(message.get(name));
        seconds.ok_or_else(|| format!("ct {number} without {name} in seconds"))
    };
    let control = match number {
        0 => return command(message),
        1 => return ota(message),
        2 => return CloudMessage::Module { ack_id: ack_id(message) },
        101 => Ok(Control::Refresh(Part::Attributes)),
        102 => Ok(Control::Refresh(Part::Settings)),
        103 => Ok(Control::Refresh(Part::Rules)),
        104 => Ok(Control::Refresh(Part::Devices)),
        105 => seconds("df").map(Control::Frequency),
        106 => Ok(Control::HardStop("device deleted (106)".into())),
        107 => Ok(Control::HardStop("device disabled (107)".into())),
        108 => Ok(Control::HardStop("device released (108)".into())),
        109 => Ok(Control::HardStop("stop (109)".into())),
        110 => match seconds("f") {
            Ok(0) => Err("ct 110 asks for a heartbeat every 0 s".into()),
            seconds => seconds.map(Control::StartHeartbeat),
        },
        111 => Ok(Control::StopHeartbeat),
        other => return CloudMessage::Other(format!("ct {other}")),
    };
    control.map_or_else(CloudMessage::NotUnderstood, CloudMessage::Control)
}

fn filled(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object().filter(|members| !members.is_empty())
}

/// Without an id nobody waits.
fn ack_id(message: &Map<String, Value>) -> Option<String> {
    c2d::id_of(message.get("ack"))
}

fn command(message: &Map<String, Value>) -> CloudMessage {
    let ack_id = ack_id(message);
    let ack_wanted = ack_id.is_some();
    match message.get("cmd") {
        Some(Value::String(text)) if !text.is_empty() => {
            c2d::command(text.clone(), message.get("id"), ack_id, ack_wanted)
        }
        _ => c2d::unusable(AckKind::Command, ack_id, "the command has no text (cmd)".into()),
    }
}

fn ota(message: &Map<String, Value>) -> CloudMessage {
    let Some(ack_id) = ack_id(message) else {
        return CloudMessage::NotUnderstood("a firmware update without ack, the id to answer under".into());
    };
    match update(message, ack_id.clone()) {
        Ok(ota) => CloudMessage::Ota(ota),
        Err(problem) => c2d::unusable(AckKind::Ota, Some(ack_id), problem),
    }
}

/// `ota` of an answer 205.
pub(crate) fn waiting_ota(said: &Map<String, Value>) -> Result<Ota, String> {
    update(said, ack_id(said).ok_or("the waiting firmware update has no ack, the id to answer under")?)
}

/// Its versions stand beside the files, or in `ver` where it waits.
fn update(message: &Map<String, Value>, ack_id: String) -> Result<Ota, String> {
    let version = |name: &str| {
        let nested = message.get("ver").and_then(|ver| ver.get(name));
        wire::text_of(message.get(name)).or_else(|| wire::text_of(nested)).unwrap_or_default()
    };
    Ok(Ota {
        text: wire::text_of(message.get("cmd")).unwrap_or_else(|| "ota".into()),
        ack_id: Some(ack_id),
        guid: None,
        software: version("sw"),
        hardware: version("hw"),
        files: c2d::files(message.get("urls"), file)?,
    })
}

fn file(entry: &Value) -> Result<OtaFile, &'static str> {
    let text = |name: &str| wire::text_of(entry.get(name));
    if entry.get("fileName").is_some_and(|name| name == "") {
        return Err("has an empty fileName");
    }
    Ok(OtaFile {
        url: text("url").ok_or("has no url")?,
        name: text("fileName"),
        tag: text("tg"),
        unique_id: text("id"),
    })
}

#[cfg(test)]
mod tests;

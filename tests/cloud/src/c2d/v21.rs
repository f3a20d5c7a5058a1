//! The forms of 2.1 (IoTConnect device message 2.1, C2D): flat, `{"v":"2.1","ct":<type>,…}`, without a `d`.

use serde_json::{Map, Value, json};

use super::{CloudMessage, Firmware, PendingFirmware};

pub(super) fn row(message: &CloudMessage) -> Option<&'static str> {
    Some(match message {
        CloudMessage::Command { .. } => "0",
        CloudMessage::Firmware(_) => "1",
        CloudMessage::Module { .. } => "2",
        CloudMessage::AttributesChanged => "101",
        CloudMessage::SettingsChanged => "102",
        CloudMessage::RulesChanged => "103",
        CloudMessage::ChildrenChanged => "104",
        CloudMessage::DataFrequency { .. } => "105",
        CloudMessage::Deleted => "106",
        CloudMessage::Disabled => "107",
        CloudMessage::Released => "108",
        CloudMessage::Stop => "109",
        CloudMessage::StartHeartbeat { .. } => "110",
        CloudMessage::StopHeartbeat => "111",
        CloudMessage::SdkLog => "112",
        CloudMessage::SkipValidation => "113",
        CloudMessage::SendLog => "114",
        CloudMessage::DeleteRequest => "115",
        CloudMessage::ConnectionStatus => "116",
        _ => return None,
    })
}

/// `version` is what stands in `v`. No file of an update can be for a child by its name.
pub(super) fn body(message: &CloudMessage, version: &Value) -> Option<Value> {
    let kind = match message {
        CloudMessage::Unknown { kind } => kind,
        known => row(known)?,
    };
    if matches!(message, CloudMessage::Firmware(firmware) if firmware.files.iter().any(|file| file.child.is_some())) {
        return None;
    }
    let mut body = Map::new();
    body.insert("v".to_owned(), version.clone());
    body.insert("ct".to_owned(), kind.parse::<i64>().ok()?.into());
    match message {
        CloudMessage::Command { text, ack_id, ack, child } => {
            body.insert("cmd".to_owned(), text.as_str().into());
            if let Some(ack_id) = ack_id.as_deref().filter(|_| *ack) {
                body.insert("ack".to_owned(), ack_id.into());
            }
            if let Some(child) = child {
                body.insert("id".to_owned(), child.as_str().into());
            }
        }
        CloudMessage::Firmware(firmware) => {
            body.insert("cmd".to_owned(), "ota".into());
            body.insert("ack".to_owned(), firmware.ack_id.as_str().into());
            body.insert("sw".to_owned(), firmware.software.as_str().into());
            body.insert("hw".to_owned(), firmware.hardware.as_str().into());
            body.insert("urls".to_owned(), urls(firmware));
        }
        CloudMessage::Module { ack_id } => {
            body.insert("ack".to_owned(), ack_id.as_str().into());
            body.insert("cmd".to_owned(), "m".into());
            body.insert("urls".to_owned(), json!([]));
        }
        CloudMessage::DataFrequency { seconds } => {
            body.insert("df".to_owned(), (*seconds).into());
        }
        CloudMessage::StartHeartbeat { seconds } => {
            body.insert("f".to_owned(), (*seconds).into());
        }
        CloudMessage::ConnectionStatus => {
            body.insert("command".to_owned(), "False".into());
        }
        _ => {}
    }
    Some(Value::Object(body))
}

/// `tg` only where a file is for a tag.
fn urls(firmware: &Firmware) -> Value {
    let urls = firmware.files.iter().map(|file| {
        let path = file.url.split('?').next().unwrap_or_default();
        let named = path.rsplit('/').next().unwrap_or_default();
        let name = file.name.as_deref().unwrap_or(named);
        match &file.tag {
            Some(tag) => json!({"url": file.url, "fileName": name, "tg": tag}),
            None => json!({"url": file.url, "fileName": name}),
        }
    });
    urls.collect()
}

impl PendingFirmware {
    /// `ota` of the answer to the identity message 205.
    pub(crate) fn v21(&self) -> Value {
        let Self(firmware) = self;
        json!({
            "cmd": "ota", "ack": firmware.ack_id, "ver": {"sw": firmware.software, "hw": firmware.hardware},
            "urls": urls(firmware)
        })
    }
}

//! The legacy forms (IoTConnect device message 1.0, C2D): `{"cmdType":"<type>","data":{…}}`, where `data` repeats the type.

use serde_json::{Value, json};

use super::{Address, CloudMessage, Firmware, FirmwareFile, PendingFirmware};

const GUID: &str = "a4bf6a2e-5b0e-4e67-9c0e-2f0f5f1c7a10";

pub(super) fn row(message: &CloudMessage) -> Option<&'static str> {
    Some(match message {
        CloudMessage::ProtocolChanged | CloudMessage::ResetPassword => "0x12",
        CloudMessage::Unknown { .. } => "other",
        other => kind(other)?,
    })
}

pub(super) fn body(message: &CloudMessage, to: &Address<'_>) -> Option<Value> {
    Some(match message {
        CloudMessage::Command { text, ack_id, ack, child } => {
            let to = Address { unique_id: child.as_deref().unwrap_or(to.unique_id), ..*to };
            command(&to, text, ack_id.as_deref().unwrap_or_default(), *ack)
        }
        CloudMessage::Firmware(firmware) if firmware.plain_urls => plain_firmware(to, firmware),
        CloudMessage::Firmware(firmware) => firmware_message(to, firmware),
        CloudMessage::Module { ack_id } => json!({"cmdType": "0x03", "data": {
            "cpid": to.cpid, "guid": GUID, "uniqueId": to.unique_id, "command": "m", "ack": true, "ackId": ack_id,
            "cmdType": "0x03", "urls": []
        }}),
        CloudMessage::DataFrequency { seconds } => control("0x17", &json!({"df": seconds})),
        CloudMessage::ConnectionStatus => json!({"cmdType": "0x16", "data": {
            "cpid": to.cpid, "guid": "", "uniqueId": to.unique_id, "command": "False", "ack": "False", "ackId": "",
            "cmdType": "0x16"
        }}),
        CloudMessage::Unknown { kind } => control(kind, &json!({})),
        other => control(kind(other)?, &json!({})),
    })
}

/// `0x01` in the form captured live: an `ackId` is there even when no ack is wanted.
pub(crate) fn command(to: &Address<'_>, text: &str, ack_id: &str, ack: bool) -> Value {
    json!({"cmdType": "0x01", "data": {
        "cpid": to.cpid, "guid": GUID, "uniqueId": to.unique_id, "command": text, "ack": ack, "ackId": ack_id,
        "cmdType": "0x01"
    }})
}

/// `0x02` for the device or a tag, in the form captured live; it says `ack: false` and expects an ack all the same.
pub(crate) fn firmware(to: &Address<'_>, software: &str, hardware: &str, urls: &[(&str, &str)], ack_id: &str) -> Value {
    let file = |(url, tag): &(&str, &str)| FirmwareFile {
        url: (*url).to_owned(),
        tag: Some((*tag).to_owned()),
        ..Default::default()
    };
    let firmware = Firmware {
        software: software.to_owned(),
        hardware: hardware.to_owned(),
        ack_id: ack_id.to_owned(),
        files: urls.iter().map(file).collect(),
        plain_urls: false,
    };
    firmware_message(to, &firmware)
}

/// Any other type, such as `0x10` (attributes changed) or `0x99` (hard stop).
pub(crate) fn control(kind: &str, data: &Value) -> Value {
    json!({"cmdType": kind, "data": data})
}

/// With `uniqueId` beside the tag where a file is for one child, as the SDK's README reads it.
fn firmware_message(to: &Address<'_>, firmware: &Firmware) -> Value {
    let url = |file: &FirmwareFile| {
        let (url, tag) = (&file.url, file.tag.as_deref().unwrap_or_default());
        match &file.child {
            Some(child) => json!({"url": url, "tag": tag, "uniqueId": child}),
            None => json!({"url": url, "tag": tag}),
        }
    };
    let urls = firmware.files.iter().map(url).collect();
    firmware_form(to, firmware, "ota", urls)
}

/// The first form, with one URL: it stands in the command as well.
fn plain_firmware(to: &Address<'_>, firmware: &Firmware) -> Value {
    let urls: Vec<_> = firmware.files.iter().map(|file| file.url.as_str()).collect();
    let command = format!("ota {}", urls.first().copied().unwrap_or_default());
    firmware_form(to, firmware, &command, json!(urls))
}

fn firmware_form(to: &Address<'_>, firmware: &Firmware, command: &str, urls: Value) -> Value {
    json!({"cmdType": "0x02", "data": {
        "cpid": to.cpid, "guid": GUID, "uniqueId": to.unique_id, "command": command, "ack": false,
        "ackId": firmware.ack_id, "cmdType": "0x02", "ver": {"sw": firmware.software, "hw": firmware.hardware}, "urls": urls
    }})
}

fn kind(message: &CloudMessage) -> Option<&'static str> {
    Some(match message {
        CloudMessage::Command { .. } => "0x01",
        CloudMessage::Firmware(_) => "0x02",
        CloudMessage::Module { .. } => "0x03",
        CloudMessage::AttributesChanged => "0x10",
        CloudMessage::SettingsChanged => "0x11",
        CloudMessage::ProtocolChanged => "0x12",
        CloudMessage::ResetPassword => "resetpwd",
        CloudMessage::ChildrenChanged => "0x13",
        CloudMessage::RulesChanged => "0x15",
        CloudMessage::FullSync => "sync",
        CloudMessage::CertificateChanged => "updatecrt",
        CloudMessage::ConnectionStatus => "0x16",
        CloudMessage::DataFrequency { .. } => "0x17",
        CloudMessage::Stop => "0x99",
        _ => return None,
    })
}

impl PendingFirmware {
    /// `ota` of a sync answer: plain URLs, no ack id.
    pub(crate) fn legacy(&self) -> Value {
        let Self(firmware) = self;
        let urls: Vec<_> = firmware.files.iter().map(|file| file.url.as_str()).collect();
        json!({
            "force": false, "guid": firmware.ack_id, "urls": urls,
            "ver": {"sw": firmware.software, "hw": firmware.hardware}
        })
    }
}

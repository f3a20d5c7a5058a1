//! Cloud-to-device messages of the legacy protocol (IoTConnect device message 1.0, C2D).

use serde_json::{Value, json};

/// Who a legacy message is addressed to.
pub(super) struct Address<'a> {
    pub(super) cpid: &'a str,
    pub(super) unique_id: &'a str,
}

/// `0x01` device command, in the form captured live: the `data` repeats the type, and an `ackId` is there even when no ack is
/// wanted.
pub(super) fn command(to: &Address<'_>, text: &str, ack_id: &str, ack: bool) -> Value {
    json!({"cmdType": "0x01", "data": {
        "cpid": to.cpid, "guid": GUID, "uniqueId": to.unique_id, "command": text, "ack": ack, "ackId": ack_id,
        "cmdType": "0x01"
    }})
}

/// `0x02` firmware; live messages say `ack: false` and expect an ack all the same.
pub(super) fn firmware(to: &Address<'_>, software: &str, hardware: &str, urls: &[(&str, &str)], ack_id: &str) -> Value {
    let urls: Vec<_> = urls.iter().map(|(url, tag)| json!({"url": url, "tag": tag})).collect();
    json!({"cmdType": "0x02", "data": {
        "cpid": to.cpid, "guid": GUID, "uniqueId": to.unique_id, "command": "ota", "ack": false, "ackId": ack_id,
        "cmdType": "0x02", "ver": {"sw": software, "hw": hardware}, "urls": urls
    }})
}

/// Any other type, such as `0x10` (attributes changed) or `0x99` (hard stop).
pub(super) fn control(kind: &str, data: &Value) -> Value {
    json!({"cmdType": kind, "data": data})
}

const GUID: &str = "a4bf6a2e-5b0e-4e67-9c0e-2f0f5f1c7a10";

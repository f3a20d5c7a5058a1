//! Reading legacy bodies (IoTConnect device message 1.0): reports and acks. What does not fit the form is not a reading.

use serde::Serialize;
use serde_json::Value;

use super::Record;

/// One value of one attribute in a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// The record it came in.
    pub record: u64,
    /// The unique id of the device or child it is of (`d[].id`).
    pub device: String,
    /// When it was taken (`d[].dt`), as sent.
    pub time: String,
    /// The attribute's local name.
    pub attribute: String,
    /// Its value; an object for an OBJECT attribute.
    pub value: Value,
    /// Whether the message was stored while the device was offline (`od` 1).
    pub offline: bool,
}

impl Reading {
    pub(super) fn of(mut self, path: &str) -> Option<Self> {
        if self.attribute == path {
            return Some(self);
        }
        let member = path.strip_prefix(&self.attribute)?.strip_prefix('.')?;
        self.value = self.value.get(member)?.clone();
        self.attribute = path.to_owned();
        Some(self)
    }
}

/// One ack of a command or an OTA.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ack {
    /// The record it came in.
    pub record: u64,
    /// 5 for a command, 11 for an OTA.
    pub message_type: i64,
    /// The id of the command it answers.
    pub ack_id: String,
    /// 4 failed, 6 executed, 7 OTA done.
    pub status: i64,
    /// The device's own words.
    pub message: String,
    /// The child it is of, if any.
    pub child: Option<String>,
}

pub(super) fn readings(record: &Record) -> Vec<Reading> {
    let is_report = |body: &Value| body.get("mt").and_then(Value::as_i64) == Some(0);
    let Some(body) = record.json().filter(is_report) else {
        return Vec::new();
    };
    let offline = body.get("od").and_then(Value::as_i64) == Some(1);
    let mut readings = Vec::new();
    for entry in body.get("d").and_then(Value::as_array).into_iter().flatten() {
        let text = |name| entry.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(device), Some(time)) = (text("id"), text("dt")) else { continue };
        for values in entry.get("d").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object) {
            readings.extend(values.iter().map(|(attribute, value)| Reading {
                record: record.number,
                device: device.clone(),
                time: time.clone(),
                attribute: attribute.clone(),
                value: value.clone(),
                offline,
            }));
        }
    }
    readings
}

pub(super) fn ack(record: &Record) -> Option<Ack> {
    let message_type = record.message_type().filter(|kind| matches!(kind, 5 | 11))?;
    let body = record.json()?;
    let body = body.get("d")?;
    Some(Ack {
        record: record.number,
        message_type,
        ack_id: body.get("ackId")?.as_str()?.to_owned(),
        status: body.get("st")?.as_i64()?,
        message: body.get("msg").and_then(Value::as_str).unwrap_or_default().to_owned(),
        child: body.get("childId").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned),
    })
}

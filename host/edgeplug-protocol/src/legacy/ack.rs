//! Acknowledgements of commands and firmware updates.

use serde::Serialize;

use crate::legacy::{MessageType, Sdk};
use crate::time::Timestamp;

/// `st` of a command that failed.
pub const STATUS_FAILED: i64 = 4;
/// `st` of a command that was executed.
pub const STATUS_EXECUTED: i64 = 6;
/// `st` of a firmware update that was installed.
pub const STATUS_OTA_DONE: i64 = 7;

/// One acknowledgement, in the cloud's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ack<'a> {
    /// The id the cloud gave.
    #[serde(rename = "ackId")]
    pub ack_id: &'a str,
    /// Status number.
    pub st: i64,
    /// The plugin's own words.
    pub msg: &'a str,
    /// A gateway's child, for firmware updates of children; otherwise empty.
    #[serde(rename = "childId")]
    pub child_id: &'a str,
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "cpId")]
    cpid: &'a str,
    #[serde(rename = "uniqueId")]
    unique_id: &'a str,
    t: &'a str,
    mt: u8,
    d: &'a Ack<'a>,
    sdk: &'a Sdk,
}

/// The body: `mt` 5 or 11; `unique_id` is the device's own, also for a child.
#[must_use]
pub fn encode(kind: MessageType, cpid: &str, unique_id: &str, ack: &Ack<'_>, sdk: &Sdk, sent_at: &Timestamp) -> String {
    let envelope = Envelope { cpid, unique_id, t: sent_at.as_str(), mt: kind as u8, d: ack, sdk };
    // Serialising strings into memory has no way to fail.
    serde_json::to_string(&envelope).unwrap_or_default()
}

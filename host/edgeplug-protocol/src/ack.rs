//! Acknowledgements of commands, firmware updates and modules, in both protocols.

use serde::Serialize;

use crate::c2d::AckKind;
use crate::legacy::Sdk;
use crate::template::Template;
use crate::time::Timestamp;
use crate::version::Version;

/// `mt` of the legacy acknowledgement of a command.
const LEGACY_COMMAND_ACK: u8 = 5;
/// `mt` of the legacy acknowledgement of a firmware update.
const LEGACY_OTA_ACK: u8 = 11;

/// How something ended, before it is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// A command was carried out, a firmware update is installed.
    Done,
    /// It was not.
    Failed,
    /// A firmware update is being fetched (2.1 only).
    Downloading,
    /// A firmware update could not be fetched, verified or installed.
    DownloadFailed,
}

/// `st` of 2.1, where published tables disagree. The legacy numbers are fixed: 4 failed, 6 executed, 7 updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusTable {
    /// A command was carried out.
    pub command_done: i64,
    /// A command failed.
    pub command_failed: i64,
    /// A firmware update is installed.
    pub ota_done: i64,
    /// A firmware update was refused.
    pub ota_failed: i64,
    /// A firmware update is being fetched.
    pub ota_downloading: i64,
    /// A firmware update could not be fetched, verified or installed.
    pub ota_download_failed: i64,
}

impl Default for StatusTable {
    /// As the newest SDKs have it (iotc-c-lib 2.1, iotconnect-lib 2.1).
    fn default() -> Self {
        Self {
            command_done: 2,
            command_failed: 1,
            ota_done: 3,
            ota_failed: 1,
            ota_downloading: 2,
            ota_download_failed: 4,
        }
    }
}

impl StatusTable {
    /// The number for an ending.
    #[must_use]
    pub fn number(&self, version: Version, kind: AckKind, status: Status) -> i64 {
        match (version, kind, status) {
            (Version::Legacy, AckKind::Ota, Status::Done) => 7,
            (Version::Legacy, _, Status::Done) => 6,
            (Version::Legacy, _, _) => 4,
            (Version::V21, AckKind::Ota, Status::Done) => self.ota_done,
            (Version::V21, AckKind::Ota, Status::Failed) => self.ota_failed,
            (Version::V21, AckKind::Ota, Status::Downloading) => self.ota_downloading,
            (Version::V21, AckKind::Ota, Status::DownloadFailed) => self.ota_download_failed,
            (Version::V21, _, Status::Done) => self.command_done,
            (Version::V21, _, _) => self.command_failed,
        }
    }
}

/// One acknowledgement, in the cloud's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack<'a> {
    /// What it answers.
    pub kind: AckKind,
    /// The id the cloud gave.
    pub ack_id: &'a str,
    /// Status number.
    pub st: i64,
    /// The plugin's own words.
    pub msg: &'a str,
    /// A gateway's child, for firmware updates and commands of children.
    pub child_id: Option<&'a str>,
}

/// The body. Legacy: `mt` 5 or 11, `uniqueId` is the device's own, also for a child. 2.1: `type` 0, 1 or 2.
#[must_use]
pub fn encode(template: &Template, ack: &Ack<'_>, sdk: &Sdk, sent_at: &Timestamp) -> String {
    match template.version {
        Version::Legacy => {
            let d = Legacy { ack_id: ack.ack_id, st: ack.st, msg: ack.msg, child_id: ack.child_id.unwrap_or_default() };
            envelope(template, ack.kind, d, sdk, sent_at)
        }
        Version::V21 => {
            let kind = match ack.kind {
                AckKind::Command => 0,
                AckKind::Ota => 1,
                AckKind::Module => 2,
            };
            let d = V21 { ack: ack.ack_id, kind, st: ack.st, msg: ack.msg, cid: ack.child_id };
            envelope(template, ack.kind, d, sdk, sent_at)
        }
    }
}

/// The body around a content that is already in the protocol's words, as the old SDK's `SendAck` takes it.
#[must_use]
pub fn envelope(template: &Template, kind: AckKind, d: impl Serialize, sdk: &Sdk, sent_at: &Timestamp) -> String {
    let body = match template.version {
        Version::Legacy => {
            let mt = if kind == AckKind::Ota { LEGACY_OTA_ACK } else { LEGACY_COMMAND_ACK };
            let unique_id = template.own_device().map_or("", |device| &device.id);
            let cpid = &template.cpid;
            serde_json::to_string(&LegacyEnvelope { cpid, unique_id, t: sent_at.as_str(), mt, d, sdk })
        }
        Version::V21 => serde_json::to_string(&V21Envelope { dt: sent_at.as_str(), d }),
    };
    // Serialising texts and numbers into memory has no way to fail.
    body.unwrap_or_default()
}

#[derive(Serialize)]
struct LegacyEnvelope<'a, D> {
    #[serde(rename = "cpId")]
    cpid: &'a str,
    #[serde(rename = "uniqueId")]
    unique_id: &'a str,
    t: &'a str,
    mt: u8,
    d: D,
    sdk: &'a Sdk,
}

#[derive(Serialize)]
struct Legacy<'a> {
    #[serde(rename = "ackId")]
    ack_id: &'a str,
    st: i64,
    msg: &'a str,
    #[serde(rename = "childId")]
    child_id: &'a str,
}

#[derive(Serialize)]
struct V21Envelope<'a, D> {
    dt: &'a str,
    d: D,
}

#[derive(Serialize)]
struct V21<'a> {
    ack: &'a str,
    #[serde(rename = "type")]
    kind: u8,
    st: i64,
    msg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<&'a str>,
}

#[cfg(test)]
mod tests;

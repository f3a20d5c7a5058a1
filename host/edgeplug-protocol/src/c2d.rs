//! Cloud-to-device messages of both protocols, as one set of meanings.
//!
//! Legacy: `{"cmdType":"0x..","data":{…}}`. 2.1: flat, told apart by the number `ct`; answers to our own questions have
//! their content under `d`.
//!
//! Reading never fails: what cannot be read is said, so that it can be logged and got rid of.

use serde::Deserialize;

use crate::definition::Update;
use crate::version::Version;

/// Longest command text handed to a plugin.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Longest ack id or unique id taken.
const ID_BYTES_MAX: usize = 256;
/// Most files of one firmware update.
pub const FILES_MAX: usize = 100;

/// A message from the cloud, told apart by `cmdType` or `ct`.
#[derive(Debug, Clone, PartialEq)]
pub enum CloudMessage {
    /// 0x01; `ct` 0.
    Command(Command),
    /// 0x02; `ct` 1.
    Ota(Ota),
    /// 0x03; `ct` 2: nothing on this device handles modules. The cloud may wait for an answer under this id.
    Module {
        /// Under which to answer, if an answer is wanted.
        ack_id: Option<String>,
    },
    /// A command or firmware update that cannot be carried out. The cloud waits for an answer under this id.
    Unusable {
        /// Under which to answer.
        ack_id: String,
        /// Which acknowledgement is due.
        kind: AckKind,
        /// What is wrong with it.
        reason: String,
    },
    /// What the daemon itself acts upon; no acknowledgement but the broker's.
    Control(Control),
    /// 2.1: the answer to one of our questions (`ct` 200 to 222).
    Reply(Reply),
    /// Another defined type that this daemon has no use for, by its number or word (`updatecrt`, `ct 112`, …).
    Other(String),
    /// Not a message of this protocol, and why.
    NotUnderstood(String),
}

/// What is acknowledged: legacy `mt` 5 or 11, 2.1 `type` 0, 1 or 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckKind {
    /// A command.
    Command,
    /// A firmware update.
    Ota,
    /// A module.
    Module,
}

/// Something the daemon does.
#[derive(Debug, Clone, PartialEq)]
pub enum Control {
    /// Ask the cloud for a part again: 0x10, 0x11, 0x13, 0x15; `ct` 101 to 104.
    Refresh(Part),
    /// Connection settings or password changed (0x12, `resetpwd`): ask for them, and connect anew.
    RefreshConnection,
    /// Ask for everything, and connect anew (`sync`).
    RefreshAll,
    /// Data frequency in seconds (0x17; `ct` 105).
    Frequency(u64),
    /// Stop sending for good (0x99; `ct` 106 deleted, 107 disabled, 108 released, 109 stop), and which it was.
    HardStop(String),
    /// Send a heartbeat every so many seconds (`ct` 110).
    StartHeartbeat(u64),
    /// No more heartbeats (`ct` 111).
    StopHeartbeat,
}

/// A part of what the cloud says about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Attributes: sync `attribute`, message 201.
    Attributes,
    /// Twin settings: sync `setting`, message 202.
    Settings,
    /// Edge rules: sync `rule`, message 203.
    Rules,
    /// Devices or children: sync `device`, message 204.
    Devices,
    /// A firmware update that waits: message 205.
    Ota,
}

/// 2.1: what the cloud answered to a question of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// `ct`: the number of the question (200 to 222).
    pub number: u16,
    /// `ec`: 0 when all is well.
    pub code: i64,
    /// What it says, part by part; empty for answers without content and with a code.
    pub updates: Vec<Update>,
}

/// A device command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Name and parameters as typed at the portal.
    pub text: String,
    /// Whom it is for: the device's or a child's unique id; the legacy cloud may prefix it with `cpId-`. None is the device.
    pub unique_id: Option<String>,
    /// The id of this very message; in the legacy protocol it comes along even when nobody wants an acknowledgement.
    pub ack_id: Option<String>,
    /// Whether the cloud waits for an acknowledgement under [`Self::ack_id`].
    pub ack_wanted: bool,
}

/// A firmware update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ota {
    /// Text of the command, mostly `ota`.
    pub text: String,
    /// Under which each target is acknowledged; always wanted, whatever `ack` says (legacy sends `false`).
    pub ack_id: Option<String>,
    /// Software version, empty when none is said.
    pub software: String,
    /// Hardware version, empty when none is said.
    pub hardware: String,
    /// At least one.
    pub files: Vec<OtaFile>,
}

/// One file of an update, and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtaFile {
    /// Where it lies; a secret, because it is signed.
    pub url: String,
    /// Its name (2.1).
    pub name: Option<String>,
    /// All devices of this tag; `None` and no `unique_id`: the device itself.
    pub tag: Option<String>,
    /// This child; wins over `tag`.
    pub unique_id: Option<String>,
}

impl CloudMessage {
    /// Reads a body.
    #[must_use]
    pub fn parse(version: Version, body: &[u8]) -> Self {
        match version {
            Version::Legacy => legacy(body),
            // Helper A: crate::v21::c2d.
            Version::V21 => Self::NotUnderstood("2.1 is not read yet".into()),
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "cmdType")]
    cmd_type: Option<String>,
    #[serde(default)]
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct CommandData {
    command: Option<String>,
    #[serde(rename = "uniqueId")]
    unique_id: Option<String>,
    #[serde(rename = "ackId")]
    ack_id: Option<String>,
    /// Present on every message; only `true` wants an answer, although an ack id always comes along.
    #[serde(default)]
    ack: Option<bool>,
}

fn legacy(body: &[u8]) -> CloudMessage {
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(error) => return CloudMessage::NotUnderstood(format!("not a JSON message: {error}")),
    };
    match envelope.cmd_type.as_deref() {
        Some("0x01") => match serde_json::from_value(envelope.data) {
            Ok(data) => command(data),
            Err(error) => CloudMessage::NotUnderstood(format!("command data: {error}")),
        },
        Some(other) => CloudMessage::Other(other.chars().take(32).collect()),
        None => CloudMessage::NotUnderstood("no cmdType".into()),
    }
}

fn command(data: CommandData) -> CloudMessage {
    let fits = |id: &String| !id.is_empty() && id.len() <= ID_BYTES_MAX;
    let ack_id = data.ack_id.filter(fits);
    let ack_wanted = data.ack == Some(true);
    let problem = match &data.command {
        Some(text) if text.len() > COMMAND_BYTES_MAX => {
            format!("the command is longer than {COMMAND_BYTES_MAX} bytes")
        }
        Some(text) if text.is_empty() => "the command has no text".to_owned(),
        None => "the command has no text".to_owned(),
        Some(_) if data.unique_id.as_ref().is_some_and(|id| id.len() > ID_BYTES_MAX) => {
            format!("the command's unique id is longer than {ID_BYTES_MAX} bytes")
        }
        Some(text) => {
            let unique_id = data.unique_id.filter(|id| !id.is_empty());
            return CloudMessage::Command(Command { text: text.clone(), unique_id, ack_id, ack_wanted });
        }
    };
    match ack_id.filter(|_| ack_wanted) {
        Some(ack_id) => CloudMessage::Unusable { ack_id, kind: AckKind::Command, reason: problem },
        None => CloudMessage::NotUnderstood(problem),
    }
}

impl Command {
    /// The child it is for, or `None` for the device itself.
    #[must_use]
    pub fn child<'a>(&'a self, cpid: &str, own_unique_id: &str) -> Option<&'a str> {
        let id = self.unique_id.as_deref()?;
        let bare = id.strip_prefix(cpid).and_then(|rest| rest.strip_prefix('-')).unwrap_or(id);
        (bare != own_unique_id && id != own_unique_id).then_some(bare)
    }
}

#[cfg(test)]
mod tests;

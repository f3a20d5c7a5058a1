//! What the platform says to a device: every cloud-to-device message of both protocols, and what each one is owed in
//! return.
//!
//! One vocabulary for both: a [`CloudMessage`] becomes the bytes of the protocol it is sent in ([`Dialect`]).
//! `c2d/legacy.rs` and `c2d/v21.rs` hold the forms, `c2d/update.rs` firmware of the store, `c2d/owed.rs` which
//! acknowledgements must come back and which did. What a device does with a message is not judged here.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::protocol::Protocol;
use crate::recorder::AckKind;
use crate::template::Template;

mod legacy;
mod owed;
mod update;
mod v21;

pub(crate) use legacy::{command as legacy_command, control as legacy_control, firmware as legacy_firmware};
pub use owed::{AckBalance, Downloading, Owed, Sent};
pub(crate) use owed::{Post, balance};
pub use update::{Update, UpdateFile, UpdateTarget};

/// The rows of the legacy table of message types (IoTConnect device message 1.0, C2D; every `cmdType` that an SDK
/// names). `0x16` is only ever made on the device, `other` stands for all that no SDK names.
pub const LEGACY_ROWS: [&str; 14] = [
    "0x01",
    "0x02",
    "0x03",
    "0x10",
    "0x11",
    "0x12",
    "0x13",
    "0x15",
    "sync",
    "updatecrt",
    "0x16",
    "0x17",
    "0x99",
    "other",
];

/// The message types (`ct`) of 2.1 (IoTConnect device message 2.1, C2D). 116 is only ever made on the device.
pub const V21_ROWS: [&str; 19] = [
    "0", "1", "2", "101", "102", "103", "104", "105", "106", "107", "108", "109", "110", "111", "112", "113", "114",
    "115", "116",
];

/// In which form a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// The legacy protocol.
    #[serde(rename = "1.0")]
    Legacy,
    /// 2.1 with `"v":"2.1"`, as in current captures.
    #[serde(rename = "2.1")]
    V21,
    /// 2.1 with `"v":2.1`, as in the documentation and older traffic.
    #[serde(rename = "2.1-number")]
    V21Number,
}

/// One thing the platform tells a device.
///
/// As JSON: `{"type":"command","text":"reboot","ack_id":"a-1"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CloudMessage {
    /// A command, for the device or a child.
    Command {
        /// Its text.
        text: String,
        /// What an acknowledgement must name.
        #[serde(default)]
        ack_id: Option<String>,
        /// Whether one is wanted. Legacy messages carry an id all the same, those of 2.1 do not.
        #[serde(default = "yes")]
        ack: bool,
        /// The child it is for.
        #[serde(default)]
        child: Option<String>,
    },
    /// A firmware update. Legacy ones say that no acknowledgement is wanted, and want one.
    Firmware(Firmware),
    /// A module.
    Module {
        /// What an acknowledgement must name.
        ack_id: String,
    },
    /// The template's attributes changed.
    AttributesChanged,
    /// The twin settings changed.
    SettingsChanged,
    /// The rules changed.
    RulesChanged,
    /// The children changed.
    ChildrenChanged,
    /// Legacy: protocol or password changed, as `0x12`.
    ProtocolChanged,
    /// Legacy: the same, as `resetpwd`.
    ResetPassword,
    /// Legacy: everything changed.
    FullSync,
    /// Legacy: a new certificate.
    CertificateChanged,
    /// What a device makes for itself when its connection changes; a cloud that sends it talks nonsense.
    ConnectionStatus,
    /// The data frequency changed.
    DataFrequency {
        /// To this.
        seconds: u32,
    },
    /// Stop until told otherwise: legacy `0x99`, 2.1 109.
    Stop,
    /// 2.1: the device was deleted.
    Deleted,
    /// 2.1: the device was disabled.
    Disabled,
    /// 2.1: the device was released.
    Released,
    /// 2.1: send heartbeats.
    StartHeartbeat {
        /// One every so often.
        seconds: u32,
    },
    /// 2.1: send no more heartbeats.
    StopHeartbeat,
    /// 2.1: switch the SDK's log (or a video stream, in newer servers).
    SdkLog,
    /// 2.1: skip validation (or stop the stream).
    SkipValidation,
    /// 2.1: send the log file.
    SendLog,
    /// 2.1: somebody asks to delete the device.
    DeleteRequest,
    /// A type that no SDK knows: `cmdType` `0x55` and the like, or this `ct`.
    Unknown {
        /// The type.
        kind: String,
    },
}

/// A firmware update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// Software version.
    pub software: String,
    /// Hardware version.
    pub hardware: String,
    /// What an acknowledgement must name.
    pub ack_id: String,
    /// The files and whom they are for.
    pub files: Vec<FirmwareFile>,
    /// Legacy only: the first form of the message, its `urls` plain text and the first of them repeated in the command.
    #[serde(default)]
    pub plain_urls: bool,
}

/// One file of a firmware update. Without tag and child it is for the device itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirmwareFile {
    /// Where it lies.
    pub url: String,
    /// 2.1: its name; the last part of the URL when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// For all devices of this tag.
    #[serde(default)]
    pub tag: Option<String>,
    /// Legacy only: for this child.
    #[serde(default)]
    pub child: Option<String>,
}

/// A firmware update that waits for the device to ask: `ota` of sync and of the identity message 205.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFirmware(pub Firmware);

/// Who a message is addressed to.
pub(crate) struct Address<'a> {
    pub(crate) cpid: &'a str,
    pub(crate) unique_id: &'a str,
}

fn yes() -> bool {
    true
}

impl Dialect {
    /// The protocol it belongs to.
    #[must_use]
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Legacy => Protocol::Legacy,
            Self::V21 | Self::V21Number => Protocol::V21,
        }
    }
}

impl CloudMessage {
    /// A command for the device that wants an acknowledgement.
    #[must_use]
    pub fn command(text: &str, ack_id: &str) -> Self {
        Self::Command { text: text.to_owned(), ack_id: Some(ack_id.to_owned()), ack: true, child: None }
    }

    /// A command for a child that wants an acknowledgement.
    #[must_use]
    pub fn child_command(child: &str, text: &str, ack_id: &str) -> Self {
        let (text, ack_id) = (text.to_owned(), Some(ack_id.to_owned()));
        Self::Command { text, ack_id, ack: true, child: Some(child.to_owned()) }
    }

    /// A command for the device that wants no acknowledgement.
    #[must_use]
    pub fn command_without_ack(text: &str, ack_id: &str) -> Self {
        Self::Command { text: text.to_owned(), ack_id: Some(ack_id.to_owned()), ack: false, child: None }
    }

    /// The row of [`LEGACY_ROWS`] or [`V21_ROWS`] it is; `None` when the protocol does not have it.
    #[must_use]
    pub fn row(&self, protocol: Protocol) -> Option<&'static str> {
        match protocol {
            Protocol::Legacy => legacy::row(self),
            Protocol::V21 => v21::row(self),
        }
    }

    /// The message as it is sent.
    ///
    /// # Errors
    /// When the protocol has no such message.
    pub(crate) fn body(&self, dialect: Dialect, to: &Address<'_>) -> anyhow::Result<Value> {
        let body = match dialect {
            Dialect::Legacy => legacy::body(self, to),
            Dialect::V21 => v21::body(self, &json!("2.1")),
            Dialect::V21Number => v21::body(self, &json!(2.1)),
        };
        body.ok_or_else(|| anyhow::anyhow!("{dialect:?} has no message like {self:?}"))
    }

    /// The acknowledgements it asks for: one for each device it is for.
    pub(crate) fn owed(&self, protocol: Protocol, unique_id: &str, template: &Template) -> Vec<Owed> {
        match self {
            Self::Command { ack_id: Some(id), ack: true, child, .. } => {
                // A legacy ack names a child only for firmware.
                let child = child.clone().filter(|_| protocol == Protocol::V21);
                vec![Owed { ack_id: id.clone(), child, kind: AckKind::Command }]
            }
            Self::Firmware(firmware) => {
                let kind = AckKind::Firmware;
                let owed = |child| Owed { ack_id: firmware.ack_id.clone(), child, kind };
                firmware.targets(unique_id, template).into_iter().map(owed).collect()
            }
            // The legacy protocol has no acknowledgement of its own for modules; commands' has to do.
            Self::Module { ack_id } => {
                let kind = match protocol {
                    Protocol::Legacy => AckKind::Command,
                    Protocol::V21 => AckKind::Module,
                };
                vec![Owed { ack_id: ack_id.clone(), child: None, kind }]
            }
            _ => Vec::new(),
        }
    }
}

impl Firmware {
    /// The children it is for, each once, in the order they are named; `None` is the device itself.
    fn targets(&self, unique_id: &str, template: &Template) -> Vec<Option<String>> {
        let mut targets = Vec::new();
        for file in &self.files {
            let tag = file.tag.as_deref().filter(|tag| !tag.is_empty());
            let named: Vec<Option<String>> = match (&file.child, tag) {
                (Some(child), _) => vec![Some(child.clone()).filter(|child| child != unique_id)],
                (None, Some(tag)) => {
                    let itself = (template.tag == tag).then_some(None);
                    let children = template.children.iter().filter(|child| child.tag == tag);
                    itself.into_iter().chain(children.map(|child| Some(child.id.clone()))).collect()
                }
                (None, None) => vec![None],
            };
            for target in named {
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests;

//! What the cloud wants of one device, and under which key the ledger knows it.
//!
//! A message is one task or several: a firmware update has one for every device it is meant for, because each of them
//! owes an acknowledgement. A task lies in the ledger as JSON, without the protocol it came in: the answer is written in
//! whatever protocol is spoken when it is ready. Versions before 0.2 kept the body of a legacy command as it came; those
//! are read too.

use edgeplug_protocol::c2d::{AckKind, CloudMessage, Command, Ota, OtaFile, Target, without_company};
use edgeplug_protocol::template::Device;
use edgeplug_protocol::version::Version;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ota::Journal;
use crate::{SessionConfig, Step};

/// Longest key the ledger takes.
const KEY_BYTES_MAX: usize = 512;
/// Largest task the ledger takes. Control characters grow to six bytes as JSON.
const TASK_BYTES_MAX: usize = 128 * 1024;
/// Keys that are no ack ids begin like this.
const HASHED: &str = "sha256:";
pub(crate) const LOCAL: &str = "rule:";
const TOO_LONG: &str = "what the cloud wants is too long to be kept";

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    /// How the cloud wants to hear of its end, if it does.
    pub(crate) ack: Option<AckTo>,
    /// Unique id of the child it is for, as it came while that is not known; `None` for the device itself.
    pub(crate) child: Option<String>,
    pub(crate) work: Work,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AckTo {
    pub(crate) id: String,
    pub(crate) kind: AckKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// A command text for a plugin.
    Run(String),
    /// A firmware update, and how far it is.
    Update(Box<Journal>),
    /// Nothing can be done, and why.
    Refuse(String),
}

impl Task {
    /// The tasks of a message with their keys. None of it needs an answer where there are none; the error says so.
    pub(crate) fn of(
        message: CloudMessage,
        topic: &str,
        payload: &[u8],
        step: &Step<'_>,
    ) -> Result<Vec<(String, Self)>, &'static str> {
        let devices = step.world.definition.as_ref().map_or(&[][..], |definition| &definition.devices);
        let (cpid, own) = (&step.config.cpid, &step.config.unique_id);
        let refuse = |ack_id: &str, kind, child, reason: &str| {
            let ack = Some(AckTo { id: ack_id.to_owned(), kind });
            (
                key(ack_id, child, step.config),
                Self { ack, child: child.map(str::to_owned), work: Work::Refuse(reason.to_owned()) },
            )
        };
        Ok(match message {
            CloudMessage::Command(command) => {
                let key = match &command.ack_id {
                    Some(ack_id) => key(ack_id, child_of(command.target(cpid, own, devices)), step.config),
                    None => hash(&[topic.as_bytes(), payload]),
                };
                vec![(key, Self::run(&command, devices, step.config))]
            }
            CloudMessage::Ota(ota) => {
                if ota.ack_id.is_none() {
                    return Err("a firmware update that nobody waits for");
                }
                Self::of_update(&ota, step)
            }
            CloudMessage::Module { ack_id } => {
                let ack_id = ack_id.as_deref().ok_or("a module that nobody waits for")?;
                vec![refuse(ack_id, AckKind::Module, None, "modules are not supported")]
            }
            CloudMessage::Unusable { ack_id, kind, reason } => vec![refuse(&ack_id, kind, None, &reason)],
            _ => return Err("nothing for a plugin"),
        })
    }

    /// One task for each target of a firmware update; none if nobody waits for it.
    pub(crate) fn of_update(ota: &Ota, step: &Step<'_>) -> Vec<(String, Self)> {
        let Some(ack_id) = &ota.ack_id else { return Vec::new() };
        let devices = step.world.definition.as_ref().map_or(&[][..], |definition| &definition.devices);
        let (cpid, own) = (&step.config.cpid, &step.config.unique_id);
        let task = |(target, files): (Target<'_>, Vec<&OtaFile>)| {
            let child = child_of(target);
            let work = match Journal::new(ota, &files) {
                Ok(journal) => Work::Update(Box::new(journal)),
                Err(reason) => Work::Refuse(reason),
            };
            let ack = Some(AckTo { id: ack_id.clone(), kind: AckKind::Ota });
            let mut task = Self { ack, child: child.map(str::to_owned), work };
            if !task.fits() {
                task.work = Work::Refuse(TOO_LONG.to_owned());
            }
            (key(ack_id, child, step.config), task)
        };
        ota.targets(cpid, own, devices).into_iter().map(task).collect()
    }

    /// For a rule of this device.
    pub(crate) fn local(child: Option<&str>, text: &str) -> Self {
        Self { ack: None, child: child.map(str::to_owned), work: Work::Run(text.to_owned()) }
    }

    /// As it lies in the ledger.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Texts in memory have no way to fail.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        if bytes.len() <= TASK_BYTES_MAX {
            return bytes;
        }
        let work = Work::Refuse(TOO_LONG.to_owned());
        serde_json::to_vec(&Self { work, ..self.clone() }).unwrap_or_default()
    }

    /// Whether the ledger takes it as it is.
    pub(crate) fn fits(&self) -> bool {
        serde_json::to_vec(self).is_ok_and(|bytes| bytes.len() <= TASK_BYTES_MAX)
    }

    /// What [`Self::to_bytes`] made, or a version before 0.2 kept.
    pub(crate) fn from_bytes(bytes: &[u8], config: &SessionConfig) -> Result<Self, String> {
        if let Ok(task) = serde_json::from_slice(bytes) {
            return Ok(task);
        }
        match CloudMessage::parse(Version::Legacy, bytes) {
            CloudMessage::Command(command) => Ok(Self::run(&command, &[], config)),
            CloudMessage::Unusable { ack_id, kind, reason } => {
                Ok(Self { ack: Some(AckTo { id: ack_id, kind }), child: None, work: Work::Refuse(reason) })
            }
            CloudMessage::NotUnderstood(reason) => Err(reason),
            _ => Err("no command".to_owned()),
        }
    }

    fn run(command: &Command, devices: &[Device], config: &SessionConfig) -> Self {
        let ack_id = command.ack_id.clone().filter(|_| command.ack_wanted);
        Self {
            ack: ack_id.map(|id| AckTo { id, kind: AckKind::Command }),
            child: child_of(command.target(&config.cpid, &config.unique_id, devices)).map(str::to_owned),
            work: Work::Run(command.text.clone()),
        }
    }
}

/// Also one that is not known: it may be in a moment.
fn child_of(target: Target<'_>) -> Option<&str> {
    match target {
        Target::Device => None,
        Target::Child(id) | Target::Unknown(id) => Some(id),
    }
}

/// The ack id itself for the device, `ack id/child` for a child: without its company, so that it is the same before the
/// child is known and after. What could be mistaken for another is hashed.
fn key(ack_id: &str, child: Option<&str>, config: &SessionConfig) -> String {
    let child = child.map(|id| without_company(id, &config.cpid)).filter(|bare| *bare != config.unique_id);
    let length = ack_id.len() + child.map_or(0, |child| child.len() + 1);
    if length > KEY_BYTES_MAX || ack_id.contains('/') || [HASHED, LOCAL].iter().any(|prefix| ack_id.starts_with(prefix))
    {
        return hash(&[ack_id.as_bytes(), child.unwrap_or_default().as_bytes()]);
    }
    child.map_or_else(|| ack_id.to_owned(), |child| format!("{ack_id}/{child}"))
}

/// Name of the directory in which the files of an update are gathered: 32 hex digits.
pub(crate) fn job(key: &str) -> String {
    hash(&[key.as_bytes()]).chars().skip(HASHED.len()).take(32).collect()
}

/// For a command without an id: its topic (whose properties tell messages apart) and body.
fn hash(parts: &[&[u8]]) -> String {
    use std::fmt::Write as _;
    let mut digest = Sha256::new();
    for (index, part) in parts.iter().enumerate() {
        digest.update(if index == 0 { &[][..] } else { &[0] });
        digest.update(part);
    }
    digest.finalize().iter().fold(HASHED.to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;

//! Cloud-to-device messages of both protocols, as one set of meanings.
//!
//! Legacy: `{"cmdType":"0x..","data":{…}}`. 2.1: flat, told apart by the number `ct`; answers to our own questions have
//! their content under `d`.
//!
//! Reading never fails: what cannot be read is said, so that it can be logged and got rid of.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::definition::Update;
use crate::template::Device;
use crate::version::Version;
use crate::{legacy, v21, wire};

/// Longest command text handed to a plugin.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Longest ack id or unique id taken.
const ID_BYTES_MAX: usize = 256;
/// Most files of one firmware update.
pub const FILES_MAX: usize = 100;
/// Longest URL of a file; the portal's signed ones have some hundred bytes.
const URL_BYTES_MAX: usize = 8 * 1024;
/// Longest file name, as file systems have it.
const FILE_NAME_BYTES_MAX: usize = 255;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
    /// The cloud's other name for it (legacy `guid`): a waiting update of a sync has no other.
    pub guid: Option<String>,
    /// Software version, empty when none is said.
    pub software: String,
    /// Hardware version, empty when none is said.
    pub hardware: String,
    /// At least one.
    pub files: Vec<OtaFile>,
}

/// One file of an update, and whom it is for. It prints without the signature.
#[derive(Clone, PartialEq, Eq)]
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

/// Whom a command or firmware update is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target<'a> {
    /// The device itself.
    Device,
    /// A child, by its unique id.
    Child(&'a str),
    /// Nobody this device knows yet, by the id as it came.
    Unknown(&'a str),
}

impl Part {
    pub(crate) const ALL: [Self; 5] = [Self::Attributes, Self::Settings, Self::Rules, Self::Devices, Self::Ota];

    /// Under which name it comes.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Attributes => "att",
            Self::Settings => "set",
            Self::Rules => "r",
            Self::Devices => "d",
            Self::Ota => "ota",
        }
    }
}

impl CloudMessage {
    /// Reads a body.
    #[must_use]
    pub fn parse(version: Version, body: &[u8]) -> Self {
        match version {
            Version::Legacy => legacy::c2d::parse(body),
            Version::V21 => v21::c2d::parse(body),
        }
    }
}

impl Command {
    /// Whom it is for.
    #[must_use]
    pub fn target<'a>(&'a self, cpid: &str, own_unique_id: &str, devices: &'a [Device]) -> Target<'a> {
        Target::of(self.unique_id.as_deref(), cpid, own_unique_id, devices)
    }
}

impl Ota {
    /// An update that waits, as a sync or an answer 205 says it ([`crate::definition::Definition::pending_ota`]). A legacy one
    /// has only its guid, which stands for the ack id. The error says what is wrong with it.
    pub fn waiting(version: Version, said: &Value) -> Result<Self, String> {
        let said = said.as_object().ok_or("the waiting firmware update is no object")?;
        match version {
            Version::Legacy => legacy::c2d::waiting_ota(said),
            Version::V21 => v21::c2d::waiting_ota(said),
        }
    }

    /// Whom it is for, each once, and which files: every one is owed an acknowledgement under the same id. Never empty; files
    /// for a tag that no device has are nobody's, and if there are no others, the device itself is left to say so.
    #[must_use]
    pub fn targets<'a>(
        &'a self,
        cpid: &str,
        own_unique_id: &str,
        devices: &'a [Device],
    ) -> Vec<(Target<'a>, Vec<&'a OtaFile>)> {
        let mut targets: Vec<(Target<'a>, Vec<&'a OtaFile>)> = Vec::new();
        let mut add = |target, file: Option<&'a OtaFile>| match targets.iter_mut().find(|(known, _)| *known == target) {
            Some((_, files)) => files.extend(file),
            None => targets.push((target, file.into_iter().collect())),
        };
        for file in &self.files {
            match (file.unique_id.as_deref(), &file.tag) {
                (None, Some(tag)) => devices
                    .iter()
                    .filter(|device| device.tag == *tag)
                    .for_each(|device| add(Target::of(Some(&device.id), cpid, own_unique_id, devices), Some(file))),
                (id, _) => add(Target::of(id, cpid, own_unique_id, devices), Some(file)),
            }
        }
        if targets.is_empty() {
            targets.push((Target::Device, Vec::new()));
        }
        targets
    }
}

impl<'a> Target<'a> {
    /// `None` and the device's own id are the device; an id is looked up as it stands and, because the legacy cloud does
    /// either, without a leading `cpId-`.
    #[must_use]
    pub fn of(unique_id: Option<&'a str>, cpid: &str, own_unique_id: &str, devices: &'a [Device]) -> Self {
        let Some(id) = unique_id else { return Self::Device };
        let known = |id: &str| devices.iter().any(|device| device.id == id);
        let bare = without_company(id, cpid);
        match id {
            _ if id == own_unique_id => Self::Device,
            _ if known(id) => Self::Child(id),
            _ if bare == own_unique_id => Self::Device,
            _ if known(bare) => Self::Child(bare),
            _ => Self::Unknown(id),
        }
    }
}

/// A unique id without a leading `cpId-`. The cloud's spelling of the company may differ in case from the configured one.
#[must_use]
pub fn without_company<'a>(id: &'a str, cpid: &str) -> &'a str {
    match id.split_at_checked(cpid.len()) {
        Some((company, rest)) if company.eq_ignore_ascii_case(cpid) => rest.strip_prefix('-').unwrap_or(id),
        _ => id,
    }
}

impl OtaFile {
    /// A name to store it under: the cloud's, or the last part of the URL's path. Never a path itself.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        let path = path.split_once("://").map_or(path, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
        let name = match &self.name {
            Some(name) => name.clone(),
            None => percent_decode_str(path.rsplit('/').next()?).decode_utf8().ok()?.into_owned(),
        };
        let is_name = !matches!(name.as_str(), "" | "." | "..")
            && name.len() <= FILE_NAME_BYTES_MAX
            && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\'));
        is_name.then_some(name)
    }
}

impl fmt::Debug for OtaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, name, tag, unique_id } = self;
        let url = url.split_once('?').map_or_else(|| url.clone(), |(open, _)| format!("{open}?…"));
        f.debug_struct("OtaFile")
            .field("url", &url)
            .field("name", name)
            .field("tag", tag)
            .field("unique_id", unique_id)
            .finish()
    }
}

/// An id as it may be used; an endless one is none.
pub(crate) fn id_of(value: Option<&Value>) -> Option<String> {
    wire::text_of(value).filter(|id| id.len() <= ID_BYTES_MAX)
}

/// A command, or why it is none.
pub(crate) fn command(
    text: String,
    unique_id: Option<&Value>,
    ack_id: Option<String>,
    ack_wanted: bool,
) -> CloudMessage {
    let too_long = |what: &str, max: usize| format!("the {what} is longer than {max} bytes");
    let unique_id = wire::text_of(unique_id);
    let problem = match &unique_id {
        _ if text.len() > COMMAND_BYTES_MAX => too_long("command", COMMAND_BYTES_MAX),
        Some(id) if id.len() > ID_BYTES_MAX => too_long("command's unique id", ID_BYTES_MAX),
        _ => return CloudMessage::Command(Command { text, unique_id, ack_id, ack_wanted }),
    };
    unusable(AckKind::Command, ack_id.filter(|_| ack_wanted), problem)
}

/// The files of an update, each read by `file`.
pub(crate) fn files(
    urls: Option<&Value>,
    file: impl Fn(&Value) -> Result<OtaFile, &'static str>,
) -> Result<Vec<OtaFile>, String> {
    let urls = urls.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if urls.is_empty() || urls.len() > FILES_MAX {
        return Err(format!("the firmware update names {} files; it must be 1 to {FILES_MAX}", urls.len()));
    }
    let file = |(place, url)| match file(url) {
        Ok(file) if file.url.len() > URL_BYTES_MAX => Err(format!("the URL of file {} is endless", place + 1)),
        Ok(file) => Ok(file),
        Err(problem) => Err(format!("file {} of the firmware update {problem}", place + 1)),
    };
    urls.iter().enumerate().map(file).collect()
}

/// A failure acknowledgement is due if it can be given.
pub(crate) fn unusable(kind: AckKind, ack_id: Option<String>, reason: String) -> CloudMessage {
    match ack_id {
        Some(ack_id) => CloudMessage::Unusable { ack_id, kind, reason },
        None => CloudMessage::NotUnderstood(reason),
    }
}

/// A JSON object, or why it is none.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    serde_json::from_slice(body).map_err(|error| format!("not a JSON message: {error}"))
}

#[cfg(test)]
mod tests;

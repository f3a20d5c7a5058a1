//! Sync: one POST that tells a device all the portal knows about it.
//!
//! [`SyncReply::parse`] decides what the reply to a full sync means for the connection, [`parse_part`] reads the reply to
//! one that asked for a part only. What cannot be used of a list is left out and said ([`Definition::left_out`]); only
//! whatever the daemon acts on (host, ids, topics, the device itself) must be right.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::azure;
use crate::c2d::Part;
use crate::definition::{AuthType, Definition, Hub, Place, Update};
use crate::retry::Retry;
use crate::topics::Topics;
use crate::version::Version;
use crate::wire::{self, Endpoint, LeftOut, lists};

/// Largest reply read.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// What to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncOption {
    /// `att`.
    Attribute,
    /// `set`.
    Setting,
    /// `p`.
    Protocol,
    /// `d`.
    Device,
    /// `sc`.
    SdkConfig,
    /// `r`.
    Rule,
}

impl SyncOption {
    /// Everything, as a full sync asks for it.
    pub const ALL: [Self; 6] =
        [Self::Attribute, Self::Setting, Self::Protocol, Self::Device, Self::SdkConfig, Self::Rule];

    /// What to ask for when the cloud says that a part changed; nothing asks for a waiting firmware update alone.
    #[must_use]
    pub fn of_part(part: Part) -> Option<Self> {
        match part {
            Part::Attributes => Some(Self::Attribute),
            Part::Settings => Some(Self::Setting),
            Part::Rules => Some(Self::Rule),
            Part::Devices => Some(Self::Device),
            Part::Ota => None,
        }
    }

    fn wire_name(self) -> &'static str {
        match self {
            Self::Attribute => "attribute",
            Self::Setting => "setting",
            Self::Protocol => "protocol",
            Self::Device => "device",
            Self::SdkConfig => "sdkConfig",
            Self::Rule => "rule",
        }
    }
}

/// The body to POST.
#[must_use]
pub fn request_body(cpid: &str, unique_id: &str, options: &[SyncOption]) -> String {
    let option: serde_json::Map<_, _> =
        options.iter().map(|option| (option.wire_name().to_owned(), true.into())).collect();
    json!({ "uniqueId": unique_id, "cpId": cpid, "option": option }).to_string()
}

/// What a reply means for the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum SyncReply {
    /// Go on and connect.
    Ready(Box<Definition>),
    /// The portal knows the device, the hub does not: register with DPS, then sync again.
    NotRegistered,
}

/// Why a device cannot go on. `ds` counts for a TPM device, `rc` for the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// HTTP status other than 200.
    #[error("sync answered HTTP {0}")]
    Status(u16),
    /// `{status, message}` without `d`.
    #[error("sync refused: {0}")]
    Refused(String),
    /// Not a sync reply.
    #[error("sync sent an answer that cannot be understood: {0}")]
    Malformed(String),
    /// 1, of a device without TPM or where only a part was asked for; else [`SyncReply::NotRegistered`].
    #[error("the portal says the device is not registered")]
    NotRegistered,
    /// 2: the portal registers it by itself.
    #[error("the portal is still registering the device")]
    AutoRegister,
    /// 3.
    #[error("the portal knows no device of this unique id; create it there, or mend cloud.unique_id")]
    DeviceNotFound,
    /// 4.
    #[error("the device is not active; activate it in the portal")]
    DeviceInactive,
    /// 5.
    #[error("the device moved to another agent")]
    Moved,
    /// 6 and 7.
    #[error("the portal knows no such company id; mend cloud.cpid")]
    CompanyNotFound,
    /// 8.
    #[error("the company's device quota is used up")]
    QuotaExhausted,
    /// Anything else.
    #[error("sync answered with unknown code {0}")]
    UnknownCode(i64),
}

impl SyncError {
    /// When to ask again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Status(status) => Retry::of_status(*status),
            Self::Moved => Retry::Soon,
            Self::CompanyNotFound => Retry::Never,
            _ => Retry::Slow,
        }
    }

    /// `rc` or `ds`; `None` for 0.
    fn of_code(code: i64) -> Option<Self> {
        match code {
            0 => None,
            1 => Some(Self::NotRegistered),
            2 => Some(Self::AutoRegister),
            3 => Some(Self::DeviceNotFound),
            4 => Some(Self::DeviceInactive),
            5 => Some(Self::Moved),
            6 | 7 => Some(Self::CompanyNotFound),
            8 => Some(Self::QuotaExhausted),
            other => Some(Self::UnknownCode(other)),
        }
    }
}

impl SyncReply {
    /// Reads the reply to a full sync. A TPM device is judged by `ds`, the others by `rc`; only a TPM device is to be
    /// registered.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, SyncError> {
        let d = read(status, body)?;
        let auth = AuthType::from_wire(wire::int_of(d.get("at")).unwrap_or(0));
        let is_tpm = auth == AuthType::Tpm;
        let result = result(&d)?;
        let code = wire::int_of(d.get("ds")).filter(|_| is_tpm).unwrap_or(result);
        match SyncError::of_code(code) {
            None => Ok(Self::Ready(Box::new(definition(&d, auth)?))),
            Some(SyncError::NotRegistered) if is_tpm => Ok(Self::NotRegistered),
            Some(error) => Err(error),
        }
    }
}

/// Reads the reply to a sync that asked for one part. Here `rc` counts for every device (as in the TPM SDK 3.0.1), and a
/// null is the empty list: the cloud has none any more. A part that is not in the reply updates nothing.
pub fn parse_part(status: u16, body: &[u8], option: SyncOption) -> Result<Vec<Update>, SyncError> {
    let d = read(status, body)?;
    if let Some(error) = SyncError::of_code(result(&d)?) {
        return Err(error);
    }
    let part = match option {
        SyncOption::Attribute => Part::Attributes,
        SyncOption::Setting => Part::Settings,
        SyncOption::Device => Part::Devices,
        SyncOption::Rule => Part::Rules,
        SyncOption::SdkConfig => {
            let seconds = d.get("sc").and_then(|sc| wire::seconds_of(sc.get("df")));
            return Ok(seconds.map(Update::Frequency).into_iter().collect());
        }
        SyncOption::Protocol => return Ok(vec![Update::Hub(Box::new(hub(&d, &mut LeftOut::default())?))]),
    };
    let updates = d.get(part.member()).map(|said| lists::updates(Version::Legacy, part, said));
    Ok(updates.transpose().map_err(SyncError::Malformed)?.unwrap_or_default())
}

/// `d` of a reply.
fn read(status: u16, body: &[u8]) -> Result<Map<String, Value>, SyncError> {
    if status != 200 {
        return Err(SyncError::Status(status));
    }
    let mut reply: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| SyncError::Malformed(error.to_string()))?;
    match (reply.remove("d"), reply.get("message")) {
        (Some(Value::Object(d)), _) => Ok(d),
        (None | Some(Value::Null), Some(Value::String(message))) => Err(SyncError::Refused(wire::words(message))),
        _ => Err(SyncError::Malformed("neither d nor message".into())),
    }
}

fn result(d: &Map<String, Value>) -> Result<i64, SyncError> {
    wire::int_of(d.get("rc")).ok_or_else(|| SyncError::Malformed("no rc".into()))
}

fn definition(d: &Map<String, Value>, auth: AuthType) -> Result<Definition, SyncError> {
    let mut left_out = LeftOut::default();
    let text = |member: &str| wire::text_of(d.get(member)).unwrap_or_default();
    let mut definition = Definition {
        version: Version::Legacy,
        cpid: text("cpId"),
        template_id: text("dtg"),
        auth,
        edge: wire::edge_of(d.get("ee"), &mut left_out),
        frequency_s: wire::frequency_of(d.get("sc").and_then(|sc| sc.get("df")), &mut left_out),
        hub: hub(d, &mut left_out)?,
        devices: Vec::new(),
        gateway_guid: None,
        groups: Vec::new(),
        settings: Vec::new(),
        rules: Vec::new(),
        pending_ota: None,
        left_out: BTreeMap::new(),
    };
    definition.apply(Update::LeftOut(Place::Device, left_out.into_reasons()));
    for part in Part::ALL {
        let updates = match d.get(part.member()).map(|said| lists::updates(Version::Legacy, part, said)) {
            None => continue,
            // Without knowing whose they are, readings cannot be sent.
            Some(Err(problem)) if part == Part::Devices => return Err(SyncError::Malformed(problem)),
            Some(Err(problem)) => vec![Update::LeftOut(lists::place(part), vec![problem])],
            Some(Ok(updates)) => updates,
        };
        for update in updates {
            definition.apply(update);
        }
    }
    Ok(definition)
}

/// `p`.
fn hub(d: &Map<String, Value>, left_out: &mut LeftOut) -> Result<Hub, SyncError> {
    let p = d.get("p").and_then(Value::as_object);
    let p = p.ok_or_else(|| SyncError::Malformed("no p (connection settings)".into()))?;
    let Endpoint { host, port, client_id, user_name } = Endpoint::read(p, left_out).map_err(SyncError::Malformed)?;
    let named = |member: &str, is_usable: fn(&str) -> bool| p.get(member)?.as_str().filter(|topic| is_usable(topic));
    let topics = Topics::legacy(
        named("pub", wire::is_topic).unwrap_or(&azure::hub::events_topic(&client_id)),
        named("sub", wire::is_name).unwrap_or(&azure::hub::devicebound_filter(&client_id)),
    );
    Ok(Hub { host, port, client_id, user_name, topics })
}

#[cfg(test)]
mod tests;

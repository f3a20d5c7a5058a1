//! Sync: one POST that tells a device all the portal knows about it.
//!
//! [`SyncReply::parse`] decides what the reply to a full sync means for the connection, [`parse_part`] reads the reply to
//! one that asked for a part only. Null lists are empty lists, unknown members are ignored, and whatever the daemon acts on
//! (host, ids, topics) is checked here once.

use serde::Deserialize;
use serde_json::json;

use crate::azure;
use crate::c2d::Part;
use crate::definition::{AuthType, DATA_FREQUENCY_DEFAULT_S, Definition, Group, Hub, Update};
use crate::retry::Retry;
use crate::topics::Topics;
use crate::version::Version;
use crate::wire::{self, Endpoint, WireAttribute, WireDevice, WireEndpoint, WireGroup, WireRule};

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
    /// 1, where only a part was asked for; a full sync answers [`SyncReply::NotRegistered`].
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
    /// Reads the reply to a full sync.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, SyncError> {
        let (d, auth) = read(status, body)?;
        match SyncError::of_code(d.code(auth)?) {
            None => Ok(Self::Ready(Box::new(definition(d, auth)?))),
            Some(SyncError::NotRegistered) => Ok(Self::NotRegistered),
            Some(error) => Err(error),
        }
    }
}

/// Reads the reply to a sync that asked for one part. Here `rc` counts for every device (as in the TPM SDK 3.0.1), and a
/// null is the empty list: the cloud has none any more. A part that is not in the reply updates nothing.
pub fn parse_part(status: u16, body: &[u8], option: SyncOption) -> Result<Vec<Update>, SyncError> {
    let (d, _) = read(status, body)?;
    if let Some(error) = SyncError::of_code(d.result()?) {
        return Err(error);
    }
    let update = match option {
        SyncOption::Attribute => d.att.map(|att| Update::Attributes(groups(att))),
        SyncOption::Setting => d.set.map(|set| Update::Settings(wire::settings(set.unwrap_or_default()))),
        SyncOption::Device => d.d.map(|devices| Update::Devices(wire::devices(devices.unwrap_or_default()))),
        SyncOption::Rule => d.r.map(|rules| Update::Rules(wire::rules(rules.unwrap_or_default()))),
        SyncOption::SdkConfig => d.sc.and_then(|sc| sc.df).map(Update::Frequency),
        SyncOption::Protocol => Some(Update::Hub(Box::new(connection(d.p)?))),
    };
    Ok(update.into_iter().collect())
}

fn read(status: u16, body: &[u8]) -> Result<(WireSync, AuthType), SyncError> {
    if status != 200 {
        return Err(SyncError::Status(status));
    }
    let reply: WireReply = serde_json::from_slice(body).map_err(|e| SyncError::Malformed(e.to_string()))?;
    let Some(d) = reply.d else {
        return Err(match reply.message {
            Some(message) => SyncError::Refused(wire::words(&message)),
            None => SyncError::Malformed("neither d nor message".into()),
        });
    };
    let auth = AuthType::from_wire(d.at.unwrap_or(0));
    Ok((d, auth))
}

fn definition(d: WireSync, auth: AuthType) -> Result<Definition, SyncError> {
    Ok(Definition {
        version: Version::Legacy,
        cpid: d.cpid.unwrap_or_default(),
        template_id: d.dtg.unwrap_or_default(),
        auth,
        edge: d.ee == Some(1),
        frequency_s: d.sc.and_then(|sc| sc.df).unwrap_or(DATA_FREQUENCY_DEFAULT_S),
        hub: connection(d.p)?,
        devices: wire::devices(d.d.flatten().unwrap_or_default()),
        gateway_guid: None,
        groups: groups(d.att.flatten()),
        settings: wire::settings(d.set.flatten().unwrap_or_default()),
        rules: wire::rules(d.r.flatten().unwrap_or_default()),
        pending_ota: d.ota,
    })
}

fn groups(wire: Option<Vec<WireGroup>>) -> Vec<Group> {
    wire::groups(Version::Legacy, wire.unwrap_or_default())
}

fn connection(p: Option<WireProtocol>) -> Result<Hub, SyncError> {
    p.map_or_else(|| Err(SyncError::Malformed("no p (connection settings)".into())), hub)
}

fn hub(p: WireProtocol) -> Result<Hub, SyncError> {
    let Endpoint { host, port, client_id, user_name } = p.endpoint.read().map_err(SyncError::Malformed)?;
    let topics = Topics::legacy(
        &p.publish.filter(|topic| wire::is_topic(topic)).unwrap_or_else(|| azure::hub::events_topic(&client_id)),
        &p.sub.filter(|filter| wire::is_name(filter)).unwrap_or_else(|| azure::hub::devicebound_filter(&client_id)),
    );
    Ok(Hub { host, port, client_id, user_name, topics })
}

#[derive(Deserialize)]
struct WireReply {
    d: Option<WireSync>,
    message: Option<String>,
}

impl WireSync {
    fn result(&self) -> Result<i64, SyncError> {
        self.rc.ok_or_else(|| SyncError::Malformed("no rc".into()))
    }

    /// A TPM device is judged by `ds`, the others by `rc`.
    fn code(&self, auth: AuthType) -> Result<i64, SyncError> {
        let result = self.result()?;
        Ok(if auth == AuthType::Tpm { self.ds.unwrap_or(result) } else { result })
    }
}

/// The lists keep "null" apart from "not asked for".
#[derive(Deserialize)]
struct WireSync {
    rc: Option<i64>,
    ds: Option<i64>,
    at: Option<i64>,
    ee: Option<i64>,
    dtg: Option<String>,
    #[serde(rename = "cpId")]
    cpid: Option<String>,
    sc: Option<WireConfig>,
    p: Option<WireProtocol>,
    #[serde(default, deserialize_with = "wire::present")]
    d: Option<Option<Vec<WireDevice>>>,
    #[serde(default, deserialize_with = "wire::present")]
    att: Option<Option<Vec<WireGroup>>>,
    #[serde(default, deserialize_with = "wire::present")]
    set: Option<Option<Vec<WireAttribute>>>,
    #[serde(default, deserialize_with = "wire::present")]
    r: Option<Option<Vec<WireRule>>>,
    ota: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct WireConfig {
    #[serde(default, deserialize_with = "wire::seconds")]
    df: Option<u64>,
}

#[derive(Deserialize)]
struct WireProtocol {
    #[serde(flatten)]
    endpoint: WireEndpoint,
    #[serde(rename = "pub")]
    publish: Option<String>,
    sub: Option<String>,
}

#[cfg(test)]
mod tests;

//! Sync: one POST that tells a device all the portal knows about it.
//!
//! [`SyncReply::parse`] decides what the reply to a full sync means for the connection, [`parse_part`] reads the reply to
//! one that asked for a part only. Null lists are empty lists, unknown members are ignored, and whatever the daemon acts on
//! (host, ids, topics) is checked here once.

use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::definition::{
    AttributeDefinition, AuthType, DATA_FREQUENCY_DEFAULT_S, Definition, Group, Hub, Rule, Setting, Update,
};
use crate::template::Device;
use crate::topics::Topics;
use crate::version::Version;

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

impl SyncReply {
    /// Reads the reply to a full sync.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, SyncError> {
        match read(status, body)? {
            Read::Ready(d, auth) => Ok(Self::Ready(Box::new(definition(*d, auth)?))),
            Read::NotRegistered => Ok(Self::NotRegistered),
        }
    }
}

/// Reads the reply to a sync that asked for one part: what of it there is. The same codes as for a full sync.
pub fn parse_part(status: u16, body: &[u8], option: SyncOption) -> Result<Vec<Update>, SyncError> {
    let (d, _) = match read(status, body)? {
        Read::Ready(d, auth) => (d, auth),
        Read::NotRegistered => return Err(SyncError::DeviceInactive),
    };
    let d = *d;
    Ok(match option {
        SyncOption::Attribute => d.att.map(|att| Update::Attributes(groups(att))).into_iter().collect(),
        SyncOption::Setting => d.set.map(|set| Update::Settings(settings(set))).into_iter().collect(),
        SyncOption::Device => d.d.map(|devices| Update::Devices(self::devices(devices))).into_iter().collect(),
        SyncOption::Rule => d.r.map(|rules| Update::Rules(self::rules(rules))).into_iter().collect(),
        SyncOption::SdkConfig => d.sc.and_then(|sc| sc.df).map(Update::Frequency).into_iter().collect(),
        SyncOption::Protocol => d.p.map(hub).transpose()?.map(Update::Hub).into_iter().collect(),
    })
}

enum Read {
    Ready(Box<WireSync>, AuthType),
    NotRegistered,
}

fn read(status: u16, body: &[u8]) -> Result<Read, SyncError> {
    if status != 200 {
        return Err(SyncError::Status(status));
    }
    let reply: WireReply = serde_json::from_slice(body).map_err(|e| SyncError::Malformed(e.to_string()))?;
    let Some(d) = reply.d else {
        return Err(match reply.message {
            Some(message) => SyncError::Refused(message.chars().filter(|c| !c.is_control()).take(300).collect()),
            None => SyncError::Malformed("neither d nor message".into()),
        });
    };
    let auth = AuthType::from_wire(d.at.unwrap_or(0));
    let result = d.rc.ok_or_else(|| SyncError::Malformed("no rc".into()))?;
    let code = if auth == AuthType::Tpm { d.ds.unwrap_or(result) } else { result };
    match code {
        0 => Ok(Read::Ready(Box::new(d), auth)),
        1 => Ok(Read::NotRegistered),
        2 => Err(SyncError::AutoRegister),
        3 => Err(SyncError::DeviceNotFound),
        4 => Err(SyncError::DeviceInactive),
        5 => Err(SyncError::Moved),
        6 | 7 => Err(SyncError::CompanyNotFound),
        8 => Err(SyncError::QuotaExhausted),
        other => Err(SyncError::UnknownCode(other)),
    }
}

fn definition(d: WireSync, auth: AuthType) -> Result<Definition, SyncError> {
    Ok(Definition {
        version: Version::Legacy,
        cpid: d.cpid.unwrap_or_default(),
        template_id: d.dtg.unwrap_or_default(),
        auth,
        edge: d.ee == Some(1),
        frequency_s: d.sc.and_then(|sc| sc.df).unwrap_or(DATA_FREQUENCY_DEFAULT_S),
        hub: d.p.map_or_else(|| Err(SyncError::Malformed("no p (connection settings)".into())), hub)?,
        devices: devices(d.d.unwrap_or_default()),
        gateway_guid: None,
        groups: groups(d.att.unwrap_or_default()),
        settings: settings(d.set.unwrap_or_default()),
        rules: rules(d.r.unwrap_or_default()),
        pending_ota: d.ota.filter(|ota| !ota.is_null()),
    })
}

fn devices(wire: Vec<WireDevice>) -> Vec<Device> {
    wire.into_iter().map(|device| Device { id: device.id, tag: device.tg }).collect()
}

fn groups(wire: Vec<WireGroup>) -> Vec<Group> {
    wire.into_iter().map(WireGroup::group).collect()
}

fn settings(wire: Vec<WireAttribute>) -> Vec<Setting> {
    wire.into_iter().map(|set| Setting { name: set.ln, data_type: set.dt, validity: set.dv }).collect()
}

fn rules(wire: Vec<WireRule>) -> Vec<Rule> {
    wire.into_iter().map(Rule::from).collect()
}

fn hub(p: WireProtocol) -> Result<Hub, SyncError> {
    let missing = |name: &str| SyncError::Malformed(format!("p.{name} is missing or unusable"));
    let text = |value: Option<String>, name| value.filter(|v| is_wire_name(v)).ok_or_else(|| missing(name));
    let host = text(p.h, "h")?;
    let client_id = text(p.id, "id").and_then(|id| if is_topic(&id) { Ok(id) } else { Err(missing("id")) })?;
    if p.n.as_deref() != Some("mqtt") {
        return Err(SyncError::Malformed(format!("p.n is {:?}; this daemon speaks mqtt", p.n.unwrap_or_default())));
    }
    Ok(Hub {
        user_name: p.un.filter(|v| is_wire_name(v)).unwrap_or_else(|| crate::azure::hub::user_name(&host, &client_id)),
        topics: Topics::legacy(
            &p.publish.filter(|v| is_topic(v)).unwrap_or_else(|| crate::azure::hub::events_topic(&client_id)),
            &p.sub.filter(|v| is_wire_name(v)).unwrap_or_else(|| crate::azure::hub::devicebound_filter(&client_id)),
        ),
        port: p.p.unwrap_or(crate::azure::hub::MQTT_PORT),
        host,
        client_id,
    })
}

/// Host, client id, topic: something, not endless, no white space or control characters.
fn is_wire_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 512 && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// A name without the wildcards that make a topic unpublishable (MQTT 3.1.1, section 4.7).
fn is_topic(text: &str) -> bool {
    is_wire_name(text) && !text.contains(['+', '#'])
}

/// The reply as it may be kept: without the password that comes with some kinds of authentication.
#[must_use]
pub fn without_secrets(body: &[u8]) -> Vec<u8> {
    let Ok(mut reply) = serde_json::from_slice::<serde_json::Value>(body) else { return Vec::new() };
    for secret in ["/d/p/pwd", "/d/sc/hb/pwd", "/d/sc/log/pwd"] {
        if let Some(secret) = reply.pointer_mut(secret) {
            *secret = "".into();
        }
    }
    reply.to_string().into_bytes()
}

impl From<WireRule> for Rule {
    fn from(rule: WireRule) -> Self {
        Self {
            guid: rule.g,
            event_subscription: rule.es,
            condition: rule.con,
            command: Some(rule.cmd).filter(|command| !command.is_empty()),
        }
    }
}

/// A null where a list or text stands otherwise is the empty one.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct WireReply {
    d: Option<WireSync>,
    message: Option<String>,
}

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
    d: Option<Vec<WireDevice>>,
    att: Option<Vec<WireGroup>>,
    set: Option<Vec<WireAttribute>>,
    r: Option<Vec<WireRule>>,
    ota: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
struct WireConfig {
    df: Option<u64>,
}

#[derive(Deserialize)]
struct WireProtocol {
    n: Option<String>,
    h: Option<String>,
    p: Option<u16>,
    id: Option<String>,
    un: Option<String>,
    #[serde(rename = "pub")]
    publish: Option<String>,
    sub: Option<String>,
}

#[derive(Deserialize)]
struct WireDevice {
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    tg: String,
}

#[derive(Deserialize)]
struct WireGroup {
    #[serde(default, deserialize_with = "or_default")]
    p: String,
    #[serde(default, deserialize_with = "or_default")]
    tg: String,
    #[serde(default, deserialize_with = "or_default")]
    tw: String,
    #[serde(default, deserialize_with = "or_default")]
    d: Vec<WireAttribute>,
}

#[derive(Deserialize)]
struct WireAttribute {
    ln: String,
    #[serde(default, deserialize_with = "or_default")]
    dt: i64,
    #[serde(default, deserialize_with = "or_default")]
    dv: String,
    #[serde(default, deserialize_with = "or_default")]
    tg: String,
    #[serde(default, deserialize_with = "or_default")]
    agt: u8,
    #[serde(default, deserialize_with = "or_default")]
    tw: String,
}

#[derive(Deserialize)]
struct WireRule {
    #[serde(default, deserialize_with = "or_default")]
    g: String,
    #[serde(default, deserialize_with = "or_default")]
    es: String,
    #[serde(default, deserialize_with = "or_default")]
    con: String,
    #[serde(default, deserialize_with = "or_default")]
    cmd: String,
}

impl WireGroup {
    fn group(self) -> Group {
        Group {
            object: Some(self.p).filter(|name| !name.is_empty()),
            tag: self.tg,
            window: self.tw,
            attributes: self.d.into_iter().map(WireAttribute::definition).collect(),
        }
    }
}

impl WireAttribute {
    fn definition(self) -> AttributeDefinition {
        AttributeDefinition {
            name: self.ln,
            data_type: self.dt,
            validity: self.dv,
            tag: self.tg,
            aggregates: Some(self.agt),
            window: self.tw,
        }
    }
}

#[cfg(test)]
mod tests;

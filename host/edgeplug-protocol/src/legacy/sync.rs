//! Sync: one POST that tells a device all the portal knows about it.
//!
//! [`SyncReply::parse`] decides what the reply means for the connection; [`Sync`] is the good case with every member
//! of the reply in typed form. Null lists are empty lists, unknown members are ignored, and whatever the daemon acts on
//! (host, ids, topics) is checked here once.

use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::legacy::template::{Attribute, DataType, Device, Scalar, Template};
use crate::legacy::validation::ValidValues;
use crate::model::{self, DeviceModel};

/// Largest reply read.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;
/// Data frequency when the reply has no `sc`, in seconds.
pub const DATA_FREQUENCY_DEFAULT_S: u64 = 60;

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
    Ready(Box<Sync>),
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

/// How a device signs in (`at`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthType {
    /// 1: key, or a ready SAS token in `p.pwd`.
    Key,
    /// 2, 3, 6, 7: certificates.
    Certificate,
    /// 4.
    Tpm,
    /// 5.
    SymmetricKey,
    /// A number this protocol does not define.
    Unknown(i64),
}

/// A good reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Sync {
    /// How to sign in.
    pub auth: AuthType,
    /// Aggregate locally (`ee`).
    pub edge: bool,
    /// Where and as whom to connect.
    pub hub: Hub,
    /// Attributes by device.
    pub template: Template,
    /// The same and the settings, as plugins see them.
    pub model: DeviceModel,
    /// Least time between reports of one source in seconds (`sc.df`); 0 is off.
    pub data_frequency_s: u64,
    /// Period in seconds for trying sync again (`sc.sf`).
    pub sync_frequency_s: Option<u64>,
    /// Twin settings (`set`): local name, type, allowed values.
    pub settings: Vec<Setting>,
    /// Edge rules (`r`).
    pub rules: Vec<Rule>,
    /// A firmware update that waits (`ota`), as received.
    pub pending_ota: Option<serde_json::Value>,
}

/// Where and as whom to connect (`p`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// Host name.
    pub host: String,
    /// TLS port.
    pub port: u16,
    /// MQTT client id, which is the hub's device id.
    pub client_id: String,
    /// MQTT user name.
    pub user_name: String,
    /// Device-to-cloud topic, with a trailing slash.
    pub publish_topic: String,
    /// Cloud-to-device filter.
    pub subscribe_filter: String,
}

/// A twin setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Local name.
    pub name: String,
    /// Type and allowed values.
    pub scalar: Scalar,
}

/// An edge rule, its condition still text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Rule guid (`g`).
    pub guid: String,
    /// Event subscription guid (`es`).
    pub event_subscription: String,
    /// Condition (`con`).
    pub condition: String,
    /// Local command to run on a match (`cmd`), if any.
    pub command: Option<String>,
}

impl SyncReply {
    /// Reads the reply to a full sync.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, SyncError> {
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
            0 => Ok(Self::Ready(Box::new(Sync::from_wire(d, auth)?))),
            1 => Ok(Self::NotRegistered),
            2 => Err(SyncError::AutoRegister),
            3 => Err(SyncError::DeviceNotFound),
            4 => Err(SyncError::DeviceInactive),
            5 => Err(SyncError::Moved),
            6 | 7 => Err(SyncError::CompanyNotFound),
            8 => Err(SyncError::QuotaExhausted),
            other => Err(SyncError::UnknownCode(other)),
        }
    }
}

impl AuthType {
    fn from_wire(number: i64) -> Self {
        match number {
            1 => Self::Key,
            2 | 3 | 6 | 7 => Self::Certificate,
            4 => Self::Tpm,
            5 => Self::SymmetricKey,
            other => Self::Unknown(other),
        }
    }
}

impl Sync {
    fn from_wire(d: WireSync, auth: AuthType) -> Result<Self, SyncError> {
        let (template, model) = (template(&d), model(&d));
        let hub = d.p.map_or_else(|| Err(SyncError::Malformed("no p (connection settings)".into())), hub)?;
        let sc = d.sc.unwrap_or_default();
        Ok(Self {
            auth,
            edge: d.ee == Some(1),
            hub,
            template,
            model,
            data_frequency_s: sc.df.unwrap_or(DATA_FREQUENCY_DEFAULT_S),
            sync_frequency_s: sc.sf,
            settings: d.set.into_iter().map(|s| Setting { scalar: s.scalar(), name: s.ln }).collect(),
            rules: d.r.into_iter().map(Rule::from).collect(),
            pending_ota: d.ota.filter(|ota| !ota.is_null()),
        })
    }
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
        publish_topic: p.publish.filter(|v| is_topic(v)).unwrap_or_else(|| crate::azure::hub::events_topic(&client_id)),
        subscribe_filter: p
            .sub
            .filter(|v| is_wire_name(v))
            .unwrap_or_else(|| crate::azure::hub::devicebound_filter(&client_id)),
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

fn template(d: &WireSync) -> Template {
    let devices = d.d.iter().map(|device| Device { id: device.id.clone(), tag: device.tg.clone() }).collect();
    let mut template = Template::new(d.cpid.clone().unwrap_or_default(), d.dtg.clone().unwrap_or_default(), devices);
    for group in &d.att {
        if group.p.is_empty() {
            for child in &group.d {
                template.declare(&child.tg, &child.ln, Attribute::Scalar(child.scalar()));
            }
        } else {
            let children = group.d.iter().map(|child| (child.ln.clone(), child.scalar())).collect();
            template.declare(&group.tg, &group.p, Attribute::Object(children));
        }
    }
    template
}

fn model(d: &WireSync) -> DeviceModel {
    let frequency_s = d.sc.as_ref().and_then(|sc| sc.df).unwrap_or(DATA_FREQUENCY_DEFAULT_S);
    DeviceModel {
        attributes: d.att.iter().flat_map(WireGroup::attributes).collect(),
        // The first is the device itself.
        children: d.d.iter().skip(1).map(|d| model::Child { unique_id: d.id.clone(), tag: d.tg.clone() }).collect(),
        settings: d.set.iter().map(WireAttribute::setting).collect(),
        frequency_s: u32::try_from(frequency_s).unwrap_or(u32::MAX),
        edge: d.ee == Some(1),
    }
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
    #[serde(default, deserialize_with = "or_default")]
    d: Vec<WireDevice>,
    #[serde(default, deserialize_with = "or_default")]
    att: Vec<WireGroup>,
    #[serde(default, deserialize_with = "or_default")]
    set: Vec<WireAttribute>,
    #[serde(default, deserialize_with = "or_default")]
    r: Vec<WireRule>,
    ota: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
struct WireConfig {
    df: Option<u64>,
    sf: Option<u64>,
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
    /// One attribute for each scalar, or a single object.
    fn attributes(&self) -> Vec<model::Attribute> {
        if self.p.is_empty() {
            return self.d.iter().map(WireAttribute::attribute).collect();
        }
        vec![model::Attribute {
            name: self.p.clone(),
            kind: model::Kind::Object,
            validity: String::new(),
            tag: self.tg.clone(),
            members: self.d.iter().map(WireAttribute::member).collect(),
        }]
    }
}

impl WireAttribute {
    fn scalar(&self) -> Scalar {
        Scalar { data_type: DataType::from_wire(self.dt), valid: ValidValues::parse(&self.dv) }
    }

    fn attribute(&self) -> model::Attribute {
        let (name, validity, tag) = (self.ln.clone(), self.dv.clone(), self.tg.clone());
        model::Attribute { name, kind: self.kind(), validity, tag, members: Vec::new() }
    }

    fn member(&self) -> model::Member {
        model::Member { name: self.ln.clone(), kind: self.kind(), validity: self.dv.clone() }
    }

    fn setting(&self) -> model::Setting {
        model::Setting { name: self.ln.clone(), kind: self.kind(), validity: self.dv.clone() }
    }

    /// What a type this protocol does not define holds is anybody's guess; as a text it can at least be shown.
    fn kind(&self) -> model::Kind {
        match DataType::from_wire(self.dt) {
            DataType::Number => model::Kind::Number,
            DataType::Text | DataType::Unknown(_) => model::Kind::Text,
        }
    }
}

#[cfg(test)]
mod tests;

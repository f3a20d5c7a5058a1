//! Identity of 2.1: where and as whom to connect, and which parts of the definition there are to ask for.
//!
//! The same body comes over HTTPS ([`super::discovery::AgentUrl::identity_url`]) and as the answer to message 200. What it
//! does not bring (attributes, settings, rules, children) is empty in the [`Definition`] until answers arrive.

use serde::Deserialize;

use super::messages::Question;
use crate::azure::hub::PropertyBag;
use crate::c2d::Part;
use crate::definition::{AuthType, DATA_FREQUENCY_DEFAULT_S, Definition, Hub};
use crate::retry::Retry;
use crate::template::Device;
use crate::topics::Topics;
use crate::version::Version;
use crate::wire::{self, Endpoint, WireEndpoint};

/// Largest reply read.
pub const REPLY_BYTES_MAX: usize = 256 * 1024;

/// What a reply means for the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum IdentityReply {
    /// Go on and connect.
    Ready {
        /// The device itself and where to connect; all else is still empty.
        definition: Box<Definition>,
        /// What to ask for once connected.
        has: Has,
    },
    /// The device lives on AWS IoT, where this daemon cannot sign in.
    OnAws(Box<Definition>),
}

/// Which parts there are (`has`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Has {
    /// `attr`.
    #[serde(rename = "attr", deserialize_with = "wire::flag")]
    pub attributes: bool,
    /// `set`.
    #[serde(rename = "set", deserialize_with = "wire::flag")]
    pub settings: bool,
    /// `r`.
    #[serde(rename = "r", deserialize_with = "wire::flag")]
    pub rules: bool,
    /// `d`.
    #[serde(rename = "d", deserialize_with = "wire::flag")]
    pub children: bool,
    /// `ota`.
    #[serde(deserialize_with = "wire::flag")]
    pub ota: bool,
}

impl Has {
    /// What to ask, in the order of the Python SDK 2.1: children first, then by number.
    pub fn questions(self) -> impl Iterator<Item = Question<'static>> {
        let parts = [
            (self.children, Part::Devices),
            (self.attributes, Part::Attributes),
            (self.settings, Part::Settings),
            (self.rules, Part::Rules),
            (self.ota, Part::Ota),
        ];
        parts.into_iter().filter(|(there, _)| *there).map(|(_, part)| Question::Part(part))
    }
}

/// Why a device cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// HTTP status other than 200.
    #[error("the identity service answered HTTP {0}")]
    Status(u16),
    /// A message without content.
    #[error("the identity was refused: {0}")]
    Refused(String),
    /// Not an identity reply.
    #[error("the identity service sent an answer that cannot be understood: {0}")]
    Malformed(String),
    /// 1.
    #[error("the portal knows no device of this unique id; create it there, or mend cloud.unique_id")]
    DeviceNotFound,
    /// 2.
    #[error("the device is not active; activate it in the portal")]
    DeviceInactive,
    /// 3.
    #[error("the device has no template; give it one in the portal")]
    NoTemplate,
    /// 4.
    #[error("the device is released; acquire it in the portal")]
    NotAcquired,
    /// 5.
    #[error("the device is disabled at the hub; enable it in the portal")]
    DisabledAtHub,
    /// 6.
    #[error("the portal knows no such company; mend cloud.cpid or cloud.sid")]
    CompanyNotFound,
    /// 7.
    #[error("the company's subscription has expired")]
    SubscriptionExpired,
    /// 8.
    #[error("the portal does not let this device connect")]
    ConnectionNotAllowed,
    /// 9.
    #[error("the bootstrap certificate is not valid")]
    BootstrapCertificate,
    /// 10.
    #[error("the operational certificate is not valid")]
    OperationalCertificate,
    /// 11.
    #[error("the portal knows no such environment; mend cloud.env")]
    Environment,
    /// 12.
    #[error("the portal does not serve this platform (pf=az)")]
    Platform,
    /// 13.
    #[error("the portal does not know this SDK language; mend cloud.language")]
    Language,
    /// 14.
    #[error("the portal does not speak protocol 2.1; set cloud.protocol to \"1.0\"")]
    ProtocolVersion,
    /// Anything else.
    #[error("the identity service answered with unknown code {0}")]
    UnknownCode(i64),
}

impl IdentityError {
    /// When to ask again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Status(status) => Retry::of_status(*status),
            Self::Refused(_)
            | Self::Malformed(_)
            | Self::DeviceNotFound
            | Self::DeviceInactive
            | Self::NoTemplate
            | Self::NotAcquired
            | Self::DisabledAtHub
            | Self::SubscriptionExpired
            | Self::UnknownCode(_) => Retry::Slow,
            Self::CompanyNotFound
            | Self::ConnectionNotAllowed
            | Self::BootstrapCertificate
            | Self::OperationalCertificate
            | Self::Environment
            | Self::Platform
            | Self::Language
            | Self::ProtocolVersion => Retry::Never,
        }
    }

    /// `ec`, also of the answer to message 200; `None` for 0.
    #[must_use]
    pub fn of_code(code: i64) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::DeviceNotFound,
            2 => Self::DeviceInactive,
            3 => Self::NoTemplate,
            4 => Self::NotAcquired,
            5 => Self::DisabledAtHub,
            6 => Self::CompanyNotFound,
            7 => Self::SubscriptionExpired,
            8 => Self::ConnectionNotAllowed,
            9 => Self::BootstrapCertificate,
            10 => Self::OperationalCertificate,
            11 => Self::Environment,
            12 => Self::Platform,
            13 => Self::Language,
            14 => Self::ProtocolVersion,
            other => Self::UnknownCode(other),
        })
    }
}

impl IdentityReply {
    /// Reads a reply. It does not repeat the device's own unique id.
    pub fn parse(status: u16, body: &[u8], unique_id: &str) -> Result<Self, IdentityError> {
        if status != 200 {
            return Err(IdentityError::Status(status));
        }
        let reply: WireReply = serde_json::from_slice(body).map_err(|e| IdentityError::Malformed(e.to_string()))?;
        let Some(d) = reply.d else {
            return Err(match reply.message {
                Some(message) => IdentityError::Refused(wire::words(&message)),
                None => IdentityError::Malformed("neither d nor message".into()),
            });
        };
        let code = d.ec.ok_or_else(|| IdentityError::Malformed("no ec".into()))?;
        if let Some(error) = IdentityError::of_code(code) {
            return Err(error);
        }
        let has = d.has.unwrap_or_default();
        let definition = Box::new(definition(d, unique_id)?);
        let on_aws = definition.hub.topics.report.starts_with("$aws/");
        Ok(if on_aws { Self::OnAws(definition) } else { Self::Ready { definition, has } })
    }
}

fn definition(d: WireIdentity, unique_id: &str) -> Result<Definition, IdentityError> {
    let missing = |what: &str| IdentityError::Malformed(format!("{what} is missing or unusable"));
    let p = d.p.ok_or_else(|| missing("p (connection settings)"))?;
    let meta = d.meta.ok_or_else(|| missing("meta"))?;
    let Endpoint { host, port, client_id, user_name } = p.endpoint.read().map_err(IdentityError::Malformed)?;
    let named = p.topics.unwrap_or_default();
    let code = meta.cd.filter(|code| wire::is_name(code)).or_else(|| code_in(named.rpt.as_deref()?));
    let code = code.ok_or_else(|| missing("meta.cd (the template's code)"))?;
    let topics = named.over(Topics::v21(&client_id, &code));
    let gateway = meta.gtw.unwrap_or_default();
    Ok(Definition {
        version: Version::V21,
        cpid: String::new(),
        template_id: code,
        auth: AuthType::from_wire(meta.at.unwrap_or(0)),
        edge: meta.edge,
        frequency_s: meta.df.unwrap_or(DATA_FREQUENCY_DEFAULT_S),
        hub: Hub { host, port, client_id, user_name, topics },
        devices: vec![Device { id: unique_id.to_owned(), tag: gateway.tg.unwrap_or_default() }],
        gateway_guid: gateway.g.filter(|guid| !guid.is_empty()),
        groups: Vec::new(),
        settings: Vec::new(),
        rules: Vec::new(),
        pending_ota: None,
    })
}

/// `cd` as it stands in a topic's properties.
fn code_in(topic: &str) -> Option<String> {
    let (_, bag) = topic.rsplit_once('/')?;
    PropertyBag::parse(bag).get("cd").filter(|code| wire::is_name(code)).map(str::to_owned)
}

impl WireTopics {
    /// What the cloud names, over what it would be named.
    fn over(self, usual: Topics) -> Topics {
        let or = |named: Option<String>, usual: String| named.filter(|topic| wire::is_topic(topic)).unwrap_or(usual);
        Topics {
            version: Version::V21,
            report: or(self.rpt, usual.report),
            fault: or(self.flt, usual.fault),
            edge_report: or(self.erpt, usual.edge_report),
            rule_match: or(self.erm, usual.rule_match),
            offline: or(self.od, usual.offline),
            heartbeat: or(self.hb, usual.heartbeat),
            ack: or(self.ack, usual.ack),
            device_info: or(self.di, usual.device_info),
            devicebound: self.c2d.filter(|filter| wire::is_name(filter)).unwrap_or(usual.devicebound),
        }
    }
}

#[derive(Deserialize)]
struct WireReply {
    d: Option<WireIdentity>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct WireIdentity {
    ec: Option<i64>,
    meta: Option<WireMeta>,
    has: Option<Has>,
    p: Option<WireProtocol>,
}

#[derive(Deserialize)]
struct WireMeta {
    at: Option<i64>,
    #[serde(default, deserialize_with = "wire::seconds")]
    df: Option<u64>,
    cd: Option<String>,
    gtw: Option<WireGateway>,
    #[serde(default, deserialize_with = "wire::flag")]
    edge: bool,
}

#[derive(Default, Deserialize)]
struct WireGateway {
    tg: Option<String>,
    g: Option<String>,
}

#[derive(Deserialize)]
struct WireProtocol {
    #[serde(flatten)]
    endpoint: WireEndpoint,
    topics: Option<WireTopics>,
}

#[derive(Default, Deserialize)]
struct WireTopics {
    rpt: Option<String>,
    flt: Option<String>,
    erpt: Option<String>,
    erm: Option<String>,
    od: Option<String>,
    hb: Option<String>,
    ack: Option<String>,
    di: Option<String>,
    c2d: Option<String>,
}

#[cfg(test)]
mod tests;

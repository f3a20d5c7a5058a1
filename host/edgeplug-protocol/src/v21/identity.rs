//! Identity of 2.1: where and as whom to connect, and which parts of the definition there are to ask for.
//!
//! The same body comes over HTTPS ([`super::discovery::AgentUrl::identity_url`]) and as the answer to message 200. What it
//! does not bring (attributes, settings, rules, children) is empty in the [`Definition`] until answers arrive.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::messages::Question;
use crate::azure::hub::PropertyBag;
use crate::c2d::Part;
use crate::definition::{AuthType, Definition, Hub, Place, Update};
use crate::retry::Retry;
use crate::template::Device;
use crate::topics::Topics;
use crate::version::Version;
use crate::wire::{self, Endpoint, LeftOut};

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Has {
    /// `attr`.
    pub attributes: bool,
    /// `set`.
    pub settings: bool,
    /// `r`.
    pub rules: bool,
    /// `d`.
    pub children: bool,
    /// `ota`.
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
        let reply: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| IdentityError::Malformed(error.to_string()))?;
        let d = match (reply.get("d"), reply.get("message")) {
            (Some(Value::Object(d)), _) => d,
            (None | Some(Value::Null), Some(Value::String(message))) => {
                return Err(IdentityError::Refused(wire::words(message)));
            }
            _ => return Err(IdentityError::Malformed("neither d nor message".into())),
        };
        let code = wire::int_of(d.get("ec")).ok_or_else(|| IdentityError::Malformed("no ec".into()))?;
        if let Some(error) = IdentityError::of_code(code) {
            return Err(error);
        }
        let definition = Box::new(definition(d, unique_id)?);
        let on_aws = definition.hub.topics.report.starts_with("$aws/");
        Ok(if on_aws { Self::OnAws(definition) } else { Self::Ready { definition, has: Has::read(d.get("has")) } })
    }
}

impl Has {
    /// What is neither yes nor no is asked for: it costs an answer.
    fn read(has: Option<&Value>) -> Self {
        let flag = |member: &str| wire::flag_of(has.and_then(|has| has.get(member))).unwrap_or(true);
        Self {
            attributes: flag("attr"),
            settings: flag("set"),
            rules: flag("r"),
            children: flag("d"),
            ota: flag("ota"),
        }
    }
}

fn definition(d: &Map<String, Value>, unique_id: &str) -> Result<Definition, IdentityError> {
    let missing = |what: &str| IdentityError::Malformed(format!("{what} is missing or unusable"));
    let object = |member: &str| d.get(member).and_then(Value::as_object);
    let p = object("p").ok_or_else(|| missing("p (connection settings)"))?;
    let meta = object("meta").ok_or_else(|| missing("meta"))?;
    let mut left_out = LeftOut::default();
    let Endpoint { host, port, client_id, user_name } =
        Endpoint::read(p, &mut left_out).map_err(IdentityError::Malformed)?;
    let named = |kind: &str| p.get("topics")?.get(kind)?.as_str();
    let code = meta.get("cd").and_then(Value::as_str).filter(|code| wire::is_name(code)).map(str::to_owned);
    let code = code.or_else(|| code_in(named("rpt")?)).ok_or_else(|| missing("meta.cd (the template's code)"))?;
    let topics = topics(named, Topics::v21(&client_id, &code));
    let gateway = |member: &str| wire::text_of(meta.get("gtw").and_then(|gateway| gateway.get(member)));
    if meta.get("gtw").is_some_and(|gateway| !gateway.is_null() && !gateway.is_object()) {
        left_out.say("the gateway (meta.gtw) is no object, so this device is none".into());
    }
    let mut definition = Definition {
        version: Version::V21,
        cpid: String::new(),
        auth: AuthType::from_wire(wire::int_of(meta.get("at")).unwrap_or(0)),
        edge: wire::edge_of(meta.get("edge"), &mut left_out),
        frequency_s: wire::frequency_of(meta.get("df"), &mut left_out),
        hub: Hub { host, port, client_id, user_name, topics },
        devices: vec![Device { id: unique_id.to_owned(), tag: gateway("tg").unwrap_or_default() }],
        gateway_guid: gateway("g"),
        template_id: code,
        groups: Vec::new(),
        settings: Vec::new(),
        rules: Vec::new(),
        pending_ota: None,
        left_out: BTreeMap::new(),
    };
    definition.apply(Update::LeftOut(Place::Device, left_out.into_reasons()));
    Ok(definition)
}

/// `cd` as it stands in a topic's properties.
fn code_in(topic: &str) -> Option<String> {
    let (_, bag) = topic.rsplit_once('/')?;
    PropertyBag::parse(bag).get("cd").filter(|code| wire::is_name(code)).map(str::to_owned)
}

/// What the cloud names, over what it would be named.
fn topics<'a>(named: impl Fn(&str) -> Option<&'a str>, usual: Topics) -> Topics {
    let or = |kind: &str, usual: String| named(kind).filter(|topic| wire::is_topic(topic)).map_or(usual, str::to_owned);
    Topics {
        version: Version::V21,
        report: or("rpt", usual.report),
        fault: or("flt", usual.fault),
        edge_report: or("erpt", usual.edge_report),
        rule_match: or("erm", usual.rule_match),
        offline: or("od", usual.offline),
        heartbeat: or("hb", usual.heartbeat),
        ack: or("ack", usual.ack),
        device_info: or("di", usual.device_info),
        devicebound: named("c2d").filter(|filter| wire::is_name(filter)).map_or(usual.devicebound, str::to_owned),
    }
}

#[cfg(test)]
mod tests;

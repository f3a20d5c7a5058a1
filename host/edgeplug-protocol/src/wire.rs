//! What both protocols write alike: attributes, settings, rules, devices and where to connect.
//!
//! A null is the empty list or text, a number in the place of a text is its digits, and unknown members are ignored. What
//! the daemon itself acts upon (host, ids, topics) is checked here once. Lists are as long as the body that brought them,
//! whose size the caller caps.

use percent_encoding::{AsciiSet, PercentEncode, utf8_percent_encode};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::azure::hub;
use crate::azure::sas::RESERVED;
use crate::definition::{AttributeDefinition, Group, Rule, Setting};
use crate::template::Device;
use crate::version::Version;

/// Longest host, client id, user name or topic.
const NAME_BYTES_MAX: usize = 512;
/// Longest period the cloud may ask for; anything more is this. Over a hundred years, and safe to add to any clock.
const PERIOD_MAX_S: u64 = u32::MAX as u64;

/// What a path segment may hold as it stands is what RFC 3986 calls `pchar`; the SDKs send ids unescaped.
const PATH_SEGMENT: &AsciiSet = &RESERVED
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// `p` without its topics.
#[derive(Deserialize)]
pub(crate) struct WireEndpoint {
    n: Option<String>,
    h: Option<String>,
    p: Option<u16>,
    id: Option<String>,
    un: Option<String>,
}

/// Where and as whom to connect.
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) client_id: String,
    pub(crate) user_name: String,
}

impl WireEndpoint {
    /// Checks it; the error names the member.
    pub(crate) fn read(self) -> Result<Endpoint, String> {
        let missing = |name: &str| format!("p.{name} is missing or unusable");
        if self.n.as_deref() != Some("mqtt") {
            return Err(format!("p.n is {:?}; this daemon speaks mqtt", self.n.unwrap_or_default()));
        }
        let host = self.h.filter(|host| is_name(host)).ok_or_else(|| missing("h"))?;
        let client_id = self.id.filter(|id| is_topic(id)).ok_or_else(|| missing("id"))?;
        Ok(Endpoint {
            user_name: self.un.filter(|name| is_name(name)).unwrap_or_else(|| hub::user_name(&host, &client_id)),
            port: self.p.unwrap_or(hub::MQTT_PORT),
            host,
            client_id,
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct WireDevice {
    id: String,
    #[serde(default, deserialize_with = "text")]
    tg: String,
}

#[derive(Deserialize)]
pub(crate) struct WireGroup {
    #[serde(default, deserialize_with = "text")]
    p: String,
    #[serde(default, deserialize_with = "text")]
    tg: String,
    #[serde(default, deserialize_with = "text")]
    tw: String,
    #[serde(default, deserialize_with = "or_default")]
    d: Vec<WireAttribute>,
}

#[derive(Deserialize)]
pub(crate) struct WireAttribute {
    ln: String,
    #[serde(default, deserialize_with = "or_default")]
    dt: i64,
    #[serde(default, deserialize_with = "text")]
    dv: String,
    #[serde(default, deserialize_with = "text")]
    tg: String,
    #[serde(default, deserialize_with = "or_default")]
    agt: u8,
    #[serde(default, deserialize_with = "text")]
    tw: String,
}

#[derive(Deserialize)]
pub(crate) struct WireRule {
    #[serde(default, deserialize_with = "text")]
    g: String,
    #[serde(default, deserialize_with = "text")]
    es: String,
    #[serde(default, deserialize_with = "text")]
    con: String,
    #[serde(default, deserialize_with = "text")]
    cmd: String,
}

pub(crate) fn devices(wire: Vec<WireDevice>) -> Vec<Device> {
    wire.into_iter().map(|device| Device { id: device.id, tag: device.tg }).collect()
}

pub(crate) fn groups(version: Version, wire: Vec<WireGroup>) -> Vec<Group> {
    let attribute = |wire: WireAttribute| AttributeDefinition {
        name: wire.ln,
        data_type: wire.dt,
        validity: wire.dv,
        tag: wire.tg,
        // 2.1 has no choice: an edge device sends all six.
        aggregates: (version == Version::Legacy).then_some(wire.agt),
        window: wire.tw,
    };
    let group = |wire: WireGroup| Group {
        object: Some(wire.p).filter(|name| !name.is_empty()),
        tag: wire.tg,
        window: wire.tw,
        attributes: wire.d.into_iter().map(attribute).collect(),
    };
    wire.into_iter().map(group).collect()
}

pub(crate) fn settings(wire: Vec<WireAttribute>) -> Vec<Setting> {
    wire.into_iter().map(|set| Setting { name: set.ln, data_type: set.dt, validity: set.dv }).collect()
}

pub(crate) fn rules(wire: Vec<WireRule>) -> Vec<Rule> {
    let rule = |rule: WireRule| Rule {
        guid: rule.g,
        event_subscription: rule.es,
        condition: rule.con,
        command: Some(rule.cmd).filter(|command| !command.is_empty()),
    };
    wire.into_iter().map(rule).collect()
}

/// Host, client id, filter: something, not endless, no white space or control characters.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// A name without the wildcards that make a topic unpublishable (MQTT 3.1.1, section 4.7).
pub(crate) fn is_topic(text: &str) -> bool {
    is_name(text) && !text.contains(['+', '#'])
}

/// An address to ask at.
pub(crate) fn is_http_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| rest.len() > 1 && !rest.starts_with('/'))
        && text.len() <= 2048
        && text.bytes().all(|b| b.is_ascii_graphic())
}

/// An id as one segment of a URL's path.
pub(crate) fn segment(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, PATH_SEGMENT)
}

/// The cloud's own words, fit for a log.
pub(crate) fn words(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// A text or a number as text; `None` for anything else and for the empty text.
pub(crate) fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whole seconds, from a number or its digits, at most [`PERIOD_MAX_S`].
pub(crate) fn seconds_of(value: Option<&Value>) -> Option<u64> {
    let seconds = match value? {
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        Value::String(digits) => digits.trim().parse().ok(),
        _ => None,
    };
    seconds.map(|seconds| seconds.min(PERIOD_MAX_S))
}

/// 0 and `false` are no; absent is no.
pub(crate) fn flag_of(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        _ => false,
    }
}

/// A null where a list or number stands otherwise is the empty one.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Keeps "null" apart from "not there": `Some(None)` and `None`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// [`seconds_of`] for a member; what is none is absent.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(seconds_of(Some(&Value::deserialize(from)?)))
}

/// [`flag_of`] for a member.
pub(crate) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(flag_of(Some(&Value::deserialize(from)?)))
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(text_of(Some(&Value::deserialize(from)?)).unwrap_or_default())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "negative, endless and NaN are told apart first"
)]
fn whole(seconds: f64) -> Option<u64> {
    (seconds >= 0.0).then(|| seconds.min(PERIOD_MAX_S as f64) as u64)
}

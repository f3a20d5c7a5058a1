//! What both protocols write alike: attributes, settings, rules, devices and where to connect.
//!
//! What the daemon itself acts upon (host, ids, topics) is checked here once, and strictly. Everything else is taken as far
//! as it can be used, and what cannot is said ([`LeftOut`]): no single odd member makes an answer unreadable. Lists are as
//! long as the body that brought them, whose size the caller caps.

pub(crate) mod lists;

use percent_encoding::{AsciiSet, PercentEncode, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::azure::hub;
use crate::azure::sas::RESERVED;
use crate::definition::DATA_FREQUENCY_DEFAULT_S;
pub(crate) use lists::LeftOut;

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

/// Where and as whom to connect.
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) client_id: String,
    pub(crate) user_name: String,
}

impl Endpoint {
    /// Reads `p` without its topics; the error names the member.
    pub(crate) fn read(p: &Map<String, Value>, left_out: &mut LeftOut) -> Result<Self, String> {
        let text = |member: &str| p.get(member).and_then(Value::as_str);
        let missing = |name: &str| format!("p.{name} is missing or unusable");
        if let Some(other) = text("n").filter(|name| !matches!(*name, "" | "mqtt")) {
            return Err(format!("p.n is {:?}; this daemon speaks mqtt", words(other)));
        }
        let host = text("h").filter(|host| is_name(host)).ok_or_else(|| missing("h"))?.to_owned();
        let client_id = text("id").filter(|id| is_topic(id)).ok_or_else(|| missing("id"))?.to_owned();
        let user_name = text("un").filter(|name| is_name(name)).map(str::to_owned);
        let port = int_of(p.get("p")).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        if port.is_none() && p.get("p").is_some_and(|port| !port.is_null()) {
            left_out.say(format!("the port (p.p) is no port number, so {} is used", hub::MQTT_PORT));
        }
        Ok(Self {
            user_name: user_name.unwrap_or_else(|| hub::user_name(&host, &client_id)),
            port: port.unwrap_or(hub::MQTT_PORT),
            host,
            client_id,
        })
    }
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

/// A whole number, or its digits as a text.
pub(crate) fn int_of(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64().or_else(|| number.to_string().strip_suffix(".0")?.parse().ok()),
        Value::String(digits) => digits.trim().parse().ok(),
        _ => None,
    }
}

/// Yes or no in any of their spellings; what is absent or null is no.
pub(crate) fn flag_of(value: Option<&Value>) -> Option<bool> {
    match value {
        None | Some(Value::Null) => Some(false),
        Some(Value::Bool(yes)) => Some(*yes),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Some(true),
        Some(Value::String(text)) if text.is_empty() || text.eq_ignore_ascii_case("false") => Some(false),
        value => match int_of(value)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}

/// Whether windows and rules take the place of single readings (`ee`, `meta.edge`).
pub(crate) fn edge_of(flag: Option<&Value>, left_out: &mut LeftOut) -> bool {
    flag_of(flag).unwrap_or_else(|| {
        left_out.say("the edge flag is neither 0 nor 1, so this is no edge device".into());
        false
    })
}

/// Data frequency in seconds (`df`).
pub(crate) fn frequency_of(df: Option<&Value>, left_out: &mut LeftOut) -> u64 {
    seconds_of(df).unwrap_or_else(|| {
        if df.is_some_and(|df| !df.is_null()) {
            left_out.say(format!("the data frequency (df) is no time, so {DATA_FREQUENCY_DEFAULT_S} s are taken"));
        }
        DATA_FREQUENCY_DEFAULT_S
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "negative, endless and NaN are told apart first"
)]
fn whole(seconds: f64) -> Option<u64> {
    (seconds >= 0.0).then(|| seconds.min(PERIOD_MAX_S as f64) as u64)
}

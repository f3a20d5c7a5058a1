//! IoT Hub topics and property bags as the hub reads them (Azure "Communicate with an IoT hub using the MQTT protocol").
//!
//! A bag is `key=value&key2=value2`, both sides percent-encoded; `$.ct` and `%24.ct` are the same key. A key without `=`
//! has a null value, with nothing after `=` an empty one.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// A decoded property bag; a null value is `None`.
pub type Properties = BTreeMap<String, Option<String>>;

/// Azure allows far fewer; a bag past this is hostile.
const PROPERTIES_MAX: usize = 256;

/// What RFC 2396 leaves alone, which is what the live topic form shows.
const BAG: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a device publishes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Publication {
    Telemetry(Properties),
    TwinGet { request: String },
    TwinReport { request: String },
    MethodAnswer { status: i64, request: String },
}

/// A subscription the hub serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Filter {
    CloudToDevice,
    TwinAnswers,
    DesiredChanges,
    Methods,
    /// Real, served by nothing here: device streams and credential renewal.
    Idle(&'static str),
}

/// Filters that IoT Hub knows and this simulator never sends anything to.
const IDLE: [&str; 3] = ["$iothub/streams/POST/#", "$iothub/streams/res/#", "$iothub/credentials/res/#"];

/// Reads a topic that `device` publishes to; the reason when the hub would close the connection.
pub(crate) fn publication(device: &str, topic: &str) -> Result<Publication, &'static str> {
    if let Some(rest) = topic.strip_prefix("devices/") {
        let rest = rest.strip_prefix(device).ok_or("the topic belongs to another device")?;
        let bag = match rest.strip_prefix("/messages/events") {
            Some("") => "",
            Some(bag) => bag.strip_prefix('/').ok_or("the topic is not the device's events topic")?,
            None => return Err("the topic is not the device's events topic"),
        };
        return Ok(Publication::Telemetry(decode_bag(bag.strip_suffix('/').unwrap_or(bag))?));
    }
    if let Some(query) = topic.strip_prefix("$iothub/twin/GET/?") {
        return Ok(Publication::TwinGet { request: request_id(query)? });
    }
    if let Some(query) = topic.strip_prefix("$iothub/twin/PATCH/properties/reported/?") {
        return Ok(Publication::TwinReport { request: request_id(query)? });
    }
    if let Some(rest) = topic.strip_prefix("$iothub/methods/res/") {
        let (status, query) = rest.split_once("/?").ok_or("the method answer has no request id")?;
        let status = status.parse().map_err(|_| "the method answer's status is not a number")?;
        return Ok(Publication::MethodAnswer { status, request: request_id(query)? });
    }
    Err("nothing listens on that topic")
}

/// Recognises a filter that IoT Hub serves for `device`.
pub(crate) fn filter(device: &str, text: &str) -> Option<Filter> {
    match text {
        "$iothub/twin/res/#" => return Some(Filter::TwinAnswers),
        "$iothub/twin/PATCH/properties/desired/#" => return Some(Filter::DesiredChanges),
        "$iothub/methods/POST/#" => return Some(Filter::Methods),
        _ => {}
    }
    if text.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(device)) == Some("/messages/devicebound/#") {
        return Some(Filter::CloudToDevice);
    }
    IDLE.iter().find(|known| **known == text).map(|known| Filter::Idle(known))
}

/// The topic of a cloud-to-device message, in the form seen on live hubs:
/// `devices/{id}/messages/devicebound/%24.to=%2Fdevices%2F{id}%2Fmessages%2FdeviceBound[&key=value]`.
pub(crate) fn cloud_to_device(device: &str, properties: &Properties) -> String {
    let to = format!("/devices/{device}/messages/deviceBound");
    let mut topic = format!("devices/{device}/messages/devicebound/%24.to={}", utf8_percent_encode(&to, BAG));
    for (name, value) in properties {
        topic.push('&');
        topic.extend(utf8_percent_encode(name, BAG));
        if let Some(value) = value {
            topic.push('=');
            topic.extend(utf8_percent_encode(value, BAG));
        }
    }
    topic
}

/// The events topics of 2.1: name in the identity answer, what its bag says, whether only edge devices have it
/// (IoTConnect device message 2.1, "identity", `topics`).
pub(crate) const V21_TOPICS: [(&str, &str, bool); 9] = [
    ("rpt", "mt=0", false),
    ("erpt", "mt=1", true),
    ("erm", "mt=2", true),
    ("flt", "mt=3", false),
    ("od", "mt=4", false),
    ("hb", "mt=5", false),
    ("ack", "mt=6", false),
    ("dl", "mt=7", false),
    ("di", "di=1", false),
];

/// One of them as the identity answer spells it, `$` unescaped.
pub(crate) fn v21_events(device: &str, code: &str, property: &str) -> String {
    format!("devices/{device}/messages/events/cd={code}&v=2.1&{property}&$.ct=application%2Fjson&$.ce=utf-8")
}

fn decode_bag(bag: &str) -> Result<Properties, &'static str> {
    let mut properties = Properties::new();
    for pair in bag.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (decode(name)?, Some(decode(value)?)),
            None => (decode(pair)?, None),
        };
        properties.insert(name, value);
        if properties.len() > PROPERTIES_MAX {
            return Err("the property bag has too many properties");
        }
    }
    Ok(properties)
}

fn request_id(query: &str) -> Result<String, &'static str> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("$rid="))
        .filter(|request| !request.is_empty() && request.len() <= 64)
        .map(str::to_owned)
        .ok_or("the topic has no $rid")
}

fn decode(text: &str) -> Result<String, &'static str> {
    if text.contains('/') {
        return Err("the property bag is not percent-encoded");
    }
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| "the property bag is not utf-8")
}

#[cfg(test)]
mod tests;

//! IoT Hub over MQTT 3.1.1: topics and property bags (Azure, "communicate with an IoT hub using the MQTT protocol").

use percent_encoding::{percent_decode_str, utf8_percent_encode};

use crate::azure::sas::RESERVED;

/// Largest device-to-cloud message, body and properties together.
pub const D2C_BYTES_MAX: usize = 256 * 1024;
/// TLS port of MQTT.
pub const MQTT_PORT: u16 = 8883;
/// The `api-version` of the user name when the cloud gives none.
pub const API_VERSION: &str = "2021-04-12";
/// Most properties read from one bag; the hub itself allows far fewer.
const PROPERTIES_MAX: usize = 100;

/// Answers to twin requests.
pub const TWIN_ANSWERS_FILTER: &str = "$iothub/twin/res/#";
/// Changes of desired twin properties.
pub const DESIRED_CHANGES_FILTER: &str = "$iothub/twin/PATCH/properties/desired/#";

/// Where a device publishes, with a trailing slash and no properties.
#[must_use]
pub fn events_topic(device_id: &str) -> String {
    format!("devices/{device_id}/messages/events/")
}

/// What a device subscribes to for cloud-to-device messages.
#[must_use]
pub fn devicebound_filter(device_id: &str) -> String {
    format!("devices/{device_id}/messages/devicebound/#")
}

/// Where to ask for the whole twin; the answer comes under [`TWIN_ANSWERS_FILTER`] with the same `$rid`.
#[must_use]
pub fn twin_get_topic(request_id: impl std::fmt::Display) -> String {
    format!("$iothub/twin/GET/?$rid={request_id}")
}

/// Where to publish a patch of reported properties; answered like [`twin_get_topic`].
#[must_use]
pub fn twin_report_topic(request_id: impl std::fmt::Display) -> String {
    format!("$iothub/twin/PATCH/properties/reported/?$rid={request_id}")
}

/// The MQTT user name.
#[must_use]
pub fn user_name(host: &str, device_id: &str) -> String {
    format!("{host}/{device_id}/?api-version={API_VERSION}")
}

/// A message from the hub, told apart by its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// A cloud-to-device message with its decoded properties.
    CloudToDevice(PropertyBag),
    /// An answer to a twin request.
    TwinAnswer {
        /// HTTP-like status.
        status: u16,
        /// `$rid` of the request.
        request_id: String,
        /// `$version` of a patch's answer.
        version: Option<u64>,
    },
    /// Desired properties changed.
    DesiredChanged {
        /// `$version` of the desired properties.
        version: Option<u64>,
    },
    /// Nothing this device subscribed to.
    Unknown,
}

/// Names and values, percent-decoded, in the order received; a name without `=` has no value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PropertyBag(Vec<(String, Option<String>)>);

impl Inbound {
    /// Reads a topic. Never fails: what is not understood is [`Inbound::Unknown`].
    #[must_use]
    pub fn parse(topic: &str, device_id: &str) -> Self {
        if let Some(bag) = topic
            .strip_prefix("devices/")
            .and_then(|t| t.strip_prefix(device_id))
            .and_then(|t| t.strip_prefix("/messages/devicebound"))
        {
            return Self::CloudToDevice(PropertyBag::parse(bag.trim_start_matches('/')));
        }
        if let Some((status, query)) = topic.strip_prefix("$iothub/twin/res/").and_then(|t| t.split_once('/')) {
            let bag = PropertyBag::parse(query.trim_start_matches('?'));
            let (Ok(status), Some(request_id)) = (status.parse(), bag.get("$rid")) else { return Self::Unknown };
            return Self::TwinAnswer { status, request_id: request_id.to_owned(), version: bag.version() };
        }
        if let Some(query) = topic.strip_prefix("$iothub/twin/PATCH/properties/desired/") {
            return Self::DesiredChanged { version: PropertyBag::parse(query.trim_start_matches('?')).version() };
        }
        Self::Unknown
    }
}

impl PropertyBag {
    /// Reads `k=v&k2&k3=`. Keys arrive with `$` both plain and escaped, so they are decoded before anyone compares.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(PROPERTIES_MAX);
        Self(
            pairs
                .map(|pair| match pair.split_once('=') {
                    Some((key, value)) => (decode(key), Some(decode(value))),
                    None => (decode(pair), None),
                })
                .collect(),
        )
    }

    /// The first value under this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.as_deref())
    }

    /// Adds a property.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), Some(value.into())));
    }

    /// The bag as it stands at the end of a topic, both sides percent-encoded.
    #[must_use]
    pub fn encode(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let pairs = self.0.iter().map(|(key, value)| match value {
            Some(value) => format!("{}={}", encode(key), encode(value)),
            None => encode(key),
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    fn version(&self) -> Option<u64> {
        self.get("$version").and_then(|text| text.parse().ok())
    }
}

#[cfg(test)]
mod tests;

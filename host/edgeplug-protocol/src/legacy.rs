//! The IoTConnect legacy protocol: device message 1.0, wire version "2.0".
//!
//! Discovery and sync run over HTTPS, everything else as JSON bodies on one IoT Hub topic whose kind is the number
//! `mt` in the body.

pub(crate) mod c2d;
pub mod discovery;
pub mod sync;

use serde::Serialize;

/// The wire version this module speaks, as it stands in URLs and in `sdk.v`.
pub const WIRE_VERSION: &str = "2.0";

/// Who speaks: the `sdk` member of every body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sdk {
    /// Language tag the backend knows, for instance `M_PYTHON`.
    #[serde(rename = "l")]
    pub language: String,
    /// [`WIRE_VERSION`].
    #[serde(rename = "v")]
    pub version: &'static str,
    /// Environment of the portal, passed through as configured.
    #[serde(rename = "e")]
    pub environment: String,
}

impl Sdk {
    /// The language and environment of this device.
    #[must_use]
    pub fn new(language: impl Into<String>, environment: impl Into<String>) -> Self {
        Self { language: language.into(), version: WIRE_VERSION, environment: environment.into() }
    }
}

/// Appends `"od":1` to a stored body: the mark of a message that waited offline.
///
/// Bodies are JSON objects of our own making, so the last brace is the place; anything else comes back unchanged.
#[must_use]
pub fn mark_offline(body: &str) -> String {
    match body.strip_suffix('}') {
        Some(head) if head.ends_with('{') => format!("{head}\"od\":1}}"),
        Some(head) => format!("{head},\"od\":1}}"),
        None => body.to_owned(),
    }
}

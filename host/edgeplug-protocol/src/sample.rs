//! What a plugin measured, before any wire format is known.
//!
//! A sample is typed but not validated: whether an attribute exists and what it may hold is decided by the device
//! template ([`crate::template`]), which may arrive long after the sample was taken.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Least time between two samples of one plugin; a manifest that asks for less gets this.
pub const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// One reading of one device: some attributes at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The child's unique id, `None` for the device itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// When it was measured; `None` means when the daemon took it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Attribute name and value, in the order given. Values are any JSON; NaN and infinities come as the strings
    /// `NaN`, `inf`, `-inf`, which no numeric attribute accepts.
    pub values: Vec<(String, serde_json::Value)>,
}

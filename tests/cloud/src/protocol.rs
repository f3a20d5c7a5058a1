//! The two protocols a device can be spoken to in, and which of them the portal offers it.

use serde::{Deserialize, Serialize};

/// A version of IoTConnect's device message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// Device message 1.0, "2.0" on the wire.
    #[serde(rename = "1.0")]
    Legacy,
    /// Device message 2.1.
    #[serde(rename = "2.1")]
    V21,
}

/// Which protocols a device is offered: the message version of its template, or, of a portal in transition, both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Offer {
    /// Only the legacy one: its identity is not found in 2.1.
    #[default]
    #[serde(rename = "1.0")]
    Legacy,
    /// Only 2.1: sync does not find it.
    #[serde(rename = "2.1")]
    V21,
    /// Either.
    #[serde(rename = "both")]
    Both,
}

impl Offer {
    /// Whether `protocol` is among them.
    #[must_use]
    pub fn includes(self, protocol: Protocol) -> bool {
        match self {
            Self::Legacy => protocol == Protocol::Legacy,
            Self::V21 => protocol == Protocol::V21,
            Self::Both => true,
        }
    }
}

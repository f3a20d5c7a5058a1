//! Which of the two wire protocols is spoken.

use serde::{Deserialize, Serialize};

/// A version of the IoTConnect device protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Version {
    /// Device message 1.0, wire version "2.0": what the TPM SDK 3.0.1 speaks.
    #[default]
    #[serde(rename = "1.0")]
    Legacy,
    /// Device message 2.1.
    #[serde(rename = "2.1")]
    V21,
}

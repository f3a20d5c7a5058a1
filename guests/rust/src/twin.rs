//! The device twin: JSON documents that the cloud keeps. A twin may hold anything, so they are JSON text here: at most
//! 32 KiB, nested at most 10 deep. `serde_json` reads and writes them well.
//!
//! ```
//! use edgeplug_guest::{Plugin, twin};
//!
//! #[derive(Default)]
//! struct Fan;
//!
//! impl Plugin for Fan {
//!     fn desired_changed(&mut self, change: &twin::Change) -> Result<(), String> {
//!         if change.desired.contains("\"fan\"") {
//!             twin::report(r#"{"fan": "on"}"#)?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! edgeplug_guest::export!(Fan: twin_events);
//! # fn main() {}
//! ```

use std::fmt;

pub use crate::bindings::imports::edgeplug::plugin::twin::Document;
pub use crate::bindings::twin_events::exports::edgeplug::plugin::twin_events::Change;

/// Why the twin could not be had or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no connection, or the hub did not answer in time. Nothing was changed as far as is known.
    Unavailable(String),
    /// The text is not JSON, not an object, or too large; says where.
    Invalid(String),
    /// The hub took it not; holds its status code.
    Refused(u16),
}

/// Asks the hub for the whole twin, and waits for its answer; the wait does not count against the call's deadline.
pub fn get() -> Result<Document, Error> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::twin::get().map_err(Error::from);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.twin.clone())
}

/// Merges a JSON object into what is reported: its members replace those of the same name, a member of `null` is
/// removed. Waits for the hub's answer, the new version of the reported properties.
pub fn report(patch: &str) -> Result<u64, Error> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::twin::report(patch).map_err(Error::from);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let twin = host.twin.as_mut().map_err(|error| error.clone())?;
        host.reported.push(patch.to_owned());
        twin.reported_version += 1;
        Ok(twin.reported_version)
    })
}

#[cfg(target_family = "wasm")]
impl From<crate::bindings::imports::edgeplug::plugin::twin::Error> for Error {
    fn from(error: crate::bindings::imports::edgeplug::plugin::twin::Error) -> Self {
        use crate::bindings::imports::edgeplug::plugin::twin::Error as Wire;
        match error {
            Wire::Unavailable(reason) => Self::Unavailable(reason),
            Wire::Invalid(reason) => Self::Invalid(reason),
            Wire::Refused(status) => Self::Refused(status),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(reason) => write!(formatter, "the twin is unavailable: {reason}"),
            Self::Invalid(reason) => write!(formatter, "this is no twin document: {reason}"),
            Self::Refused(status) => write!(formatter, "the hub refused it with status {status}"),
        }
    }
}

impl std::error::Error for Error {}

/// So that `?` works in functions that answer with a text.
impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.to_string()
    }
}

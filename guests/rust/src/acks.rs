//! Ends what was answered with [`Reply::Deferred`](crate::Reply::Deferred).
//!
//! ```
//! use edgeplug_guest::{Command, Ending, Plugin, Reply, Sample, acks};
//!
//! #[derive(Default)]
//! struct Valve {
//!     moving: Option<String>,
//! }
//!
//! impl Plugin for Valve {
//!     fn handle(&mut self, command: &Command) -> Result<Reply, String> {
//!         self.moving = Some(command.id.clone());
//!         Ok(Reply::Deferred)
//!     }
//!
//!     fn sample(&mut self) -> Result<Vec<Sample>, String> {
//!         if let Some(id) = self.moving.take() {
//!             acks::finish(&id, Ending::done("the valve is closed"))?;
//!         }
//!         Ok(Vec::new())
//!     }
//! }
//!
//! edgeplug_guest::export!(Valve);
//! # fn main() {}
//! ```

use std::fmt;

use crate::Ending;

/// Why an end was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing under way has this id, or it has its end already.
    Unknown,
    /// It belongs to another plugin.
    NotYours,
    /// The end could not be written down; try again.
    Unavailable(String),
}

/// Ends the command or update with this id. The cloud is told once; when this returns without an error, the end is on
/// disk.
pub fn finish(id: &str, ending: impl Into<Ending>) -> Result<(), Error> {
    let ending = ending.into();
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::acks::finish(id, &ending).map_err(Error::from);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        if host.finished.contains_key(id) {
            return Err(Error::Unknown);
        }
        host.finished.insert(id.to_owned(), ending);
        Ok(())
    })
}

/// How far it is, 0 to 100 percent, with a few words. Never fails and never waits.
pub fn progress(id: &str, percent: u8, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::imports::edgeplug::plugin::acks::progress(id, percent, message);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.progress.push((id.to_owned(), percent, message.to_owned())));
}

#[cfg(target_family = "wasm")]
impl From<crate::bindings::imports::edgeplug::plugin::acks::Error> for Error {
    fn from(error: crate::bindings::imports::edgeplug::plugin::acks::Error) -> Self {
        use crate::bindings::imports::edgeplug::plugin::acks::Error as Wire;
        match error {
            Wire::Unknown => Self::Unknown,
            Wire::NotYours => Self::NotYours,
            Wire::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => formatter.write_str("nothing under way has this id, or it has its end already"),
            Self::NotYours => formatter.write_str("it belongs to another plugin"),
            Self::Unavailable(reason) => write!(formatter, "the end could not be written down: {reason}"),
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

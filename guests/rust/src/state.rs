//! A little memory that outlives the instance, the daemon and a power cut: at most 64 keys of 1 to 128 bytes, and
//! 64 KiB in all, names included. Every plugin has its own, kept under its name.
//!
//! ```
//! use edgeplug_guest::state;
//!
//! # fn main() -> Result<(), String> {
//! state::set("offset", 1234u64.to_le_bytes())?;
//! assert_eq!(state::get("offset")?, Some(1234u64.to_le_bytes().to_vec()));
//! # Ok(())
//! # }
//! ```

use std::fmt;

/// Why the memory could not be read or changed. What was there is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Past the limits; says which.
    Quota(String),
    /// The store cannot be read or written at the moment.
    Unavailable(String),
}

/// The value of one key, `None` when there is no such key.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::state::get(key).map_err(Error::from);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| Ok(host.state.get(key).cloned()))
}

/// Keeps a value. When this returns without an error, it is on disk.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
    let value = value.as_ref();
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::state::set(key, value).map_err(Error::from);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.keep(key, value))
}

/// Forgets a key. One that is not there is no error.
pub fn delete(key: &str) -> Result<(), Error> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::state::delete(key).map_err(Error::from);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        host.state.remove(key);
        Ok(())
    })
}

/// Every key, ordered.
pub fn keys() -> Result<Vec<String>, Error> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::state::keys().map_err(Error::from);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| Ok(host.state.keys().cloned().collect()))
}

#[cfg(target_family = "wasm")]
impl From<crate::bindings::imports::edgeplug::plugin::state::Error> for Error {
    fn from(error: crate::bindings::imports::edgeplug::plugin::state::Error) -> Self {
        use crate::bindings::imports::edgeplug::plugin::state::Error as Wire;
        match error {
            Wire::Quota(reason) => Self::Quota(reason),
            Wire::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota(reason) => formatter.write_str(reason),
            Self::Unavailable(reason) => write!(formatter, "the plugin's memory is unavailable: {reason}"),
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

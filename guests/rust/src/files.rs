//! Files that the manifest asks for and the operator allows, read-only.

use std::fmt;

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The right is missing; says which, and in which file to grant it.
    Denied(String),
    /// Granted, but there is no such file.
    NotFound,
    /// Larger than the host reads in one go; holds that limit in bytes.
    TooLarge(u64),
    /// Any other failure.
    Other(String),
}

/// The whole content of a granted file, at most 1 MiB.
pub fn read(path: &str) -> Result<Vec<u8>, Error> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::files::read(path).map_err(Error::from);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let file = host.files.get(path).ok_or(Error::NotFound)?;
        check(file.len())?;
        Ok(file.clone())
    })
}

/// The whole content of a granted text file.
pub fn read_to_string(path: &str) -> Result<String, Error> {
    String::from_utf8(read(path)?).map_err(|_| Error::Other(format!("{path} is not UTF-8")))
}

/// Part of a granted file: `length` bytes (at most 1 MiB) from `offset` on, fewer at its end, none behind it. For files
/// that grow.
pub fn read_at(path: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::files::read_at(path, offset, length).map_err(Error::from);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let file = host.files.get(path).ok_or(Error::NotFound)?;
        check(length as usize)?;
        Ok(crate::testing::part(file, offset, length))
    })
}

/// The granted paths that exist and fit the pattern, ordered. `*` and `?` stay within one path segment.
pub fn find(pattern: &str) -> Result<Vec<String>, Error> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::files::find(pattern).map_err(Error::from);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        Ok(host.files.keys().filter(|path| crate::testing::fits(pattern, path)).cloned().collect())
    })
}

#[cfg(not(target_family = "wasm"))]
fn check(length: usize) -> Result<(), Error> {
    use crate::testing::READ_MAX;
    if length <= READ_MAX { Ok(()) } else { Err(Error::TooLarge(READ_MAX as u64)) }
}

#[cfg(target_family = "wasm")]
impl From<crate::bindings::imports::edgeplug::plugin::files::Error> for Error {
    fn from(error: crate::bindings::imports::edgeplug::plugin::files::Error) -> Self {
        use crate::bindings::imports::edgeplug::plugin::files::Error as Wire;
        match error {
            Wire::Denied(reason) => Self::Denied(reason),
            Wire::NotFound => Self::NotFound,
            Wire::TooLarge(limit) => Self::TooLarge(limit),
            Wire::Other(reason) => Self::Other(reason),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(reason) | Self::Other(reason) => formatter.write_str(reason),
            Self::NotFound => formatter.write_str("there is no such file"),
            Self::TooLarge(limit) => write!(formatter, "the file is larger than {limit} bytes"),
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

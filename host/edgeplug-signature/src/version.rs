//! Releases, as signatures name them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How many numbers a release may have.
const NUMBERS_MAX: usize = 4;

/// One to four numbers with dots between; `1.2` is `1.2.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseVersion([u32; NUMBERS_MAX]);

/// The text is no [`ReleaseVersion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a release is one to four numbers such as 1.2.3")]
pub struct NotAVersion;

impl FromStr for ReleaseVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let mut numbers = [0; NUMBERS_MAX];
        let mut places = numbers.iter_mut();
        for part in text.split('.') {
            // `parse` takes a sign.
            if !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(NotAVersion);
            }
            *places.next().ok_or(NotAVersion)? = part.parse().map_err(|_| NotAVersion)?;
        }
        Ok(Self(numbers))
    }
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.0;
        write!(f, "{major}.{minor}.{patch}")?;
        if build == 0 { Ok(()) } else { write!(f, ".{build}") }
    }
}

impl TryFrom<String> for ReleaseVersion {
    type Error = NotAVersion;

    fn try_from(text: String) -> Result<Self, NotAVersion> {
        text.parse()
    }
}

impl From<ReleaseVersion> for String {
    fn from(version: ReleaseVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests;

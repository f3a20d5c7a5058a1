//! Variables of the daemon's environment that a plugin may be shown: `environment = ["TZ"]`.

use serde::{Deserialize, Deserializer};

/// Longest name taken.
const NAME_LEN_MAX: usize = 128;
/// Longest value shown. What is longer is no setting but a document.
const VALUE_LEN_MAX: usize = 4096;

/// The name of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable(String);

/// Why a text is no name of a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a variable: it wants 1 to 128 letters, digits and `_`, no digit first")]
pub struct NotAVariable(String);

impl Variable {
    /// Checks and takes a name (POSIX.1-2024, Base Definitions 8.1, and lower case letters).
    pub fn parse(text: &str) -> Result<Self, NotAVariable> {
        let fits = text.len() <= NAME_LEN_MAX
            && text.bytes().next().is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAVariable(text.chars().take(NAME_LEN_MAX).collect())) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the daemon's environment says; none when it says nothing, or nothing that can be shown.
    pub(crate) fn value(&self) -> Option<String> {
        std::env::var(&self.0).ok().filter(|value| value.len() <= VALUE_LEN_MAX)
    }
}

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;

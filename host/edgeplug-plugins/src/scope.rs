//! Which commands and which firmware a plugin wants: `[commands]` and `[firmware]` of its manifest.
//!
//! Nothing is enforced here; the daemon routes by it.

use serde::{Deserialize, Serialize};

/// Entries of each list.
const ENTRIES_MAX: usize = 256;
/// Of one entry.
const ENTRY_BYTES_MAX: usize = 256;

/// Which commands a plugin handles; an empty list is "all".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandScope {
    /// First words of command texts, for instance `set-led`.
    pub names: Vec<String>,
    /// Unique ids of the devices they are for; the device's own is one of them.
    pub devices: Vec<String>,
}

/// Whose firmware a plugin installs; an empty list is "everybody's".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FirmwareScope {
    /// Unique ids of the devices it is for; the device's own is one of them.
    pub devices: Vec<String>,
}

impl CommandScope {
    /// The same, or what is wrong with it.
    pub(crate) fn check(self) -> Result<Self, String> {
        check("commands.names", &self.names)?;
        check("commands.devices", &self.devices)?;
        Ok(self)
    }

    /// Whether it is "all".
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.names.is_empty() && self.devices.is_empty()
    }
}

impl FirmwareScope {
    /// The same, or what is wrong with it.
    pub(crate) fn check(self) -> Result<Self, String> {
        check("firmware.devices", &self.devices)?;
        Ok(self)
    }
}

fn check(key: &str, entries: &[String]) -> Result<(), String> {
    if entries.len() > ENTRIES_MAX {
        return Err(format!("`{key}` has {} entries; at most {ENTRIES_MAX} are taken", entries.len()));
    }
    let is_unfit =
        |entry: &&String| entry.is_empty() || entry.len() > ENTRY_BYTES_MAX || entry.chars().any(char::is_whitespace);
    match entries.iter().find(is_unfit) {
        Some(entry) => Err(format!("`{key}` holds {entry:?}; it wants one word of at most {ENTRY_BYTES_MAX} bytes")),
        None => Ok(()),
    }
}

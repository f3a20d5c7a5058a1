//! What an operator wants of updates.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use edgeplug_signature::SignaturePolicy;
use serde::Deserialize;

/// For [`crate::Firmware::open`].
#[derive(Clone, Debug)]
pub struct FirmwareOptions {
    /// The staging directory; made for us alone, and wanted so when it is there.
    pub directory: PathBuf,
    /// Where components go that came over the air; likewise.
    pub plugins: PathBuf,
    pub signature: SignaturePolicy,
    pub digest: DigestPolicy,
    /// Most bytes of one file.
    pub file_bytes_max: u64,
    /// Most bytes of all files of one target.
    pub update_bytes_max: u64,
    /// What stays free on the disk.
    pub free_bytes_min: u64,
    pub installer: Option<Installer>,
}

/// `ota.digest` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DigestPolicy {
    /// Somebody must have told the file's SHA-256, or signed it well.
    #[default]
    Require,
    /// Without one, TLS and the length suffice.
    IfGiven,
}

/// The program that installs firmware. No shell sees any of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installer {
    /// Absolute path of the program and its arguments; the absolute paths of the files are appended.
    pub command: Vec<String>,
    /// What tells after a restart of the device, by exit code 0, that the new firmware runs.
    pub confirm: Option<Vec<String>>,
    /// After this a run is killed with all it started.
    pub timeout: Duration,
    /// What is installed runs after a restart of the device only.
    pub restart: bool,
}

/// Why updates cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    #[error("cannot use the directory {path}", path = .path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("`ota.{0}` must be a list that begins with the absolute path of a program")]
    Program(&'static str),
    #[error("`ota.restart` needs `ota.confirm`, the command that tells whether the new firmware runs")]
    NoConfirm,
}

impl Installer {
    pub(crate) fn check(&self) -> Result<(), FirmwareError> {
        let is_sound = |command: &[String]| command.first().is_some_and(|program| program.starts_with('/'));
        match &self.confirm {
            _ if !is_sound(&self.command) => Err(FirmwareError::Program("installer")),
            Some(confirm) if !is_sound(confirm) => Err(FirmwareError::Program("confirm")),
            None if self.restart => Err(FirmwareError::NoConfirm),
            _ => Ok(()),
        }
    }
}

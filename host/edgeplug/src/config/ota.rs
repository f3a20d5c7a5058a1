//! `[ota]`: whose updates are taken, how large they may be, and who installs them.
//!
//! A configuration that wants signatures and names no key is understood: the daemon runs and refuses every update with
//! the remedy. Everything else that cannot be is an error.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edgeplug_plugins::{KeyError, SignatureMode, SignaturePolicy};
use edgeplug_session::config::{DeviceWay, OtaPolicy};
use serde::Deserialize;

use super::context::Context;
use crate::exit::{Exit, Problem, chain};

const MIB: u64 = 1024 * 1024;
/// Half an hour is long for writing a partition, a day is long for anything.
const INSTALLER_TIMEOUT_S: std::ops::RangeInclusive<u64> = 1..=86_400;
/// A KiB a second takes six days for half a GiB; beyond a GB no limit is meant.
const RATE_BYTES_PER_S: std::ops::RangeInclusive<u64> = 1_024..=1_000_000_000;
/// A TiB is more than any device holds.
const FILE_MB: std::ops::RangeInclusive<u64> = 1..=1_048_576;
const FREE_MB: std::ops::RangeInclusive<u64> = 0..=1_048_576;
const ATTEMPTS: std::ops::RangeInclusive<u32> = 1..=100;
const FETCH_TRIES: std::ops::RangeInclusive<u32> = 1..=1_000;
/// Words of a command, and their bytes: far below what `execve` takes.
const WORDS_MAX: usize = 64;
const WORD_BYTES_MAX: usize = 4_096;

/// What `[ota]` means.
#[derive(Debug, Clone)]
pub(crate) struct OtaConfig {
    /// What belongs to updates, below the state directory.
    pub(crate) directory: PathBuf,
    /// Why no update is taken, with the remedy, if so.
    pub(crate) refused: Option<String>,
    pub(crate) signature: SignaturePolicy,
    /// Whether a file must have a digest or a signature.
    pub(crate) digest_required: bool,
    /// Whether components become plugins.
    pub(crate) components: bool,
    pub(crate) installer: Option<InstallerConfig>,
    /// Bytes a second.
    pub(crate) rate_max: Option<u64>,
    pub(crate) file_bytes_max: u64,
    pub(crate) update_bytes_max: u64,
    pub(crate) free_bytes_min: u64,
    attempts_max: u32,
    fetch_tries_max: u32,
}

/// A program that installs the device's own firmware.
#[derive(Debug, Clone)]
pub(crate) struct InstallerConfig {
    /// Program and arguments; the files follow.
    pub(crate) command: Vec<String>,
    pub(crate) timeout: Duration,
    /// Asked after the restart that the installer needs.
    pub(crate) confirm: Option<Vec<String>>,
    /// Who starts it; `None` lets the surroundings decide.
    pub(crate) by: Option<InstalledBy>,
}

/// Who starts the installer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum InstalledBy {
    /// The daemon itself, with its own rights.
    Daemon,
    /// `edgeplug-install.service`, with root's.
    Unit,
}

impl InstallerConfig {
    /// Who starts it, here: a service that is not root's has a unit do it.
    pub(crate) fn by(&self) -> InstalledBy {
        let is_service = std::env::var_os("NOTIFY_SOCKET").is_some();
        let usual =
            if is_service && !rustix::process::geteuid().is_root() { InstalledBy::Unit } else { InstalledBy::Daemon };
        self.by.unwrap_or(usual)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedOta {
    signature: Option<SignatureMode>,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    digest: TypedDigest,
    components: Option<bool>,
    installer: Option<Vec<String>>,
    installer_by: Option<InstalledBy>,
    installer_timeout_s: Option<u64>,
    #[serde(default)]
    restart: bool,
    confirm: Option<Vec<String>>,
    rate_bytes_per_s: Option<u64>,
    file_mb_max: Option<u64>,
    update_mb_max: Option<u64>,
    free_mb_min: Option<u64>,
    attempts_max: Option<u32>,
    fetch_tries_max: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TypedDigest {
    /// From a sidecar, a header, the URL or a signature.
    #[default]
    Require,
    /// The length and TLS suffice where there is none.
    IfGiven,
}

impl OtaConfig {
    /// What becomes of them, in a few words.
    pub(crate) fn words(&self) -> String {
        if self.refused.is_some() {
            return "refused".to_owned();
        }
        let signature = match self.signature.mode {
            SignatureMode::Require => "signed ones only",
            SignatureMode::Warn => "unsigned ones too, which is said",
            SignatureMode::Off => "nobody looks for signatures",
        };
        let device = match &self.installer {
            Some(installer) => installer.command.first().map_or("an installer", String::as_str),
            None => "plugins",
        };
        format!(
            "{signature}; installed by {device}{}",
            if self.components { "; components become plugins" } else { "" }
        )
    }

    /// Where files are fetched to.
    pub(crate) fn staging(&self) -> PathBuf {
        self.directory.join("staging")
    }

    /// Plugins that came by an update.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.directory.join("plugins")
    }

    /// Where the installer's unit is asked and answers.
    pub(crate) fn requests(&self) -> PathBuf {
        self.directory.join("requests")
    }

    /// What the session has to know of it.
    pub(crate) fn policy(&self) -> OtaPolicy {
        OtaPolicy {
            device_way: if self.installer.is_some() { DeviceWay::Installer } else { DeviceWay::Plugin },
            components: self.components,
            attempts_max: self.attempts_max,
            fetch_tries_max: self.fetch_tries_max,
            restart: self.installer.as_ref().is_some_and(|installer| installer.confirm.is_some()),
        }
    }
}

impl TypedOta {
    pub(super) fn check(self, context: &Context<'_>, state_dir: &Path) -> Result<OtaConfig, Problem> {
        let mib = |key: &str, typed, default, range| {
            context.range(&format!("ota.{key}"), typed, default, range, "MiB").map(|mib: u64| mib * MIB)
        };
        let update_bytes_max = mib("update_mb_max", self.update_mb_max, 1_024, FILE_MB)?;
        let file_default = 512.min(update_bytes_max / MIB);
        let file_bytes_max = mib("file_mb_max", self.file_mb_max, file_default, FILE_MB)?;
        if file_bytes_max > update_bytes_max {
            return Err(
                context.invalid("ota.file_mb_max", "one file cannot be larger than all; raise ota.update_mb_max")
            );
        }
        let free_bytes_min = mib("free_mb_min", self.free_mb_min, 64, FREE_MB)?;
        let rate_max = match self.rate_bytes_per_s {
            Some(rate) => {
                Some(context.range("ota.rate_bytes_per_s", Some(rate), rate, RATE_BYTES_PER_S, "bytes a second")?)
            }
            None => None,
        };
        let usual = OtaPolicy::default();
        let attempts_max =
            context.range("ota.attempts_max", self.attempts_max, usual.attempts_max, ATTEMPTS, "attempts")?;
        let fetch_tries_max =
            context.range("ota.fetch_tries_max", self.fetch_tries_max, usual.fetch_tries_max, FETCH_TRIES, "tries")?;
        let (signature, refused) = self.signature(context)?;
        Ok(OtaConfig {
            directory: state_dir.join("ota"),
            refused,
            signature,
            digest_required: self.digest == TypedDigest::Require,
            components: self.components.unwrap_or(usual.components),
            installer: self.installer(context)?,
            rate_max,
            file_bytes_max,
            update_bytes_max,
            free_bytes_min,
            attempts_max,
            fetch_tries_max,
        })
    }

    /// The policy, and why no update is taken by it.
    fn signature(&self, context: &Context<'_>) -> Result<(SignaturePolicy, Option<String>), Problem> {
        let mode = self.signature.unwrap_or(SignatureMode::Require);
        match SignaturePolicy::new(mode, &self.keys) {
            Ok(policy) => Ok((policy, None)),
            Err(KeyError::NoKeys(_)) if mode == SignatureMode::Require => {
                let reason = "updates must be signed (ota.signature), and ota.keys names no key whose signatures count; \
                              set it, or ota.signature = \"off\"";
                let policy = SignaturePolicy { mode, keys: Vec::new() };
                Ok((policy, Some(format!("{reason} in {}", context.file.display()))))
            }
            Err(KeyError::NoKeys(_)) => {
                Err(context.invalid("ota.signature", "\"warn\" needs a key whose signatures count; set ota.keys"))
            }
            Err(error @ KeyError::Read(..)) => Err(context.wrong("ota.keys", Exit::ConfigFileMissing, &chain(&error))),
            Err(error) => Err(context.invalid("ota.keys", &chain(&error))),
        }
    }

    fn installer(&self, context: &Context<'_>) -> Result<Option<InstallerConfig>, Problem> {
        let Some(command) = &self.installer else {
            let lonely = [
                ("ota.confirm", self.confirm.is_some()),
                ("ota.restart", self.restart),
                ("ota.installer_by", self.installer_by.is_some()),
                ("ota.installer_timeout_s", self.installer_timeout_s.is_some()),
            ];
            return match lonely.into_iter().find(|(_, typed)| *typed) {
                Some((key, _)) => Err(context.invalid(key, "there is no installer; set ota.installer")),
                None => Ok(None),
            };
        };
        program(context, "ota.installer", command)?;
        match &self.confirm {
            Some(confirm) => program(context, "ota.confirm", confirm)?,
            None if self.restart => {
                let reason = "after a restart something must say whether the new firmware runs; set ota.confirm";
                return Err(context.invalid("ota.restart", reason));
            }
            None => {}
        }
        if self.confirm.is_some() && !self.restart {
            return Err(context.invalid("ota.confirm", "it is asked after a restart only; set ota.restart = true"));
        }
        let timeout_s = context.range(
            "ota.installer_timeout_s",
            self.installer_timeout_s,
            1_800,
            INSTALLER_TIMEOUT_S,
            "seconds",
        )?;
        Ok(Some(InstallerConfig {
            command: command.clone(),
            timeout: Duration::from_secs(timeout_s),
            confirm: self.confirm.clone(),
            by: self.installer_by,
        }))
    }
}

/// A program and its arguments, as they will be given to the kernel: no shell reads them.
fn program(context: &Context<'_>, key: &str, command: &[String]) -> Result<(), Problem> {
    let reason = match command.first() {
        None => "is empty; write [\"/usr/bin/program\", \"argument\"]".to_owned(),
        Some(program) if !Path::new(program).is_absolute() => {
            format!("{program:?} is no absolute path; write [\"/usr/bin/program\", \"argument\"], no shell reads it")
        }
        Some(_) if command.len() > WORDS_MAX => format!("has more than {WORDS_MAX} words; write a script"),
        Some(_) if command.iter().any(|word| word.len() > WORD_BYTES_MAX || word.contains('\0')) => {
            format!("has a word with a zero byte or of more than {WORD_BYTES_MAX} bytes; write a script")
        }
        Some(_) => return Ok(()),
    };
    Err(context.invalid(key, &reason))
}

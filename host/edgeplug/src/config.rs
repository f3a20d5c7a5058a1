//! The configuration file: what was typed, checked once, and what it means.
//!
//! One TOML file. Unknown keys are errors with line and suggestion; every message names the file, the place and the
//! remedy. Secrets stand in files of their own, never in this one.

mod cloud;
mod context;
mod custody;
mod explain;
mod identity;
mod link;
mod ota;
mod plugins;

use std::path::{Path, PathBuf};

use edgeplug_identity::IdentityConfig;
use serde::Deserialize;

use cloud::TypedCloud;
use context::Context;
use custody::{TypedOutbox, TypedUplink};
use identity::TypedIdentity;
use link::TypedLink;
use ota::TypedOta;
use plugins::TypedPlugins;

pub(crate) use custody::OutboxConfig;
pub(crate) use link::LinkConfig;
pub(crate) use ota::{InstalledBy, OtaConfig};
pub(crate) use plugins::PluginsConfig;

use crate::exit::{Exit, Problem};

/// Where the daemon looks when nothing is said.
pub(crate) const DEFAULT_FILE: &str = "/etc/edgeplug/edgeplug.toml";
/// Where the API listens when nothing is said.
pub(crate) const DEFAULT_SOCKET: &str = "/run/edgeplug/api.sock";

/// The program that compiles plugins.
const COMPILER: &str = "edgeplug-compiler";
/// Largest configuration file read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A configuration that was understood.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) state_dir: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) ca_file: Option<PathBuf>,
    /// Files with keys and passwords, which no plugin may be granted.
    pub(crate) secret_files: Vec<PathBuf>,
    pub(crate) identity: IdentityConfig,
    pub(crate) session: edgeplug_session::SessionConfig,
    pub(crate) outbox: OutboxConfig,
    pub(crate) link: LinkConfig,
    pub(crate) plugins: PluginsConfig,
    pub(crate) ota: OtaConfig,
}

/// What was typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    state_dir: Option<PathBuf>,
    socket: Option<PathBuf>,
    cloud: TypedCloud,
    #[serde(default)]
    identity: TypedIdentity,
    #[serde(default)]
    outbox: TypedOutbox,
    #[serde(default)]
    uplink: TypedUplink,
    #[serde(default)]
    link: TypedLink,
    #[serde(default)]
    plugins: TypedPlugins,
    #[serde(default)]
    ota: TypedOta,
}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn load(file: &Path) -> Result<Self, Problem> {
        let (typed, text) = Typed::read(file)?;
        typed.check(&Context { file, text: &text })
    }

    /// Reads a file and checks what it says of updates only: who installs them does not have the daemon's credentials.
    pub(crate) fn load_ota(file: &Path) -> Result<OtaConfig, Problem> {
        let (typed, text) = Typed::read(file)?;
        let state_dir = typed.state_dir();
        typed.ota.check(&Context { file, text: &text }, &state_dir)
    }
}

impl Typed {
    fn read(file: &Path) -> Result<(Self, String), Problem> {
        let missing = |reason: String| {
            let text = format!(
                "{}: {reason}; write one (README, \"Configure\") or name another with --config",
                file.display()
            );
            Problem::new(Exit::ConfigMissing, text)
        };
        let metadata =
            std::fs::metadata(file).map_err(|error| missing(format!("cannot read the configuration ({error})")))?;
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            return Err(missing(format!("not a configuration file of at most {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(file)
            .map_err(|error| missing(format!("cannot read the configuration ({error})")))?;
        let typed = toml::from_str(&text).map_err(|error| explain::explain(file, &text, &error))?;
        Ok((typed, text))
    }

    fn state_dir(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| "/var/lib/edgeplug".into())
    }

    fn check(self, context: &Context<'_>) -> Result<Config, Problem> {
        let cloud = self.cloud.check(context)?;
        let link = self.link.check(context)?;
        let custody = custody::check(&self.outbox, &self.uplink, context)?;
        let state_dir = self.state_dir();
        let ota = self.ota.check(context, &state_dir)?;
        Ok(Config {
            socket: self.socket.clone().unwrap_or_else(|| DEFAULT_SOCKET.into()),
            ca_file: self.cloud.ca_file.clone(),
            secret_files: self.identity.secret_files().chain(self.link.proxy_password_file.clone()).collect(),
            identity: self.identity.check(context, &state_dir)?,
            session: edgeplug_session::SessionConfig {
                cpid: cloud.cpid,
                environment: cloud.environment,
                unique_id: cloud.unique_id,
                language: cloud.language,
                discovery_url: cloud.discovery_url,
                dps_url: cloud.dps_url,
                scope_id: cloud.scope_id,
                registration: cloud.registration,
                token_life: cloud.token_life,
                // Filled in by `run`, which is the one to store times of a boot.
                boot_id: String::new(),
                window: custody.window,
                in_flight_max: custody.in_flight_max,
                batch: custody.batch,
                backlog_per_s: custody.backlog_per_s,
                daily_bytes_max: custody.daily_bytes_max,
                retry_max: link.retry_max,
                puback_timeout: custody.puback_timeout,
                time_to_live: custody.time_to_live,
                durability: custody.durability,
                protocol: cloud.protocol,
                sid: cloud.sid,
                frequency: custody.frequency,
                hard_stop: cloud.hard_stop,
                hard_stop_wipes: cloud.hard_stop_wipes,
                rounding: custody.decimals,
                ack_status: cloud.ack_status,
                transforms: self.plugins.transforms(context)?,
                ota: ota.policy(),
            },
            outbox: custody.outbox,
            link,
            plugins: self.plugins.check(context, &state_dir)?,
            ota,
            state_dir,
        })
    }
}

/// Built, the two programs lie in one directory; installed, the compiler is none that anybody calls.
pub(crate) fn compiler_beside_us() -> PathBuf {
    let directory = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned())).unwrap_or_default();
    let places = [directory.join(COMPILER), directory.join("../libexec/edgeplug").join(COMPILER)];
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| Path::new("/usr/libexec/edgeplug").join(COMPILER))
}

#[cfg(test)]
mod tests;

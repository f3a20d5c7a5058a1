//! The configuration file: what was typed, checked once, and what it means.
//!
//! One TOML file. Unknown keys are errors with line and suggestion; every message names the file, the place and the
//! remedy. Secrets stand in files of their own, never in this one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgeplug_identity::{EkTemplate, IdentityConfig, SymmetricKeyConfig, Tcti, TpmConfig};
use edgeplug_plugins::{PluginPolicy, Policy};
use edgeplug_protocol::azure::registration::RegistrationId;
use edgeplug_session::config::RegistrationName;
use secrecy::SecretString;
use serde::Deserialize;

use crate::exit::{Exit, Problem};

/// Where the daemon looks when nothing is said.
pub(crate) const DEFAULT_FILE: &str = "/etc/edgeplug/edgeplug.toml";
/// Where the API listens when nothing is said.
pub(crate) const DEFAULT_SOCKET: &str = "/run/edgeplug/api.sock";

/// Largest configuration file read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Rows published and not yet off the disk: what a crash may send twice.
const WINDOW: u16 = 256;
/// Publishes left unacknowledged: enough for the rate of any hub, few enough to be sent again after a lost link.
const IN_FLIGHT_MAX: u16 = 100;
/// Shortest and longest life of a hub token.
const TOKEN_LIFE_S: std::ops::RangeInclusive<u64> = 60..=86_400;

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
    pub(crate) plugins: PluginsConfig,
}

#[derive(Debug)]
pub(crate) struct PluginsConfig {
    pub(crate) directory: PathBuf,
    pub(crate) compiler: PathBuf,
    pub(crate) policy: Policy,
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
    plugins: TypedPlugins,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedCloud {
    cpid: String,
    env: String,
    unique_id: String,
    scope_id: Option<String>,
    discovery_url: Option<String>,
    dps_url: Option<String>,
    ca_file: Option<PathBuf>,
    registration_id: Option<String>,
    language: Option<String>,
    token_life_s: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedIdentity {
    #[serde(default)]
    kind: TypedKind,
    tcti: Option<String>,
    ek_handle: Option<u32>,
    srk_handle: Option<u32>,
    identity_handle: Option<u32>,
    ek_template: Option<TypedTemplate>,
    owner_auth_file: Option<PathBuf>,
    endorsement_auth_file: Option<PathBuf>,
    command_timeout_ms: Option<u64>,
    key_file: Option<PathBuf>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TypedKind {
    #[default]
    Tpm,
    SymmetricKey,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TypedTemplate {
    #[default]
    Tcg,
    AzureC,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedPlugins {
    directory: Option<PathBuf>,
    compiler: Option<PathBuf>,
    #[serde(default)]
    allow: BTreeMap<String, PluginPolicy>,
}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn load(file: &Path) -> Result<Self, Problem> {
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
        let typed: Typed = toml::from_str(&text).map_err(|error| explain(file, &text, &error))?;
        typed.check(file)
    }
}

impl Typed {
    fn check(self, file: &Path) -> Result<Config, Problem> {
        let context = Context { file };
        let cloud = &self.cloud;
        for (key, value) in [("cpid", &cloud.cpid), ("env", &cloud.env), ("unique_id", &cloud.unique_id)] {
            context.name(&format!("cloud.{key}"), value)?;
        }
        let url = |key: &str, value: &Option<String>, default: &str| match value {
            None => Ok(default.to_owned()),
            Some(url) if url.starts_with("https://") || url.starts_with("http://") => {
                Ok(url.trim_end_matches('/').to_owned())
            }
            Some(url) => Err(context.invalid(key, &format!("{url:?} is not a URL; write https://host"))),
        };
        let discovery_url =
            url("cloud.discovery_url", &cloud.discovery_url, edgeplug_protocol::legacy::discovery::DEFAULT_URL)?;
        let dps_url = url("cloud.dps_url", &cloud.dps_url, "https://global.azure-devices-provisioning.net")?;
        let token_life_s = cloud.token_life_s.unwrap_or(3600);
        if !TOKEN_LIFE_S.contains(&token_life_s) {
            return Err(context.invalid("cloud.token_life_s", "must be from 60 seconds to 86400, a day"));
        }
        let registration = match cloud.registration_id.as_deref() {
            None | Some("iotconnect") => {
                RegistrationId::iotconnect(&cloud.cpid, &cloud.unique_id).map(RegistrationName::Is)
            }
            Some("base32") => Ok(RegistrationName::Base32OfEndorsementKey),
            Some("hex") => Ok(RegistrationName::HexOfEndorsementKey),
            Some(literal) => RegistrationId::new(literal).map(RegistrationName::Is),
        }
        .map_err(|error| context.invalid("cloud.registration_id", &error.to_string()))?;
        if let Some(ca_file) = &cloud.ca_file {
            context.file("cloud.ca_file", ca_file)?;
        }
        let state_dir = self.state_dir.clone().unwrap_or_else(|| "/var/lib/edgeplug".into());
        Ok(Config {
            socket: self.socket.clone().unwrap_or_else(|| DEFAULT_SOCKET.into()),
            ca_file: cloud.ca_file.clone(),
            secret_files: self.identity.secret_files(),
            identity: self.identity.check(&context, &state_dir)?,
            session: edgeplug_session::SessionConfig {
                cpid: cloud.cpid.clone(),
                environment: cloud.env.clone(),
                unique_id: cloud.unique_id.clone(),
                language: cloud.language.clone().unwrap_or_else(|| "M_PYTHON".into()),
                discovery_url,
                dps_url,
                scope_id: cloud.scope_id.clone().filter(|scope| !scope.is_empty()),
                registration,
                token_life: Duration::from_secs(token_life_s),
                boot_id: String::new(),
                window: WINDOW,
                in_flight_max: IN_FLIGHT_MAX,
                batch: None,
                backlog_per_s: 50,
                daily_bytes_max: None,
                time_to_live: None,
                durability: edgeplug_session::config::Durability::Stored,
            },
            plugins: self.plugins.check(&context, &state_dir)?,
            state_dir,
        })
    }
}

impl TypedIdentity {
    fn secret_files(&self) -> Vec<PathBuf> {
        [&self.key_file, &self.owner_auth_file, &self.endorsement_auth_file].into_iter().flatten().cloned().collect()
    }

    fn check(&self, context: &Context<'_>, state_dir: &Path) -> Result<IdentityConfig, Problem> {
        let tpm_only = [
            ("tcti", self.tcti.is_some()),
            ("ek_handle", self.ek_handle.is_some()),
            ("srk_handle", self.srk_handle.is_some()),
            ("identity_handle", self.identity_handle.is_some()),
            ("ek_template", self.ek_template.is_some()),
            ("command_timeout_ms", self.command_timeout_ms.is_some()),
            ("owner_auth_file", self.owner_auth_file.is_some()),
            ("endorsement_auth_file", self.endorsement_auth_file.is_some()),
        ];
        match (self.kind, &self.key_file) {
            (TypedKind::SymmetricKey, Some(key_file)) => {
                if let Some((key, _)) = tpm_only.iter().find(|(_, set)| *set) {
                    return Err(context.invalid(&format!("identity.{key}"), "belongs to kind = \"tpm\"; remove it"));
                }
                context.file("identity.key_file", key_file)?;
                Ok(IdentityConfig::SymmetricKey(SymmetricKeyConfig { key_file: key_file.clone() }))
            }
            (TypedKind::SymmetricKey, None) => {
                Err(context.invalid("identity.key_file", "is missing; a symmetric key stands in a file of its own"))
            }
            (TypedKind::Tpm, Some(_)) => Err(context.invalid(
                "identity.key_file",
                "belongs to kind = \"symmetric-key\"; remove it, there is no falling back from a TPM to a key file",
            )),
            (TypedKind::Tpm, None) => self.check_tpm(context, state_dir).map(IdentityConfig::Tpm),
        }
    }

    fn check_tpm(&self, context: &Context<'_>, state_dir: &Path) -> Result<TpmConfig, Problem> {
        let tcti: Tcti =
            self.tcti.as_deref().unwrap_or("device:/dev/tpmrm0").parse().map_err(
                |error: edgeplug_identity::InvalidTcti| context.invalid("identity.tcti", &error.to_string()),
            )?;
        let defaults = TpmConfig::new(tcti, state_dir.join("hub-key.tpm"));
        let handle = |key: &str, handle: Option<u32>, default: u32| match handle {
            Some(handle) if !(0x8100_0000..=0x81FF_FFFF).contains(&handle) => {
                Err(context.invalid(key, "must be a persistent handle, 0x81000000 to 0x81ffffff"))
            }
            other => Ok(other.unwrap_or(default)),
        };
        Ok(TpmConfig {
            ek_handle: handle("identity.ek_handle", self.ek_handle, defaults.ek_handle)?,
            srk_handle: handle("identity.srk_handle", self.srk_handle, defaults.srk_handle)?,
            identity_handle: handle("identity.identity_handle", self.identity_handle, defaults.identity_handle)?,
            ek_template: match self.ek_template.unwrap_or_default() {
                TypedTemplate::Tcg => EkTemplate::Tcg,
                TypedTemplate::AzureC => EkTemplate::AzureC,
            },
            owner_auth: context.secret("identity.owner_auth_file", self.owner_auth_file.as_deref())?,
            endorsement_auth: context
                .secret("identity.endorsement_auth_file", self.endorsement_auth_file.as_deref())?,
            command_timeout: self.command_timeout_ms.map_or(defaults.command_timeout, Duration::from_millis),
            ..defaults
        })
    }
}

impl TypedPlugins {
    fn check(self, context: &Context<'_>, state_dir: &Path) -> Result<PluginsConfig, Problem> {
        let compiler = match self.compiler {
            Some(compiler) => {
                context.file("plugins.compiler", &compiler)?;
                compiler
            }
            None => compiler_beside_us(),
        };
        Ok(PluginsConfig {
            directory: self.directory.unwrap_or_else(|| state_dir.join("plugins")),
            compiler,
            policy: Policy {
                source: format!("[plugins.allow.NAME] in {}", context.file.display()),
                plugins: self.allow,
            },
        })
    }
}

/// Installed and built alike, the two programs lie in one directory.
fn compiler_beside_us() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("edgeplug-compiler")));
    beside.filter(|path| path.exists()).unwrap_or_else(|| "/usr/libexec/edgeplug/edgeplug-compiler".into())
}

struct Context<'a> {
    file: &'a Path,
}

impl Context<'_> {
    fn invalid(&self, key: &str, reason: &str) -> Problem {
        Problem::new(Exit::ConfigInvalid, format!("{}: {key}: {reason}", self.file.display()))
    }

    fn name(&self, key: &str, value: &str) -> Result<(), Problem> {
        let fits = !value.trim().is_empty() && value.len() <= 128 && !value.chars().any(char::is_control);
        if fits { Ok(()) } else { Err(self.invalid(key, "must be 1 to 128 characters; take it from the portal")) }
    }

    fn file(&self, key: &str, path: &Path) -> Result<(), Problem> {
        match std::fs::File::open(path) {
            Ok(_) => Ok(()),
            Err(error) => {
                let text = format!(
                    "{}: {key}: cannot read {} ({error}); create it or mend the path",
                    self.file.display(),
                    path.display()
                );
                Err(Problem::new(Exit::ConfigFileMissing, text))
            }
        }
    }

    fn secret(&self, key: &str, path: Option<&Path>) -> Result<Option<SecretString>, Problem> {
        let Some(path) = path else { return Ok(None) };
        self.file(key, path)?;
        let text = std::fs::read_to_string(path)
            .map_err(|error| self.invalid(key, &format!("cannot read {} ({error})", path.display())))?;
        Ok(Some(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned())))
    }
}

/// One message that names file, line, key and remedy.
fn explain(file: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message();
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    let place = format!("{}, line {number}", file.display());
    if let Some(unknown) = quoted(message).next().filter(|_| message.starts_with("unknown field")) {
        let known: Vec<_> = quoted(message).skip(1).collect();
        let nearest =
            known.iter().max_by(|a, b| strsim::jaro_winkler(a, unknown).total_cmp(&strsim::jaro_winkler(b, unknown)));
        let hint = match nearest {
            Some(nearest) if strsim::jaro_winkler(nearest, unknown) > 0.8 => format!("did you mean `{nearest}`?"),
            _ => format!("known here: {}", known.join(", ")),
        };
        return Problem::new(Exit::ConfigUnknownKey, format!("{place}: there is no key `{unknown}`; {hint}"));
    }
    if message.starts_with("missing field") {
        let key = quoted(message).next().unwrap_or_default();
        return Problem::new(Exit::ConfigWrongType, format!("{place}: the key `{key}` is missing; add it"));
    }
    if message.starts_with("invalid")
        || message.contains("expected") && line.contains('=') && !message.contains("invalid ")
    {
        let key = line.split('=').next().unwrap_or_default().trim();
        let text = format!("{place}: the value of `{key}` does not fit ({message}); mend `{line}`");
        return Problem::new(Exit::ConfigWrongType, text);
    }
    Problem::new(Exit::ConfigSyntax, format!("{place}: this is not TOML ({message}); mend `{line}`"))
}

/// The words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests;

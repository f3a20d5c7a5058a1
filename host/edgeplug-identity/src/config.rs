//! What an operator decides about a device's identity, parsed.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

/// The C library under the TPM code writes to stderr by itself unless this variable has this value before its first
/// use. Setting it needs a process without other threads, so it is left to whoever starts the daemon: the systemd unit
/// (`Environment=TSS2_LOG=all+none`) or a wrapper script. Without it nothing breaks; a TPM that cannot be reached costs
/// two lines per attempt.
pub const TSS2_LOG_ENV: (&str, &str) = ("TSS2_LOG", "all+none");

/// Which key signs for this device.
#[derive(Debug, Clone)]
pub enum IdentityConfig {
    /// A key that was imported into a TPM and cannot leave it.
    Tpm(TpmConfig),
    /// A key in a file.
    SymmetricKey(SymmetricKeyConfig),
}

/// How to reach a TPM and which of its handles are ours.
#[derive(Debug, Clone)]
pub struct TpmConfig {
    /// The way to the TPM; always explicit, the library's own search would try whatever it finds.
    pub tcti: Tcti,
    /// Persistent handle of the endorsement key.
    pub ek_handle: u32,
    /// Persistent handle of the storage root key.
    pub srk_handle: u32,
    /// Persistent handle of the hub key.
    pub identity_handle: u32,
    /// Used only where there is no key at `ek_handle` or `srk_handle` yet.
    pub ek_template: EkTemplate,
    /// Password of the owner hierarchy, needed to make keys persistent.
    pub owner_auth: Option<SecretString>,
    /// Password of the endorsement hierarchy, needed to create and to use the endorsement key.
    pub endorsement_auth: Option<SecretString>,
    /// Copy of the hub key, encrypted by the TPM and worthless outside it; its directory must exist.
    pub wrapped_key_file: PathBuf,
    /// How long a call waits for its answer. Discrete chips need up to a minute to create an RSA key; a call that gave
    /// up on that finds the key made when it is repeated.
    pub command_timeout: Duration,
}

impl TpmConfig {
    /// The handles every Azure client uses, the TCG template, no passwords.
    #[must_use]
    pub fn new(tcti: Tcti, wrapped_key_file: impl Into<PathBuf>) -> Self {
        Self {
            tcti,
            ek_handle: 0x8101_0001,
            srk_handle: 0x8100_0001,
            identity_handle: 0x8100_0100,
            ek_template: EkTemplate::Tcg,
            owner_auth: None,
            endorsement_auth: None,
            wrapped_key_file: wrapped_key_file.into(),
            command_timeout: Duration::from_secs(30),
        }
    }
}

/// A symmetric key in a file.
#[derive(Debug, Clone)]
pub struct SymmetricKeyConfig {
    /// Base64 of the device key, or of the key derived for this device from its enrolment group's key. Read at each
    /// signature, so a replaced file takes effect by itself.
    pub key_file: PathBuf,
}

/// The two templates in the field; from one chip they make different endorsement keys and so different enrolments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EkTemplate {
    /// `unique` is 256 zero bytes (TCG EK Credential Profile, template L-1): what the manufacturer's certificate is for.
    #[default]
    Tcg,
    /// `unique` is empty: Azure's C, Node and Java clients, hence gateways that ran an SDK built on them.
    AzureC,
}

/// The way to a TPM, in the notation of the TPM 2.0 software stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tcti {
    /// `device:/dev/tpmrm0`
    Device(PathBuf),
    /// `swtpm:host=127.0.0.1,port=2321`
    Swtpm {
        /// Name or address.
        host: String,
        /// Command port; the control port is the next one.
        port: u16,
    },
    /// `mssim:host=127.0.0.1,port=2321`
    Mssim {
        /// Name or address.
        host: String,
        /// Command port; the platform port is the next one.
        port: u16,
    },
    /// `tabrmd`: the access broker on the system bus.
    Tabrmd,
}

/// The text names no way to a TPM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no TPM; write device:/dev/tpmrm0, swtpm:host=127.0.0.1,port=2321, mssim:host=127.0.0.1,port=2321 or \
     tabrmd"
)]
pub struct InvalidTcti(String);

impl FromStr for Tcti {
    type Err = InvalidTcti;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidTcti(text.to_owned());
        if text == "tabrmd" {
            return Ok(Self::Tabrmd);
        }
        let (name, rest) = text.split_once(':').ok_or_else(invalid)?;
        match name {
            "device" if rest.starts_with('/') && !rest.contains('\0') => Ok(Self::Device(rest.into())),
            "swtpm" => host_and_port(rest).map(|(host, port)| Self::Swtpm { host, port }).ok_or_else(invalid),
            "mssim" => host_and_port(rest).map(|(host, port)| Self::Mssim { host, port }).ok_or_else(invalid),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "device:{}", path.display()),
            Self::Swtpm { host, port } => write!(f, "swtpm:host={host},port={port}"),
            Self::Mssim { host, port } => write!(f, "mssim:host={host},port={port}"),
            Self::Tabrmd => f.write_str("tabrmd"),
        }
    }
}

/// Both must be named: the library would silently put its defaults for what is missing or misspelt.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (mut host, mut port) = (None, None);
    for setting in text.split(',') {
        match setting.split_once('=')? {
            ("host", value) if host.is_none() && is_host(value) => host = Some(value.to_owned()),
            ("port", value) if port.is_none() => port = Some(value.parse().ok().filter(|&port| port != 0)?),
            _ => return None,
        }
    }
    Some((host?, port?))
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    text.parse::<IpAddr>().is_ok() || (text.len() <= 253 && text.split('.').all(label))
}

#[cfg(test)]
mod tests;

//! `[identity]`: a TPM or a key file, never one for want of the other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edgeplug_identity::{EkTemplate, IdentityConfig, SymmetricKeyConfig, Tcti, TpmConfig};
use serde::Deserialize;

use super::context::Context;
use crate::exit::Problem;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedIdentity {
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

impl TypedIdentity {
    /// Files that hold keys or passwords.
    pub(super) fn secret_files(&self) -> impl Iterator<Item = PathBuf> {
        [&self.key_file, &self.owner_auth_file, &self.endorsement_auth_file].into_iter().flatten().cloned()
    }

    pub(super) fn check(&self, context: &Context<'_>, state_dir: &Path) -> Result<IdentityConfig, Problem> {
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

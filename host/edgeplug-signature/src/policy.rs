//! What an operator wants of signatures, and what that means for the components of plugins.

use crate::claims::Claims;
use crate::key::{KeyError, SigningKey};
use crate::signed::FileSignature;
use crate::version::ReleaseVersion;

/// What the operator wants of signatures.
#[derive(Clone, Debug, Default)]
pub struct SignaturePolicy {
    pub mode: SignatureMode,
    /// Whose signatures count.
    pub keys: Vec<SigningKey>,
}

/// `plugins.signature` and `ota.signature` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureMode {
    /// What has no good signature is refused.
    Require,
    /// It is taken, and the log and the status say so.
    Warn,
    /// Nobody looks.
    #[default]
    Off,
}

/// Where a component comes from, as far as its signature says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Who signed it, as minisign prints it; none when nobody looked, or in mode `warn` when nobody signed it well.
    pub key_id: Option<String>,
    /// The release that the signature names.
    pub version: Option<ReleaseVersion>,
    /// What is wrong with it in mode `warn`, to be said.
    pub words: Option<String>,
}

impl SignaturePolicy {
    /// Of what the configuration says: each key as its text, or as the path of a file with it.
    pub fn new(mode: SignatureMode, keys: &[String]) -> Result<Self, KeyError> {
        let keys: Vec<_> = keys.iter().map(|entry| SigningKey::named(entry)).collect::<Result<_, _>>()?;
        match mode {
            SignatureMode::Require if keys.is_empty() => Err(KeyError::NoKeys("require")),
            SignatureMode::Warn if keys.is_empty() => Err(KeyError::NoKeys("warn")),
            _ => Ok(Self { mode, keys }),
        }
    }

    /// Judges a component of this file name by the text of the file beside it. The error is the reason of a refusal.
    pub fn check(&self, file_name: &str, component: &[u8], signature: Option<&str>) -> Result<Provenance, String> {
        let refused = match self.mode {
            SignatureMode::Off => return Ok(Provenance::default()),
            SignatureMode::Require | SignatureMode::Warn => match self.released(file_name, component, signature) {
                Ok(provenance) => return Ok(provenance),
                Err(reason) => format!("{reason}; {}", self.remedy(file_name)),
            },
        };
        self.said(refused).map(|words| Provenance { words, ..Provenance::default() })
    }

    /// Judges the release of a component by the highest one that proved itself. The error is the reason of a refusal,
    /// the words are to be said.
    pub fn against_rollback(
        &self,
        provenance: &Provenance,
        highest: Option<ReleaseVersion>,
    ) -> Result<Option<String>, String> {
        let (Some(highest), Some(_)) = (highest, &provenance.key_id) else { return Ok(None) };
        let what = match provenance.version {
            Some(version) if version >= highest => return Ok(None),
            Some(version) => format!("it is release {version}, and {highest} has run here"),
            None => format!("its signature names no release, and {highest} has run here"),
        };
        self.said(format!("{what}; to go back, sign the older component as a release of at least {highest}"))
    }

    /// The ids of the keys, for people.
    #[must_use]
    pub fn key_ids(&self) -> String {
        let ids: Vec<&str> = self.keys.iter().map(SigningKey::id).collect();
        ids.join(", ")
    }

    fn said(&self, reason: String) -> Result<Option<String>, String> {
        match self.mode {
            SignatureMode::Require => Err(reason),
            SignatureMode::Warn => Ok(Some(reason)),
            SignatureMode::Off => Ok(None),
        }
    }

    fn released(&self, file_name: &str, component: &[u8], signature: Option<&str>) -> Result<Provenance, String> {
        let signature = FileSignature::read(file_name, signature).map_err(|error| error.to_string())?;
        let signed = signature.check(&self.keys, component).map_err(|error| error.to_string())?;
        let version = Claims::release(signed.version.as_deref())
            .map_err(|reason| format!("the signature of key {} {reason}", signed.key_id))?;
        Ok(Provenance { key_id: Some(signed.key_id), version, words: None })
    }

    fn remedy(&self, file_name: &str) -> String {
        format!(
            "sign it with `minisign -S -m {file_name} -t 'version:1.2.3 file:{file_name}'` by a key of `plugins.keys` ({})",
            self.key_ids()
        )
    }
}

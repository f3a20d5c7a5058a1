//! The record of one plugin: what it says, and how it may change. No I/O.
//!
//! What must stay true: the version to go back to changes only by [`Record::confirm`]; what failed is remembered until it
//! is crowded out by newer failures; whatever a record on disk says, it is bounded and its hashes are hashes, because they
//! name files.

use edgeplug_signature::ReleaseVersion;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::hex;
use crate::manifest::MANIFEST_BYTES_MAX;
use crate::status::{Origin, Source};

/// What a record of this form says in its first field.
const SCHEMA: u32 = 1;
/// Failed versions remembered: more than anybody tries on one device in a row.
const FAILURES_MAX: usize = 16;
/// Characters of a reason that are kept.
const REASON_LEN_MAX: usize = 1000;
/// A signature with the longest comment that is read (`signature`).
const SIGNATURE_BYTES_MAX: usize = 16 << 10;
/// Starts of the daemon that a version on probation may see without a single good call. It may be what ends them.
const STARTS_MAX: u32 = 3;

/// SHA-256, 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Hash(String);

/// The text is no [`Hash`].
#[derive(Debug, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits")]
pub(crate) struct NotAHash;

/// One version: a component with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct VersionId {
    pub(crate) component: Hash,
    /// Of the manifest's text; of an empty one where there is none.
    pub(crate) manifest: Hash,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    schema: u32,
    /// The version to go back to.
    #[serde(default)]
    pub(crate) good: Option<Good>,
    /// The version on probation.
    #[serde(default)]
    pub(crate) trial: Option<Trial>,
    /// Versions that failed, the oldest first.
    #[serde(default)]
    set_aside: Vec<Failure>,
    /// The highest release that proved itself under a signature.
    #[serde(default)]
    pub(crate) highest: Option<ReleaseVersion>,
    /// Switched off by an operator.
    #[serde(default)]
    pub(crate) disabled: bool,
    /// The version that is left alone.
    #[serde(default)]
    pub(crate) quarantine: Option<Failure>,
}

/// A version that proved itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Good {
    pub(crate) id: VersionId,
    /// The text of its manifest, if it had one.
    pub(crate) manifest: Option<String>,
    /// What its component was called; a signature may be for this name only.
    pub(crate) file_name: String,
    /// The text of its signature, which is checked again before it runs again.
    pub(crate) signature: Option<String>,
    pub(crate) release: Option<ReleaseVersion>,
    /// What it saved when it was replaced.
    pub(crate) state: Option<Hash>,
    /// None in records from before updates over the air.
    #[serde(default)]
    pub(crate) origin: Option<Origin>,
}

/// A version that has yet to prove itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trial {
    pub(crate) id: VersionId,
    /// Time without a fault so far.
    pub(crate) elapsed_s: u64,
    pub(crate) good_calls: u32,
    /// Starts of the daemon since it came or last answered well.
    pub(crate) starts: u32,
}

/// A version that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) id: VersionId,
    pub(crate) reason: String,
    /// Seconds since 1970, by a clock that may have been wrong.
    pub(crate) at_s: u64,
    /// The build of the daemon that found it so, where another one may find otherwise.
    pub(crate) build: Option<String>,
}

impl Hash {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Hash {
    type Error = NotAHash;

    fn try_from(text: String) -> Result<Self, NotAHash> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(is_digit) { Ok(Self(text)) } else { Err(NotAHash) }
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.0
    }
}

impl Default for Record {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            good: None,
            trial: None,
            set_aside: Vec::new(),
            highest: None,
            disabled: false,
            quarantine: None,
        }
    }
}

impl Record {
    /// Reads what a disk holds, or says what is wrong with it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if record.schema != SCHEMA {
            return Err(format!("it is of form {}; this daemon reads form {SCHEMA}", record.schema));
        }
        if record.set_aside.len() > FAILURES_MAX {
            return Err(format!(
                "it names {} failed versions; at most {FAILURES_MAX} are kept",
                record.set_aside.len()
            ));
        }
        let manifest = record.good.as_ref().and_then(|good| good.manifest.as_ref()).map_or(0, String::len);
        let signature = record.good.as_ref().and_then(|good| good.signature.as_ref()).map_or(0, String::len);
        if u64::try_from(manifest).map_or(true, |len| len > MANIFEST_BYTES_MAX) || signature > SIGNATURE_BYTES_MAX {
            return Err("the texts in it are longer than any that were read".to_owned());
        }
        Ok(record)
    }

    pub(crate) fn text(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|error| error.to_string())
    }

    /// Notes that a version is about to be tried; `is_start` at the first one since the daemon started.
    pub(crate) fn begin_trial(&mut self, id: &VersionId, is_start: bool) {
        if self.quarantine.as_ref().is_some_and(|quarantine| quarantine.id != *id) {
            self.quarantine = None;
        }
        if self.is_good(id) {
            self.trial = None;
            return;
        }
        match &mut self.trial {
            Some(trial) if trial.id == *id => trial.starts = trial.starts.saturating_add(u32::from(is_start)),
            trial => {
                *trial = Some(Trial { id: id.clone(), elapsed_s: 0, good_calls: 0, starts: u32::from(is_start) });
            }
        }
    }

    pub(crate) fn is_good(&self, id: &VersionId) -> bool {
        self.good.as_ref().is_some_and(|good| good.id == *id)
    }

    /// The version proved itself.
    pub(crate) fn confirm(&mut self, good: Good) {
        self.highest = self.highest.max(good.release);
        self.trial = None;
        self.set_aside.retain(|failure| failure.id != good.id);
        self.good = Some(good);
    }

    /// What the version to go back to saved, if it still is this one.
    pub(crate) fn keep_state(&mut self, of: &VersionId, state: Option<Hash>) {
        if let Some(good) = self.good.as_mut().filter(|good| good.id == *of) {
            good.state = state;
        }
    }

    /// A version failed and is not to be tried again.
    pub(crate) fn set_aside(&mut self, failure: Failure) {
        self.trial.take_if(|trial| trial.id == failure.id);
        self.set_aside.retain(|before| before.id != failure.id);
        self.set_aside.push(failure);
        let excess = self.set_aside.len().saturating_sub(FAILURES_MAX);
        self.set_aside.drain(..excess);
    }

    /// Why this version is not to be tried, if it is not.
    pub(crate) fn failure(&self, id: &VersionId) -> Option<&Failure> {
        self.set_aside.iter().find(|failure| failure.id == *id && failure.holds())
    }

    /// What outlives the plugin's files: nobody gets around a release or a switch by taking them away for a moment.
    pub(crate) fn strip(&mut self) {
        *self = Self { highest: self.highest, disabled: self.disabled, ..Self::default() };
    }
}

impl Good {
    pub(crate) fn origin(&self) -> Origin {
        let operators =
            Origin { component: Source::Operator, manifest: self.manifest.as_ref().map(|_| Source::Operator) };
        self.origin.unwrap_or(operators)
    }
}

impl Trial {
    /// Whether it has been given enough chances by starting the daemon.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.starts > STARTS_MAX
    }
}

impl Failure {
    pub(crate) fn now(id: VersionId, reason: &str) -> Self {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let reason = reason.chars().take(REASON_LEN_MAX).collect();
        Self { id, reason, at_s: since_1970.as_secs(), build: None }
    }

    /// For what this build cannot run and another one might.
    pub(crate) fn of_this_build(self) -> Self {
        Self { build: Some(build()), ..self }
    }

    fn holds(&self) -> bool {
        self.build.as_ref().is_none_or(|found_by| *found_by == build())
    }
}

fn build() -> String {
    format!("{} on wasmtime {}", env!("CARGO_PKG_VERSION"), edgeplug_engine::WASMTIME_VERSION)
}

//! What was verified in a staging directory: the only list from which files are handed over.
//!
//! What must stay true: it is written after every check, all of it at once; whoever takes a file from it reads the file
//! again and compares; a stricter configuration than the one it was made under is obeyed.

use std::fs::File;
use std::io;

use edgeplug_signature::{SignatureMode, SignaturePolicy};
use serde::{Deserialize, Serialize};

use crate::directory::Directory;
use crate::hash::{Sha256Digest, hex};
use crate::name::Component;
use crate::options::DigestPolicy;

const MARKER: &str = ".verified";
/// As many files as an update may have, with the longest names and warnings.
const MARKER_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Marker {
    pub(crate) files: Vec<Verdict>,
}

/// What was found out about one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    pub(crate) size: u64,
    /// Hexadecimal.
    pub(crate) sha256: String,
    /// The key of a good signature.
    pub(crate) signed_by: Option<String>,
    /// Whether somebody told its digest.
    pub(crate) is_vouched: bool,
    pub(crate) warning: Option<String>,
}

impl Verdict {
    /// Whether it may be handed over under this configuration.
    pub(crate) fn suffices(&self, signature: &SignaturePolicy, digest: DigestPolicy) -> bool {
        let is_signed =
            self.signed_by.as_ref().is_some_and(|id| signature.keys.iter().any(|key| key.id() == id.as_str()));
        let is_bundle = matches!(Component::of(&self.name), Some(Component::Bundle(_)));
        let needs_signature = is_bundle || signature.mode == SignatureMode::Require;
        let needs_digest = digest == DigestPolicy::Require;
        (is_signed || !needs_signature) && (is_signed || self.is_vouched || !needs_digest)
    }

    /// Whether a file is still what was verified.
    pub(crate) fn is_about(&self, size: u64, sha256: &Sha256Digest) -> bool {
        self.size == size && self.sha256 == hex(sha256)
    }
}

impl Marker {
    pub(crate) fn read(job: &Directory) -> io::Result<Self> {
        let text = job.read(MARKER, MARKER_BYTES_MAX)?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
    }

    pub(crate) fn write(&self, job: &Directory) -> io::Result<()> {
        job.put(MARKER, &serde_json::to_vec(self)?)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Verdict> {
        self.files.iter().find(|verdict| verdict.name == name)
    }
}

pub(crate) fn remove(job: &Directory) -> io::Result<()> {
    job.remove(MARKER)?;
    job.sync()
}

/// Makes a file read-only.
pub(crate) fn seal(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, rustix::fs::Mode::from_raw_mode(0o400))?)
}

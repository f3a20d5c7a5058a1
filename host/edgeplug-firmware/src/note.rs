//! What is known of a file besides its bytes: how long it will be, which version of it the server has, which digest was
//! told. Written before the first byte, so that no bytes are ever taken for those of another version.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::hash::{Sha256Digest, as_hex};

/// A note with the longest validator.
pub(crate) const NOTE_BYTES_MAX: u64 = 16 << 10;
/// Longer ones are not worth a resumption.
const VALIDATOR_BYTES_MAX: usize = 4 << 10;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    /// Bytes of the whole file.
    pub(crate) total: Option<u64>,
    /// What the server calls this version, in the words of whoever fetches.
    pub(crate) validator: Option<String>,
    #[serde(with = "as_hex")]
    pub(crate) sha256: Option<Sha256Digest>,
    /// Bytes that are known to survive a power cut.
    pub(crate) synced: u64,
    /// The boot in which the bytes after those were written: until the next one they are still there.
    pub(crate) boot: Option<String>,
    /// Whether the file was put together of several answers.
    pub(crate) resumed: bool,
}

impl Note {
    pub(crate) fn new(total: Option<u64>, validator: Option<String>, sha256: Option<Sha256Digest>) -> Self {
        let validator = validator.filter(|validator| validator.len() <= VALIDATOR_BYTES_MAX);
        Self { total, validator, sha256, synced: 0, boot: boot_id(), resumed: false }
    }

    /// The same after more answers; none if those are about another file.
    pub(crate) fn resumed(self, next: Self) -> Option<Self> {
        let is_same = |(before, now): (bool, bool)| !before || now;
        let total = is_same((self.total.is_some() && next.total.is_some(), self.total == next.total));
        let sha256 = is_same((self.sha256.is_some() && next.sha256.is_some(), self.sha256 == next.sha256));
        (total && sha256).then(|| Self {
            total: self.total.or(next.total),
            validator: next.validator.or(self.validator),
            sha256: self.sha256.or(next.sha256),
            synced: self.synced,
            boot: next.boot,
            resumed: true,
        })
    }

    /// How many bytes of a part as long as this can be trusted.
    pub(crate) fn trusted(&self, len: u64) -> u64 {
        if self.boot.is_some() && self.boot == boot_id() { len } else { len.min(self.synced) }
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    pub(crate) fn text(&self) -> Vec<u8> {
        // Strings and numbers always have a JSON text.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

//! The copy of the hub key on disk, encrypted by the TPM's storage root key and worthless without that TPM.
//!
//! A JSON object with a version. Written whole or not at all: a temporary file with mode 0600, synced, renamed, and
//! the directory synced.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::error::IdentityError;

/// A wrapped key takes about 500 bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;

const VERSION: u32 = 1;

/// What TPM2_Load needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrappedKey {
    /// Name of the parent key: tells a cleared TPM from a damaged file.
    pub(super) storage_root_key: Vec<u8>,
    /// `TPMT_PUBLIC`.
    pub(super) public: Vec<u8>,
    /// Contents of `TPM2B_PRIVATE`.
    pub(super) private: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    storage_root_key: String,
    public: String,
    private: String,
}

impl WrappedKey {
    /// `None` if there is no file, or none that can be understood; a file that cannot be read is an error.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, IdentityError> {
        let failed = |source| key_file(path, "cannot be read", source);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
        let parsed = Self::parse(&text);
        if parsed.is_none() {
            tracing::warn!(file = %path.display(), "the wrapped hub key is damaged");
        }
        Ok(parsed)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), IdentityError> {
        let failed = |source| key_file(path, "cannot be written; the hub key was not changed", source);
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let written = Written {
            version: VERSION,
            storage_root_key: STANDARD.encode(&self.storage_root_key),
            public: STANDARD.encode(&self.public),
            private: STANDARD.encode(&self.private),
        };
        let text = serde_json::to_vec(&written).map_err(|error| failed(error.into()))?;
        // Created with mode 0600.
        let mut file = NamedTempFile::new_in(directory).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(text).ok()?;
        let bytes = |text: &str| STANDARD.decode(text).ok();
        (written.version == VERSION).then_some(())?;
        Some(Self {
            storage_root_key: bytes(&written.storage_root_key)?,
            public: bytes(&written.public)?,
            private: bytes(&written.private)?,
        })
    }
}

fn key_file(path: &Path, problem: &str, source: io::Error) -> IdentityError {
    IdentityError::KeyFile { path: path.to_owned(), problem: problem.to_owned(), source: Some(source) }
}

#[cfg(test)]
mod tests;

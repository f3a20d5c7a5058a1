//! Public keys, as an operator names them.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::PublicKey;

use crate::read::read_text;

/// A public key has two lines.
const KEY_BYTES_MAX: u64 = 4 << 10;
/// Keys and signatures begin with an algorithm of two bytes, then comes the key's id, of which its text is the number.
const ALGORITHM_LEN: usize = 2;
const KEY_ID_LEN: usize = 8;

/// A minisign public key.
#[derive(Clone, Debug)]
pub struct SigningKey {
    id: String,
    key: PublicKey,
}

/// Why there is no [`crate::SignaturePolicy`].
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "{0:?} is no minisign public key; it is the second line of the file `minisign.pub` that `minisign -G` wrote, \
         56 characters that begin with RW, or the path of that file"
    )]
    NotAKey(String),
    #[error("cannot read the key {path}", path = .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{path} is no minisign public key; make a pair with `minisign -G` and name its `minisign.pub`", path = .0.display())]
    NotAKeyFile(PathBuf),
    #[error("the mode {0:?} needs a key whose signatures count")]
    NoKeys(&'static str),
}

impl SigningKey {
    /// By an entry of the configuration: its text, or the path of a file with it.
    pub fn named(entry: &str) -> Result<Self, KeyError> {
        let entry = entry.trim();
        let is_path = entry.ends_with(".pub") || entry.starts_with(['/', '.']);
        if !is_path {
            return Self::parse(entry).ok_or_else(|| KeyError::NotAKey(entry.to_owned()));
        }
        let path = Path::new(entry);
        let text = read_text(path, KEY_BYTES_MAX).map_err(|error| KeyError::Read(path.to_owned(), error))?;
        // The comment before it is the owner's note.
        let key = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        key.and_then(Self::parse).ok_or_else(|| KeyError::NotAKeyFile(path.to_owned()))
    }

    /// The id by which minisign names the key: sixteen hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(Self { id: key_id(text)?, key: PublicKey::from_base64(text).ok()? })
    }
}

/// Of the base64 of a key or a signature.
pub(crate) fn key_id(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    let id = bytes.get(ALGORITHM_LEN..ALGORITHM_LEN + KEY_ID_LEN)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

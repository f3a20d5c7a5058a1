//! One signature and what it is about: checked in memory or piece by piece.

use minisign_verify::{Error, Signature, StreamVerifier};

use crate::claims::Claims;
use crate::key::{SigningKey, key_id};

/// The text of a file `name.minisig`, of which nothing is proven yet.
#[derive(Clone)]
pub struct FileSignature {
    file_name: String,
    key_id: String,
    signature: Signature,
}

/// What a good signature says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Who signed, as minisign prints it.
    pub key_id: String,
    /// The word after `version:`, as it stands there.
    pub version: Option<String>,
}

/// Why a file does not count as signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    #[error("it is not signed: there is no {file}.minisig beside it")]
    Missing { file: String },
    #[error("{file}.minisig is no minisign signature")]
    Unreadable { file: String },
    #[error("it is signed by key {key}, which is none of ours")]
    Stranger { key: String },
    #[error("it is not what key {key} signed: {file} or {file}.minisig was changed or damaged")]
    Changed { file: String, key: String },
    #[error("the signature of key {key} {reason}")]
    Claims { key: String, reason: String },
    /// Made over the whole file, not over its hash.
    #[error("{file}.minisig was made with `minisign -l`, which is for small files; sign it without `-l`")]
    NotPrehashed { file: String },
}

/// A check under way of a file that is read piece by piece.
#[derive(Clone)]
pub struct SignatureCheck<'a> {
    signature: &'a FileSignature,
    /// One for each key of the signature's id: an id is a name, no proof, and two keys may bear the same.
    streams: Vec<StreamVerifier<'a>>,
}

impl FileSignature {
    /// Reads the text of the signature beside a file of this name.
    pub fn read(file_name: &str, text: Option<&str>) -> Result<Self, NotSigned> {
        let file = || file_name.to_owned();
        let text = text.ok_or_else(|| NotSigned::Missing { file: file() })?;
        let signature = Signature::decode(text).map_err(|_| NotSigned::Unreadable { file: file() })?;
        let key_id = text.lines().nth(1).and_then(key_id).ok_or_else(|| NotSigned::Unreadable { file: file() })?;
        Ok(Self { file_name: file(), key_id, signature })
    }

    /// Whether it is by one of these keys, and over this content.
    pub fn check(&self, keys: &[SigningKey], content: &[u8]) -> Result<Signed, NotSigned> {
        let results: Vec<_> = keys.iter().map(|key| key.key().verify(content, &self.signature, true)).collect();
        if results.iter().any(Result::is_ok) {
            return self.says();
        }
        let is_known = results.iter().any(|result| !matches!(result, Err(Error::UnexpectedKeyId)));
        Err(if is_known { self.changed() } else { self.stranger() })
    }

    /// Begins a check of a file that is read piece by piece.
    pub fn begin<'a>(&'a self, keys: &'a [SigningKey]) -> Result<SignatureCheck<'a>, NotSigned> {
        let mut streams = Vec::new();
        for key in keys {
            match key.key().verify_stream(&self.signature) {
                Ok(stream) => streams.push(stream),
                Err(Error::UnsupportedLegacyMode) => {
                    return Err(NotSigned::NotPrehashed { file: self.file_name.clone() });
                }
                Err(_) => {}
            }
        }
        if streams.is_empty() { Err(self.stranger()) } else { Ok(SignatureCheck { signature: self, streams }) }
    }

    /// Only to be asked once it is proven.
    fn says(&self) -> Result<Signed, NotSigned> {
        let failed = |reason| NotSigned::Claims { key: self.key_id.clone(), reason };
        let claims = Claims::read(self.signature.trusted_comment()).map_err(failed)?;
        claims.are_about(&self.file_name).map_err(failed)?;
        Ok(Signed { key_id: self.key_id.clone(), version: claims.version().map(str::to_owned) })
    }

    fn stranger(&self) -> NotSigned {
        NotSigned::Stranger { key: self.key_id.clone() }
    }

    fn changed(&self) -> NotSigned {
        NotSigned::Changed { file: self.file_name.clone(), key: self.key_id.clone() }
    }
}

impl SignatureCheck<'_> {
    /// The next piece of the file.
    pub fn update(&mut self, piece: &[u8]) {
        for stream in &mut self.streams {
            stream.update(piece);
        }
    }

    /// After the last piece.
    pub fn finish(mut self) -> Result<Signed, NotSigned> {
        if self.streams.iter_mut().any(|stream| stream.finalize().is_ok()) {
            self.signature.says()
        } else {
            Err(self.signature.changed())
        }
    }
}

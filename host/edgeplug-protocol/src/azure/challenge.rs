//! The `authenticationKey` of a DPS reply for a TPM: an HMAC key wrapped so that one TPM alone can import it.
//!
//! Six parts, each behind a big-endian `u16` length: the credential and its secret (opened by the endorsement key),
//! the duplicated key and its seed (opened by the storage root key), the key's public area, and service data that no
//! client reads. The same format carries the temporary challenge key (reply 401) and the hub key (state `assigned`).
//! Only the outer framing is read here; the TPM itself judges the contents.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Largest blob taken; genuine ones are 0.8 to 1.1 kB.
pub const BLOB_BYTES_MAX: usize = 4096;

/// The parts, each without its own length prefix.
#[derive(Clone, PartialEq, Eq)]
pub struct ChallengeBlob {
    /// Contents of `TPM2B_ID_OBJECT`: what TPM2_ActivateCredential opens.
    pub id_object: Vec<u8>,
    /// Contents of `TPM2B_ENCRYPTED_SECRET` under the endorsement key.
    pub encrypted_secret: Vec<u8>,
    /// Contents of `TPM2B_PRIVATE`: the duplicate for TPM2_Import.
    pub duplicate: Vec<u8>,
    /// Contents of `TPM2B_ENCRYPTED_SECRET` under the storage root key: the duplicate's seed.
    pub import_seed: Vec<u8>,
    /// `TPMT_PUBLIC` of the HMAC key.
    pub public: Vec<u8>,
}

/// Why a blob was refused before the TPM saw it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeBlobError {
    /// Not standard base64.
    #[error("the key from DPS is not base64; the reply may have been altered on its way")]
    NotBase64,
    /// Larger than [`BLOB_BYTES_MAX`].
    #[error("the key from DPS has {0} bytes, more than the {BLOB_BYTES_MAX} a TPM key can need")]
    TooLarge(usize),
    /// A part's length points past the end.
    #[error("the key from DPS ends inside its {0}")]
    Truncated(&'static str),
    /// A part has no contents.
    #[error("the key from DPS has an empty {0}")]
    Empty(&'static str),
}

impl ChallengeBlob {
    /// Parses the base64 text of a DPS reply.
    pub fn from_base64(text: &str) -> Result<Self, ChallengeBlobError> {
        if text.len() > BLOB_BYTES_MAX * 2 {
            return Err(ChallengeBlobError::TooLarge(text.len() / 4 * 3));
        }
        Self::parse(&STANDARD.decode(text.trim()).map_err(|_| ChallengeBlobError::NotBase64)?)
    }

    /// Parses the raw bytes. The sixth part, service data, may be absent and is not kept.
    pub fn parse(bytes: &[u8]) -> Result<Self, ChallengeBlobError> {
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(ChallengeBlobError::TooLarge(bytes.len()));
        }
        let mut rest = bytes;
        Ok(Self {
            id_object: take_part(&mut rest, "credential")?,
            encrypted_secret: take_part(&mut rest, "credential secret")?,
            duplicate: take_part(&mut rest, "duplicated key")?,
            import_seed: take_part(&mut rest, "import seed")?,
            public: take_part(&mut rest, "public area")?,
        })
    }
}

/// A wrapped key is worthless elsewhere, but a log is no place for it.
impl std::fmt::Debug for ChallengeBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChallengeBlob(…)")
    }
}

fn take_part(rest: &mut &[u8], name: &'static str) -> Result<Vec<u8>, ChallengeBlobError> {
    let (length, after) = rest.split_first_chunk::<2>().ok_or(ChallengeBlobError::Truncated(name))?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (part, after) = after.split_at_checked(length).ok_or(ChallengeBlobError::Truncated(name))?;
    if part.is_empty() {
        return Err(ChallengeBlobError::Empty(name));
    }
    *rest = after;
    Ok(part.to_vec())
}

#[cfg(test)]
mod tests;

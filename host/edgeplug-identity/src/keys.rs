//! The nouns of this crate, and what every kind of identity can do on its owner thread.

use std::fmt;

use edgeplug_protocol::azure::challenge::ChallengeBlob;

use crate::config::{EkTemplate, IdentityConfig};
use crate::error::IdentityError;
use crate::symmetric_key::SymmetricKey;

/// Most bytes one signature can cover: what every TPM takes in one command (`TPM2_MAX_DIGEST_BUFFER`). A SAS string
/// has under 300.
pub const SIGNED_BYTES_MAX: usize = 1024;

/// Which of the two keys of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySlot {
    /// Signs for DPS during one registration; lives until it is discarded, replaced or the process ends.
    Challenge,
    /// Signs for IoT Hub; lives until DPS sends another.
    Hub,
}

impl fmt::Display for KeySlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Challenge => "challenge",
            Self::Hub => "hub",
        })
    }
}

/// HMAC-SHA256 under a device key. It is a credential for as long as its token lives.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature([u8; 32]);

impl Signature {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

/// What holds the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// A TPM 2.0.
    Tpm,
    /// A file.
    SymmetricKey,
}

/// What a registration with DPS needs, and what `identity show` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// What holds the key.
    pub kind: IdentityKind,
    /// `TPM2B_PUBLIC` of the endorsement key, size prefix included, as DPS wants it (316 bytes).
    pub endorsement_key: Option<Vec<u8>>,
    /// `TPM2B_PUBLIC` of the storage root key, size prefix included (284 bytes).
    pub storage_root_key: Option<Vec<u8>>,
    /// Whether a key that can sign for IoT Hub is already there.
    pub hub_key: bool,
    /// About the TPM, if it is one.
    pub tpm: Option<TpmDetails>,
}

/// About a TPM and the keys in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmDetails {
    /// How it is reached.
    pub tcti: String,
    /// Maker's four letters, product and firmware version, such as `IFX SLB9670 firmware 7.85.17.51968`.
    pub product: String,
    /// Where the endorsement key lies.
    pub ek_handle: u32,
    /// Whether it was there.
    pub ek_origin: Origin,
    /// Where the storage root key lies.
    pub srk_handle: u32,
    /// Whether it was there.
    pub srk_origin: Origin,
    /// Where the hub key lies or will lie.
    pub identity_handle: u32,
    /// Whether the hub key is at its handle, rather than only in the wrapped file.
    pub hub_key_persistent: bool,
}

/// Whether a key was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Used as found.
    Found,
    /// Made by this very call, from this template.
    Created(EkTemplate),
}

/// What a kind of identity does on its owner thread; every call may block.
pub(crate) trait Keys: Send {
    fn registration(&mut self) -> Result<Registration, IdentityError>;
    fn activate(&mut self, slot: KeySlot, blob: &ChallengeBlob) -> Result<(), IdentityError>;
    /// `bytes` has at most [`SIGNED_BYTES_MAX`].
    fn sign(&mut self, slot: KeySlot, bytes: &[u8]) -> Result<Signature, IdentityError>;
    fn discard_challenge(&mut self);
    fn has_hub_key(&mut self) -> Result<bool, IdentityError>;
    fn ek_template(&mut self) -> Result<Option<EkTemplate>, IdentityError>;
}

/// Opens nothing yet.
pub(crate) fn keys_of(config: IdentityConfig) -> Box<dyn Keys> {
    match config {
        #[cfg(feature = "tpm")]
        IdentityConfig::Tpm(config) => Box::new(crate::tpm::TpmKeys::new(config)),
        #[cfg(not(feature = "tpm"))]
        IdentityConfig::Tpm(_) => Box::new(NoTpmInThisBuild),
        IdentityConfig::SymmetricKey(config) => Box::new(SymmetricKey::new(config)),
    }
}

/// Stands where a TPM is configured but not compiled in, so that the daemon still starts and says so.
#[cfg(not(feature = "tpm"))]
struct NoTpmInThisBuild;

#[cfg(not(feature = "tpm"))]
impl NoTpmInThisBuild {
    fn refuse<T>() -> Result<T, IdentityError> {
        Err(IdentityError::Unsupported("this build has no TPM support; install one built with the tpm feature"))
    }
}

#[cfg(not(feature = "tpm"))]
impl Keys for NoTpmInThisBuild {
    fn registration(&mut self) -> Result<Registration, IdentityError> {
        Self::refuse()
    }
    fn activate(&mut self, _: KeySlot, _: &ChallengeBlob) -> Result<(), IdentityError> {
        Self::refuse()
    }
    fn sign(&mut self, _: KeySlot, _: &[u8]) -> Result<Signature, IdentityError> {
        Self::refuse()
    }
    fn discard_challenge(&mut self) {}
    fn has_hub_key(&mut self) -> Result<bool, IdentityError> {
        Self::refuse()
    }
    fn ek_template(&mut self) -> Result<Option<EkTemplate>, IdentityError> {
        Self::refuse()
    }
}

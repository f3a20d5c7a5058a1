//! A symmetric device key: 1 to 64 bytes, shown as dots.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rsa::rand_core::{OsRng, RngCore};
use sha2::Sha256;

/// Azure's own keys are 32 bytes (TPM) or 64 bytes (symmetric); a TPM refuses an HMAC-SHA256 key past one block.
const KEY_BYTES_MAX: usize = 64;

/// The HMAC-SHA256 key of one device. `Debug` prints dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// A fresh random key of 32 bytes.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = vec![0; 32];
        OsRng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Takes the key bytes as they are.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Reads a key as the Azure portal shows it.
    ///
    /// # Errors
    /// When the text is not standard base64 or not 1 to 64 bytes.
    pub fn from_base64(text: &str) -> anyhow::Result<Self> {
        let bytes =
            STANDARD.decode(text.trim()).map_err(|_| anyhow::anyhow!("a device key must be standard base64"))?;
        anyhow::ensure!(
            (1..=KEY_BYTES_MAX).contains(&bytes.len()),
            "a device key must be 1 to {KEY_BYTES_MAX} bytes, this one is {}",
            bytes.len()
        );
        Ok(Self(bytes))
    }

    /// The key as the Azure portal shows it. This is the secret itself.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// The key bytes. This is the secret itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        // HMAC takes a key of any length, so the error can not occur; an all-zero key would then never verify.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| Hmac::new(&Default::default()));
        mac.update(message);
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

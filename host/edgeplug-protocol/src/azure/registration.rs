//! Names under which a TPM may be enrolled in DPS.
//!
//! The registration id is a label of the enrolment and proves nothing; the endorsement key does. IoTConnect uses
//! `cpId-uniqueId`, Azure's C and Node clients the base32 form, IoT Edge's documentation the hex form.

use sha2::{Digest as _, Sha256};

/// Longest registration id DPS takes.
pub const REGISTRATION_ID_CHARS_MAX: usize = 128;

/// A registration id that DPS would accept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistrationId(String);

/// The text cannot be a registration id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be a DPS registration id: it takes up to {REGISTRATION_ID_CHARS_MAX} letters, digits and - . _ : \
     and ends with a letter, a digit or -"
)]
pub struct InvalidRegistrationId(String);

impl RegistrationId {
    /// Checks length and character set (Azure DPS concepts, "registration ID").
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidRegistrationId> {
        let text = text.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        let good_end = text.chars().last().is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
        if text.len() <= REGISTRATION_ID_CHARS_MAX && text.chars().all(allowed) && good_end {
            Ok(Self(text))
        } else {
            Err(InvalidRegistrationId(text))
        }
    }

    /// The id IoTConnect enrols a device under.
    pub fn iotconnect(cpid: &str, unique_id: &str) -> Result<Self, InvalidRegistrationId> {
        Self::new(format!("{cpid}-{unique_id}"))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lower-case base32 without padding of SHA-256 over the whole `TPM2B_PUBLIC`, size prefix included (52 characters).
#[must_use]
pub fn base32_of(endorsement_key: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = Sha256::digest(endorsement_key);
    let mut text = String::with_capacity(52);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in digest {
        buffer = (buffer << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push_symbol(&mut text, ALPHABET, buffer >> bits);
        }
    }
    if bits > 0 {
        push_symbol(&mut text, ALPHABET, buffer << (5 - bits));
    }
    text
}

/// Lower-case hex of SHA-256 over the whole `TPM2B_PUBLIC`, size prefix included (64 characters).
#[must_use]
pub fn hex_of(endorsement_key: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(endorsement_key).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn push_symbol(text: &mut String, alphabet: &[u8; 32], bits: u32) {
    if let Some(symbol) = alphabet.get((bits & 31) as usize) {
        text.push(char::from(*symbol));
    }
}

#[cfg(test)]
mod tests;

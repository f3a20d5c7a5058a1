//! A symmetric key in a file: the identity of a device without a TPM.
//!
//! The file is read for every signature and wiped from memory afterwards: signatures are rare, and a replaced file
//! needs no restart. A file that any user of the machine can open is refused.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeplug_protocol::azure::challenge::ChallengeBlob;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

use crate::config::{EkTemplate, SymmetricKeyConfig};
use crate::error::IdentityError;
use crate::keys::{IdentityKind, KeySlot, Keys, Registration, Signature};

/// Azure's keys have 16 to 64 bytes (DPS documentation, "Symmetric key attestation").
const KEY_BYTES_MIN: usize = 16;
const KEY_BYTES_MAX: usize = 64;

/// 64 bytes are 88 characters of base64; the rest is for the spaces and line ends that editors leave.
const FILE_BYTES_MAX: u64 = 1024;

/// Bits that let every user in.
const MODE_OTHERS: u32 = 0o007;

pub(crate) struct SymmetricKey {
    config: SymmetricKeyConfig,
}

impl SymmetricKey {
    pub(crate) fn new(config: SymmetricKeyConfig) -> Self {
        Self { config }
    }

    fn key(&self) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        read_key(&self.config.key_file)
    }
}

impl Keys for SymmetricKey {
    fn registration(&mut self) -> Result<Registration, IdentityError> {
        self.key()?;
        Ok(Registration {
            kind: IdentityKind::SymmetricKey,
            endorsement_key: None,
            storage_root_key: None,
            hub_key: true,
            tpm: None,
        })
    }

    fn activate(&mut self, _: KeySlot, _: &ChallengeBlob) -> Result<(), IdentityError> {
        Err(IdentityError::Unsupported(
            "a symmetric key cannot answer a TPM challenge; check the enrolment's kind, or configure a TPM identity",
        ))
    }

    fn sign(&mut self, _: KeySlot, bytes: &[u8]) -> Result<Signature, IdentityError> {
        let key = self.key()?;
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)
            .map_err(|_| IdentityError::Unsupported("a key of this length cannot sign"))?;
        mac.update(bytes);
        Ok(Signature::new(mac.finalize().into_bytes().into()))
    }

    fn discard_challenge(&mut self) {}

    fn has_hub_key(&mut self) -> Result<bool, IdentityError> {
        self.key().map(|_| true)
    }

    fn ek_template(&mut self) -> Result<Option<EkTemplate>, IdentityError> {
        Err(IdentityError::Unsupported("a symmetric key has no endorsement key"))
    }
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let refuse = |problem: String| IdentityError::KeyFile { path: path.to_owned(), problem, source: None };
    let failed = |problem: &str, source: io::Error| IdentityError::KeyFile {
        path: path.to_owned(),
        problem: problem.to_owned(),
        source: Some(source),
    };

    // Looked at before it is opened, because opening a pipe waits for its writer; and after, because the name may have
    // changed hands.
    let is_file = |metadata: &std::fs::Metadata| metadata.is_file();
    let before = std::fs::metadata(path).map_err(|e| failed("cannot be opened", e))?;
    if !is_file(&before) {
        return Err(refuse("is not a regular file".to_owned()));
    }
    let file = File::open(path).map_err(|e| failed("cannot be opened", e))?;
    let metadata = file.metadata().map_err(|e| failed("cannot be examined", e))?;
    if !is_file(&metadata) {
        return Err(refuse("is not a regular file".to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & MODE_OTHERS != 0 {
        return Err(refuse(format!(
            "is open to every user of this machine (mode {mode:04o}); run chmod 0600 on it, and consider the key known"
        )));
    }

    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|e| failed("cannot be read", e))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse(format!("has more than {FILE_BYTES_MAX} bytes; it should hold one base64 key")));
    }
    let key = STANDARD.decode(text.trim()).map(Zeroizing::new);
    let key = key.map_err(|_| refuse("is not base64; it should hold the key as the portal shows it".to_owned()))?;
    if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(refuse(format!(
            "holds a key of {} bytes; a device key has {KEY_BYTES_MIN} to {KEY_BYTES_MAX}",
            key.len()
        )));
    }
    Ok(key)
}

//! The service's side of a TPM challenge: builds what DPS sends, from the public keys that a device registered with.
//!
//! TPM 2.0 Part 1, sections 23 (duplication) and 24 (credentials), with the key derivation KDFa of section 11.4.10.

use aes::Aes128;
use cfb_mode::Encryptor;
use cfb_mode::cipher::{AsyncStreamCipher as _, KeyIvInit as _};
use edgeplug_identity::Registration;
use edgeplug_protocol::azure::challenge::ChallengeBlob;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rsa::rand_core::{OsRng, RngCore as _};
use rsa::{BigUint, Oaep, RsaPublicKey};
use sha2::{Digest as _, Sha256};

/// KEYEDHASH, SHA-256, sign | userWithAuth | noDA, no policy, HMAC with SHA-256; the 32 bytes of `unique` follow.
const PUBLIC_HEAD: [u8; 16] = [0, 0x08, 0, 0x0b, 0, 0x04, 0x04, 0x40, 0, 0, 0, 0x05, 0, 0x0b, 0, 0x20];

/// The five parts with their contents, to be damaged at will.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) id_object: Vec<u8>,
    pub(crate) encrypted_secret: Vec<u8>,
    pub(crate) duplicate: Vec<u8>,
    pub(crate) import_seed: Vec<u8>,
    pub(crate) public: Vec<u8>,
    /// What must never be seen outside the TPM.
    pub(crate) inner_key: [u8; 16],
}

impl Parts {
    /// Wraps `key` for the TPM that `registration` came from.
    pub(crate) fn of(registration: &Registration, key: &[u8]) -> Self {
        Self::with_public_head(registration, key, &PUBLIC_HEAD)
    }

    /// The same with another kind of key; the head ends with the length of `unique`.
    pub(crate) fn with_public_head(registration: &Registration, key: &[u8], head: &[u8]) -> Self {
        let endorsement_key = registration.endorsement_key.as_ref().unwrap();
        let storage_root_key = registration.storage_root_key.as_ref().unwrap();
        let parent_name = name_of(&storage_root_key[2..]);

        let seed_value: [u8; 32] = random();
        let unique = Sha256::new().chain_update(seed_value).chain_update(key).finalize();
        let public = [head, &unique].concat();
        let name = name_of(&public);

        let sensitive = sized(&[&[0, 8][..], &sized(&[]), &sized(&seed_value), &sized(key)].concat());
        let inner_key: [u8; 16] = random();
        let integrity = Sha256::new().chain_update(&sensitive).chain_update(&name).finalize();
        let inner = encrypt(&inner_key, [sized(&integrity), sensitive].concat());

        let seed: [u8; 32] = random();
        let duplicate = protect(&seed, &name, inner);
        let import_seed = oaep(storage_root_key, "DUPLICATE\0", &seed);

        let seed: [u8; 32] = random();
        let id_object = protect(&seed, &parent_name, sized(&inner_key));
        let encrypted_secret = oaep(endorsement_key, "IDENTITY\0", &seed);

        Self { id_object, encrypted_secret, duplicate, import_seed, public, inner_key }
    }

    /// As it comes out of a DPS reply, with a sixth part.
    pub(crate) fn blob(&self) -> ChallengeBlob {
        let parts = [&self.id_object, &self.encrypted_secret, &self.duplicate, &self.import_seed, &self.public];
        let service_data = sized(b"ignored by every client");
        let bytes: Vec<u8> = parts.into_iter().flat_map(|part| sized(part)).chain(service_data).collect();
        ChallengeBlob::parse(&bytes).unwrap()
    }
}

/// A fresh key and its blob.
pub(crate) fn challenge(registration: &Registration) -> ([u8; 32], ChallengeBlob) {
    let key = random();
    (key, Parts::of(registration, &key).blob())
}

/// What the service computes over a token.
pub(crate) fn software_hmac(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(bytes).finalize().into_bytes().into()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn name_of(public: &[u8]) -> Vec<u8> {
    [&[0, 0x0b][..], &Sha256::digest(public)].concat()
}

/// Encrypts under a seed and puts the outer HMAC in front.
fn protect(seed: &[u8], name: &[u8], plain: Vec<u8>) -> Vec<u8> {
    let storage_key = kdfa(seed, "STORAGE", name);
    let encrypted = encrypt(storage_key[..16].try_into().unwrap(), plain);
    let mac_key = kdfa(seed, "INTEGRITY", &[]);
    let mac = software_hmac(&mac_key, &[encrypted.as_slice(), name].concat());
    [sized(&mac), encrypted].concat()
}

/// One block of KDFa; the length in bits is part of what is hashed.
fn kdfa(key: &[u8], label: &str, context: &[u8]) -> [u8; 32] {
    let bits: u32 = if label == "STORAGE" { 128 } else { 256 };
    let input = [&1_u32.to_be_bytes()[..], label.as_bytes(), &[0], context, &bits.to_be_bytes()].concat();
    software_hmac(key, &input)
}

fn encrypt(key: &[u8; 16], mut bytes: Vec<u8>) -> Vec<u8> {
    Encryptor::<Aes128>::new(key.into(), &[0; 16].into()).encrypt(&mut bytes);
    bytes
}

fn oaep(tpm2b_public: &[u8], label: &str, seed: &[u8]) -> Vec<u8> {
    let modulus = &tpm2b_public[tpm2b_public.len() - 256..];
    let key = RsaPublicKey::new(BigUint::from_bytes_be(modulus), BigUint::from(65537_u32)).unwrap();
    key.encrypt(&mut OsRng, Oaep::new_with_label::<rsa::sha2::Sha256, _>(label), seed).unwrap()
}

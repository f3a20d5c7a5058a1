//! The challenge blob of DPS: a key wrapped so that only the TPM that holds both EK and SRK can import it.
//!
//! Six parts, each behind a big-endian u16 length (order seen in genuine DPS answers): TPM2B_ID_OBJECT, its encrypted seed,
//! the duplicate (TPM2B_PRIVATE), its encrypted seed, TPM2B_PUBLIC of the key, and a text under the inner key that clients
//! ignore. The cryptography is that of the TPM 2.0 Library, Part 1, "Credential Protection" and "Duplication".

use aes::Aes128;
use anyhow::Context as _;
use cfb_mode::Encryptor;
use cfb_mode::cipher::{AsyncStreamCipher as _, KeyIvInit as _};
use hmac::{Hmac, Mac as _};
use rsa::rand_core::{OsRng, RngCore as _};
use rsa::{BigUint, Oaep, RsaPublicKey};
use sha2::{Digest as _, Sha256};

const TPM_ALG_RSA: u16 = 0x0001;
const TPM_ALG_NULL: u16 = 0x0010;
const TPM_ALG_SHA256: [u8; 2] = [0x00, 0x0B];
/// KEYEDHASH, SHA256, sign|userWithAuth|noDA, no policy, HMAC with SHA256; 32 bytes of `unique` follow.
const KEY_PUBLIC: [u8; 16] = [0, 8, 0, 0x0B, 0, 4, 4, 0x40, 0, 0, 0, 5, 0, 0x0B, 0, 0x20];
/// Real ones are 316 and 284 bytes.
const PUBLIC_BYTES_MAX: usize = 1024;

/// An RSA 2048 public area as a device sends it.
pub(crate) struct Public {
    area: Vec<u8>,
    key: RsaPublicKey,
}

/// How a blob is spoiled on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoil {
    /// A bit of part 1's HMAC is flipped: ActivateCredential fails with 0x1df.
    CredentialHmac,
    /// A bit of the duplicate is flipped: Import fails with 0x3df.
    Duplicate,
    /// The blob ends in the middle.
    Truncated,
    /// Part 6 is missing, which is no fault: clients must not need it.
    NoUriData,
    /// Part 2 is 256 random bytes.
    GarbageSeed,
    /// The blob is made for another EK.
    OtherEndorsementKey,
    /// The key is longer than a TPM takes: Load fails with 0x3c7.
    KeyTooLong,
}

impl Public {
    /// Reads a TPM2B_PUBLIC (size prefix included).
    pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        anyhow::ensure!(bytes.len() <= PUBLIC_BYTES_MAX, "the public area is too long");
        let mut outer = Reader(bytes);
        let area = outer.sized()?;
        anyhow::ensure!(outer.0.is_empty(), "bytes follow the public area");
        let mut reader = Reader(area);
        anyhow::ensure!(reader.u16()? == TPM_ALG_RSA, "the key is not RSA");
        anyhow::ensure!(reader.take(2)? == TPM_ALG_SHA256, "the name algorithm is not SHA-256");
        reader.take(4)?;
        reader.sized()?;
        if reader.u16()? != TPM_ALG_NULL {
            reader.take(4)?;
        }
        if reader.u16()? != TPM_ALG_NULL {
            reader.take(2)?;
        }
        anyhow::ensure!(reader.u16()? == 2048, "the key is not RSA 2048");
        let exponent = match reader.u32()? {
            0 => 65537,
            other => other,
        };
        let modulus = reader.sized()?;
        anyhow::ensure!(modulus.len() == 256 && reader.0.is_empty(), "the modulus is not 256 bytes");
        let key = RsaPublicKey::new(BigUint::from_bytes_be(modulus), BigUint::from(exponent))
            .context("the public key is no RSA key")?;
        Ok(Self { area: area.to_vec(), key })
    }

    fn name(&self) -> Vec<u8> {
        name(&self.area)
    }

    fn encrypt(&self, seed: &[u8], label: &str) -> anyhow::Result<Vec<u8>> {
        // The labels of the TPM's key exchange end with a zero byte that counts.
        let padding = Oaep::new_with_label::<Sha256, _>(format!("{label}\0"));
        self.key.encrypt(&mut OsRng, padding, seed).context("cannot encrypt a seed")
    }
}

/// Wraps `key` for the TPM with this EK and SRK.
pub(crate) fn build(ek: &Public, srk: &Public, key: &[u8], spoil: Option<Spoil>) -> anyhow::Result<Vec<u8>> {
    let mut long = key.to_vec();
    if spoil == Some(Spoil::KeyTooLong) {
        long.resize(128, 0x5A);
    }
    let secrets = Secrets::random(long);
    let mut sealed = Sealed::new(&secrets, &srk.name())?;
    let duplicate_seed = srk.encrypt(&secrets.duplicate_seed, "DUPLICATE")?;
    let credential_seed = match spoil {
        Some(Spoil::GarbageSeed) => random(256),
        Some(Spoil::OtherEndorsementKey) => {
            Public { area: Vec::new(), key: another_key()? }.encrypt(&secrets.credential_seed, "IDENTITY")?
        }
        _ => ek.encrypt(&secrets.credential_seed, "IDENTITY")?,
    };
    match spoil {
        Some(Spoil::CredentialHmac) => flip(&mut sealed.credential, 10),
        Some(Spoil::Duplicate) => flip(&mut sealed.duplicate, 100),
        _ => {}
    }
    let mut blob = [
        sized(&sealed.credential),
        sized(&credential_seed),
        sized(&sealed.duplicate),
        sized(&duplicate_seed),
        sized(&sealed.public),
    ]
    .concat();
    match spoil {
        Some(Spoil::NoUriData) => {}
        Some(Spoil::Truncated) => blob.truncate(blob.len() / 2),
        _ => blob.extend(sized(&sealed.uri_data)),
    }
    Ok(blob)
}

/// Everything random about a blob.
struct Secrets {
    key: Vec<u8>,
    seed_value: Vec<u8>,
    inner_key: [u8; 16],
    duplicate_seed: Vec<u8>,
    credential_seed: Vec<u8>,
    uri: Vec<u8>,
}

impl Secrets {
    fn random(key: Vec<u8>) -> Self {
        let mut inner_key = [0; 16];
        OsRng.fill_bytes(&mut inner_key);
        Self {
            key,
            seed_value: random(32),
            inner_key,
            duplicate_seed: random(32),
            credential_seed: random(32),
            // As long as the one of a genuine registration answer.
            uri: b"localhost/".iter().copied().cycle().take(108).collect(),
        }
    }
}

/// The parts that follow from secrets and SRK name alone.
struct Sealed {
    public: Vec<u8>,
    credential: Vec<u8>,
    duplicate: Vec<u8>,
    uri_data: Vec<u8>,
}

impl Sealed {
    fn new(secrets: &Secrets, srk_name: &[u8]) -> anyhow::Result<Self> {
        let unique = Sha256::digest([secrets.seed_value.as_slice(), &secrets.key].concat());
        let public = [KEY_PUBLIC.as_slice(), &unique].concat();
        let key_name = name(&public);

        let sensitive = sized(&[&[0, 8, 0, 0], sized(&secrets.seed_value).as_slice(), &sized(&secrets.key)].concat());
        let integrity = Sha256::digest([sensitive.as_slice(), &key_name].concat());
        let inner = cfb(&secrets.inner_key, [sized(&integrity), sensitive].concat());
        let duplicate = wrap(&secrets.duplicate_seed, &key_name, inner)?;
        let credential = wrap(&secrets.credential_seed, srk_name, sized(&secrets.inner_key))?;
        let uri_data = cfb(&secrets.inner_key, secrets.uri.clone());
        Ok(Self { public, credential, duplicate, uri_data })
    }
}

/// The outer wrap of both structures: encrypt under a key from the seed, then HMAC over ciphertext and name.
fn wrap(seed: &[u8], name: &[u8], plain: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let storage = kdfa(seed, "STORAGE", name)?;
    let key = storage.first_chunk::<16>().context("the key derivation is too short")?;
    let encrypted = cfb(key, plain);
    let mut mac = Hmac::<Sha256>::new_from_slice(&kdfa_256(seed, "INTEGRITY", &[])?)?;
    mac.update(&encrypted);
    mac.update(name);
    Ok([sized(&mac.finalize().into_bytes()), encrypted].concat())
}

/// KDFa for 128 bits.
fn kdfa(key: &[u8], label: &str, context: &[u8]) -> anyhow::Result<Vec<u8>> {
    derive(key, label, context, 128)
}

fn kdfa_256(key: &[u8], label: &str, context: &[u8]) -> anyhow::Result<Vec<u8>> {
    derive(key, label, context, 256)
}

/// TPM 2.0 Library, Part 1, "KDFa": one block of HMAC-SHA256 is enough for 256 bits.
fn derive(key: &[u8], label: &str, context: &[u8], bits: u32) -> anyhow::Result<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(&1_u32.to_be_bytes());
    mac.update(label.as_bytes());
    mac.update(&[0]);
    mac.update(context);
    mac.update(&bits.to_be_bytes());
    let mut block = mac.finalize().into_bytes().to_vec();
    block.truncate(usize::try_from(bits / 8)?);
    Ok(block)
}

fn cfb(key: &[u8; 16], mut data: Vec<u8>) -> Vec<u8> {
    Encryptor::<Aes128>::new(key.into(), &[0; 16].into()).encrypt(&mut data);
    data
}

fn name(area: &[u8]) -> Vec<u8> {
    [TPM_ALG_SHA256.as_slice(), &Sha256::digest(area)].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    // Everything sized here is far below 64 KiB: public areas are capped, the rest is ours.
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().as_slice(), bytes].concat()
}

fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

fn flip(bytes: &mut [u8], index: usize) {
    if let Some(byte) = bytes.get_mut(index) {
        *byte ^= 1;
    }
}

fn another_key() -> anyhow::Result<RsaPublicKey> {
    Ok(rsa::RsaPrivateKey::new(&mut OsRng, 2048)?.to_public_key())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("the public area ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> anyhow::Result<u16> {
        Ok(self.take(2)?.iter().fold(0, |value, byte| value << 8 | u16::from(*byte)))
    }

    fn u32(&mut self) -> anyhow::Result<u32> {
        Ok(self.take(4)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn sized(&mut self) -> anyhow::Result<&'a [u8]> {
        let count = self.u16()?;
        self.take(count.into())
    }
}

#[cfg(test)]
mod tests;

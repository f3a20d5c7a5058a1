//! SHA-256 and its text.

use sha2::{Digest as _, Sha256};

pub(crate) type Sha256Digest = [u8; 32];

pub(crate) fn sha256(content: &[u8]) -> Sha256Digest {
    Sha256::digest(content).into()
}

pub(crate) fn hex(digest: &Sha256Digest) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Of 64 hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Option<Sha256Digest> {
    let mut digest = [0; 32];
    if text.len() != 2 * digest.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(digest)
}

/// As text in JSON.
pub(crate) mod as_hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{Sha256Digest, from_hex, hex};

    pub(crate) fn serialize<S: Serializer>(digest: &Option<Sha256Digest>, serializer: S) -> Result<S::Ok, S::Error> {
        match digest {
            Some(digest) => serializer.serialize_some(&hex(digest)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Sha256Digest>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let parse = |text: String| from_hex(&text).ok_or_else(|| D::Error::custom("no SHA-256"));
        text.map(parse).transpose()
    }
}

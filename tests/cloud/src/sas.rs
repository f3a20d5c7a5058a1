//! Shared access signatures as the service sees them (Azure "Control access to IoT Hub with SAS").
//!
//! `SharedAccessSignature sr={url-encoded resource}&sig={url-encoded base64}&se={unix seconds}[&skn={policy}]`,
//! signed over `{sr}\n{se}`. The check runs over the `sr` text exactly as received, because clients differ in the case of
//! their percent-encoding and the service accepts them all. Written without a look at the device's signer, on purpose.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::key::Key;

/// A real token is under 300 characters; this leaves room for long ids and keeps a hostile header cheap.
const TOKEN_CHARS_MAX: usize = 2048;

/// Why a token was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SasRefusal {
    /// Not of the form above.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// The resource is not the one being opened.
    #[error("the token is for {got}, not for {wanted}")]
    WrongResource {
        /// What it is for, decoded.
        got: String,
        /// What it should be for.
        wanted: String,
    },
    /// `skn` is not what this endpoint asks for.
    #[error("the token's policy name is {0:?}")]
    WrongPolicy(Option<String>),
    /// `se` has passed.
    #[error("the token expired {0} s ago")]
    Expired(u64),
    /// The signature does not verify under any key of the device.
    #[error("the signature is not of this device's key")]
    WrongKey,
}

/// A token taken apart, nothing checked yet.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    signed_resource: String,
    pub(crate) resource: String,
    signature: Vec<u8>,
    pub(crate) expiry: u64,
    pub(crate) policy: Option<String>,
}

impl Token {
    pub(crate) fn parse(text: &str) -> Result<Self, SasRefusal> {
        if text.len() > TOKEN_CHARS_MAX {
            return Err(SasRefusal::Malformed("it is too long"));
        }
        let fields = text
            .strip_prefix("SharedAccessSignature ")
            .ok_or(SasRefusal::Malformed("it does not begin with SharedAccessSignature and a space"))?;
        let (mut sr, mut sig, mut se, mut skn) = (None, None, None, None);
        for field in fields.split('&') {
            let (name, value) = field.split_once('=').ok_or(SasRefusal::Malformed("a field has no value"))?;
            let slot = match name {
                "sr" => &mut sr,
                "sig" => &mut sig,
                "se" => &mut se,
                "skn" => &mut skn,
                _ => return Err(SasRefusal::Malformed("it has a field other than sr, sig, se, skn")),
            };
            if slot.replace(value).is_some() {
                return Err(SasRefusal::Malformed("a field is there twice"));
            }
        }
        let sr = sr.ok_or(SasRefusal::Malformed("sr is missing"))?;
        let sig = sig.ok_or(SasRefusal::Malformed("sig is missing"))?;
        let se = se.ok_or(SasRefusal::Malformed("se is missing"))?;
        if sr.contains('/') {
            return Err(SasRefusal::Malformed("sr is not url-encoded"));
        }
        if !se.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(SasRefusal::Malformed("se is not a decimal number of seconds"));
        }
        Ok(Self {
            signed_resource: sr.to_owned(),
            resource: decode(sr).ok_or(SasRefusal::Malformed("sr is not utf-8"))?,
            signature: decode(sig)
                .and_then(|text| STANDARD.decode(text).ok())
                .ok_or(SasRefusal::Malformed("sig is not url-encoded base64"))?,
            expiry: se.parse().map_err(|_| SasRefusal::Malformed("se is too large"))?,
            policy: skn.map(|text| decode(text).ok_or(SasRefusal::Malformed("skn is not utf-8"))).transpose()?,
        })
    }

    /// Whether one of `keys` made the signature; in constant time for each key.
    pub(crate) fn signed_by<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Result<(), SasRefusal> {
        let message = format!("{}\n{}", self.signed_resource, self.expiry);
        let found = keys
            .into_iter()
            .fold(false, |found, key| key.mac(message.as_bytes()).verify_slice(&self.signature).is_ok() | found);
        if found { Ok(()) } else { Err(SasRefusal::WrongKey) }
    }

    pub(crate) fn valid_at(&self, now_unix_s: u64) -> Result<(), SasRefusal> {
        if self.expiry > now_unix_s { Ok(()) } else { Err(SasRefusal::Expired(now_unix_s - self.expiry)) }
    }
}

/// Signs a token for `resource` (not yet url-encoded), valid until `expiry` (unix seconds): for tests that play the device.
#[must_use]
pub fn sign(key: &Key, resource: &str, expiry: u64, policy: Option<&str>) -> String {
    sign_encoded(key, &utf8_percent_encode(resource, NON_ALPHANUMERIC).to_string(), expiry, policy)
}

fn sign_encoded(key: &Key, sr: &str, expiry: u64, policy: Option<&str>) -> String {
    let signature = STANDARD.encode(key.mac(format!("{sr}\n{expiry}").as_bytes()).finalize().into_bytes());
    let sig = utf8_percent_encode(&signature, NON_ALPHANUMERIC);
    let skn = policy.map(|name| format!("&skn={name}")).unwrap_or_default();
    format!("SharedAccessSignature sr={sr}&sig={sig}&se={expiry}{skn}")
}

/// Seconds since 1970 by this machine's clock.
#[must_use]
pub fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests;

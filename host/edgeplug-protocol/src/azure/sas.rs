//! Shared access signatures: what is signed, and the token that carries the signature.
//!
//! The key never comes here: a token is made in two steps, [`SasRequest::bytes_to_sign`] and, once the identity has
//! signed, [`SasRequest::token`].

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986.
pub(crate) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A token about to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SasRequest {
    /// `sr`, percent-encoded exactly as it will stand in the token: the signature covers this text.
    resource: String,
    /// `se`, Unix seconds.
    expiry_unix_s: i64,
    /// `skn`, only for DPS.
    key_name: Option<&'static str>,
}

/// A signed token. It opens the device's door until it expires, so it prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct SasToken(String);

impl SasRequest {
    /// A token for IoT Hub: `{hub}/devices/{device}`.
    #[must_use]
    pub fn for_hub(host: &str, device_id: &str, expiry_unix_s: i64) -> Self {
        Self { resource: encode(&format!("{host}/devices/{device_id}")), expiry_unix_s, key_name: None }
    }

    /// A token for DPS: `{scope}/registrations/{registration}`, key name `registration`.
    #[must_use]
    pub fn for_dps(id_scope: &str, registration_id: &str, expiry_unix_s: i64) -> Self {
        Self {
            resource: encode(&format!("{id_scope}/registrations/{registration_id}")),
            expiry_unix_s,
            key_name: Some("registration"),
        }
    }

    /// `sr`, a line feed, `se` (Azure IoT Hub, "control access with shared access signatures"). Under 300 bytes for
    /// every legal name, so one TPM2_HMAC call takes it.
    #[must_use]
    pub fn bytes_to_sign(&self) -> Vec<u8> {
        format!("{}\n{}", self.resource, self.expiry_unix_s).into_bytes()
    }

    /// Puts the signature (HMAC-SHA256 over [`Self::bytes_to_sign`]) in its place.
    #[must_use]
    pub fn token(&self, signature: &[u8]) -> SasToken {
        let signature = encode(&STANDARD.encode(signature));
        let key_name = self.key_name.map(|name| format!("&skn={name}")).unwrap_or_default();
        SasToken(format!(
            "SharedAccessSignature sr={}&sig={signature}&se={}{key_name}",
            self.resource, self.expiry_unix_s
        ))
    }
}

impl SasToken {
    /// The text for an `Authorization` header or an MQTT password. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SasToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SasToken(…)")
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests;

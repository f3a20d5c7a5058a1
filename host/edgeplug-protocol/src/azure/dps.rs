//! The Device Provisioning Service over HTTPS: request bodies, and what its replies mean for the next step.
//!
//! A TPM registers in two calls: the first carries no token and is answered 401 with a challenge key, the second is
//! signed with it. Replies are read leniently (unknown members are kept out of the way) and every outcome is one of
//! the few things a caller can do next.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde_json::json;

use crate::azure::challenge::{ChallengeBlob, ChallengeBlobError};
use crate::azure::registration::RegistrationId;
use crate::azure::sas::RESERVED;

/// The `api-version` two shipping TPM clients use.
pub const API_VERSION: &str = "2021-06-01";
/// Largest reply body read; the service's own limit is 96 KB.
pub const REPLY_BYTES_MAX: usize = 96 * 1024;

/// What every DPS URL is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Scheme and host, for instance `https://global.azure-devices-provisioning.net`, without a trailing slash.
    pub endpoint: String,
    /// The scope id, `0ne…`.
    pub id_scope: String,
    /// Under which name the device is enrolled.
    pub registration_id: RegistrationId,
}

/// How the device proves itself in the body.
#[derive(Debug, Clone, Copy)]
pub enum Attestation<'a> {
    /// `TPM2B_PUBLIC` bytes, size prefix included.
    Tpm {
        /// Endorsement key.
        endorsement_key: &'a [u8],
        /// Storage root key.
        storage_root_key: &'a [u8],
    },
    /// The SAS token is all.
    SymmetricKey,
}

/// What a reply to register means.
#[derive(Debug, PartialEq, Eq)]
pub enum RegisterReply {
    /// 401 with a challenge: activate it, sign with it, call again.
    Challenge(ChallengeBlob),
    /// 202: poll this operation.
    Assigning(OperationId),
    /// Already decided.
    Final(Assignment),
}

/// What a poll means.
#[derive(Debug, PartialEq, Eq)]
pub enum PollReply {
    /// Ask again later.
    Assigning,
    /// Decided.
    Final(Assignment),
}

/// An operation id that is safe in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationId(String);

/// Where the device belongs.
#[derive(Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Host name of the hub.
    pub hub: String,
    /// The device id there; may differ from the registration id.
    pub device_id: String,
    /// The hub key, for TPM attestation only.
    pub hub_key: Option<ChallengeBlob>,
}

/// Why provisioning cannot go on as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DpsError {
    /// The enrolment does not fit this device. Only someone at the portal can mend it.
    #[error("DPS refused the enrolment{}: {message}", code_text(*code))]
    Refused {
        /// The service's `errorCode`, 0 when it gave none.
        code: u64,
        /// Its words, or ours.
        message: String,
    },
    /// No such registration or scope.
    #[error(
        "DPS knows no enrolment of that registration id in that scope; create the device in the portal and check the scope id"
    )]
    NotFound,
    /// Too many calls.
    #[error("DPS asks to slow down")]
    Throttled,
    /// The service is unwell (5xx).
    #[error("DPS is not available (HTTP {0})")]
    Unavailable(u16),
    /// The reply makes no sense.
    #[error("DPS sent a reply that cannot be understood (HTTP {status}): {reason}")]
    Malformed {
        /// HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// The key in the reply cannot be a key.
    #[error("DPS sent a damaged key")]
    Blob(#[from] ChallengeBlobError),
}

impl Enrolment {
    /// PUT this to register.
    #[must_use]
    pub fn register_url(&self) -> String {
        format!("{}/register?api-version={API_VERSION}", self.base())
    }

    /// GET this to poll.
    #[must_use]
    pub fn operation_url(&self, operation: &OperationId) -> String {
        format!("{}/operations/{}?api-version={API_VERSION}", self.base(), encode(&operation.0))
    }

    /// The body of register, for the first and the second call alike.
    #[must_use]
    pub fn register_body(&self, attestation: &Attestation<'_>) -> String {
        let registration_id = self.registration_id.as_str();
        match attestation {
            Attestation::Tpm { endorsement_key, storage_root_key } => json!({
                "registrationId": registration_id,
                "tpm": {
                    "endorsementKey": STANDARD.encode(endorsement_key),
                    "storageRootKey": STANDARD.encode(storage_root_key),
                },
            }),
            Attestation::SymmetricKey => json!({ "registrationId": registration_id }),
        }
        .to_string()
    }

    fn base(&self) -> String {
        format!("{}/{}/registrations/{}", self.endpoint, encode(&self.id_scope), encode(self.registration_id.as_str()))
    }
}

impl RegisterReply {
    /// Reads the reply to a register call.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, DpsError> {
        match status {
            401 => match serde_json::from_slice::<ChallengeReply>(body) {
                Ok(ChallengeReply { authentication_key: Some(key) }) => {
                    Ok(Self::Challenge(ChallengeBlob::from_base64(&key)?))
                }
                _ => Err(refusal(body, "the token was not accepted")),
            },
            200 | 202 => match operation(status, body)? {
                Progress::Assigning(Some(operation)) => Ok(Self::Assigning(operation)),
                Progress::Assigning(None) => Err(malformed(status, "no usable operationId")),
                Progress::Final(assignment) => Ok(Self::Final(assignment)),
            },
            _ => Err(failure(status, body)),
        }
    }
}

impl PollReply {
    /// Reads the reply to a poll.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, DpsError> {
        match status {
            200 | 202 => Ok(match operation(status, body)? {
                Progress::Assigning(_) => Self::Assigning,
                Progress::Final(assignment) => Self::Final(assignment),
            }),
            401 => Err(refusal(body, "the token was not accepted")),
            _ => Err(failure(status, body)),
        }
    }
}

enum Progress {
    Assigning(Option<OperationId>),
    Final(Assignment),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChallengeReply {
    authentication_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationReply {
    operation_id: Option<String>,
    status: Option<String>,
    registration_state: Option<RegistrationState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationState {
    assigned_hub: Option<String>,
    device_id: Option<String>,
    error_code: Option<u64>,
    error_message: Option<String>,
    tpm: Option<ChallengeReply>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorReply {
    error_code: Option<u64>,
    message: Option<String>,
}

fn operation(status: u16, body: &[u8]) -> Result<Progress, DpsError> {
    let reply: OperationReply = serde_json::from_slice(body).map_err(|error| malformed(status, error.to_string()))?;
    match reply.status.as_deref() {
        Some("assigning" | "unassigned") => Ok(Progress::Assigning(reply.operation_id.and_then(OperationId::new))),
        Some("assigned") => assigned(status, reply.registration_state).map(Progress::Final),
        Some("disabled" | "blacklisted") => {
            Err(DpsError::Refused { code: 0, message: "the enrolment is disabled; enable it in the portal".into() })
        }
        Some("failed") => {
            let state = reply.registration_state;
            Err(DpsError::Refused {
                code: state.as_ref().and_then(|s| s.error_code).unwrap_or(0),
                message: state.and_then(|s| s.error_message).map_or("no reason given".into(), |text| clip(&text)),
            })
        }
        Some(other) => Err(malformed(status, format!("unknown status {:?}", clip(other)))),
        None => Err(malformed(status, "no status")),
    }
}

fn assigned(status: u16, state: Option<RegistrationState>) -> Result<Assignment, DpsError> {
    let state = state.ok_or_else(|| malformed(status, "assigned, but no registrationState"))?;
    let (Some(hub), Some(device_id)) =
        (state.assigned_hub.filter(|h| is_host(h)), state.device_id.filter(|d| is_device_id(d)))
    else {
        return Err(malformed(status, "assigned, but no usable assignedHub and deviceId"));
    };
    let hub_key =
        state.tpm.and_then(|tpm| tpm.authentication_key).map(|key| ChallengeBlob::from_base64(&key)).transpose()?;
    Ok(Assignment { hub, device_id, hub_key })
}

fn failure(status: u16, body: &[u8]) -> DpsError {
    match status {
        404 => DpsError::NotFound,
        429 => DpsError::Throttled,
        500.. => DpsError::Unavailable(status),
        400..=499 => refusal(body, &format!("HTTP {status}")),
        _ => malformed(status, "unexpected status"),
    }
}

fn refusal(body: &[u8], otherwise: &str) -> DpsError {
    let reply = serde_json::from_slice::<ErrorReply>(body).ok();
    DpsError::Refused {
        code: reply.as_ref().and_then(|r| r.error_code).unwrap_or(0),
        message: reply.and_then(|r| r.message).map_or_else(|| otherwise.to_owned(), |text| clip(&text)),
    }
}

fn malformed(status: u16, reason: impl Into<String>) -> DpsError {
    DpsError::Malformed { status, reason: reason.into() }
}

fn code_text(code: u64) -> String {
    match code {
        0 => String::new(),
        400_004 => {
            " (400004: the endorsement key is not the enrolled one; compare it with `edgeplug identity show`)".into()
        }
        400_208 => " (400208: the enrolment names no IoT hub)".into(),
        400_209 | 401_002 => format!(" ({code}: not authorised)"),
        _ => format!(" ({code})"),
    }
}

/// Words of a server, short enough for a log line and without control characters.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.len() <= 253 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
}

fn is_device_id(text: &str) -> bool {
    // Azure IoT Hub identity registry: up to 128 of these ASCII characters, but for the two that are wildcards in a
    // topic and would make the device's own topic unpublishable.
    !text.is_empty()
        && text.len() <= 128
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-:.%_*?!(),=@;$'".contains(c))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

impl OperationId {
    fn new(text: String) -> Option<Self> {
        (!text.is_empty() && text.len() <= 256).then_some(Self(text))
    }
}

#[cfg(test)]
mod tests;

//! Between the session's words and the adapters' words. No decision is made here.

use edgeplug_identity::{IdentityError, IdentityKind};
use edgeplug_link::{DownReason, HttpError, HttpMethod, Refusal};
use edgeplug_session::action::{HttpRequest, Method, Outcome};
use edgeplug_session::event::{
    Attestation, CallFailure, Failure, FailureKind, HttpReply, LinkDownReason, Registration, Reply,
};

use crate::exit::chain;

pub(crate) fn registration(found: edgeplug_identity::Registration) -> Registration {
    let attestation = match (found.kind, found.endorsement_key, found.storage_root_key) {
        (IdentityKind::Tpm, Some(endorsement_key), Some(storage_root_key)) => {
            Attestation::Tpm { endorsement_key, storage_root_key }
        }
        _ => Attestation::SymmetricKey,
    };
    Registration { attestation, hub_key: found.hub_key }
}

pub(crate) fn key_slot(slot: edgeplug_session::KeySlot) -> edgeplug_identity::KeySlot {
    match slot {
        edgeplug_session::KeySlot::Challenge => edgeplug_identity::KeySlot::Challenge,
        edgeplug_session::KeySlot::Hub => edgeplug_identity::KeySlot::Hub,
    }
}

pub(crate) fn identity_failure(error: &IdentityError) -> Failure {
    let kind = match error {
        IdentityError::Missing { .. } => FailureKind::TpmMissing,
        IdentityError::Busy { .. } | IdentityError::TimedOut { .. } => FailureKind::TpmBusy,
        // A blob that this TPM cannot open was made for another one.
        IdentityError::BlobRefused { .. } => FailureKind::Enrolment,
        _ => FailureKind::KeyRefused,
    };
    Failure { kind, text: chain(error) }
}

pub(crate) fn http_request(request: HttpRequest) -> edgeplug_link::HttpRequest {
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    if let Some(token) = &request.authorization {
        headers.push(("authorization".to_owned(), token.expose().to_owned()));
    }
    if request.body.is_some() {
        headers.push(("content-type".to_owned(), "application/json; charset=utf-8".to_owned()));
    }
    edgeplug_link::HttpRequest {
        method: match request.method {
            Method::Get => HttpMethod::Get,
            Method::Post => HttpMethod::Post,
            Method::Put => HttpMethod::Put,
        },
        url: request.url,
        headers,
        body: request.body.map(Into::into),
        body_bytes_max: request.reply_bytes_max,
    }
}

pub(crate) fn http_reply(response: edgeplug_link::HttpResponse) -> HttpReply {
    let retry_after = response.headers.iter().find(|(name, _)| name == "retry-after");
    HttpReply {
        status: response.status,
        retry_after_s: retry_after.and_then(|(_, value)| value.parse().ok()),
        date_unix_s: response.date_unix_s,
        body: response.body,
    }
}

pub(crate) fn http_failure(error: &HttpError) -> Failure {
    let kind = match error {
        HttpError::Untrusted { .. } => FailureKind::Certificate,
        HttpError::Unreachable { .. } | HttpError::Proxy(_) | HttpError::TimedOut { .. } | HttpError::Broken { .. } => {
            FailureKind::Network
        }
        _ => FailureKind::Protocol,
    };
    Failure { kind, text: chain(error) }
}

pub(crate) fn down_reason(reason: DownReason) -> LinkDownReason {
    let kind = match &reason {
        DownReason::Asked => return LinkDownReason::Asked,
        DownReason::Closed => return LinkDownReason::Closed,
        DownReason::Refused(Refusal::BadCredentials | Refusal::NotAuthorized) => return LinkDownReason::NotAuthorised,
        DownReason::Tls(_) => FailureKind::Certificate,
        DownReason::Refused(Refusal::ServerUnavailable) | DownReason::TimedOut(_) | DownReason::Unreachable(_) => {
            FailureKind::Network
        }
        _ => FailureKind::Protocol,
    };
    LinkDownReason::Failed(Failure { kind, text: chain(&reason) })
}

pub(crate) fn call_failure(failure: &edgeplug_plugins::CallFailure) -> CallFailure {
    CallFailure(chain(failure))
}

pub(crate) fn reply(outcome: edgeplug_plugins::CommandOutcome) -> Reply {
    match outcome {
        edgeplug_plugins::CommandOutcome::Done(message) => Reply::Done(message),
        edgeplug_plugins::CommandOutcome::Failed(message) => Reply::Failed(message),
    }
}

pub(crate) fn sample_outcome(outcome: Outcome) -> edgeplug_plugins::SampleOutcome {
    match outcome {
        // What the template has no place for is logged; the plugin's reading as such was taken.
        Outcome::Accepted | Outcome::AcceptedInMemory | Outcome::AcceptedInPart(_) => {
            edgeplug_plugins::SampleOutcome::Accepted
        }
        Outcome::Rejected(reason) => edgeplug_plugins::SampleOutcome::Rejected(reason),
    }
}

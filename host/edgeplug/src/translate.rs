//! Between the session's words and the adapters' words. No decision is made here.

use edgeplug_identity::{IdentityError, IdentityKind};
use edgeplug_link::{DownReason, HttpError, HttpMethod, Refusal};
use edgeplug_session::action::{
    Answer, Connection, DesiredChange, FinishFailure, HttpRequest, Method, Outcome, TwinDocument, TwinFailure,
};
use edgeplug_session::event::{
    Ask, Attestation, CallFailure, CommandScope, Ending, Failure, FailureKind, FirmwareScope, HttpReply,
    LinkDownReason, Registration, Reply,
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

pub(crate) fn reply(reply: edgeplug_plugins::Reply) -> Reply {
    match reply {
        edgeplug_plugins::Reply::Done(message) => Reply::Done(message),
        edgeplug_plugins::Reply::Failed(message) => Reply::Failed(message),
        edgeplug_plugins::Reply::Deferred => Reply::Deferred,
    }
}

/// What the session decides about; it has no word in what is only kept.
pub(crate) fn ask(request: edgeplug_plugins::Ask) -> Option<Ask> {
    Some(match request {
        edgeplug_plugins::Ask::TwinGet => Ask::TwinGet,
        edgeplug_plugins::Ask::TwinReport { patch } => Ask::TwinReport { patch },
        edgeplug_plugins::Ask::Finish { id, ending } => {
            let ending = match ending {
                edgeplug_plugins::Ending::Done(message) => Ending::Done(message),
                edgeplug_plugins::Ending::Failed(message) => Ending::Failed(message),
            };
            Ask::Finish { id, ending }
        }
        edgeplug_plugins::Ask::Disconnect => Ask::Disconnect,
        edgeplug_plugins::Ask::Reconnect => Ask::Reconnect,
        edgeplug_plugins::Ask::KeepState { .. } => return None,
    })
}

pub(crate) fn answer(answer: Answer) -> edgeplug_plugins::Answer {
    match answer {
        Answer::Twin(result) => edgeplug_plugins::Answer::Twin(result.map(twin_document).map_err(twin_failure)),
        Answer::Reported(result) => edgeplug_plugins::Answer::Reported(result.map_err(twin_failure)),
        Answer::Finished(result) => edgeplug_plugins::Answer::Finished(result.map_err(finish_failure)),
        Answer::Link(result) => edgeplug_plugins::Answer::Link(result),
    }
}

fn twin_document(document: TwinDocument) -> edgeplug_plugins::TwinDocument {
    let TwinDocument { desired, desired_version, reported, reported_version } = document;
    edgeplug_plugins::TwinDocument { desired, desired_version, reported, reported_version }
}

fn twin_failure(failure: TwinFailure) -> edgeplug_plugins::TwinFailure {
    match failure {
        TwinFailure::Unavailable(reason) => edgeplug_plugins::TwinFailure::Unavailable(reason),
        TwinFailure::Invalid(place) => edgeplug_plugins::TwinFailure::Invalid(place),
        TwinFailure::Refused(status) => edgeplug_plugins::TwinFailure::Refused(status),
    }
}

fn finish_failure(failure: FinishFailure) -> edgeplug_plugins::FinishFailure {
    match failure {
        FinishFailure::Unknown => edgeplug_plugins::FinishFailure::Unknown,
        FinishFailure::NotYours => edgeplug_plugins::FinishFailure::NotYours,
        FinishFailure::Unavailable(reason) => edgeplug_plugins::FinishFailure::Unavailable(reason),
    }
}

pub(crate) fn desired(change: DesiredChange) -> edgeplug_plugins::DesiredChange {
    let DesiredChange { version, complete, desired } = change;
    edgeplug_plugins::DesiredChange { version, complete, desired }
}

pub(crate) fn scope(scope: edgeplug_plugins::CommandScope) -> CommandScope {
    let edgeplug_plugins::CommandScope { names, devices } = scope;
    CommandScope { names, devices }
}

pub(crate) fn firmware_scope(scope: edgeplug_plugins::FirmwareScope) -> FirmwareScope {
    FirmwareScope { devices: scope.devices }
}

pub(crate) fn connection(connection: Connection) -> edgeplug_plugins::Connection {
    match connection {
        Connection::Connected => edgeplug_plugins::Connection::Connected,
        Connection::Disconnected(reason) => edgeplug_plugins::Connection::Disconnected(reason),
    }
}

pub(crate) fn sample_outcome(outcome: Outcome) -> edgeplug_plugins::SampleOutcome {
    match outcome {
        // What the template has no place for is logged; the plugin's reading as such was taken.
        Outcome::Accepted | Outcome::AcceptedInPart(_) => edgeplug_plugins::SampleOutcome::Accepted,
        Outcome::AcceptedInMemory => edgeplug_plugins::SampleOutcome::AcceptedInMemory,
        Outcome::HeldBack => edgeplug_plugins::SampleOutcome::HeldBack,
        Outcome::Rejected(reason) => edgeplug_plugins::SampleOutcome::Rejected(reason),
    }
}

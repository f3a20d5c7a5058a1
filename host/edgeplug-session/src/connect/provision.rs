//! One registration with the Device Provisioning Service.
//!
//! TPM: register without a token → challenge key → token signed with it → register again → poll → hub key. Symmetric
//! key: the token comes first. The challenge key is forgotten at the end whatever happens; the hub key is activated
//! last, so a registration that fails on the way leaves the old one as it was.

use std::time::Duration;

use edgeplug_protocol::azure::dps::{self, Assignment, DpsError, Enrolment, OperationId, PollReply, RegisterReply};
use edgeplug_protocol::azure::sas::{SasRequest, SasToken};

use crate::action::{HttpRequest, Method};
use crate::event::{Attestation, Failure, FailureKind, HttpReply};
use crate::{Action, KeySlot, Step, Ticket};

/// Life of the token for DPS, seconds: a day, since polls at the service's own pace can take hours.
const TOKEN_LIFE_S: i64 = 24 * 3600;
/// Waits between polls: at least this (DPS allows five in ten seconds), and the longest the service can make us wait.
const POLL_WAIT: Duration = Duration::from_secs(2);
const POLL_WAIT_MAX: Duration = Duration::from_secs(300);
/// A registration that is not decided after so many polls has failed.
const POLLS_MAX: u32 = 60;

pub(super) struct Provision {
    enrolment: Enrolment,
    attestation: Attestation,
    state: State,
    polls: u32,
}

/// How a step of the registration ended.
pub(super) enum Provisioned {
    UnderWay,
    Done(Assignment),
    Failed(Failure),
}

enum State {
    Challenging(Ticket),
    ActivatingChallenge(Ticket),
    Signing(Ticket, SasRequest),
    Registering(Ticket, SasToken),
    PollWaiting { until: Duration, operation: OperationId, token: SasToken },
    Polling(Ticket, OperationId, SasToken),
    ActivatingHubKey(Ticket, Assignment),
    Over,
}

impl Provision {
    pub(super) fn start(enrolment: Enrolment, attestation: Attestation, step: &mut Step<'_>) -> Self {
        let mut provision = Self { enrolment, attestation, state: State::Over, polls: 0 };
        provision.state = match provision.attestation {
            Attestation::Tpm { .. } => State::Challenging(provision.register(None, step)),
            Attestation::SymmetricKey => provision.sign(KeySlot::Hub, step),
        };
        provision
    }

    pub(super) fn http_done(
        &mut self,
        ticket: Ticket,
        result: Result<HttpReply, Failure>,
        step: &mut Step<'_>,
    ) -> Provisioned {
        let state = std::mem::replace(&mut self.state, State::Over);
        match state {
            State::Challenging(awaited) if awaited == ticket => match read(result, RegisterReply::parse) {
                Ok((RegisterReply::Challenge(blob), _)) => {
                    let ticket = step.ticket();
                    step.act(Action::Activate { ticket, slot: KeySlot::Challenge, blob });
                    self.go(State::ActivatingChallenge(ticket))
                }
                Ok(_) => self.fail(nonsense("a TPM was registered without a challenge"), step),
                Err(failure) => self.fail(failure, step),
            },
            State::Registering(awaited, token) if awaited == ticket => match read(result, RegisterReply::parse) {
                Ok((RegisterReply::Assigning(operation), wait)) => self.wait(wait, operation, token, step),
                Ok((RegisterReply::Final(assignment), _)) => self.assigned(assignment, step),
                Ok((RegisterReply::Challenge(_), _)) => {
                    self.fail(nonsense("a signed registration was answered with another challenge"), step)
                }
                Err(failure) => self.fail(failure, step),
            },
            State::Polling(awaited, operation, token) if awaited == ticket => match read(result, PollReply::parse) {
                Ok((PollReply::Assigning, _)) if self.polls >= POLLS_MAX => {
                    self.fail(nonsense("the registration is still not decided after many polls"), step)
                }
                Ok((PollReply::Assigning, wait)) => self.wait(wait, operation, token, step),
                Ok((PollReply::Final(assignment), _)) => self.assigned(assignment, step),
                Err(failure) => self.fail(failure, step),
            },
            other => self.go(other),
        }
    }

    pub(super) fn activated(
        &mut self,
        ticket: Ticket,
        slot: KeySlot,
        result: Result<(), Failure>,
        step: &mut Step<'_>,
    ) -> Provisioned {
        let state = std::mem::replace(&mut self.state, State::Over);
        match (state, slot) {
            (State::ActivatingChallenge(awaited), KeySlot::Challenge) if awaited == ticket => match result {
                Ok(()) => {
                    let state = self.sign(KeySlot::Challenge, step);
                    self.go(state)
                }
                Err(failure) => self.fail(failure, step),
            },
            (State::ActivatingHubKey(awaited, assignment), KeySlot::Hub) if awaited == ticket => match result {
                Ok(()) => {
                    step.act(Action::DiscardChallenge);
                    Provisioned::Done(assignment)
                }
                Err(failure) => self.fail(failure, step),
            },
            (other, _) => self.go(other),
        }
    }

    pub(super) fn signed(
        &mut self,
        ticket: Ticket,
        result: Result<Vec<u8>, Failure>,
        step: &mut Step<'_>,
    ) -> Provisioned {
        let state = std::mem::replace(&mut self.state, State::Over);
        match state {
            State::Signing(awaited, request) if awaited == ticket => match result {
                Ok(signature) => {
                    let token = request.token(&signature);
                    let ticket = self.register(Some(token.clone()), step);
                    self.go(State::Registering(ticket, token))
                }
                Err(failure) => self.fail(failure, step),
            },
            other => self.go(other),
        }
    }

    pub(super) fn advance(&mut self, step: &mut Step<'_>) {
        let State::PollWaiting { until, operation, token } = &self.state else { return };
        if step.now.monotonic < *until {
            return;
        }
        let (operation, token) = (operation.clone(), token.clone());
        self.polls += 1;
        let ticket = step.ticket();
        let request = HttpRequest {
            method: Method::Get,
            url: self.enrolment.operation_url(&operation),
            authorization: Some(token.clone()),
            body: None,
            reply_bytes_max: dps::REPLY_BYTES_MAX,
        };
        step.act(Action::Http { ticket, request });
        self.state = State::Polling(ticket, operation, token);
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        match self.state {
            State::PollWaiting { until, .. } => Some(until),
            _ => None,
        }
    }

    fn register(&self, authorization: Option<SasToken>, step: &mut Step<'_>) -> Ticket {
        let attestation = match &self.attestation {
            Attestation::Tpm { endorsement_key, storage_root_key } => {
                dps::Attestation::Tpm { endorsement_key, storage_root_key }
            }
            Attestation::SymmetricKey => dps::Attestation::SymmetricKey,
        };
        let ticket = step.ticket();
        let request = HttpRequest {
            method: Method::Put,
            url: self.enrolment.register_url(),
            authorization,
            body: Some(self.enrolment.register_body(&attestation)),
            reply_bytes_max: dps::REPLY_BYTES_MAX,
        };
        step.act(Action::Http { ticket, request });
        ticket
    }

    fn sign(&self, slot: KeySlot, step: &mut Step<'_>) -> State {
        let expiry = (step.unix_ms / 1000).saturating_add(TOKEN_LIFE_S);
        let request = SasRequest::for_dps(&self.enrolment.id_scope, self.enrolment.registration_id.as_str(), expiry);
        let ticket = step.ticket();
        step.act(Action::Sign { ticket, slot, bytes: request.bytes_to_sign() });
        State::Signing(ticket, request)
    }

    fn wait(
        &mut self,
        retry_after: Option<u64>,
        operation: OperationId,
        token: SasToken,
        step: &mut Step<'_>,
    ) -> Provisioned {
        let wait = retry_after.map_or(POLL_WAIT, Duration::from_secs).clamp(POLL_WAIT, POLL_WAIT_MAX);
        self.go(State::PollWaiting { until: step.now.monotonic + wait, operation, token })
    }

    fn assigned(&mut self, mut assignment: Assignment, step: &mut Step<'_>) -> Provisioned {
        match (&self.attestation, assignment.hub_key.take()) {
            (Attestation::Tpm { .. }, Some(blob)) => {
                let ticket = step.ticket();
                step.act(Action::Activate { ticket, slot: KeySlot::Hub, blob });
                self.go(State::ActivatingHubKey(ticket, assignment))
            }
            (Attestation::Tpm { .. }, None) => {
                self.fail(nonsense("the device was assigned, but no hub key came with it"), step)
            }
            (Attestation::SymmetricKey, _) => Provisioned::Done(assignment),
        }
    }

    fn go(&mut self, state: State) -> Provisioned {
        self.state = state;
        Provisioned::UnderWay
    }

    fn fail(&mut self, failure: Failure, step: &mut Step<'_>) -> Provisioned {
        step.act(Action::DiscardChallenge);
        Provisioned::Failed(failure)
    }
}

/// Reads a reply and the wait it asks for.
fn read<T>(
    result: Result<HttpReply, Failure>,
    parse: fn(u16, &[u8]) -> Result<T, DpsError>,
) -> Result<(T, Option<u64>), Failure> {
    let reply = result?;
    let parsed = parse(reply.status, &reply.body).map_err(|error| {
        let kind = match error {
            DpsError::Refused { .. } | DpsError::NotFound => FailureKind::Enrolment,
            DpsError::Throttled | DpsError::Unavailable(_) => FailureKind::Network,
            DpsError::Malformed { .. } | DpsError::Blob(_) => FailureKind::Protocol,
        };
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure { kind, text: format!("{error}{cause}") }
    })?;
    Ok((parsed, reply.retry_after_s))
}

fn nonsense(text: &str) -> Failure {
    Failure { kind: FailureKind::Protocol, text: format!("DPS: {text}") }
}

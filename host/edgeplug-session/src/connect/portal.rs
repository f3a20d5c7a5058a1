//! Discovery, sync, and the way to DPS.

use edgeplug_protocol::azure::dps;
use edgeplug_protocol::legacy::discovery::{self, BaseUrl, DiscoveryError};
use edgeplug_protocol::legacy::sync::{self, SyncError, SyncOption, SyncReply};

use super::provision::{Provision, Provisioned};
use super::{Change, Connect, DPS_PERIOD_MIN, KnownAssignment, Next, State};
use crate::action::{Fact, HttpRequest, Method};
use crate::event::{Attestation, Failure, FailureKind, HttpReply};
use crate::{Action, Step};

impl Connect {
    pub(super) fn discover(&mut self, step: &mut Step<'_>) {
        if self.base_url.is_some() {
            return self.sync(step);
        }
        let config = step.config;
        let url = discovery::url(&config.discovery_url, &config.cpid, &config.environment, &config.language);
        let request = HttpRequest {
            method: Method::Get,
            url,
            authorization: None,
            body: None,
            reply_bytes_max: discovery::REPLY_BYTES_MAX,
        };
        let ticket = step.ticket();
        self.state = State::Discovering(ticket);
        step.act(Action::Http { ticket, request });
    }

    pub(super) fn discovered(&mut self, result: Result<HttpReply, Failure>, step: &mut Step<'_>) {
        match result.map(|reply| BaseUrl::parse_reply(reply.status, &reply.body)) {
            Ok(Ok(base_url)) => {
                self.base_url = Some(base_url);
                self.sync(step);
            }
            Ok(Err(error)) => {
                let kind = match error {
                    DiscoveryError::Status(408 | 429 | 500..) => FailureKind::Network,
                    DiscoveryError::Status(_) => FailureKind::Enrolment,
                    DiscoveryError::Malformed(_) => FailureKind::Protocol,
                };
                self.portal_failed(Failure { kind, text: error.to_string() }, step);
            }
            Err(failure) => self.portal_failed(failure, step),
        }
    }

    pub(super) fn sync(&mut self, step: &mut Step<'_>) {
        let Some(base_url) = &self.base_url else { return self.discover(step) };
        let request = HttpRequest {
            method: Method::Post,
            url: base_url.sync_url(),
            authorization: None,
            body: Some(sync::request_body(&step.config.cpid, &step.config.unique_id, &SyncOption::ALL)),
            reply_bytes_max: sync::REPLY_BYTES_MAX,
        };
        let ticket = step.ticket();
        self.state = State::Syncing(ticket);
        step.act(Action::Http { ticket, request });
    }

    pub(super) fn sync_answered(&mut self, result: Result<HttpReply, Failure>, step: &mut Step<'_>) -> Option<Change> {
        let reply = match result {
            Ok(reply) => reply,
            Err(failure) => {
                self.portal_failed(failure, step);
                return None;
            }
        };
        match SyncReply::parse(reply.status, &reply.body) {
            Ok(SyncReply::Ready(sync)) => {
                self.synced = true;
                self.compare_with_assignment(&sync.hub, step);
                self.hub = Some(sync.hub.clone());
                let has_key = self.registration.as_ref().is_some_and(|registration| registration.hub_key);
                if !has_key {
                    self.register(step, "there is no hub key yet");
                } else if std::mem::take(&mut self.ask_dps) {
                    self.register(step, "the hub refuses this device's key");
                } else {
                    self.authorise(step);
                }
                Some(Change::Definition(sync))
            }
            Ok(SyncReply::NotRegistered) => {
                self.register(step, "the portal says the device is not registered yet");
                None
            }
            Err(error) => {
                let (kind, about_us) = match error {
                    SyncError::Status(408 | 429 | 500..) => (FailureKind::Network, false),
                    SyncError::Malformed(_) | SyncError::UnknownCode(_) => (FailureKind::Protocol, false),
                    SyncError::Status(_) => (FailureKind::Enrolment, false),
                    _ => (FailureKind::Enrolment, true),
                };
                let failure = Failure { kind, text: error.to_string() };
                if about_us {
                    self.base_url = None;
                    self.wait(failure, Next::Discovery, step);
                } else {
                    self.portal_failed(failure, step);
                }
                None
            }
        }
    }

    /// Discovery or sync did not work, and said nothing about this device: whatever is wrong there, with a hub known from
    /// before connect anyway.
    fn portal_failed(&mut self, failure: Failure, step: &mut Step<'_>) {
        // Discovery may know by now where the agent went.
        self.base_url = None;
        let has_key = self.registration.as_ref().is_some_and(|registration| registration.hub_key);
        let knows_hub = self.hub.is_some() && has_key;
        match (knows_hub, self.failures) {
            // While a connection is open, this is its renewal; and a disputed clock is asked about on every way to the hub.
            (true, _) if self.open.is_some() || step.clock.is_contested(step.now) => self.authorise(step),
            (true, 0) => {
                tracing::warn!(
                    reason = failure.text,
                    "the portal cannot be reached; connecting to the hub known from before"
                );
                self.authorise(step);
            }
            (true, _) => self.wait(failure, Next::Hub, step),
            (false, _) => self.wait(failure, Next::Discovery, step),
        }
    }

    pub(super) fn register(&mut self, step: &mut Step<'_>, why: &str) {
        let recently = self.registered_at.is_some_and(|at| step.now.monotonic.saturating_sub(at) < DPS_PERIOD_MIN);
        let (Some(scope_id), Some(registration)) = (step.config.scope_id.clone(), self.registration.clone()) else {
            let text = format!("{why}, and cloud.scope_id is not set; take it from the portal (Key Vault, DPS)");
            return self.wait(Failure { kind: FailureKind::Enrolment, text }, Next::Discovery, step);
        };
        if recently {
            let text = format!("{why}, although it registered with DPS a moment ago; the portal may need some time");
            return self.wait(Failure { kind: FailureKind::Enrolment, text }, Next::Discovery, step);
        }
        let endorsement_key = match &registration.attestation {
            Attestation::Tpm { endorsement_key, .. } => Some(endorsement_key.as_slice()),
            Attestation::SymmetricKey => None,
        };
        let Some(registration_id) = step.config.registration.resolve(endorsement_key) else {
            let text = "cloud.registration_id asks for a hash of the endorsement key, and there is no TPM".to_owned();
            return self.wait(Failure { kind: FailureKind::Enrolment, text }, Next::Discovery, step);
        };
        if !step.clock.can_sign(step.now) {
            return self.wait_for_the_time(step);
        }
        tracing::info!(why, "registering with DPS");
        let enrolment = dps::Enrolment { endpoint: step.config.dps_url.clone(), id_scope: scope_id, registration_id };
        self.state = State::Provisioning(Box::new(Provision::start(enrolment, registration.attestation, step)));
    }

    pub(super) fn provisioned(&mut self, outcome: Provisioned, step: &mut Step<'_>) {
        match outcome {
            Provisioned::UnderWay => {}
            Provisioned::Done(assignment) => {
                tracing::info!(hub = assignment.hub, "DPS assigned the device to a hub");
                self.registered_at = Some(step.now.monotonic);
                if let Some(registration) = &mut self.registration {
                    registration.hub_key = true;
                }
                let known = KnownAssignment { hub: assignment.hub, device_id: assignment.device_id };
                if let Ok(value) = serde_json::to_vec(&known) {
                    step.act(Action::Keep { fact: Fact::Assignment, value: value.into() });
                }
                self.assignment = Some(known);
                self.backoff.reset();
                // Only a sync after the registration knows the template of the new device.
                self.sync(step);
            }
            Provisioned::Failed(failure) => {
                let next =
                    if matches!(failure.kind, FailureKind::TpmBusy | FailureKind::TpmMissing | FailureKind::KeyRefused)
                    {
                        Next::Identity
                    } else {
                        Next::Discovery
                    };
                self.wait(failure, next, step);
            }
        }
    }
}

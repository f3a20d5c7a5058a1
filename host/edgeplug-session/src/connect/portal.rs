//! Whom to ask about this device, in which protocol, and what the answer means for the connection.
//!
//! With `auto` the protocol of the last good answer is asked first. Without one, or after [`FAILURES_BEFORE_PROBE`] failures
//! in a row, both are: 2.1, and then 1.0 if 2.1 does not serve this device or says that it has a TPM, for which 1.0 is the
//! protocol that was seen to work. A failure of both is told as one.

use std::time::Duration;

use edgeplug_protocol::azure::dps;
use edgeplug_protocol::definition::{AuthType, Definition, Place};
use edgeplug_protocol::legacy::discovery::{self, BaseUrl, DiscoveryError};
use edgeplug_protocol::legacy::sync::{self, SyncError, SyncOption, SyncReply};
use edgeplug_protocol::retry::Retry;
use edgeplug_protocol::v21;
use edgeplug_protocol::v21::discovery::{Account, AgentUrl, DiscoveryError as DiscoveryErrorV21};
use edgeplug_protocol::v21::identity::{Has, IdentityError, IdentityReply};
use edgeplug_protocol::version::Version;

use super::pace::Pace;
use super::provision::{Provision, Provisioned};
use super::{Change, Connect, DPS_PERIOD_MIN, KnownAssignment, Next, State};
use crate::action::{Fact, HttpRequest, Method};
use crate::config::{ProtocolChoice, SessionConfig};
use crate::event::{Attestation, Failure, FailureKind, HttpReply};
use crate::{Action, Step, Ticket};

/// After so many failures in a row of the protocol that worked before, the other one is asked as well.
const FAILURES_BEFORE_PROBE: u32 = 3;
/// A server's `Retry-After` is believed up to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Whom to ask, in which protocol.
#[derive(Default)]
pub(super) struct Portal {
    /// What is asked now.
    asking: Version,
    /// What was found out, where both are asked.
    probe: Option<Probe>,
    /// What worked last.
    preferred: Option<Version>,
    /// Ways to the portal that failed in a row.
    failures: u32,
    /// Where sync lies; asked for once, and again when the agent says it moved.
    legacy: Option<BaseUrl>,
    /// Where identity lies.
    v21: Option<AgentUrl>,
}

/// Where the asking of both protocols stands.
enum Probe {
    /// 2.1 is asked.
    Begun,
    /// 2.1 does not serve this device, and 1.0 is asked.
    Refused(PortalFailure),
    /// 2.1 serves this device, but it has a TPM, so 1.0 is asked.
    Fallback(Box<Definition>, Has),
}

/// An answer of the portal.
pub(super) enum Answer {
    /// Go on and connect.
    Ready(Box<Definition>, Option<Has>),
    /// The portal knows the device, the hub does not.
    NotRegistered,
}

/// Why the portal did not help.
pub(super) struct PortalFailure {
    pub(super) failure: Failure,
    pub(super) pace: Pace,
    /// There was an answer.
    answered: bool,
    /// It said something about this very device: then a hub known from before is no way around.
    about_us: bool,
    /// The device may only have to be registered with DPS (2.1 does not tell).
    unregistered: bool,
    /// Another agent may know more: there was none where discovery said, or it says so.
    pub(super) elsewhere: bool,
}

impl Portal {
    /// This protocol worked.
    pub(super) fn prefer(&mut self, version: Version) {
        (self.preferred, self.asking, self.probe) = (Some(version), version, None);
        self.failures = 0;
    }

    /// Where the agents lie may have changed.
    pub(super) fn forget_agents(&mut self) {
        (self.legacy, self.v21) = (None, None);
    }

    fn begin(&mut self, choice: ProtocolChoice) {
        self.probe = None;
        self.asking = match (choice, self.preferred) {
            (ProtocolChoice::Only(version), _) => version,
            (ProtocolChoice::Auto, Some(version)) if self.failures < FAILURES_BEFORE_PROBE => version,
            (ProtocolChoice::Auto, _) => {
                self.probe = Some(Probe::Begun);
                Version::V21
            }
        };
    }

    /// The next request of a protocol, and whether it is discovery.
    pub(super) fn request(
        &self,
        version: Version,
        options: &[SyncOption],
        config: &SessionConfig,
    ) -> (HttpRequest, bool) {
        match (version, &self.legacy, &self.v21) {
            (Version::Legacy, Some(agent), _) => {
                let body = sync::request_body(&config.cpid, &config.unique_id, options);
                (request(Method::Post, agent.sync_url(), Some(body), sync::REPLY_BYTES_MAX), false)
            }
            (Version::Legacy, None, _) => {
                let url = discovery::url(&config.discovery_url, &config.cpid, &config.environment, &config.language);
                (request(Method::Get, url, None, discovery::REPLY_BYTES_MAX), true)
            }
            (Version::V21, _, Some(agent)) => {
                let url = agent.identity_url(&config.unique_id);
                (request(Method::Get, url, None, v21::identity::REPLY_BYTES_MAX), false)
            }
            (Version::V21, _, None) => {
                let account = match &config.sid {
                    Some(sid) => Account::Sid(sid),
                    None => Account::Company { cpid: &config.cpid, environment: &config.environment },
                };
                let url = v21::discovery::url(&config.discovery_url, &account);
                (request(Method::Get, url, None, v21::discovery::REPLY_BYTES_MAX), true)
            }
        }
    }

    /// Reads the answer to discovery.
    pub(super) fn discovered(
        &mut self,
        version: Version,
        result: Result<HttpReply, Failure>,
    ) -> Result<(), PortalFailure> {
        let reply = result.map_err(PortalFailure::unreachable)?;
        match version {
            Version::Legacy => match BaseUrl::parse_reply(reply.status, &reply.body) {
                Ok(agent) => self.legacy = Some(agent),
                Err(error) => {
                    let kind = match error {
                        DiscoveryError::Status(408 | 429 | 500..) => FailureKind::Network,
                        DiscoveryError::Status(_) => FailureKind::Enrolment,
                        DiscoveryError::Malformed(_) => FailureKind::Protocol,
                    };
                    return Err(PortalFailure::new(kind, &error, error.retry()).after(&reply));
                }
            },
            Version::V21 => match AgentUrl::parse_reply(reply.status, &reply.body) {
                Ok(agent) => {
                    if agent.said_expired {
                        tracing::warn!(
                            "discovery says the subscription has expired; going on, because it errs in that"
                        );
                    }
                    self.v21 = Some(agent);
                }
                Err(error) => {
                    let kind = match error {
                        DiscoveryErrorV21::Status(408 | 429 | 500..) => FailureKind::Network,
                        DiscoveryErrorV21::Malformed(_) => FailureKind::Protocol,
                        _ => FailureKind::Enrolment,
                    };
                    return Err(PortalFailure::new(kind, &error, error.retry()).after(&reply));
                }
            },
        }
        Ok(())
    }

    /// Reads the answer to a full sync or to identity.
    pub(super) fn answered(
        version: Version,
        result: Result<HttpReply, Failure>,
        config: &SessionConfig,
    ) -> Result<Answer, PortalFailure> {
        let reply = result.map_err(PortalFailure::unreachable)?;
        match version {
            Version::Legacy => match SyncReply::parse(reply.status, &reply.body) {
                Ok(SyncReply::Ready(definition)) => Ok(Answer::Ready(definition, None)),
                Ok(SyncReply::NotRegistered) => Ok(Answer::NotRegistered),
                Err(error) => Err(PortalFailure::from(error).after(&reply)),
            },
            Version::V21 => match IdentityReply::parse(reply.status, &reply.body, &config.unique_id) {
                Ok(IdentityReply::Ready { definition, has }) => Ok(Answer::Ready(definition, Some(has))),
                Ok(IdentityReply::OnAws(definition)) => {
                    let text = format!(
                        "the portal sends this device to {}, but this daemon signs in at Azure IoT Hub only; create it in \
                         an account on Azure",
                        definition.hub.host
                    );
                    let failed = PortalFailure::new(FailureKind::Enrolment, &text, Retry::Never);
                    Err(PortalFailure { about_us: true, ..failed })
                }
                Err(error) => Err(PortalFailure::from(error).after(&reply)),
            },
        }
    }
}

impl PortalFailure {
    fn new(kind: FailureKind, error: &dyn std::fmt::Display, retry: Retry) -> Self {
        let failure = Failure { kind, text: error.to_string() };
        let pace = Pace { retry, after: None };
        Self { failure, pace, answered: true, about_us: false, unregistered: false, elsewhere: true }
    }

    /// Nobody answered.
    pub(super) fn unreachable(failure: Failure) -> Self {
        Self { answered: false, ..Self::new(failure.kind, &failure.text, Retry::Soon) }
    }

    /// It answered, but not what it was asked.
    pub(super) fn nothing_said(what: &str) -> Self {
        let text = format!("the portal says nothing about this device's {what} yet");
        Self { elsewhere: false, ..Self::new(FailureKind::Enrolment, &text, Retry::Soon) }
    }

    /// Takes up the wait that a refusal asks for.
    pub(super) fn after(mut self, reply: &HttpReply) -> Self {
        let seconds = reply.retry_after_s.filter(|_| reply.status != 200);
        self.pace.after = seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        self
    }

    /// Of two protocols that both failed, the one that says more about the device leads.
    fn and(self, v21: Self) -> Self {
        let silent = !self.answered && !v21.answered;
        if silent || self.failure.text == v21.failure.text {
            return self;
        }
        let legacy_leads = self.about_us || !v21.about_us;
        let kind = if legacy_leads { self.failure.kind } else { v21.failure.kind };
        let text = format!("{} (1.0); {} (2.1)", self.failure.text, v21.failure.text);
        // Whichever may heal sooner, but nobody is asked before the time it named.
        let retry = match (self.pace.retry, v21.pace.retry) {
            (Retry::Soon, _) | (_, Retry::Soon) => Retry::Soon,
            (Retry::Slow, _) | (_, Retry::Slow) => Retry::Slow,
            (Retry::Never, Retry::Never) => Retry::Never,
        };
        Self {
            failure: Failure { kind, text },
            pace: Pace { retry, after: self.pace.after.max(v21.pace.after) },
            answered: self.answered || v21.answered,
            about_us: self.about_us || v21.about_us,
            unregistered: false,
            elsewhere: self.elsewhere || v21.elsewhere,
        }
    }
}

impl From<SyncError> for PortalFailure {
    fn from(error: SyncError) -> Self {
        let (kind, about_us) = match error {
            SyncError::Status(408 | 429 | 500..) => (FailureKind::Network, false),
            SyncError::Malformed(_) | SyncError::UnknownCode(_) => (FailureKind::Protocol, false),
            SyncError::Status(_) => (FailureKind::Enrolment, false),
            _ => (FailureKind::Enrolment, true),
        };
        let elsewhere = !about_us || error == SyncError::Moved;
        Self { about_us, elsewhere, ..Self::new(kind, &error, error.retry()) }
    }
}

impl From<IdentityError> for PortalFailure {
    fn from(error: IdentityError) -> Self {
        let (kind, about_us) = match error {
            IdentityError::Status(408 | 429 | 500..) => (FailureKind::Network, false),
            IdentityError::Malformed(_) | IdentityError::UnknownCode(_) => (FailureKind::Protocol, false),
            IdentityError::Status(_) => (FailureKind::Enrolment, false),
            _ => (FailureKind::Enrolment, true),
        };
        let unregistered = error == IdentityError::DeviceNotFound;
        Self { about_us, unregistered, elsewhere: !about_us, ..Self::new(kind, &error, error.retry()) }
    }
}

impl Connect {
    pub(super) fn discover(&mut self, step: &mut Step<'_>) {
        self.portal.begin(step.config.protocol);
        self.ask_portal(step);
    }

    fn ask_portal(&mut self, step: &mut Step<'_>) {
        let (request, discovers) = self.portal.request(self.portal.asking, &SyncOption::ALL, step.config);
        let ticket: Ticket = step.ticket();
        self.state = if discovers { State::Discovering(ticket) } else { State::Syncing(ticket) };
        step.act(Action::Http { ticket, request });
    }

    pub(super) fn discovered(&mut self, result: Result<HttpReply, Failure>, step: &mut Step<'_>) -> Option<Change> {
        match self.portal.discovered(self.portal.asking, result) {
            Ok(()) => {
                self.ask_portal(step);
                None
            }
            Err(failed) => self.portal_failed(failed, step),
        }
    }

    pub(super) fn portal_answered(
        &mut self,
        result: Result<HttpReply, Failure>,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        let begun = matches!(self.portal.probe, Some(Probe::Begun));
        match Portal::answered(self.portal.asking, result, step.config) {
            Ok(Answer::Ready(definition, Some(has))) if begun && definition.auth == AuthType::Tpm => {
                self.portal.probe = Some(Probe::Fallback(definition, has));
                self.portal.asking = Version::Legacy;
                self.ask_portal(step);
                None
            }
            Ok(Answer::Ready(definition, has)) => self.accepted(definition, has, step),
            Ok(Answer::NotRegistered) => {
                self.portal.prefer(self.portal.asking);
                self.register(step, "the portal says the device is not registered yet");
                None
            }
            Err(failed) => self.portal_failed(failed, step),
        }
    }

    /// The portal says where to connect.
    fn accepted(&mut self, definition: Box<Definition>, has: Option<Has>, step: &mut Step<'_>) -> Option<Change> {
        self.synced = true;
        self.portal.prefer(definition.version);
        self.compare_with_assignment(&definition.hub, step);
        self.take_over(*definition, has, step);
        let has_key = self.registration.as_ref().is_some_and(|registration| registration.hub_key);
        if !has_key {
            self.register(step, "there is no hub key yet");
        } else if std::mem::take(&mut self.ask_dps) {
            self.register(step, "the hub refuses this device's key");
        } else {
            self.authorise(step);
        }
        self.changed()
    }

    /// Replaces what is known by what the portal says. What 2.1 tells only later stays as it was, if it was said of the
    /// same template.
    pub(super) fn take_over(&mut self, mut definition: Definition, has: Option<Has>, step: &mut Step<'_>) {
        self.complete = true;
        if let Some(has) = has {
            let same =
                |old: &&Definition| old.version == definition.version && old.template_id == definition.template_id;
            let old = self.definition.as_ref().filter(same);
            self.complete = !has.attributes || (self.complete && old.is_some());
            if let Some(old) = old {
                definition.groups = if has.attributes { old.groups.clone() } else { Vec::new() };
                definition.settings = if has.settings { old.settings.clone() } else { Vec::new() };
                definition.rules = if has.rules { old.rules.clone() } else { Vec::new() };
                if has.children {
                    definition.devices.extend(old.devices.iter().skip(1).cloned());
                }
                let kept = [
                    (Place::Attributes, has.attributes),
                    (Place::Settings, has.settings),
                    (Place::Rules, has.rules),
                    (Place::Devices, has.children),
                ];
                for (place, _) in kept.into_iter().filter(|(_, there)| *there) {
                    definition.left_out.extend(old.left_out.get(&place).map(|reasons| (place, reasons.clone())));
                }
            }
            self.questions.ask_all(has, step.now.monotonic);
            self.refresh.forget_parts();
        } else {
            self.questions.clear();
            self.refresh.full_answer(&definition, step);
        }
        self.definition = Some(definition);
    }

    /// Discovery, sync or identity did not work. If it said nothing about this device, then whatever is wrong there,
    /// with a hub known from before connect anyway.
    fn portal_failed(&mut self, failed: PortalFailure, step: &mut Step<'_>) -> Option<Change> {
        let failed = match self.portal.probe.take() {
            Some(Probe::Begun) => {
                tracing::debug!(reason = failed.failure.text, "not by protocol 2.1; asking by 1.0");
                self.portal.probe = Some(Probe::Refused(failed));
                self.portal.asking = Version::Legacy;
                self.ask_portal(step);
                return None;
            }
            Some(Probe::Refused(v21)) => failed.and(v21),
            Some(Probe::Fallback(definition, has)) => return self.accepted(definition, Some(has), step),
            None => failed,
        };
        // Silence says nothing about the protocol.
        self.portal.failures = self.portal.failures.saturating_add(u32::from(failed.answered));
        if failed.elsewhere {
            self.portal.forget_agents();
        }
        let has_key = self.registration.as_ref().is_some_and(|registration| registration.hub_key);
        let knows_hub = self.definition.is_some() && has_key;
        let PortalFailure { failure, pace, about_us, unregistered, .. } = failed;
        if unregistered && !has_key && step.config.scope_id.is_some() {
            self.register(step, "the portal has no identity for this device, and there is no hub key yet");
            return None;
        }
        match (knows_hub && !about_us, self.failures) {
            // While a connection is open, this is its renewal; and a disputed clock is asked about on every way to the hub.
            (true, _) if self.open.is_some() || step.clock.is_contested(step.now) => self.authorise(step),
            (true, 0) => {
                tracing::warn!(
                    reason = failure.text,
                    "the portal cannot be reached; connecting to the hub known from before"
                );
                self.authorise(step);
            }
            (true, _) => self.wait_at(pace, failure, Next::Hub, step),
            (false, _) => self.wait_at(pace, failure, Next::Discovery, step),
        }
        None
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
                // Only an answer from after the registration knows the template of the new device.
                self.ask_portal(step);
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

fn request(method: Method, url: String, body: Option<String>, reply_bytes_max: usize) -> HttpRequest {
    HttpRequest { method, url, authorization: None, body, reply_bytes_max }
}

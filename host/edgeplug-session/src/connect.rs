//! The way to the cloud: who we are → discovery → sync → DPS if needed → a signed token → the hub → wait, and again.
//!
//! One state at a time, one action outstanding at a time. Whatever fails becomes a [`Trouble`] that an operator can
//! read and a wait with backoff; nothing here is ever final, because the portal, the network or the TPM may heal.
//! The exception to "sync first" is a device that has synced before: when only the network path to the portal fails,
//! it connects to the hub it knows.

mod provision;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::azure::dps;
use edgeplug_protocol::azure::hub::{DESIRED_CHANGES_FILTER, TWIN_ANSWERS_FILTER};
use edgeplug_protocol::azure::sas::SasRequest;
use edgeplug_protocol::legacy::discovery::{self, BaseUrl};
use edgeplug_protocol::legacy::sync::{self, Hub, SyncError, SyncOption, SyncReply};
use edgeplug_protocol::legacy::template::Template;
use serde::{Deserialize, Serialize};

use crate::action::{ConnectTo, Fact, HttpRequest, Method};
use crate::backoff::Backoff;
use crate::event::{Attestation, Failure, FailureKind, HttpReply, LinkDownReason, Registration};
use crate::status::{LinkState, Trouble};
use crate::{Action, ConnectionId, KeySlot, Now, Online, Step, Ticket};
use provision::{Provision, Provisioned};

/// Waits between tries: from one second, doubled, up to five minutes.
const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_secs(5 * 60);
/// A link that lasted this long was a good one: the next try after it starts at the shortest wait again.
const GOOD_LINK: Duration = Duration::from_secs(30);
/// After so many failed connections in a row the hub is asked for anew: it may have moved.
const FAILURES_BEFORE_SYNC: u32 = 3;
/// After so many refusals in a row the key is taken for dead and DPS asked for a new one.
const REFUSALS_BEFORE_DPS: u32 = 3;
/// Least time between two registrations, so that a portal that lags behind is not hammered.
const DPS_PERIOD_MIN: Duration = Duration::from_secs(10 * 60);
/// How much of a token's life passes before it is renewed.
const RENEW_AT: f64 = 0.8;
/// How long a renewal waits for the last PUBACKs before it closes the link anyway.
const QUIET_TIME_MAX: Duration = Duration::from_secs(5);

/// What the rest of the session learns from this part.
pub(crate) enum Change {
    /// What may be sent.
    Template(Template),
    /// A planned reconnect begins: publish nothing new.
    Pausing,
    /// Publish here.
    Online(Online),
    /// No link.
    Offline {
        /// A renewal, not an outage.
        planned: bool,
    },
}

pub(crate) struct Connect {
    state: State,
    registration: Option<Registration>,
    /// Where sync lies; asked for once, and again when the agent says it moved.
    base_url: Option<BaseUrl>,
    /// The hub of the last good sync.
    hub: Option<Hub>,
    /// The hub of the last registration; wins over `hub` until a sync agrees.
    assignment: Option<KnownAssignment>,
    /// Whether a sync succeeded since start.
    synced: bool,
    backoff: Backoff,
    trouble: Option<Trouble>,
    last_connection: u64,
    /// Connections that failed in a row.
    failures: u32,
    /// Connections the hub refused in a row.
    refusals: u32,
    registered_at: Option<Duration>,
}

enum State {
    Starting,
    OpeningIdentity(Ticket),
    Discovering(Ticket),
    Syncing(Ticket),
    Provisioning(Box<Provision>),
    Authorising(Ticket, SasRequest),
    Connecting {
        connection: ConnectionId,
    },
    Online {
        connection: ConnectionId,
        since: Duration,
        renew_at: Duration,
    },
    /// The link stays open until the last PUBACKs came or `until`.
    Quieting {
        connection: ConnectionId,
        until: Duration,
    },
    /// Closing for a renewal.
    Renewing {
        connection: ConnectionId,
    },
    Waiting {
        until: Duration,
        then: Next,
    },
    Closing {
        connection: ConnectionId,
    },
    Closed,
}

/// Where to go on after a wait.
#[derive(Clone, Copy)]
enum Next {
    Identity,
    Discovery,
    Hub,
}

/// What is remembered of a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KnownAssignment {
    hub: String,
    device_id: String,
}

impl Connect {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Starting,
            registration: None,
            base_url: None,
            hub: None,
            assignment: None,
            synced: false,
            backoff: Backoff::new(RETRY_BASE, RETRY_CAP),
            trouble: None,
            last_connection: 0,
            failures: 0,
            refusals: 0,
            registered_at: None,
        }
    }

    /// Begins, with what the last run knew.
    pub(crate) fn restore(
        &mut self,
        sync: Option<Bytes>,
        assignment: Option<Bytes>,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        self.assignment = assignment.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        self.open_identity(step);
        match SyncReply::parse(200, &sync?) {
            Ok(SyncReply::Ready(sync)) => {
                self.hub = Some(sync.hub);
                Some(Change::Template(sync.template))
            }
            _ => None,
        }
    }

    pub(crate) fn identity_opened(
        &mut self,
        ticket: Ticket,
        result: Result<Registration, Failure>,
        step: &mut Step<'_>,
    ) {
        if !matches!(self.state, State::OpeningIdentity(awaited) if awaited == ticket) {
            return;
        }
        match result {
            Ok(registration) => {
                self.registration = Some(registration);
                self.discover(step);
            }
            Err(failure) => self.wait(failure, Next::Identity, step),
        }
    }

    pub(crate) fn http_done(
        &mut self,
        ticket: Ticket,
        result: Result<HttpReply, Failure>,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        match &mut self.state {
            State::Discovering(awaited) if *awaited == ticket => {
                self.discovered(result, step);
                None
            }
            State::Syncing(awaited) if *awaited == ticket => self.sync_answered(result, step),
            State::Provisioning(provision) => {
                let outcome = provision.http_done(ticket, result, step);
                self.provisioned(outcome, step);
                None
            }
            _ => None,
        }
    }

    pub(crate) fn activated(
        &mut self,
        ticket: Ticket,
        slot: KeySlot,
        result: Result<(), Failure>,
        step: &mut Step<'_>,
    ) {
        if let State::Provisioning(provision) = &mut self.state {
            let outcome = provision.activated(ticket, slot, result, step);
            self.provisioned(outcome, step);
        }
    }

    pub(crate) fn signed(&mut self, ticket: Ticket, result: Result<Vec<u8>, Failure>, step: &mut Step<'_>) {
        match &mut self.state {
            State::Authorising(awaited, _) if *awaited == ticket => match result {
                Ok(signature) => self.connect(&signature, step),
                // The key is gone or another one (a cleared TPM, for instance): look again from the start.
                Err(failure) => self.wait(failure, Next::Identity, step),
            },
            State::Provisioning(provision) => {
                let outcome = provision.signed(ticket, result, step);
                self.provisioned(outcome, step);
            }
            _ => {}
        }
    }

    pub(crate) fn link_up(&mut self, connection: ConnectionId, step: &mut Step<'_>) -> Option<Change> {
        if !matches!(self.state, State::Connecting { connection: awaited } if awaited == connection) {
            return None;
        }
        let now = step.now.monotonic;
        let renew_at = now + step.config.token_life.mul_f64(RENEW_AT);
        self.state = State::Online { connection, since: now, renew_at };
        self.trouble = None;
        self.refusals = 0;
        let (hub, device_id) = self.target()?;
        tracing::info!(host = %hub.host, "connected to the hub");
        Some(Change::Online(Online { connection, publish_topic: hub.publish_topic, device_id }))
    }

    pub(crate) fn link_down(
        &mut self,
        connection: ConnectionId,
        reason: LinkDownReason,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        match self.state {
            State::Connecting { connection: ours } if ours == connection => {
                self.failures += 1;
                self.connection_failed(reason, step);
                // The pause of a renewal ends in an outage.
                Some(Change::Offline { planned: false })
            }
            State::Online { connection: ours, since, .. } if ours == connection => {
                if step.now.monotonic.saturating_sub(since) >= GOOD_LINK {
                    self.backoff.reset();
                    self.failures = 0;
                }
                self.failures += 1;
                self.connection_failed(reason, step);
                Some(Change::Offline { planned: false })
            }
            State::Quieting { connection: ours, .. } | State::Renewing { connection: ours } if ours == connection => {
                self.backoff.reset();
                // A template that was never refreshed since start is asked for now; otherwise only the token is new.
                if self.synced {
                    self.authorise(step)
                } else {
                    self.discover(step)
                }
                Some(Change::Offline { planned: true })
            }
            State::Closing { connection: ours } if ours == connection => {
                self.state = State::Closed;
                None
            }
            _ => None,
        }
    }

    /// Does what is due. `quiet` says that nothing is in flight.
    pub(crate) fn advance(&mut self, quiet: bool, step: &mut Step<'_>) -> Option<Change> {
        let now = step.now.monotonic;
        match &mut self.state {
            State::Waiting { until, then } if now >= *until => match *then {
                Next::Identity => self.open_identity(step),
                Next::Discovery => self.discover(step),
                Next::Hub => self.authorise(step),
            },
            State::Provisioning(provision) => provision.advance(step),
            State::Online { connection, renew_at, .. } if now >= *renew_at => {
                tracing::debug!("renewing the token");
                self.state = State::Quieting { connection: *connection, until: now + QUIET_TIME_MAX };
                return Some(Change::Pausing);
            }
            State::Quieting { connection, until } if quiet || now >= *until => {
                let connection = *connection;
                self.state = State::Renewing { connection };
                step.act(Action::Disconnect { connection });
            }
            _ => {}
        }
        None
    }

    pub(crate) fn close(&mut self, actions: &mut VecDeque<Action>) {
        match self.state {
            State::Connecting { connection }
            | State::Online { connection, .. }
            | State::Quieting { connection, .. }
            | State::Renewing { connection } => {
                actions.push_back(Action::Disconnect { connection });
                self.state = State::Closing { connection };
            }
            _ => self.state = State::Closed,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Waiting { until, .. } | State::Quieting { until, .. } => Some(*until),
            State::Online { renew_at, .. } => Some(*renew_at),
            State::Provisioning(provision) => provision.timeout(),
            _ => None,
        }
    }

    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    pub(crate) fn hub_name(&self) -> Option<String> {
        self.target().map(|(hub, device_id)| format!("{}/{device_id}", hub.host))
    }

    pub(crate) fn retry_in(&self, now: Now) -> Option<Duration> {
        match &self.state {
            State::Waiting { until, .. } => Some(until.saturating_sub(now.monotonic)),
            _ => None,
        }
    }

    pub(crate) fn link_state(&self, stopping: bool) -> LinkState {
        if stopping {
            return LinkState::Stopping;
        }
        match &self.state {
            State::Starting => LinkState::Starting,
            State::OpeningIdentity(_) => LinkState::OpeningIdentity,
            State::Discovering(_) => LinkState::Discovering,
            State::Syncing(_) => LinkState::Syncing,
            State::Provisioning(_) => LinkState::Provisioning,
            State::Authorising(..) => LinkState::Authorising,
            State::Connecting { .. } => LinkState::Connecting,
            State::Online { .. } => LinkState::Online,
            State::Quieting { .. } | State::Renewing { .. } => LinkState::Renewing,
            State::Waiting { .. } => LinkState::Waiting,
            State::Closing { .. } | State::Closed => LinkState::Stopping,
        }
    }

    fn open_identity(&mut self, step: &mut Step<'_>) {
        let ticket = step.ticket();
        self.state = State::OpeningIdentity(ticket);
        step.act(Action::OpenIdentity { ticket });
    }

    fn discover(&mut self, step: &mut Step<'_>) {
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

    fn discovered(&mut self, result: Result<HttpReply, Failure>, step: &mut Step<'_>) {
        match result.map(|reply| BaseUrl::parse_reply(reply.status, &reply.body)) {
            Ok(Ok(base_url)) => {
                self.base_url = Some(base_url);
                self.sync(step);
            }
            Ok(Err(error)) => {
                let kind = match error {
                    discovery::DiscoveryError::Status(500..) => FailureKind::Network,
                    discovery::DiscoveryError::Status(_) => FailureKind::Enrolment,
                    discovery::DiscoveryError::Malformed(_) => FailureKind::Protocol,
                };
                self.portal_failed(Failure { kind, text: error.to_string() }, step);
            }
            Err(failure) => self.portal_failed(failure, step),
        }
    }

    fn sync(&mut self, step: &mut Step<'_>) {
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

    fn sync_answered(&mut self, result: Result<HttpReply, Failure>, step: &mut Step<'_>) -> Option<Change> {
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
                step.act(Action::Keep { fact: Fact::Sync, value: reply.body });
                self.compare_with_assignment(&sync.hub);
                self.hub = Some(sync.hub);
                if self.registration.as_ref().is_some_and(|registration| registration.hub_key) {
                    self.authorise(step);
                } else {
                    self.register(step, "there is no hub key yet");
                }
                Some(Change::Template(sync.template))
            }
            Ok(SyncReply::NotRegistered) => {
                self.register(step, "the portal says the device is not registered yet");
                None
            }
            Err(error) => {
                let kind = match error {
                    SyncError::Status(500..) => FailureKind::Network,
                    SyncError::Malformed(_) | SyncError::UnknownCode(_) => FailureKind::Protocol,
                    _ => FailureKind::Enrolment,
                };
                if matches!(error, SyncError::Moved | SyncError::Status(404)) {
                    self.base_url = None;
                }
                self.portal_failed(Failure { kind, text: error.to_string() }, step);
                None
            }
        }
    }

    /// Discovery or sync did not work: with a hub known from before and only the network to blame, connect anyway.
    fn portal_failed(&mut self, failure: Failure, step: &mut Step<'_>) {
        let has_key = self.registration.as_ref().is_some_and(|registration| registration.hub_key);
        let knows_hub = failure.kind == FailureKind::Network && self.hub.is_some() && has_key;
        match (knows_hub, self.failures) {
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

    fn register(&mut self, step: &mut Step<'_>, why: &str) {
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
        tracing::info!(why, "registering with DPS");
        let enrolment = dps::Enrolment { endpoint: step.config.dps_url.clone(), id_scope: scope_id, registration_id };
        self.state = State::Provisioning(Box::new(Provision::start(enrolment, registration.attestation, step)));
    }

    fn provisioned(&mut self, outcome: Provisioned, step: &mut Step<'_>) {
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

    fn compare_with_assignment(&mut self, hub: &Hub) {
        let Some(assignment) = &self.assignment else { return };
        if assignment.hub.eq_ignore_ascii_case(&hub.host) && assignment.device_id == hub.client_id {
            self.assignment = None;
        } else {
            tracing::warn!(
                dps = assignment.hub,
                portal = hub.host,
                "DPS and the portal name different hubs or device ids; using DPS's until the portal agrees"
            );
        }
    }

    /// The hub to connect to and our name there.
    fn target(&self) -> Option<(Hub, String)> {
        let hub = self.hub.clone()?;
        let Some(assignment) = &self.assignment else {
            let device_id = hub.client_id.clone();
            return Some((hub, device_id));
        };
        if assignment.hub.eq_ignore_ascii_case(&hub.host) && assignment.device_id == hub.client_id {
            let device_id = hub.client_id.clone();
            return Some((hub, device_id));
        }
        let device_id = assignment.device_id.clone();
        let hub = Hub {
            port: hub.port,
            user_name: edgeplug_protocol::azure::hub::user_name(&assignment.hub, &device_id),
            publish_topic: edgeplug_protocol::azure::hub::events_topic(&device_id),
            subscribe_filter: edgeplug_protocol::azure::hub::devicebound_filter(&device_id),
            host: assignment.hub.clone(),
            client_id: device_id.clone(),
        };
        Some((hub, device_id))
    }

    fn authorise(&mut self, step: &mut Step<'_>) {
        let Some((hub, device_id)) = self.target() else { return self.discover(step) };
        let life_s = i64::try_from(step.config.token_life.as_secs()).unwrap_or(i64::MAX);
        let request = SasRequest::for_hub(&hub.host, &device_id, (step.unix_ms / 1000).saturating_add(life_s));
        let ticket = step.ticket();
        step.act(Action::Sign { ticket, slot: KeySlot::Hub, bytes: request.bytes_to_sign() });
        self.state = State::Authorising(ticket, request);
    }

    fn connect(&mut self, signature: &[u8], step: &mut Step<'_>) {
        let State::Authorising(_, request) = &self.state else { return };
        let password = request.token(signature);
        let Some((hub, _)) = self.target() else { return self.discover(step) };
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        self.state = State::Connecting { connection };
        let to = ConnectTo {
            host: hub.host,
            port: hub.port,
            client_id: hub.client_id,
            user_name: hub.user_name,
            password,
            subscriptions: vec![
                hub.subscribe_filter,
                TWIN_ANSWERS_FILTER.to_owned(),
                DESIRED_CHANGES_FILTER.to_owned(),
            ],
            window: step.config.window,
        };
        step.act(Action::Connect { connection, to });
    }

    fn connection_failed(&mut self, reason: LinkDownReason, step: &mut Step<'_>) {
        let failure = match reason {
            LinkDownReason::NotAuthorised => {
                self.refusals += 1;
                Failure {
                    kind: FailureKind::Enrolment,
                    text: "the hub does not accept this device's token; the device may be disabled there, its key may \
                           have been replaced, or this device's clock is wrong"
                        .into(),
                }
            }
            LinkDownReason::Failed(failure) => failure,
            LinkDownReason::Asked => Failure { kind: FailureKind::Network, text: "the connection was closed".into() },
        };
        if self.refusals >= REFUSALS_BEFORE_DPS && step.config.scope_id.is_some() {
            self.refusals = 0;
            if let Some(registration) = &mut self.registration {
                // The next sync then leads to DPS.
                registration.hub_key = false;
            }
            return self.wait(failure, Next::Discovery, step);
        }
        let next = if self.failures.is_multiple_of(FAILURES_BEFORE_SYNC) { Next::Discovery } else { Next::Hub };
        self.wait(failure, next, step);
    }

    fn wait(&mut self, failure: Failure, then: Next, step: &mut Step<'_>) {
        let wait = self.backoff.next(step.rng);
        let trouble = Trouble { kind: failure.kind, text: failure.text };
        if self.trouble.as_ref() == Some(&trouble) {
            tracing::debug!(reason = trouble.text, retry_in_s = wait.as_secs_f64(), "still not connected");
        } else {
            tracing::warn!(reason = trouble.text, retry_in_s = wait.as_secs_f64(), "not connected");
        }
        self.trouble = Some(trouble);
        self.state = State::Waiting { until: step.now.monotonic + wait, then };
    }
}

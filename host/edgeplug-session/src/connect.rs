//! The way to the cloud: who we are → discovery → sync → DPS if needed → a signed token → the hub → wait, and again.
//!
//! One state at a time, one action outstanding at a time. Whatever fails becomes a [`Trouble`] that an operator can
//! read and a wait with backoff; nothing here is ever final, because the portal, the network or the TPM may heal.
//! The exception to "sync first" is a device that has synced before: when only the network path to the portal fails,
//! it connects to the hub it knows.

mod hub;
mod portal;
mod provision;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::azure::sas::SasRequest;
use edgeplug_protocol::legacy::discovery::BaseUrl;
use edgeplug_protocol::legacy::sync::{Hub, SyncReply};
use edgeplug_protocol::legacy::template::Template;
use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::event::{Failure, HttpReply, LinkDownReason, Registration};
use crate::status::{LinkState, Trouble};
use crate::{Action, ConnectionId, KeySlot, Now, Online, Step, Ticket};
use provision::Provision;

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
    /// The hub refused our key again and again: ask DPS for a new one at the next chance, once.
    ask_dps: bool,
    /// Why we ended the connection ourselves, when it was no renewal.
    gave_up: Option<&'static str>,
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
            ask_dps: false,
            gave_up: None,
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
        self.ask_dps = false;
        self.gave_up = None;
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
                self.failures = 0;
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

    /// Ends a connection that is up but of no use.
    pub(crate) fn give_up_link(&mut self, why: &'static str, step: &mut Step<'_>) {
        if let State::Online { connection, .. } = self.state
            && self.gave_up.is_none()
        {
            tracing::warn!(why, "ending the connection");
            self.gave_up = Some(why);
            step.act(Action::Disconnect { connection });
        }
    }

    /// Whether the next try is some time away.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
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

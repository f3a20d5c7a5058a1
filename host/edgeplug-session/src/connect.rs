//! The way to the cloud: who we are → discovery → sync → DPS if needed → a signed token → the hub → wait, and again.
//!
//! One state at a time, one action outstanding at a time. Whatever fails becomes a [`Trouble`] that an operator can
//! read and a wait with backoff; nothing here is ever final, because the portal, the network or the TPM may heal.
//! The exception to "sync first" is a device that has synced before: when the portal says nothing about it, whatever the
//! reason, it connects to the hub it knows.
//!
//! Both protocols are walked alike: discovery, then sync (1.0) or identity (2.1), which tells the hub; in 2.1 the rest is
//! asked for over the link ([`questions`]). What the cloud said is kept here as one [`Definition`], whoever said it.
//!
//! A token is renewed on the same way, walked while the old connection is still open: only when the new password is
//! signed is the link closed, in a quiet moment, and opened again at once (MQTT has no renewal in band). What fails on
//! that way leaves the open connection alone until the hub ends it.

mod children;
mod hold;
mod hub;
mod kept;
mod link;
mod pace;
mod portal;
mod provision;
mod questions;
mod refresh;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use edgeplug_protocol::azure::sas::SasRequest;
use edgeplug_protocol::c2d::Reply;
use edgeplug_protocol::definition::{Definition, Hub, Update};
use edgeplug_protocol::topics::Topics;
use edgeplug_protocol::version::Version;
use serde::{Deserialize, Serialize};

use crate::action::ConnectTo;
use crate::backoff::Backoff;
use crate::config::SessionConfig;
use crate::event::{Failure, HttpReply, Registration};
use crate::status::{LinkState, RefreshStatus, Trouble};
use crate::{Action, ConnectionId, KeySlot, Now, Online, Step, Ticket};
pub(crate) use hold::{Holder, Waiter};
use provision::Provision;

/// Waits between tries: up to five seconds, then doubled, up to what is configured.
const RETRY_BASE: Duration = Duration::from_secs(5);
/// After a power cut a whole fleet boots at once: a system that is up for less than this waits as after a failure
/// before it first knocks. Any other start knocks at once.
const JUST_BOOTED: Duration = Duration::from_secs(60);
/// After so many failed connections in a row the hub is asked for anew: it may have moved.
const FAILURES_BEFORE_SYNC: u32 = 3;
/// After so many refusals in a row the key is taken for dead and DPS asked for a new one.
const REFUSALS_BEFORE_DPS: u32 = 3;
/// Least time between two registrations, so that a portal that lags behind is not hammered.
const DPS_PERIOD_MIN: Duration = Duration::from_secs(10 * 60);

/// What the rest of the session learns from this part.
pub(crate) enum Change {
    /// What the cloud says about the device, as a whole.
    Definition {
        definition: Box<Definition>,
        /// Whether its attributes are known; in 2.1 they come later than the connection.
        complete: bool,
    },
    /// A planned reconnect begins: publish nothing new.
    Pausing,
    /// Publish here.
    Online(Online),
    /// No link.
    Offline(Gap),
    /// The cloud stopped this device, and why; that is on disk.
    Stopped(String),
    /// An operator took that back.
    Resumed,
}

/// Why there is no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// A new token: nobody needs to know.
    Renewal,
    /// The cloud asked for another connection: nothing is lost, but plugins are told.
    Move,
    /// An outage, or nobody wants a link.
    Outage,
}

pub(crate) struct Connect {
    state: State,
    /// The connection that is open, whatever else is under way.
    open: Option<Open>,
    registration: Option<Registration>,
    /// Whom to ask about this device.
    portal: portal::Portal,
    /// All that the cloud said, its parts replaced as they come.
    definition: Option<Definition>,
    /// Whether the definition's attributes were ever said.
    complete: bool,
    /// What is asked again while a connection is open or not.
    refresh: refresh::Refresh,
    /// What is asked over the link (2.1).
    questions: questions::Questions,
    /// What operators want of children (2.1).
    children: children::Children,
    /// The hub of the last registration; wins over the definition's until a sync agrees.
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
    /// Connections in a row that the hub closed soon without a word.
    kicks: u32,
    /// The hub refused our key again and again: ask DPS for a new one at the next chance, once.
    ask_dps: bool,
    /// Why we ended the connection ourselves, when it was no renewal.
    gave_up: Option<&'static str>,
    registered_at: Option<Duration>,
    /// A plugin or an operator wants no connection.
    hold: Option<hold::Hold>,
    /// The cloud wants none: it stopped this device.
    stopped: bool,
    /// The cloud wants a new connection.
    move_wanted: bool,
    /// The renewal under way is that new connection.
    moving: bool,
}

enum State {
    Starting,
    OpeningIdentity(Ticket),
    Discovering(Ticket),
    Syncing(Ticket),
    Provisioning(Box<Provision>),
    Authorising(Ticket, Box<(SasRequest, Hub)>, TokenLife),
    Connecting(ConnectionId, TokenLife),
    /// Nothing to do but to keep the open connection.
    Online,
    /// The new password is there; the old connection stays open until the last PUBACKs came or `until`.
    Quieting {
        until: Duration,
        next: Box<ConnectTo>,
        life: TokenLife,
    },
    /// Closing the old connection.
    Renewing {
        next: Box<ConnectTo>,
        life: TokenLife,
    },
    Waiting {
        until: Duration,
        then: Next,
    },
    /// Closing the connection for good: after the last PUBACKs or `until`; `None` when that was done.
    Leaving {
        until: Option<Duration>,
    },
    /// Closed, and nobody wants another one.
    Held,
    Closing {
        connection: ConnectionId,
    },
    Closed,
}

struct Open {
    connection: ConnectionId,
    topics: Arc<Topics>,
    since: Duration,
    life: TokenLife,
    renew_at: Duration,
}

/// When a token was made and until when it is good, by both clocks: the wall clock it was dated by may be corrected.
#[derive(Debug, Clone, Copy)]
struct TokenLife {
    signed_at: Duration,
    ends: Duration,
    ends_unix_ms: i64,
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
    pub(crate) fn new(config: &SessionConfig) -> Self {
        Self {
            state: State::Starting,
            open: None,
            registration: None,
            portal: portal::Portal::default(),
            definition: None,
            complete: false,
            refresh: refresh::Refresh::new(config.retry_max),
            questions: questions::Questions::default(),
            children: children::Children::default(),
            assignment: None,
            synced: false,
            backoff: Backoff::new(RETRY_BASE, config.retry_max),
            trouble: None,
            last_connection: 0,
            failures: 0,
            refusals: 0,
            kicks: 0,
            ask_dps: false,
            gave_up: None,
            registered_at: None,
            hold: None,
            stopped: false,
            move_wanted: false,
            moving: false,
        }
    }

    /// The cloud answered a question of ours (2.1).
    pub(crate) fn replied(&mut self, reply: Reply, step: &mut Step<'_>) -> Option<Change> {
        let Reply { number, code, updates } = reply;
        let for_child = self.child_answered(number, code, step);
        let awaited = self.questions.answered(number, code);
        if !awaited && !for_child {
            tracing::debug!(number, code, "an answer nobody waits for");
        }
        if code != 0 || self.version() != Some(Version::V21) {
            return None;
        }
        self.update(updates)
    }

    /// Takes over parts that the cloud said. Says whether that made a difference.
    fn update(&mut self, updates: Vec<Update>) -> Option<Change> {
        let definition = self.definition.as_mut()?;
        let mut changed = false;
        for update in updates {
            if matches!(update, Update::Attributes(_)) {
                changed |= !std::mem::replace(&mut self.complete, true);
            }
            changed |= definition.apply(update);
        }
        if changed { self.changed() } else { None }
    }

    /// Everything the cloud said, for the others.
    fn changed(&self) -> Option<Change> {
        let definition = Box::new(self.definition.clone()?);
        Some(Change::Definition { definition, complete: self.complete })
    }

    /// Data frequency in seconds, by order of the cloud.
    pub(crate) fn frequency(&mut self, seconds: u64) -> Option<Change> {
        self.update(vec![Update::Frequency(seconds)])
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
                let first = self.registration.replace(registration).is_none();
                if first && step.now.monotonic < JUST_BOOTED {
                    let until = step.now.monotonic + self.backoff.next(step.rng);
                    self.state = State::Waiting { until, then: Next::Discovery };
                } else {
                    self.discover(step);
                }
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
        if self.refresh.awaits(ticket) {
            return self.refreshed(result, step);
        }
        match &mut self.state {
            State::Discovering(awaited) if *awaited == ticket => self.discovered(result, step),
            State::Syncing(awaited) if *awaited == ticket => self.portal_answered(result, step),
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

    pub(crate) fn signed(
        &mut self,
        ticket: Ticket,
        result: Result<Vec<u8>, Failure>,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        match &mut self.state {
            State::Authorising(awaited, signing, life) if *awaited == ticket => match result {
                Ok(signature) => {
                    let ((request, hub), life) = (signing.as_ref().clone(), *life);
                    return self.authorised(hub, request.token(&signature), life, step);
                }
                // The key is gone or another one (a cleared TPM, for instance): look again from the start.
                Err(failure) => self.wait(failure, Next::Identity, step),
            },
            State::Provisioning(provision) => {
                let outcome = provision.signed(ticket, result, step);
                self.provisioned(outcome, step);
            }
            _ => {}
        }
        None
    }

    /// Does what is due. `quiet` says that nothing is in flight.
    pub(crate) fn advance(&mut self, quiet: bool, step: &mut Step<'_>) -> Option<Change> {
        let now = step.now.monotonic;
        match &mut self.state {
            State::Waiting { until, then } if now >= *until => match *then {
                Next::Identity => self.open_identity(step),
                Next::Discovery => self.discover(step),
                // What a token's dates would be worth is easily asked.
                Next::Hub if step.clock.is_contested(step.now) => self.discover(step),
                Next::Hub => self.authorise(step),
            },
            State::Provisioning(provision) => provision.advance(step),
            State::Online => self.keep_open(step),
            State::Quieting { until, .. } if quiet || now >= *until => self.close_for_renewal(step),
            State::Leaving { until: Some(until) } if quiet || now >= *until => {
                self.state = State::Leaving { until: None };
                step.actions.extend(self.open.as_ref().map(|open| Action::Disconnect { connection: open.connection }));
            }
            _ => {}
        }
        self.refresh_advance(step);
        self.ask_questions(step);
        None
    }

    pub(crate) fn close(&mut self, actions: &mut VecDeque<Action>) {
        actions.extend(self.give_up_waiting());
        let connecting = match self.state {
            State::Connecting(connection, _) => Some(connection),
            _ => None,
        };
        match self.open.take().map(|open| open.connection).or(connecting) {
            Some(connection) => {
                actions.push_back(Action::Disconnect { connection });
                self.state = State::Closing { connection };
            }
            None => self.state = State::Closed,
        }
    }

    /// What waited, waited for this more often than not.
    pub(crate) fn time_known(&mut self, now: Now) {
        if let State::Waiting { until, .. } = &mut self.state {
            *until = now.monotonic;
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let asked = self.can_ask().then(|| self.questions.timeout()).flatten();
        let refreshed = self.refresh.timeout(self.can_refresh());
        [self.step_timeout(), refreshed, asked, self.children.timeout()].into_iter().flatten().min()
    }

    fn step_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Waiting { until, .. } | State::Quieting { until, .. } => Some(*until),
            State::Online => self.open.as_ref().map(|open| self.looks_again_at(open)),
            State::Leaving { until } => *until,
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

    /// The protocol that is spoken, or was last.
    pub(crate) fn version(&self) -> Option<Version> {
        self.definition.as_ref().map(|definition| definition.version)
    }

    /// What is asked again, if anything.
    pub(crate) fn refreshing(&self, now: Now) -> Option<RefreshStatus> {
        let (mut waiting_for, trouble, retry_in_s) = self.refresh.status(now);
        waiting_for.extend(self.questions.unanswered());
        (!waiting_for.is_empty()).then_some(RefreshStatus { waiting_for, trouble, retry_in_s })
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
            State::Online => LinkState::Online,
            State::Leaving { .. } | State::Held => LinkState::Disconnected,
            // A renewal that waits for its next try.
            State::Waiting { .. } if self.open.is_some() => LinkState::Online,
            _ if self.open.is_some() => LinkState::Renewing,
            State::Starting => LinkState::Starting,
            State::OpeningIdentity(_) => LinkState::OpeningIdentity,
            State::Discovering(_) => LinkState::Discovering,
            State::Syncing(_) => LinkState::Syncing,
            State::Provisioning(_) => LinkState::Provisioning,
            State::Authorising(..) => LinkState::Authorising,
            State::Connecting(..) => LinkState::Connecting,
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
}

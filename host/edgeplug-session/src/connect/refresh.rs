//! What is asked again without touching the connection: parts of a sync (1.0), or everything.
//!
//! The cloud says only *that* something changed. What it names is remembered as a set, so that several orders become one
//! question, and asked one HTTPS request at a time; what fails stays in the set and is asked again with backoff. An order
//! that comes while its question is under way is a new one. Meanwhile readings flow as before, by what was known.
//!
//! After an order about the connection, or about everything, a new connection is made of the answer: the old one is closed
//! first, because the hub allows one for each device.

use std::collections::BTreeSet;
use std::time::Duration;

use edgeplug_protocol::c2d::Part;
use edgeplug_protocol::definition::Definition;
use edgeplug_protocol::legacy::sync::{self, SyncOption};
use edgeplug_protocol::v21::messages::Question;
use edgeplug_protocol::version::Version;

use super::hold::Waiter;
use super::pace::wait_time;
use super::portal::{Answer, Portal, PortalFailure};
use super::{Change, Connect, State};
use crate::backoff::Backoff;
use crate::event::{Failure, HttpReply};
use crate::{Action, Now, RequestId, Step, Ticket};

/// First wait after a failure: nobody else is waiting for the same thing to heal.
const RETRY_BASE: Duration = Duration::from_secs(1);
/// An operator waits no longer than this.
const OPERATOR_WAIT: Duration = Duration::from_secs(30);
/// Most operators that wait.
const OPERATORS_MAX: usize = 16;

/// See the module.
pub(super) struct Refresh {
    wanted: BTreeSet<Want>,
    /// The request under way, and in which protocol its answer is to be read.
    asking: Option<(Ticket, Asking, Version)>,
    not_before: Duration,
    backoff: Backoff,
    /// Why the last try failed.
    trouble: Option<String>,
    waiting: Vec<(RequestId, Duration)>,
}

/// What is to be asked, the widest first: its answer makes the narrower ones needless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    Everything { reconnect: bool },
    Connection,
    Attributes,
    Settings,
    Devices,
    Rules,
}

#[derive(Clone, Copy)]
enum Asking {
    /// Where to ask.
    Agent,
    What(Want),
}

impl Refresh {
    pub(super) fn new(retry_max: Duration) -> Self {
        Self {
            wanted: BTreeSet::new(),
            asking: None,
            not_before: Duration::ZERO,
            backoff: Backoff::new(RETRY_BASE, retry_max),
            trouble: None,
            waiting: Vec::new(),
        }
    }

    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.asking.is_some_and(|(awaited, ..)| awaited == ticket)
    }

    /// A full sync answered what was to be asked. A template without attributes is mostly one that is not finished yet.
    pub(super) fn full_answer(&mut self, definition: &Definition, step: &mut Step<'_>) {
        self.wanted.clear();
        if definition.groups.is_empty() {
            self.wanted.insert(Want::Attributes);
            self.not_before = step.now.monotonic + self.backoff.next(step.rng);
        } else {
            self.succeeded();
        }
    }

    /// 2.1 is spoken, which tells its parts over the link: a sync has none to ask for.
    pub(super) fn forget_parts(&mut self) {
        self.wanted.retain(|want| want.option().is_none());
        if self.wanted.is_empty() {
            self.succeeded();
        }
    }

    /// `may_ask`: see [`Connect::can_refresh`].
    pub(super) fn timeout(&self, may_ask: bool) -> Option<Duration> {
        let next = (may_ask && self.asking.is_none() && !self.wanted.is_empty()).then_some(self.not_before);
        next.into_iter().chain(self.waiting.iter().map(|(_, until)| *until)).min()
    }

    /// What is waited for, why the last try failed, and seconds to the next.
    pub(super) fn status(&self, now: Now) -> (Vec<String>, Option<String>, Option<f64>) {
        let asking = self.asking.and_then(|(_, asking, _)| match asking {
            Asking::Agent => None,
            Asking::What(want) => Some(want),
        });
        let waiting_for = asking.iter().chain(&self.wanted).map(|want| want.name().to_owned()).collect();
        let waits = self.asking.is_none() && !self.wanted.is_empty();
        let retry_in_s = waits.then(|| self.not_before.saturating_sub(now.monotonic).as_secs_f64());
        (waiting_for, self.trouble.clone(), retry_in_s)
    }

    /// The daemon stops: who still waits.
    pub(super) fn give_up(&mut self) -> Vec<RequestId> {
        self.waiting.drain(..).map(|(request, _)| request).collect()
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        self.trouble = None;
        self.not_before = Duration::ZERO;
    }

    fn failed(&mut self, want: Option<Want>, failed: &PortalFailure, step: &mut Step<'_>) {
        self.wanted.extend(want);
        let wait = wait_time(&mut self.backoff, failed.pace, step.rng);
        self.not_before = step.now.monotonic + wait;
        let text = &failed.failure.text;
        if self.trouble.as_ref() != Some(text) {
            tracing::warn!(reason = text, retry_in_s = wait.as_secs_f64(), "the cloud's news cannot be read yet");
            self.trouble = Some(text.clone());
        }
    }
}

impl Want {
    fn option(self) -> Option<SyncOption> {
        match self {
            Self::Everything { .. } => None,
            Self::Connection => Some(SyncOption::Protocol),
            Self::Attributes => Some(SyncOption::Attribute),
            Self::Settings => Some(SyncOption::Setting),
            Self::Devices => Some(SyncOption::Device),
            Self::Rules => Some(SyncOption::Rule),
        }
    }

    /// Whether a new connection is to be made of the answer.
    fn reconnects(self) -> bool {
        matches!(self, Self::Connection | Self::Everything { reconnect: true })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Everything { .. } => "everything",
            Self::Connection => "connection",
            Self::Attributes => "attributes",
            Self::Settings => "settings",
            Self::Devices => "devices",
            Self::Rules => "rules",
        }
    }
}

impl Connect {
    /// The cloud says that a part changed.
    pub(crate) fn part_changed(&mut self, part: Part, step: &mut Step<'_>) {
        if self.version() == Some(Version::V21) {
            return self.questions.ask(&Question::Part(part), step.now.monotonic);
        }
        let want = match part {
            Part::Attributes => Want::Attributes,
            Part::Settings => Want::Settings,
            Part::Rules => Want::Rules,
            Part::Devices => Want::Devices,
            // No part of a sync says it alone.
            Part::Ota => Want::Everything { reconnect: false },
        };
        self.want(want, step);
    }

    /// The cloud changed the connection's settings.
    pub(crate) fn connection_changed(&mut self, step: &mut Step<'_>) {
        match self.version() {
            Some(Version::V21) => self.everything_changed(step),
            _ => self.want(Want::Connection, step),
        }
    }

    /// The cloud wants everything asked again, and a new connection.
    pub(crate) fn everything_changed(&mut self, step: &mut Step<'_>) {
        self.want(Want::Everything { reconnect: true }, step);
    }

    /// An operator wants everything asked again.
    pub(crate) fn refresh_for(&mut self, request: RequestId, step: &mut Step<'_>) {
        let refusal = match self.refresh.waiting.len() {
            _ if self.stopped => Some("the cloud stopped this device; `edgeplug resume` takes that back"),
            OPERATORS_MAX.. => Some("too many already wait for the cloud's answers"),
            _ => None,
        };
        if let Some(reason) = refusal {
            return Waiter::Operator(request).answer(Err(reason), step);
        }
        self.refresh.waiting.push((request, step.now.monotonic + OPERATOR_WAIT));
        if self.definition.is_some() {
            self.want(Want::Everything { reconnect: false }, step);
        } else {
            // The way to the cloud begins with just that.
            self.try_now(step);
        }
    }

    fn want(&mut self, want: Want, step: &Step<'_>) {
        self.refresh.wanted.insert(want);
        self.refresh.not_before = self.refresh.not_before.min(step.now.monotonic);
    }

    /// Whether this is the time to ask: a stopped device does not, and the way to the cloud asks for everything itself.
    pub(super) fn can_refresh(&self) -> bool {
        let asks_itself = matches!(self.state, State::Discovering(_) | State::Syncing(_) | State::Provisioning(_));
        self.definition.is_some() && !self.stopped && !asks_itself
    }

    /// Asks what is due.
    pub(super) fn refresh_advance(&mut self, step: &mut Step<'_>) {
        self.tell_refreshed(step);
        let (Some(version), None) = (self.version(), self.refresh.asking) else { return };
        if !self.can_refresh() || step.now.monotonic < self.refresh.not_before {
            return;
        }
        let Some(want) = self.refresh.wanted.first().copied() else { return };
        let options = want.option();
        let options = options.as_ref().map_or(SyncOption::ALL.as_slice(), std::slice::from_ref);
        let (request, discovers) = self.portal.request(version, options, step.config);
        let ticket = step.ticket();
        let asking = if discovers { Asking::Agent } else { Asking::What(want) };
        self.refresh.asking = Some((ticket, asking, version));
        if !discovers {
            self.refresh.wanted.remove(&want);
        }
        step.act(Action::Http { ticket, request });
    }

    /// The answer came, or not.
    pub(super) fn refreshed(&mut self, result: Result<HttpReply, Failure>, step: &mut Step<'_>) -> Option<Change> {
        let (_, asking, version) = self.refresh.asking.take()?;
        if self.version() != Some(version) {
            tracing::debug!("an answer in a protocol that is spoken no more");
            return None;
        }
        let want = match asking {
            Asking::Agent => {
                if let Err(failed) = self.portal.discovered(version, result) {
                    self.refresh.failed(None, &failed, step);
                }
                return None;
            }
            Asking::What(want) => want,
        };
        match want.option() {
            Some(option) => self.part_answered(want, option, result, step),
            None => self.everything_answered(want, version, result, step),
        }
    }

    fn part_answered(
        &mut self,
        want: Want,
        option: SyncOption,
        result: Result<HttpReply, Failure>,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        let updates = result.map_err(PortalFailure::unreachable).and_then(|reply| {
            let updates = sync::parse_part(reply.status, &reply.body, option);
            updates.map_err(|error| PortalFailure::from(error).after(&reply))
        });
        match updates {
            Ok(updates) if updates.is_empty() => {
                self.refresh_failed(want, &PortalFailure::nothing_said(want.name()), step);
                None
            }
            Ok(updates) => {
                self.move_wanted |= want == Want::Connection && self.open.is_some();
                let change = self.update(updates);
                let empty = self.definition.as_ref().is_some_and(|definition| definition.groups.is_empty());
                if want == Want::Attributes && empty {
                    self.refresh.failed(Some(want), &PortalFailure::nothing_said(want.name()), step);
                } else {
                    tracing::info!(part = want.name(), "read anew from the portal");
                    self.refresh.succeeded();
                }
                change
            }
            Err(failed) => {
                self.refresh_failed(want, &failed, step);
                None
            }
        }
    }

    fn everything_answered(
        &mut self,
        want: Want,
        version: Version,
        result: Result<HttpReply, Failure>,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        match Portal::answered(version, result, step.config) {
            Ok(Answer::Ready(definition, has)) => {
                tracing::info!("everything read anew from the portal");
                self.synced = true;
                self.refresh.succeeded();
                let elsewhere = self.definition.as_ref().is_some_and(|old| old.hub != definition.hub);
                // Whatever else was to be asked is answered too.
                let reconnect = want.reconnects() || self.refresh.wanted.iter().any(|want| want.reconnects());
                self.move_wanted |= (elsewhere || reconnect) && self.open.is_some();
                self.compare_with_assignment(&definition.hub, step);
                self.take_over(*definition, has, step);
                self.changed()
            }
            Ok(Answer::NotRegistered) => {
                self.refresh_failed(want, &PortalFailure::nothing_said("registration"), step);
                None
            }
            Err(failed) => {
                self.refresh_failed(want, &failed, step);
                None
            }
        }
    }

    fn refresh_failed(&mut self, want: Want, failed: &PortalFailure, step: &mut Step<'_>) {
        if failed.elsewhere {
            self.portal.forget_agents();
        }
        self.refresh.failed(Some(want), failed, step);
    }

    /// Answers operators, when there is nothing left to wait for or no time.
    fn tell_refreshed(&mut self, step: &mut Step<'_>) {
        if self.refresh.waiting.is_empty() {
            return;
        }
        let unfinished = self.refresh.asking.is_some() || !self.refresh.wanted.is_empty();
        let idle = self.definition.is_some() && !unfinished && self.questions.is_idle();
        let now = step.now.monotonic;
        let (over, waiting) = self.refresh.waiting.iter().partition(|(_, until)| idle || now >= *until);
        self.refresh.waiting = waiting;
        for (request, _) in over {
            let late = Err("the cloud has not answered yet; the daemon goes on asking");
            Waiter::Operator(request).answer(if idle { Ok(()) } else { late }, step);
        }
    }
}

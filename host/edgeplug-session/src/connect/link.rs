//! The connection itself: opened, kept, renewed, and what its end means.

use std::sync::Arc;
use std::time::Duration;

use edgeplug_protocol::azure::hub::{DESIRED_CHANGES_FILTER, TWIN_ANSWERS_FILTER};
use edgeplug_protocol::azure::sas::SasToken;
use edgeplug_protocol::definition::Hub;

use super::{Change, Connect, FAILURES_BEFORE_SYNC, Gap, Next, Open, REFUSALS_BEFORE_DPS, State, TokenLife};
use crate::action::ConnectTo;
use crate::event::{Failure, FailureKind, LinkDownReason};
use crate::{Action, ConnectionId, Online, Step};

/// How much of a token's life passes before it is renewed.
const RENEW_AT: f64 = 0.8;
/// How long a renewal waits for the last PUBACKs before it closes the link anyway.
pub(super) const QUIET_TIME_MAX: Duration = Duration::from_secs(5);
/// A hub that closes the connection so near to the token's end, or later, does it because of that: it enforces the end
/// minutes late (azure-iot-sdk-java issue 304), and its clock is not ours.
const EXPIRY_SLACK: Duration = Duration::from_secs(5 * 60);
/// A link that lasted this long was a good one: the next try after it starts at the shortest wait again.
const GOOD_LINK: Duration = Duration::from_secs(30);
/// So many connections in a row that the hub closed before they were good: somebody else connects as this device.
const KICKS_SUSPICIOUS: u32 = 3;
/// Waits begin at this when a quick retry does not mend anything: a protocol the hub does not speak, and a token it
/// does not want. The second heals by itself now and then (azure-iot-sdk-c issue 373), so it is tried sooner.
const PROTOCOL_WAIT: Duration = Duration::from_secs(60);
const REFUSED_WAIT: Duration = Duration::from_secs(20);

impl TokenLife {
    /// What is left of it by the clock that dated it or as corrected since, whichever is less.
    fn left(&self, step: &Step<'_>) -> Duration {
        let by_date = u64::try_from(self.ends_unix_ms.saturating_sub(step.unix_ms)).unwrap_or(0);
        self.ends.saturating_sub(step.now.monotonic).min(Duration::from_millis(by_date))
    }

    fn renew_at(&self, step: &Step<'_>) -> Duration {
        let tail = self.ends.saturating_sub(self.signed_at).mul_f64(1.0 - RENEW_AT);
        step.now.monotonic + self.left(step).saturating_sub(tail)
    }
}

impl Connect {
    /// The token is there: connect, or first bring the open connection to rest.
    pub(super) fn authorised(
        &mut self,
        hub: Hub,
        password: SasToken,
        life: TokenLife,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        let next = Box::new(ConnectTo {
            host: hub.host,
            port: hub.port,
            client_id: hub.client_id,
            user_name: hub.user_name,
            password,
            subscriptions: vec![
                hub.topics.devicebound.clone(),
                TWIN_ANSWERS_FILTER.to_owned(),
                DESIRED_CHANGES_FILTER.to_owned(),
            ],
            window: step.config.in_flight_max,
        });
        if self.open.is_some() {
            self.state = State::Quieting { until: step.now.monotonic + QUIET_TIME_MAX, next, life };
            return Some(Change::Pausing);
        }
        self.connect(*next, life, step);
        None
    }

    fn connect(&mut self, to: ConnectTo, life: TokenLife, step: &mut Step<'_>) {
        if self.is_unwanted() {
            return self.left(step);
        }
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        self.state = State::Connecting(connection, life);
        step.act(Action::Connect { connection, to });
    }

    pub(crate) fn link_up(&mut self, connection: ConnectionId, step: &mut Step<'_>) -> Option<Change> {
        let State::Connecting(awaited, life) = self.state else { return None };
        if awaited != connection {
            return None;
        }
        let (hub, device_id) = self.target()?;
        let topics = Arc::new(hub.topics);
        let (since, renew_at) = (step.now.monotonic, life.renew_at(step));
        self.open = Some(Open { connection, topics: Arc::clone(&topics), since, life, renew_at });
        if self.is_unwanted() {
            // It is being closed; the two crossed.
            self.state = State::Leaving { until: None };
            return None;
        }
        self.state = State::Online;
        // That somebody else uses this identity is not disproved by connecting.
        if self.kicks < KICKS_SUSPICIOUS {
            self.trouble = None;
        }
        self.refusals = 0;
        self.ask_dps = false;
        self.gave_up = None;
        self.questions.link_up(step.now.monotonic);
        tracing::info!(host = %hub.host, "connected to the hub");
        Some(Change::Online(Online { connection, topics, device_id }))
    }

    pub(crate) fn link_down(
        &mut self,
        connection: ConnectionId,
        reason: LinkDownReason,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        let change = self.connection_ended(connection, reason, step);
        self.tell_closed(step);
        change
    }

    fn connection_ended(
        &mut self,
        connection: ConnectionId,
        reason: LinkDownReason,
        step: &mut Step<'_>,
    ) -> Option<Change> {
        match self.state {
            State::Connecting(ours, _) if ours == connection => {
                self.failures += 1;
                self.moving = false;
                self.questions.link_lost();
                self.connection_failed(reason, step);
                // The pause of a renewal ends in an outage.
                return Some(Change::Offline(Gap::Outage));
            }
            State::Closing { connection: ours } if ours == connection => {
                self.state = State::Closed;
                return None;
            }
            _ => {}
        }
        let open = self.open.take_if(|open| open.connection == connection)?;
        self.fail_children("the connection ended before the cloud answered; look at the portal", step);
        match std::mem::replace(&mut self.state, State::Online) {
            State::Renewing { next, life } => {
                let moved = std::mem::take(&mut self.moving);
                self.connect(*next, life, step);
                return Some(Change::Offline(match (self.is_unwanted(), moved) {
                    (true, _) => Gap::Outage,
                    (false, true) => Gap::Move,
                    (false, false) => Gap::Renewal,
                }));
            }
            State::Leaving { .. } => self.left(step),
            State::Quieting { next, life, .. } => self.connect(*next, life, step),
            State::Online | State::Waiting { .. } => self.link_lost(&open, reason, step),
            // A renewal is under way; it leads to a new connection by itself.
            under_way => self.state = under_way,
        }
        self.moving = false;
        self.questions.link_lost();
        Some(Change::Offline(Gap::Outage))
    }

    /// Looks whether the open connection needs something.
    pub(super) fn keep_open(&mut self, step: &mut Step<'_>) {
        let (now, good_link) = (step.now.monotonic, self.good_link());
        let Some(open) = &mut self.open else { return };
        open.renew_at = open.life.renew_at(step);
        let due = now >= open.renew_at;
        if self.kicks > 0 && now.saturating_sub(open.since) >= good_link {
            self.kicks = 0;
            self.trouble = None;
        }
        if !due && !self.move_wanted {
            return;
        }
        tracing::debug!(self.move_wanted, "renewing the token");
        self.backoff.reset();
        self.failures = 0;
        // A template that was never refreshed since start is asked for on the way, and so is the time if two clocks
        // disagree; otherwise only the token is new.
        if self.synced && !step.clock.is_contested(step.now) {
            self.authorise(step);
        } else {
            self.discover(step);
        }
    }

    /// When an open connection needs something next.
    pub(super) fn looks_again_at(&self, open: &Open) -> Duration {
        match self.kicks {
            0 => open.renew_at,
            _ => open.renew_at.min(open.since + self.good_link()),
        }
    }

    /// Everything is acknowledged, or has had its time.
    pub(super) fn close_for_renewal(&mut self, step: &mut Step<'_>) {
        let Some(connection) = self.open.as_ref().map(|open| open.connection) else { return };
        if let State::Quieting { next, life, .. } = std::mem::replace(&mut self.state, State::Online) {
            self.state = State::Renewing { next, life };
            step.act(Action::Disconnect { connection });
        }
    }

    /// No renewal any more. Says whether the connection may go on being used: it is open, and not being closed already.
    pub(crate) fn end_renewal(&mut self) -> bool {
        let usable = self.open.is_some() && !matches!(self.state, State::Renewing { .. });
        if usable {
            self.state = State::Online;
        }
        usable
    }

    /// Ends a connection that is up but of no use.
    pub(crate) fn give_up_link(&mut self, why: &'static str, step: &mut Step<'_>) {
        if let Some(open) = &self.open
            && !matches!(self.state, State::Renewing { .. } | State::Leaving { .. })
            && self.gave_up.is_none()
        {
            tracing::warn!(why, "ending the connection");
            self.gave_up = Some(why);
            step.act(Action::Disconnect { connection: open.connection });
        }
    }

    /// An open connection ended unasked.
    fn link_lost(&mut self, open: &Open, reason: LinkDownReason, step: &mut Step<'_>) {
        let lasted = step.now.monotonic.saturating_sub(open.since);
        let closed = matches!(reason, LinkDownReason::Closed);
        if lasted >= self.good_link() {
            self.backoff.reset();
            self.failures = 0;
            self.kicks = 0;
            if closed && open.life.left(step) <= EXPIRY_SLACK {
                tracing::info!("the hub ended the connection because its token did; connecting with a new one");
                return self.authorise(step);
            }
        } else if closed {
            self.kicks = self.kicks.saturating_add(1);
        }
        self.failures += 1;
        self.connection_failed(reason, step);
    }

    /// How long a link must last to be a good one: under suspicion longer than the other one would wait.
    fn good_link(&self) -> Duration {
        let suspicious = self.kicks >= KICKS_SUSPICIOUS;
        if suspicious { GOOD_LINK.max(2 * self.backoff.longest()) } else { GOOD_LINK }
    }

    fn connection_failed(&mut self, reason: LinkDownReason, step: &mut Step<'_>) {
        let failure = match reason {
            LinkDownReason::NotAuthorised => {
                self.refusals += 1;
                self.backoff.begin_at(REFUSED_WAIT);
                Failure {
                    kind: FailureKind::Enrolment,
                    text: "the hub does not accept this device's token; the device may be disabled there, its key may \
                           have been replaced, or this device's clock is wrong"
                        .into(),
                }
            }
            LinkDownReason::Failed(failure) => {
                if failure.kind == FailureKind::Protocol {
                    self.backoff.begin_at(PROTOCOL_WAIT);
                }
                failure
            }
            LinkDownReason::Closed if self.kicks >= KICKS_SUSPICIOUS => Failure {
                kind: FailureKind::Kicked,
                text: "the hub keeps closing the connection as soon as it is open; another device or process seems to \
                       use this identity (IoT Hub allows one connection per device): stop the other one, or enrol \
                       each under a name of its own"
                    .into(),
            },
            LinkDownReason::Closed => Failure {
                kind: FailureKind::Network,
                text:
                    "the hub closed the connection without a reason; it does so at maintenance, for a message it does \
                       not allow, and when the same device connects a second time"
                        .into(),
            },
            LinkDownReason::Asked => {
                let why = self.gave_up.take().unwrap_or("the connection was closed");
                Failure { kind: FailureKind::Network, text: why.to_owned() }
            }
        };
        if failure.kind != FailureKind::Enrolment {
            self.refusals = 0;
        }
        if self.refusals >= REFUSALS_BEFORE_DPS && step.config.scope_id.is_some() {
            self.refusals = 0;
            self.ask_dps = true;
            return self.wait(failure, Next::Discovery, step);
        }
        let ask_portal = self.failures.is_multiple_of(FAILURES_BEFORE_SYNC);
        if ask_portal && self.assignment.is_some() && self.synced {
            tracing::warn!("the hub that DPS named cannot be reached; using the portal's");
            self.forget_assignment(step);
        }
        self.wait(failure, if ask_portal { Next::Discovery } else { Next::Hub }, step);
    }
}

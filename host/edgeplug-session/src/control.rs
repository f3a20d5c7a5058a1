//! What the cloud orders the daemon itself: to stop for good, and to send heartbeats.
//!
//! # What must stay true
//! * A hard stop is on disk before it is acknowledged to the hub, and then survives a crash: a stopped device stays stopped
//!   until an operator resumes it or, as configured, the daemon is stopped and started in order. A store that cannot write it
//!   keeps the order unacknowledged, so that the hub repeats it; it is obeyed all the same.
//! * Heartbeats last over reconnects, not over restarts; at most one is unacknowledged.
//!
//! Orders to ask for something again are not here but in [`crate::connect`].

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::action::Fact;
use crate::backoff::Backoff;
use crate::config::HardStopPolicy;
use crate::connect::Change;
use crate::{Action, ConnectionId, DeliveryId, RequestId, Step, Ticket};

/// Heartbeats come no oftener and no more seldom than this (`f` counts whole seconds).
const PERIOD_S_MIN: u64 = 1;
const PERIOD_S_MAX: u64 = 24 * 3600;
/// Most orders and requests that wait for one write: the hub repeats what is not acknowledged, an operator asks again.
const WAITING_MAX: usize = 16;
/// Waits between tries to write a stop down.
const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Heartbeats and the hard stop.
pub(crate) struct Control {
    stop: Stop,
    /// Orders to stop that are not on disk yet.
    orders: Vec<(ConnectionId, DeliveryId)>,
    /// Operators who wait for a resume to be on disk.
    resuming: Vec<RequestId>,
    backoff: Backoff,
    heartbeat: Option<Heartbeat>,
}

enum Stop {
    /// Not stopped.
    None,
    /// Being written down.
    Writing { ticket: Ticket, order: Order },
    /// Could not be written down; obeyed, and tried again.
    Unwritten { at: Duration, fact: Stopped },
    /// On disk.
    Stopped,
    /// Being taken back; what it was, where it was not on disk.
    Clearing { ticket: Ticket, unwritten: Option<Order> },
}

/// An order to stop that is not on disk.
struct Order {
    fact: Stopped,
    obeyed: bool,
}

/// The fact as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stopped {
    /// Which order it was.
    reason: String,
    /// When it came.
    at_unix_ms: i64,
}

struct Heartbeat {
    period: Duration,
    due: Duration,
    /// Published and not acknowledged.
    outstanding: Option<Ticket>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            stop: Stop::None,
            orders: Vec::new(),
            resuming: Vec::new(),
            backoff: Backoff::new(RETRY_BASE, RETRY_MAX),
            heartbeat: None,
        }
    }
}

impl Control {
    /// What the last run knew.
    pub(crate) fn restore(&mut self, hard_stop: Option<Bytes>, step: &mut Step<'_>) -> Option<Change> {
        let fact = hard_stop.filter(|fact| !fact.is_empty())?;
        self.stop = Stop::Stopped;
        // Whatever it says, there was an order.
        let reason = serde_json::from_slice::<Stopped>(&fact).map_or("hard stop".to_owned(), |stopped| stopped.reason);
        tracing::warn!(reason, "the cloud stopped this device before; `edgeplug resume` takes that back");
        // The last run may have died before it did.
        self.wipe(step);
        Some(Change::Stopped(reason))
    }

    /// The cloud orders this device to stop; not yet acknowledged to the hub.
    pub(crate) fn hard_stop(
        &mut self,
        connection: ConnectionId,
        delivery: DeliveryId,
        reason: String,
        step: &mut Step<'_>,
    ) {
        if self.orders.len() < WAITING_MAX {
            self.orders.push((connection, delivery));
        }
        match &self.stop {
            Stop::None | Stop::Clearing { .. } => {
                tracing::warn!(reason, "the cloud stops this device");
                self.answer(&Err("the cloud stopped this device once more".to_owned()), step);
                self.backoff.reset();
                let fact = Stopped { reason, at_unix_ms: step.unix_ms };
                self.write(Order { fact, obeyed: false }, step);
            }
            Stop::Stopped => self.acknowledge(step),
            Stop::Writing { .. } | Stop::Unwritten { .. } => {}
        }
    }

    /// A fact is on disk, or not.
    pub(crate) fn kept(&mut self, ticket: Ticket, result: &Result<(), String>, step: &mut Step<'_>) -> Option<Change> {
        match &self.stop {
            Stop::Writing { ticket: ours, .. } | Stop::Clearing { ticket: ours, .. } if *ours == ticket => {}
            _ => return None,
        }
        match (std::mem::replace(&mut self.stop, Stop::Stopped), result) {
            (Stop::Writing { order: Order { fact, obeyed }, .. }, Ok(())) => {
                self.acknowledge(step);
                self.wipe(step);
                (!obeyed).then_some(Change::Stopped(fact.reason))
            }
            (Stop::Writing { order, .. }, Err(error)) => {
                tracing::error!(error, "the cloud's stop cannot be written down; tried again");
                self.obey_unwritten(order, step)
            }
            (Stop::Clearing { .. }, Ok(())) => {
                tracing::info!("an operator took the cloud's stop back");
                self.stop = Stop::None;
                self.acknowledge(step);
                self.answer(&Ok("resumed".to_owned()), step);
                Some(Change::Resumed)
            }
            (Stop::Clearing { unwritten, .. }, Err(error)) => {
                self.answer(&Err(format!("the stop cannot be taken off the disk: {error}")), step);
                self.obey_unwritten(unwritten?, step)
            }
            (other, _) => {
                self.stop = other;
                None
            }
        }
    }

    /// An operator takes a stop back.
    pub(crate) fn resume(&mut self, request: RequestId, step: &mut Step<'_>) {
        if self.resuming.len() >= WAITING_MAX {
            let result = Err("too many already wait for the same".to_owned());
            return step.act(Action::AnswerOperator { request, result });
        }
        self.resuming.push(request);
        match &self.stop {
            Stop::None => self.answer(&Ok("the cloud has not stopped this device".to_owned()), step),
            Stop::Clearing { .. } => {}
            Stop::Writing { .. } | Stop::Unwritten { .. } | Stop::Stopped => {
                let ticket = step.ticket();
                let unwritten = match std::mem::replace(&mut self.stop, Stop::None) {
                    Stop::Writing { order, .. } => Some(order),
                    Stop::Unwritten { fact, .. } => Some(Order { fact, obeyed: true }),
                    Stop::None | Stop::Stopped | Stop::Clearing { .. } => None,
                };
                self.stop = Stop::Clearing { ticket, unwritten };
                step.act(Action::KeepFor { ticket, fact: Fact::HardStop, value: Bytes::new() });
            }
        }
    }

    /// The daemon is stopped in order, which may be the restart that ends a stop.
    pub(crate) fn daemon_stops(&mut self, step: &mut Step<'_>) {
        let stopped = !matches!(self.stop, Stop::None);
        if stopped && step.config.hard_stop == HardStopPolicy::UntilRestart {
            step.act(Action::Keep { fact: Fact::HardStop, value: Bytes::new() });
        }
    }

    /// The cloud wants a heartbeat every so many seconds.
    pub(crate) fn start_heartbeat(&mut self, period_s: u64, now: Duration) {
        let period = Duration::from_secs(period_s.clamp(PERIOD_S_MIN, PERIOD_S_MAX));
        tracing::info!(period_s = period.as_secs(), "sending heartbeats");
        self.heartbeat = Some(Heartbeat { period, due: now + period, outstanding: None });
    }

    /// The cloud wants no more of them.
    pub(crate) fn stop_heartbeat(&mut self) {
        if self.heartbeat.take().is_some() {
            tracing::info!("no more heartbeats");
        }
    }

    /// The hub took these over.
    pub(crate) fn delivered(&mut self, tickets: &[Ticket]) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.outstanding.take_if(|ticket| tickets.contains(ticket));
        }
    }

    pub(crate) fn link_lost(&mut self) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.outstanding = None;
        }
        // What is not acknowledged comes again on the next connection.
        self.orders.clear();
    }

    pub(crate) fn advance(&mut self, step: &mut Step<'_>) {
        if let Stop::Unwritten { at, fact } = &self.stop
            && step.now.monotonic >= *at
        {
            self.write(Order { fact: fact.clone(), obeyed: true }, step);
        }
        let (Some(heartbeat), now) = (&mut self.heartbeat, step.now.monotonic) else { return };
        if now < heartbeat.due {
            return;
        }
        // On the grid where it can be, and never several at once to catch up.
        heartbeat.due += heartbeat.period;
        if heartbeat.due <= now {
            heartbeat.due = now + heartbeat.period;
        }
        let Some(online) = step.world.online.clone() else { return };
        if heartbeat.outstanding.is_some() || step.world.pausing || step.world.stopped.is_some() {
            return;
        }
        let ticket = step.ticket();
        heartbeat.outstanding = Some(ticket);
        let (connection, topic) = (online.connection, online.topics.heartbeat.as_str().into());
        step.act(Action::Publish { connection, ticket, topic, body: Bytes::from_static(b"{}") });
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let retry = match &self.stop {
            Stop::Unwritten { at, .. } => Some(*at),
            _ => None,
        };
        retry.into_iter().chain(self.heartbeat.as_ref().map(|heartbeat| heartbeat.due)).min()
    }

    /// Seconds between heartbeats, if any are sent.
    pub(crate) fn heartbeat_s(&self) -> Option<u64> {
        self.heartbeat.as_ref().map(|heartbeat| heartbeat.period.as_secs())
    }

    fn write(&mut self, order: Order, step: &mut Step<'_>) {
        // A string and a number have no way to fail; something that is not empty must be written in any case.
        let value = serde_json::to_vec(&order.fact).unwrap_or_else(|_| b"{}".to_vec());
        let ticket = step.ticket();
        step.act(Action::KeepFor { ticket, fact: Fact::HardStop, value: value.into() });
        self.stop = Stop::Writing { ticket, order };
    }

    fn obey_unwritten(&mut self, order: Order, step: &mut Step<'_>) -> Option<Change> {
        let Order { fact, obeyed } = order;
        let reason = fact.reason.clone();
        self.stop = Stop::Unwritten { at: step.now.monotonic + self.backoff.next(step.rng), fact };
        (!obeyed).then_some(Change::Stopped(reason))
    }

    /// As often as wanted: nothing is stored while the device is stopped.
    fn wipe(&self, step: &mut Step<'_>) {
        if step.config.hard_stop_wipes {
            step.act(Action::Wipe);
        }
    }

    fn acknowledge(&mut self, step: &mut Step<'_>) {
        for (connection, delivery) in self.orders.drain(..) {
            step.act(Action::Acknowledge { connection, delivery });
        }
    }

    fn answer(&mut self, result: &Result<String, String>, step: &mut Step<'_>) {
        for request in self.resuming.drain(..) {
            step.act(Action::AnswerOperator { request, result: result.clone() });
        }
    }
}

#[cfg(test)]
mod tests;

//! A connection that nobody shall open: a plugin or an operator had it closed, or the cloud stopped this device.
//!
//! What a plugin closed any plugin opens again, what an operator closed only an operator; both end with the daemon. A stop
//! by the cloud outlives it ([`crate::control`]) and yields to nobody but an operator's `resume`.
//!
//! The open connection is left as for a renewal, after its last PUBACKs. A way to the cloud that is being walked
//! already is walked to its end but for the last step, because a registration must not be left half done.

use std::time::Duration;

use super::link::QUIET_TIME_MAX;
use super::{Change, Connect, Next, State};
use crate::action::Answer;
use crate::{Action, AskId, RequestId, Step};

/// Least time between a plugin's `disconnect` and the connection after it, so that a plugin that asks for both in turns
/// does not make the hub throttle us.
const HOLD_TIME_MIN: Duration = Duration::from_secs(5);

/// Most operators that wait for a connection to be closed.
const OPERATORS_MAX: usize = 16;

/// Why there shall be no connection.
pub(super) struct Hold {
    by: Holder,
    since: Duration,
    /// Who waits for the connection to be closed: at most one question per living plugin instance, and some operators.
    waiting: Vec<Waiter>,
}

/// Who had the connection closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    Plugin(String),
    Operator,
}

/// Who asked for something and waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    Plugin(AskId),
    Operator(RequestId),
}

impl Connect {
    /// Closes the connection, and opens none any more.
    pub(crate) fn disconnect(&mut self, by: Holder, waiter: Waiter, step: &mut Step<'_>) -> Option<Change> {
        if matches!(self.state, State::Closing { .. } | State::Closed) {
            waiter.answer(Err("the daemon is stopping"), step);
            return None;
        }
        let (first, now) = (self.hold.is_none(), step.now.monotonic);
        let hold = self.hold.get_or_insert_with(|| Hold { by: by.clone(), since: now, waiting: Vec::new() });
        let operators = hold.waiting.iter().filter(|waiter| matches!(waiter, Waiter::Operator(_))).count();
        if by == Holder::Operator {
            hold.by = Holder::Operator;
            if operators >= OPERATORS_MAX {
                waiter.answer(Err("too many already wait for the connection to close"), step);
                return None;
            }
        }
        hold.waiting.push(waiter);
        let mut change = None;
        if first {
            tracing::info!(?by, "the connection to the cloud ends on request");
            if !self.stopped {
                change = self.leave(step);
            }
        }
        self.tell_closed(step);
        change
    }

    /// Lets connections be opened again.
    pub(crate) fn reconnect(&mut self, by: &Holder, waiter: Waiter, step: &mut Step<'_>) {
        if self.stopped {
            return waiter.answer(Err("the cloud stopped this device; only `edgeplug resume` takes that back"), step);
        }
        if self.hold.as_ref().is_some_and(|hold| hold.by == Holder::Operator) && *by != Holder::Operator {
            return waiter.answer(Err("an operator had the connection closed, and only an operator opens it"), step);
        }
        waiter.answer(Ok(()), step);
        let Some(hold) = self.hold.take() else {
            // An operator who asks does not want to wait for the next try either.
            if *by == Holder::Operator {
                self.try_now(step);
            }
            return;
        };
        tracing::info!(?by, "the daemon may connect again");
        for waiter in hold.waiting {
            waiter.answer(Err("the connection was asked for again"), step);
        }
        self.backoff.reset();
        self.failures = 0;
        if matches!(self.state, State::Held) {
            self.go_on_after(hold.since, step);
        }
    }

    /// The cloud stopped this device: no connection any more.
    pub(crate) fn stop(&mut self, step: &mut Step<'_>) -> Option<Change> {
        if std::mem::replace(&mut self.stopped, true) || self.hold.is_some() {
            return None;
        }
        self.leave(step)
    }

    /// That was taken back.
    pub(crate) fn resume(&mut self, step: &mut Step<'_>) {
        self.stopped = false;
        self.backoff.reset();
        self.failures = 0;
        if matches!(self.state, State::Held) && self.hold.is_none() {
            self.go_on_after(Duration::ZERO, step);
        }
    }

    /// Who had the connection closed.
    pub(crate) fn held_by(&self) -> Option<&Holder> {
        self.hold.as_ref().map(|hold| &hold.by)
    }

    /// Whether nobody wants a connection.
    pub(super) fn is_unwanted(&self) -> bool {
        self.hold.is_some() || self.stopped
    }

    /// Answers who waited, if there is nothing left to close.
    pub(super) fn tell_closed(&mut self, step: &mut Step<'_>) {
        if self.open.is_some() || matches!(self.state, State::Connecting(..)) {
            return;
        }
        for waiter in self.hold.iter_mut().flat_map(|hold| hold.waiting.drain(..)) {
            waiter.answer(Ok(()), step);
        }
    }

    /// The daemon stops, which closes the connection too.
    pub(super) fn give_up_waiting(&mut self) -> impl Iterator<Item = Action> + use<> {
        let closed = self.hold.take().map(|hold| hold.waiting).unwrap_or_default();
        let closed = closed.into_iter().map(|waiter| waiter.action(Ok(())));
        let others = self.refresh.give_up().into_iter().chain(self.children.give_up());
        let stopping = || Err("the daemon is stopping");
        closed.chain(others.map(move |request| Waiter::Operator(request).action(stopping())))
    }

    /// The connection is closed: keep it so, unless that was taken back in the meantime.
    pub(super) fn left(&mut self, step: &mut Step<'_>) {
        if !self.is_unwanted() {
            return self.go_on_after(step.now.monotonic, step);
        }
        self.trouble = None;
        self.state = State::Held;
    }

    /// From wherever the way stands.
    fn leave(&mut self, step: &mut Step<'_>) -> Option<Change> {
        match (&self.state, &self.open) {
            (State::Online | State::Waiting { .. }, Some(_)) => {
                self.state = State::Leaving { until: Some(step.now.monotonic + QUIET_TIME_MAX) };
                return Some(Change::Pausing);
            }
            (State::Quieting { until, .. }, _) => self.state = State::Leaving { until: Some(*until) },
            (State::Waiting { .. }, None) => self.left(step),
            (State::Connecting(connection, _), _) => step.act(Action::Disconnect { connection: *connection }),
            // It is being closed already.
            (State::Renewing { .. } | State::Leaving { .. }, _) => {}
            (_, Some(open)) => step.act(Action::Disconnect { connection: open.connection }),
            (_, None) => {}
        }
        None
    }

    /// Waits no longer.
    pub(super) fn try_now(&mut self, step: &Step<'_>) {
        if let State::Waiting { until, .. } = &mut self.state {
            *until = step.now.monotonic;
        }
    }

    fn go_on_after(&mut self, since: Duration, step: &Step<'_>) {
        let then = if self.registration.is_none() {
            Next::Identity
        } else if self.synced && !self.ask_dps {
            Next::Hub
        } else {
            Next::Discovery
        };
        self.state = State::Waiting { until: step.now.monotonic.max(since + HOLD_TIME_MIN), then };
    }
}

impl Waiter {
    pub(super) fn answer(self, result: Result<(), &str>, step: &mut Step<'_>) {
        step.act(self.action(result));
    }

    fn action(self, result: Result<(), &str>) -> Action {
        match self {
            Self::Plugin(ask) => Action::Answer { ask, answer: Answer::Link(result.map_err(str::to_owned)) },
            Self::Operator(request) => {
                let result = result.map(|()| "done".to_owned()).map_err(str::to_owned);
                Action::AnswerOperator { request, result }
            }
        }
    }
}

#[cfg(test)]
mod tests;

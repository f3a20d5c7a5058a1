//! A connection that a plugin had closed: it stays closed until a plugin says so, or the daemon starts anew.
//!
//! The open connection is left as for a renewal, after its last PUBACKs. A way to the cloud that is being walked
//! already is walked to its end but for the last step, because a registration must not be left half done.

use std::time::Duration;

use super::link::QUIET_TIME_MAX;
use super::{Change, Connect, Next, State};
use crate::action::Answer;
use crate::{Action, AskId, Step};

/// Least time between a plugin's `disconnect` and the connection after it, so that a plugin that asks for both in turns
/// does not make the hub throttle us.
const HOLD_TIME_MIN: Duration = Duration::from_secs(5);

/// Why there shall be no connection.
pub(super) struct Hold {
    plugin: String,
    since: Duration,
    /// Who waits for the connection to be closed: at most one question per living plugin instance.
    waiting: Vec<AskId>,
}

impl Connect {
    /// Closes the connection, and opens none any more.
    pub(crate) fn disconnect(&mut self, plugin: &str, ask: AskId, step: &mut Step<'_>) -> Option<Change> {
        if matches!(self.state, State::Closing { .. } | State::Closed) {
            answer(ask, Err("the daemon is stopping"), step);
            return None;
        }
        let first = self.hold.is_none();
        let now = step.now.monotonic;
        let hold = self.hold.get_or_insert_with(|| Hold { plugin: plugin.to_owned(), since: now, waiting: Vec::new() });
        hold.waiting.push(ask);
        let mut change = None;
        if first {
            tracing::info!(plugin, "a plugin ends the connection to the cloud");
            change = self.leave(step);
        }
        self.tell_closed(step);
        change
    }

    /// Lets connections be opened again.
    pub(crate) fn reconnect(&mut self, plugin: &str, ask: AskId, step: &mut Step<'_>) {
        answer(ask, Ok(()), step);
        let Some(hold) = self.hold.take() else { return };
        tracing::info!(plugin, "a plugin lets the daemon connect again");
        for ask in hold.waiting {
            answer(ask, Err("the connection was asked for again"), step);
        }
        self.backoff.reset();
        self.failures = 0;
        if matches!(self.state, State::Held) {
            self.go_on_after(hold.since, step);
        }
    }

    /// The plugin that had the connection closed.
    pub(crate) fn held_by(&self) -> Option<&str> {
        self.hold.as_ref().map(|hold| hold.plugin.as_str())
    }

    /// Answers who waited, if there is nothing left to close.
    pub(super) fn tell_closed(&mut self, step: &mut Step<'_>) {
        if self.open.is_some() || matches!(self.state, State::Connecting(..)) {
            return;
        }
        for ask in self.hold.iter_mut().flat_map(|hold| hold.waiting.drain(..)) {
            answer(ask, Ok(()), step);
        }
    }

    /// The daemon stops, which closes the connection too.
    pub(super) fn give_up_hold(&mut self) -> impl Iterator<Item = Action> + use<> {
        let waiting = self.hold.take().map(|hold| hold.waiting).unwrap_or_default();
        waiting.into_iter().map(|ask| Action::Answer { ask, answer: Answer::Link(Ok(())) })
    }

    /// The connection is closed: keep it so, unless that was taken back in the meantime.
    pub(super) fn left(&mut self, step: &mut Step<'_>) {
        if self.hold.is_none() {
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

fn answer(ask: AskId, result: Result<(), &str>, step: &mut Step<'_>) {
    step.act(Action::Answer { ask, answer: Answer::Link(result.map_err(str::to_owned)) });
}

#[cfg(test)]
mod tests;

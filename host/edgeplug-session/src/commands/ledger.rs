//! What is on its way into the ledger: tasks before the hub may forget them, and their outcomes.
//!
//! Invariants: a message is acknowledged to the hub when all of its tasks are recorded; they are recorded one after the
//! other, so that one message takes little room however many devices it is meant for. What the ledger cannot take is
//! tried again, but for messages of a connection that is over: those come again by themselves.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::{Open, Work};
use crate::event::{Ending, Recorded};
use crate::{AckId, Action, AskId, ConnectionId, DeliveryId, Step, Ticket};

/// Wait before what could not be written is written again.
const RETRY: Duration = Duration::from_secs(5);
/// Firmware updates under way, one for each target, beyond which no more are written down: half of what the ledger takes. They may
/// need hours, and commands go on.
const UPDATES_MAX: usize = 128;

#[derive(Default)]
pub(super) struct Ledger {
    recording: HashMap<Ticket, Message>,
    unrecorded: VecDeque<(Duration, Message)>,
    finishing: HashMap<Ticket, Outcome>,
    unwritten: VecDeque<(Duration, Outcome)>,
}

/// A message from the hub.
pub(super) struct Message {
    /// `None` for what the cloud said in an answer: nobody waits for that to be acknowledged.
    pub(super) from: Option<(ConnectionId, DeliveryId)>,
    /// What is not recorded yet; the first is on its way. Never empty.
    pub(super) tasks: VecDeque<Open>,
}

/// What the ledger shall hold about the end of a task.
pub(super) struct Outcome {
    pub(super) key: String,
    pub(super) ack: Option<Bytes>,
    pub(super) offline: bool,
    pub(super) told: Option<Told>,
    /// The directory that the task leaves behind, if any.
    pub(super) job: Option<String>,
}

/// An end that a plugin told by `acks.finish`.
pub(crate) struct Told {
    pub(crate) by: String,
    /// What it calls the task.
    pub(crate) id: String,
    pub(crate) ending: Ending,
    /// Its question, while it waits for the ledger.
    pub(crate) asked: Option<AskId>,
}

impl Told {
    /// Whether this is the same once more, and nobody waits to hear that it is written.
    pub(crate) fn is_repeated_by(&self, plugin: &str, id: &str, ending: &Ending) -> bool {
        self.asked.is_none() && self.by == plugin && self.id == id && self.ending == *ending
    }
}

impl Ledger {
    /// Messages and outcomes that wait for the ledger, but for outcomes that were handed to it just now.
    pub(super) fn len(&self) -> usize {
        self.recording.len() + self.unrecorded.len() + self.unwritten.len()
    }

    /// Whether the end of this task is on its way.
    pub(super) fn is_ending(&self, key: &str) -> bool {
        self.finishing.values().any(|outcome| outcome.key == key)
            || self.unwritten.iter().any(|(_, outcome)| outcome.key == key)
    }

    /// While so many firmware updates are under way.
    pub(super) fn record(&mut self, message: Message, updates: usize, step: &mut Step<'_>) {
        let Some(first) = message.tasks.front() else { return };
        if updates >= UPDATES_MAX && matches!(first.task.work, Work::Update(_)) {
            self.unrecorded.push_back((step.now.monotonic + RETRY, message));
            return;
        }
        let (ticket, key, body) = (step.ticket(), first.key.clone(), first.task.to_bytes().into());
        step.act(Action::Record { ticket, key, body, at_unix_ms: step.unix_ms });
        self.recording.insert(ticket, message);
    }

    /// The task that is recorded now.
    pub(super) fn recorded(
        &mut self,
        ticket: Ticket,
        result: Result<Recorded, String>,
        updates: usize,
        step: &mut Step<'_>,
    ) -> Option<(Open, Recorded)> {
        let mut message = self.recording.remove(&ticket)?;
        match result {
            Ok(recorded) => {
                let open = message.tasks.pop_front();
                match message.from {
                    _ if !message.tasks.is_empty() => self.record(message, updates, step),
                    Some((connection, delivery)) => step.act(Action::Acknowledge { connection, delivery }),
                    None => {}
                }
                open.map(|open| (open, recorded))
            }
            Err(reason) => {
                // Not acknowledged: the hub keeps it and would send it again on the next connection.
                tracing::warn!(reason, "a command cannot be written down and stays with the hub; trying again");
                self.unrecorded.push_back((step.now.monotonic + RETRY, message));
                None
            }
        }
    }

    pub(super) fn write(&mut self, outcome: Outcome, step: &mut Step<'_>) {
        let ticket = step.ticket();
        let (key, ack, offline) = (outcome.key.clone(), outcome.ack.clone(), outcome.offline);
        step.act(Action::Finish { ticket, key, ack, offline, at_unix_ms: step.unix_ms });
        self.finishing.insert(ticket, outcome);
    }

    /// The outcome that is written, or why it is not. It is tried again then.
    pub(super) fn written(
        &mut self,
        ticket: Ticket,
        result: Result<Option<AckId>, String>,
        step: &mut Step<'_>,
    ) -> Option<Written> {
        let mut outcome = self.finishing.remove(&ticket)?;
        let asked = outcome.told.as_mut().and_then(|told| told.asked.take());
        let result = match result {
            Ok(ack) => {
                if let Some(job) = outcome.job {
                    step.act(Action::DiscardJob { job });
                }
                Ok(ack.zip(outcome.ack).map(|(ack, body)| (ack, body, outcome.offline)))
            }
            Err(reason) => {
                tracing::warn!(reason, "a command's outcome cannot be written down; trying again");
                self.unwritten.push_back((step.now.monotonic + RETRY, outcome));
                Err(reason)
            }
        };
        Some(Written { asked, result })
    }

    /// An end that this plugin told already, while nobody waits to hear that it is written.
    pub(super) fn told_before(&mut self, plugin: &str, id: &str, ending: &Ending) -> Option<&mut Told> {
        let outcomes = self.unwritten.iter_mut().map(|(_, outcome)| outcome).chain(self.finishing.values_mut());
        outcomes.filter_map(|outcome| outcome.told.as_mut()).find(|told| told.is_repeated_by(plugin, id, ending))
    }

    /// Writes what could not be written before.
    pub(super) fn advance(&mut self, updates: usize, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        while let Some((_, message)) = self.unrecorded.pop_front_if(|(at, _)| now >= *at) {
            let open = step.world.online.as_ref().map(|online| online.connection);
            if message.from.is_none_or(|(connection, _)| open == Some(connection)) {
                self.record(message, updates, step);
            }
        }
        while let Some((_, outcome)) = self.unwritten.pop_front_if(|(at, _)| now >= *at) {
            self.write(outcome, step);
        }
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        let unrecorded = self.unrecorded.front().map(|(at, _)| *at);
        unrecorded.into_iter().chain(self.unwritten.front().map(|(at, _)| *at)).min()
    }
}

/// What became of an outcome.
pub(super) struct Written {
    /// Who wants to hear of it.
    pub(super) asked: Option<AskId>,
    /// The acknowledgement to send, if there is one: its place, its body, and whether the link was down.
    pub(super) result: Result<Option<(AckId, Bytes, bool)>, String>,
}

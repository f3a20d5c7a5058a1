//! Commands from the cloud: into the ledger, acknowledged to the hub, handed to a plugin, answered once.
//!
//! Invariants: a task is in the ledger before the hub may forget it; the ledger decides whether it is new; its one
//! outcome and the acknowledgement that says so are written together. A plugin that is missing, traps or hangs makes a
//! failure acknowledgement with the reason.
//!
//! Commands that arrive while plugins are still loading, or while the one that handles them restarts, wait for it, at
//! most [`HOLD_MAX`]. One command at a time runs in a plugin; the others wait in order. What is not finished when the
//! daemon stops stays in the ledger for the next run.
//!
//! A plugin may end a command by `acks.finish` while it handles it, or defer it and end it later. The first end counts;
//! what the plugin says about the same command afterwards is refused or ignored.
//!
//! A rule's command goes the same way to a plugin, but nobody waits for its end: it is neither in the ledger nor
//! acknowledged, only logged.

mod deferred;
mod ending;
mod ledger;
mod routing;
mod start;
mod task;

pub(crate) use self::deferred::DEFER_TIME_MAX;
pub(crate) use self::ending::{Ended, answer};
pub(crate) use self::ledger::Told;
pub(crate) use self::routing::{Handlers, Route};
pub(crate) use self::start::{CALL_TIME_MAX, CHILD_TIME_MAX};
pub(crate) use self::task::{AckTo, Task, Work, job};

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::c2d::CloudMessage;
use edgeplug_protocol::definition::Definition;

use self::deferred::Deferred;
use self::ledger::{Ledger, Message, Outcome, Written};
use crate::action::FinishFailure;
use crate::event::{Ending, PluginUp, Recorded};
use crate::status::{CommandCounts, DeferredCommand};
use crate::{AckId, Action, CallId, ConnectionId, DeliveryId, Now, Step, Ticket};

/// How long commands wait for plugins that are still loading.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(60);
/// Commands taken over and not finished; beyond that new ones stay with the hub, unacknowledged.
const OPEN_MAX: usize = 200;
/// Commands of rules that wait for their plugin: a rule that matches at every sample must not fill the memory.
const LOCAL_MAX: usize = 64;

#[derive(Default)]
pub(crate) struct Commands {
    /// Messages and outcomes on their way into the ledger.
    ledger: Ledger,
    /// In the ledger, waiting for a plugin.
    waiting: VecDeque<Open>,
    /// Of rules, waiting for a plugin.
    local: VecDeque<Open>,
    /// Why the last of those failed, if it did.
    local_trouble: Option<String>,
    /// The last of those took the place of the oldest.
    local_overflows: bool,
    /// In a plugin, by plugin name.
    running: HashMap<String, Running>,
    /// Answered with "later" by their plugin.
    deferred: Deferred,
    /// Who gets which.
    handlers: Handlers,
    plugins_scanned: bool,
    /// Until when commands wait for plugins that are still loading.
    hold_until: Option<Duration>,
    /// When the first of those that wait for their child is given up.
    child_until: Option<Duration>,
    /// Something changed for those that wait.
    stirred: bool,
    /// What the cloud said of the device when they were looked at last.
    definition: Option<Arc<Definition>>,
    /// The daemon stops: nothing is begun any more.
    stopping: bool,
    counts: CommandCounts,
}

/// A task that needs its outcome.
pub(crate) struct Open {
    /// Names it in the ledger and to plugins.
    pub(crate) key: String,
    pub(crate) task: Task,
    /// Of a rule: not in the ledger.
    is_local: bool,
    pub(crate) since: Duration,
}

struct Running {
    call: CallId,
    deadline: Duration,
    /// `None` when the plugin ended it before its call did.
    open: Option<Open>,
}

impl Commands {
    /// Takes up what the last run left unfinished. Gives back the firmware updates.
    pub(crate) fn restore(&mut self, commands: Vec<(String, Bytes)>, step: &mut Step<'_>) -> Vec<Open> {
        let mut updates = Vec::new();
        self.hold_until = Some(step.now.monotonic + HOLD_MAX);
        self.stirred = true;
        for (key, body) in commands {
            match Task::from_bytes(&body, step.config) {
                Ok(task @ Task { work: Work::Update(_), .. }) => updates.push(Open::new(key, task, step)),
                Ok(task) => self.waiting.push_back(Open::new(key, task, step)),
                Err(reason) => {
                    tracing::error!(key, reason, "a command in the ledger cannot be read and is given up");
                    self.ledger.write(Outcome { key, ack: None, offline: true, told: None, job: None }, step);
                }
            }
        }
        updates
    }

    /// A message from the hub, while so many firmware updates are under way.
    pub(crate) fn received(
        &mut self,
        from: (ConnectionId, DeliveryId),
        topic: &str,
        payload: Bytes,
        message: CloudMessage,
        updates: usize,
        step: &mut Step<'_>,
    ) {
        if let Some(reason) = &step.world.stopped {
            return tracing::info!(reason, "a message stays with the hub, because the cloud stopped this device");
        }
        let tasks = match Task::of(message, topic, &payload, step) {
            Ok(tasks) => tasks,
            Err(reason) => {
                // Left unacknowledged it would come again for ever.
                tracing::warn!(reason, "a message from the cloud is dropped");
                let (connection, delivery) = from;
                return step.act(Action::Acknowledge { connection, delivery });
            }
        };
        let open = self.open();
        if open >= OPEN_MAX {
            tracing::warn!(open, "too many unfinished commands; the next ones stay with the hub");
            return;
        }
        let tasks = tasks.into_iter().map(|(key, task)| Open::new(key, task, step)).collect();
        self.ledger.record(Message { from: Some(from), tasks }, updates, step);
    }

    /// A firmware update that the cloud said in an answer. False if there is no room for it now.
    pub(crate) fn waiting_update(&mut self, tasks: Vec<(String, Task)>, updates: usize, step: &mut Step<'_>) -> bool {
        let room = self.open() < OPEN_MAX;
        if room {
            let tasks = tasks.into_iter().map(|(key, task)| Open::new(key, task, step)).collect();
            self.ledger.record(Message { from: None, tasks }, updates, step);
        }
        room
    }

    /// Gives back a firmware update that may be to be carried out.
    pub(crate) fn recorded(
        &mut self,
        ticket: Ticket,
        result: Result<Recorded, String>,
        updates: usize,
        step: &mut Step<'_>,
    ) -> Option<Open> {
        let (open, recorded) = self.ledger.recorded(ticket, result, updates, step)?;
        let takes_it = match recorded {
            Recorded::New => {
                self.counts.accepted += 1;
                true
            }
            Recorded::Seen { finished } => {
                tracing::debug!(key = open.key, finished, "a command came again");
                !finished && !self.is_open(&open.key)
            }
        };
        match open.task.work {
            _ if !takes_it => {}
            Work::Update(_) => return Some(open),
            _ => {
                self.stirred = true;
                self.waiting.push_back(open);
            }
        }
        None
    }

    /// The acknowledgement to send, if there is one.
    pub(crate) fn finished(
        &mut self,
        ticket: Ticket,
        result: Result<Option<AckId>, String>,
        step: &mut Step<'_>,
    ) -> Option<(AckId, Bytes, bool)> {
        let Written { asked, result } = self.ledger.written(ticket, result, step)?;
        if let Some(ask) = asked {
            let result = result.as_ref().map(drop).map_err(|reason| FinishFailure::Unavailable(reason.clone()));
            ending::answer(ask, result, step);
        }
        result.ok().flatten()
    }

    /// Runs the command of a rule that matched: on a child by its unique id, or on the device itself. Nobody is told how
    /// it ends.
    pub(crate) fn local(&mut self, device: Option<&str>, text: &str, step: &mut Step<'_>) {
        let full = self.local.len() >= LOCAL_MAX;
        let oldest = self.local.pop_front_if(|_| full);
        if oldest.is_some() && !self.local_overflows {
            tracing::warn!("{LOCAL_MAX} commands of rules wait for their plugins; the oldest are dropped");
        }
        self.local_overflows = oldest.is_some();
        // Not the number of one from before a restart: a plugin may remember that.
        let number = step.ticket().0;
        let key = format!("{}{}-{number}", task::LOCAL, step.unix_ms);
        let child = device.filter(|device| *device != step.config.unique_id);
        self.local.push_back(Open { is_local: true, ..Open::new(key, Task::local(child, text), step) });
        self.stirred = true;
        self.start(step);
    }

    pub(crate) fn plugins_scanned(&mut self) {
        self.plugins_scanned = true;
    }

    pub(crate) fn plugin_up(&mut self, up: &PluginUp) {
        self.stirred = true;
        self.handlers.up(&up.plugin, up.commands.clone());
    }

    pub(crate) fn plugin_down(&mut self, plugin: &str, gone: bool, now: Now) {
        self.stirred = true;
        if gone {
            self.handlers.gone(plugin);
        } else {
            self.handlers.down(plugin, now.monotonic + HOLD_MAX);
        }
    }

    pub(crate) fn plugins_stopping(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn progress(&mut self, plugin: &str, id: &str, percent: u8, message: &str) {
        let known = self.deferred.note_progress(plugin, id, percent, message);
        tracing::debug!(plugin, id, percent, message, known, "progress of a command");
    }

    pub(crate) fn advance(&mut self, updates: usize, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        self.ledger.advance(updates, step);
        let overdue: Vec<_> = self
            .running
            .iter()
            .filter(|(_, running)| now >= running.deadline)
            .map(|(plugin, _)| plugin.clone())
            .collect();
        for plugin in overdue {
            self.stirred = true;
            if let Some(open) = self.running.remove(&plugin).and_then(|running| running.open) {
                self.finish(open, Ending::Failed(format!("plugin {plugin} did not answer in time")), step);
            }
        }
        for (plugin, open) in self.deferred.take_overdue(now) {
            let minutes = DEFER_TIME_MAX.as_secs() / 60;
            let reason = format!("plugin {plugin} deferred it and did not end it within {minutes} minutes");
            self.finish(open, Ending::Failed(reason), step);
        }
        if self.hold_until.is_some_and(|until| self.plugins_scanned || now >= until) {
            self.hold_until = None;
            self.stirred = true;
        }
        self.stirred |= self.handlers.give_up(now);
        self.stirred |= self.child_until.is_some_and(|until| now >= until);
        self.start(step);
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let running = self.running.values().map(|running| running.deadline);
        let begun = running.chain(self.deferred.timeout()).chain(self.ledger.timeout()).min();
        if self.stopping || (self.waiting.is_empty() && self.local.is_empty()) {
            return begun;
        }
        let waiting = self.hold_until.into_iter().chain(self.child_until).chain(self.handlers.timeout());
        waiting.chain(begun).min()
    }

    /// While so many firmware updates are under way.
    pub(crate) fn counts(&self, updates: usize) -> CommandCounts {
        CommandCounts { open: (self.open() + updates) as u64, ..self.counts }
    }

    pub(crate) fn deferred(&self, now: Now) -> Vec<DeferredCommand> {
        self.deferred.status(now.monotonic)
    }

    fn open(&self) -> usize {
        self.ledger.len() + self.waiting.len() + self.running.len() + self.deferred.len()
    }

    fn is_open(&self, key: &str) -> bool {
        self.waiting.iter().any(|open| open.key == key)
            || self.running.values().any(|running| running.is(key))
            || self.deferred.holder(key).is_some()
            || self.ledger.is_ending(key)
    }
}

impl Open {
    fn new(key: String, task: Task, step: &Step<'_>) -> Self {
        Self { key, task, is_local: false, since: step.now.monotonic }
    }
}

impl Running {
    fn is(&self, key: &str) -> bool {
        self.open.as_ref().is_some_and(|open| open.key == key)
    }
}

#[cfg(test)]
pub(crate) mod tests;

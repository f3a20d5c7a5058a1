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
mod ledger;
mod routing;
mod task;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::ack::{self, Ack, Status};
use edgeplug_protocol::c2d::{AckKind, CloudMessage};
use edgeplug_protocol::definition::Definition;
use edgeplug_protocol::time::Timestamp;
use edgeplug_protocol::version::Version;

use self::deferred::{DEFER_TIME_MAX, DEFERRED_MAX, Deferred};
use self::ledger::{Ledger, Message, Outcome, Told, Written};
use self::routing::{Handlers, Route};
use self::task::{Task, Work};
use crate::action::{Answer, FinishFailure};
use crate::event::{CallFailure, Ending, PluginUp, Recorded, Reply};
use crate::status::{CommandCounts, DeferredCommand};
use crate::{AckId, Action, AskId, CallId, ConnectionId, DeliveryId, Now, Step, Ticket};

/// How long commands wait for plugins that are still loading.
const HOLD_MAX: Duration = Duration::from_secs(60);
/// How long a command waits for its child to be known: the cloud tells of a new child and commands it in one breath, and
/// the device has to ask who that is.
const CHILD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a plugin may take; its own deadlines are shorter, this one guards against a lost answer.
const CALL_TIME_MAX: Duration = Duration::from_secs(120);
/// Commands taken over and not finished; beyond that new ones stay with the hub, unacknowledged.
const OPEN_MAX: usize = 200;
/// Commands of rules that wait for their plugin: a rule that matches at every sample must not fill the memory.
const LOCAL_MAX: usize = 64;
/// Longest message sent back to the cloud.
const MESSAGE_CHARS_MAX: usize = 1_000;

#[derive(Default)]
pub(crate) struct Commands {
    /// Messages and outcomes on their way into the ledger.
    ledger: Ledger,
    /// In the ledger, waiting for a plugin.
    waiting: VecDeque<Open>,
    /// Of rules, waiting for a plugin.
    local: VecDeque<Open>,
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
struct Open {
    /// Names it in the ledger and to plugins.
    key: String,
    task: Task,
    /// Of a rule: not in the ledger.
    is_local: bool,
    since: Duration,
}

struct Running {
    call: CallId,
    deadline: Duration,
    /// `None` when the plugin ended it before its call did.
    open: Option<Open>,
}

impl Commands {
    /// Takes up what the last run left unfinished.
    pub(crate) fn restore(&mut self, commands: Vec<(String, Bytes)>, step: &mut Step<'_>) {
        self.hold_until = Some(step.now.monotonic + HOLD_MAX);
        self.stirred = true;
        for (key, body) in commands {
            match Task::from_bytes(&body, step.config) {
                Ok(task) => self.waiting.push_back(Open::new(key, task, step)),
                Err(reason) => {
                    tracing::error!(key, reason, "a command in the ledger cannot be read and is given up");
                    self.ledger.write(Outcome { key, ack: None, offline: true, told: None }, step);
                }
            }
        }
    }

    pub(crate) fn received(
        &mut self,
        connection: ConnectionId,
        delivery: DeliveryId,
        topic: &str,
        payload: Bytes,
        message: CloudMessage,
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
                return step.act(Action::Acknowledge { connection, delivery });
            }
        };
        if self.open() >= OPEN_MAX {
            tracing::warn!(open = self.open(), "too many unfinished commands; the next ones stay with the hub");
            return;
        }
        let tasks = tasks.into_iter().map(|(key, task)| Open::new(key, task, step)).collect();
        self.ledger.record(Message { connection, delivery, tasks }, step);
    }

    pub(crate) fn recorded(&mut self, ticket: Ticket, result: Result<Recorded, String>, step: &mut Step<'_>) {
        let Some((open, recorded)) = self.ledger.recorded(ticket, result, step) else { return };
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
        if takes_it {
            self.stirred = true;
            self.waiting.push_back(open);
        }
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
            answer(ask, result, step);
        }
        result.ok().flatten()
    }

    /// Runs the command of a rule that matched: on a child by its unique id, or on the device itself. Nobody is told how
    /// it ends.
    pub(crate) fn local(&mut self, device: Option<&str>, text: &str, step: &mut Step<'_>) {
        if self.local.len() >= LOCAL_MAX
            && let Some(oldest) = self.local.pop_front()
        {
            tracing::warn!(
                id = oldest.key,
                "{LOCAL_MAX} commands of rules wait for their plugin; the oldest is dropped"
            );
        }
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

    pub(crate) fn replied(
        &mut self,
        plugin: &str,
        call: CallId,
        result: Result<Reply, CallFailure>,
        step: &mut Step<'_>,
    ) {
        if self.running.get(plugin).is_none_or(|running| running.call != call) {
            return;
        }
        let Some(running) = self.running.remove(plugin) else { return };
        self.stirred = true;
        let Some(open) = running.open else {
            if result != Ok(Reply::Deferred) {
                tracing::warn!(plugin, "ended a command by acks.finish and again by its answer; the first end counts");
            }
            return;
        };
        let ending = match result {
            // Cut off by the stop, not by its own fault: the next run does it.
            Err(_) if self.stopping => return,
            Err(failure) => Ending::Failed(format!("plugin {plugin}: {failure}")),
            Ok(Reply::Done(message)) => Ending::Done(message),
            Ok(Reply::Failed(message)) => Ending::Failed(message),
            Ok(Reply::Deferred) if self.deferred.has_room() => {
                return self.deferred.insert(plugin, open, step.now.monotonic);
            }
            Ok(Reply::Deferred) => {
                Ending::Failed(format!("plugin {plugin} defers it, but {DEFERRED_MAX} commands are deferred already"))
            }
        };
        self.finish(open, ending, step);
    }

    /// A plugin tells the end of a command; it is answered when that is on disk.
    pub(crate) fn asked_to_finish(&mut self, plugin: &str, ask: AskId, id: &str, ending: Ending, step: &mut Step<'_>) {
        let running = self.running.iter_mut().find(|(_, running)| running.is(id));
        let (holder, open) = match (running, self.deferred.holder(id)) {
            (Some((holder, running)), _) if holder == plugin => (plugin, running.open.take()),
            (Some((holder, _)), _) => (holder.as_str(), None),
            (None, Some(holder)) if holder == plugin => (plugin, self.deferred.take(id)),
            (None, Some(holder)) => (holder, None),
            (None, None) => return self.asked_to_finish_again(plugin, ask, id, &ending, step),
        };
        let Some(open) = open else {
            tracing::debug!(plugin, holder, id, "wants to end another plugin's command");
            return answer(ask, Err(FinishFailure::NotYours), step);
        };
        let told = Told { by: plugin.to_owned(), ending: ending.clone(), asked: Some(ask) };
        self.end(open, ending, Some(told), step);
    }

    /// It has its end already, unless that could not be written down yet and this is the same once more.
    fn asked_to_finish_again(&mut self, plugin: &str, ask: AskId, id: &str, ending: &Ending, step: &mut Step<'_>) {
        match self.ledger.told_before(plugin, id, ending) {
            Some(told) => told.asked = Some(ask),
            None => {
                tracing::debug!(plugin, id, "wants to end a command that is not under way");
                answer(ask, Err(FinishFailure::Unknown), step);
            }
        }
    }

    pub(crate) fn progress(&mut self, plugin: &str, id: &str, percent: u8, message: &str) {
        let known = self.deferred.note_progress(plugin, id, percent, message);
        tracing::debug!(plugin, id, percent, message, known, "progress of a command");
    }

    pub(crate) fn advance(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        self.ledger.advance(step);
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

    pub(crate) fn counts(&self) -> CommandCounts {
        CommandCounts { open: self.open() as u64, ..self.counts }
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

    /// Starts or ends every waiting command that need not wait any longer. Looks at them only when something changed.
    fn start(&mut self, step: &mut Step<'_>) {
        let world = step.world;
        let same = match (&self.definition, &world.definition) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if (same && !self.stirred) || self.stopping || world.speaks.is_none() {
            return;
        }
        self.definition.clone_from(&world.definition);
        self.stirred = false;
        self.child_until = None;
        for open in std::mem::take(&mut self.waiting) {
            if let Some(open) = self.start_one(open, step) {
                self.waiting.push_back(open);
            }
        }
        for open in std::mem::take(&mut self.local) {
            if let Some(open) = self.start_one(open, step) {
                self.local.push_back(open);
            }
        }
    }

    /// Gives back what has to wait.
    fn start_one(&mut self, open: Open, step: &mut Step<'_>) -> Option<Open> {
        let text = match &open.task.work {
            Work::Run(text) => text.clone(),
            Work::Refuse(reason) => {
                let reason = reason.clone();
                self.finish(open, Ending::Failed(reason), step);
                return None;
            }
        };
        if self.hold_until.is_some() {
            return Some(open);
        }
        let child = open.task.child.clone();
        let is_known = |id: &str| {
            step.world.definition.as_ref().is_some_and(|said| said.devices.iter().any(|device| device.id == id))
        };
        if let Some(unknown) = child.as_deref().filter(|child| !is_known(child)) {
            let until = open.since + CHILD_TIME_MAX;
            if step.now.monotonic < until {
                self.child_until = self.child_until.into_iter().chain([until]).min();
                return Some(open);
            }
            let reason = format!("this device has no child {unknown:?}");
            self.finish(open, Ending::Failed(reason), step);
            return None;
        }
        let device = child.as_deref().unwrap_or(&step.config.unique_id);
        let plugin = match self.handlers.route(device, &text) {
            Route::To(plugin) if self.running.contains_key(plugin) => return Some(open),
            Route::To(plugin) => plugin.to_owned(),
            Route::Wait => return Some(open),
            Route::Down(plugin) => {
                let reason = format!("plugin {plugin} is down");
                self.finish(open, Ending::Failed(reason), step);
                return None;
            }
            Route::Nobody => {
                let reason = match child {
                    Some(child) => format!("no plugin on this device handles this command for {child}"),
                    None => "no plugin on this device handles this command".to_owned(),
                };
                self.finish(open, Ending::Failed(reason), step);
                return None;
            }
        };
        let call = CallId(step.ticket().0);
        step.act(Action::Call { plugin: plugin.clone(), call, id: open.key.clone(), text, child });
        let deadline = step.now.monotonic + CALL_TIME_MAX;
        self.running.insert(plugin, Running { call, deadline, open: Some(open) });
        None
    }

    fn finish(&mut self, open: Open, ending: Ending, step: &mut Step<'_>) {
        self.end(open, ending, None, step);
    }

    fn end(&mut self, open: Open, ending: Ending, told: Option<Told>, step: &mut Step<'_>) {
        let (status, message) = match ending {
            Ending::Done(message) => (Status::Done, message),
            Ending::Failed(message) => (Status::Failed, message),
        };
        if open.is_local {
            log_local(&open, status, &message);
            if let Some(ask) = told.and_then(|told| told.asked) {
                answer(ask, Ok(()), step);
            }
            return;
        }
        match status {
            Status::Done => self.counts.done += 1,
            _ => self.counts.failed += 1,
        }
        let ack = open.task.acknowledgement(status, &message, step);
        self.ledger.write(Outcome { key: open.key, ack, offline: step.offline(), told }, step);
    }
}

/// To a plugin that told the end of a command.
fn answer(ask: AskId, result: Result<(), FinishFailure>, step: &mut Step<'_>) {
    step.act(Action::Answer { ask, answer: Answer::Finished(result) });
}

fn log_local(open: &Open, status: Status, message: &str) {
    if status == Status::Done {
        tracing::debug!(id = open.key, message, "the command of a rule was carried out");
    } else {
        tracing::warn!(id = open.key, reason = message, "the command of a rule failed");
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

impl Task {
    /// The body that tells the cloud, if it wants to hear of it.
    fn acknowledgement(&self, status: Status, message: &str, step: &Step<'_>) -> Option<Bytes> {
        let (to, template) = (self.ack.as_ref()?, step.world.speaks.as_ref()?);
        let msg: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let st = step.config.ack_status.number(template.version, to.kind, status);
        let child_id = match (template.version, to.kind) {
            // The old SDKs name a child only for its firmware.
            (Version::Legacy, AckKind::Command | AckKind::Module) => None,
            _ => self.child.as_deref(),
        };
        let ack = Ack { kind: to.kind, ack_id: &to.id, st, msg: &msg, child_id };
        let body = ack::encode(template, &ack, &step.world.sdk, &Timestamp::from_unix_ms(step.unix_ms));
        Some(Bytes::from(body))
    }
}

#[cfg(test)]
mod tests;

//! Commands from the cloud: into the ledger, acknowledged to the hub, handed to a plugin, answered once.
//!
//! Invariants: a command is in the ledger before the hub may forget it; the ledger decides whether it is new; its one
//! outcome and the acknowledgement that says so are written together. A plugin that is missing, traps or hangs makes a
//! failure acknowledgement with the reason.
//!
//! Commands that arrive while plugins are still loading, or while the one that handles them restarts, wait for it, at
//! most [`HOLD_MAX`]. One command at a time runs in a plugin; the others wait in order. What is not finished when the
//! daemon stops stays in the ledger for the next run.
//!
//! A plugin may end a command by `acks.finish` while it handles it, or defer it and end it later. The first end counts;
//! what the plugin says about the same command afterwards is refused or ignored.

mod deferred;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::ack::{self, Ack, Status};
use edgeplug_protocol::c2d::{AckKind, CloudMessage, Command};
use edgeplug_protocol::time::Timestamp;
use edgeplug_protocol::version::Version;
use sha2::{Digest as _, Sha256};

use self::deferred::{DEFER_TIME_MAX, DEFERRED_MAX, Deferred};
use crate::action::{Answer, FinishFailure};
use crate::event::{CallFailure, Ending, PluginUp, Recorded, Reply};
use crate::status::{CommandCounts, DeferredCommand};
use crate::{AckId, Action, AskId, CallId, ConnectionId, DeliveryId, Now, Step, Ticket};

/// How long commands wait for plugins that are still loading.
const HOLD_MAX: Duration = Duration::from_secs(60);
/// How long a plugin may take; its own deadlines are shorter, this one guards against a lost answer.
const CALL_TIME_MAX: Duration = Duration::from_secs(120);
/// Commands taken over and not finished; beyond that new ones stay with the hub, unacknowledged.
const OPEN_MAX: usize = 200;
/// Longest message sent back to the cloud.
const MESSAGE_CHARS_MAX: usize = 1_000;
/// Wait before a command or an outcome that could not be written is written again.
const LEDGER_RETRY: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Commands {
    /// Received, on their way into the ledger.
    recording: HashMap<Ticket, Recording>,
    /// Received, but the ledger could not take them yet.
    unrecorded: VecDeque<(Duration, Recording)>,
    /// In the ledger, waiting for a plugin.
    waiting: VecDeque<Open>,
    /// In a plugin, by plugin name.
    running: HashMap<String, Running>,
    /// Answered with "later" by their plugin.
    deferred: Deferred,
    /// Outcomes on their way into the ledger.
    finishing: HashMap<Ticket, Outcome>,
    /// Outcomes the ledger could not take yet.
    unwritten: VecDeque<(Duration, Outcome)>,
    /// Plugins that handle commands, and until when commands wait for one that is down.
    handlers: BTreeMap<String, Option<Duration>>,
    plugins_scanned: bool,
    /// Until when commands wait for plugins that are still loading.
    hold_until: Option<Duration>,
    /// The daemon stops: nothing is begun any more.
    stopping: bool,
    counts: CommandCounts,
}

struct Recording {
    connection: ConnectionId,
    delivery: DeliveryId,
    open: Open,
    body: Bytes,
}

/// A command that needs its outcome.
struct Open {
    key: String,
    /// Under which the cloud waits for an acknowledgement, if it does.
    ack_id: Option<String>,
    /// What to do, or why that cannot be told.
    command: Result<Command, String>,
}

struct Running {
    call: CallId,
    deadline: Duration,
    /// `None` when the plugin ended it before its call did.
    open: Option<Open>,
}

/// What the ledger shall hold about the end of a command.
struct Outcome {
    key: String,
    ack: Option<Bytes>,
    offline: bool,
    /// The plugin that told this end by `acks.finish`, and the end.
    told_by: Option<(String, Ending)>,
    /// Its question, while it waits for the ledger.
    asked: Option<AskId>,
}

impl Commands {
    /// Takes up what the last run left unfinished.
    pub(crate) fn restore(&mut self, commands: Vec<(String, Bytes)>, step: &mut Step<'_>) {
        self.hold_until = Some(step.now.monotonic + HOLD_MAX);
        for (key, body) in commands {
            match Open::parse(&body, || key.clone()) {
                Ok(open) => self.waiting.push_back(Open { key, ..open }),
                Err(reason) => {
                    tracing::error!(key, reason, "a command in the ledger cannot be read and is given up");
                    self.write(Outcome::of(key, None, true), step);
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
        let open = match Open::of(message, || hash_key(topic, &payload)) {
            Ok(open) => open,
            Err(reason) => {
                // Left unacknowledged it would come again for ever.
                tracing::warn!(reason, "a message from the cloud has no handler and is dropped");
                return step.act(Action::Acknowledge { connection, delivery });
            }
        };
        if self.open() >= OPEN_MAX {
            tracing::warn!(open = self.open(), "too many unfinished commands; the next ones stay with the hub");
            return;
        }
        self.record(Recording { connection, delivery, open, body: payload }, step);
    }

    pub(crate) fn recorded(&mut self, ticket: Ticket, result: Result<Recorded, String>, step: &mut Step<'_>) {
        let Some(recording) = self.recording.remove(&ticket) else { return };
        match result {
            Ok(Recorded::New) => {
                self.counts.accepted += 1;
                step.act(recording.acknowledgement());
                self.waiting.push_back(recording.open);
            }
            Ok(Recorded::Seen { finished }) => {
                step.act(recording.acknowledgement());
                let open = recording.open;
                tracing::debug!(key = open.key, finished, "a command came again");
                if !finished && !self.is_open(&open.key) {
                    self.waiting.push_back(open);
                }
            }
            Err(reason) => {
                // Not acknowledged: the hub keeps it and would send it again on the next connection.
                tracing::warn!(reason, "a command cannot be written down and stays with the hub; trying again");
                self.unrecorded.push_back((step.now.monotonic + LEDGER_RETRY, recording));
            }
        }
    }

    /// The acknowledgement to send, if there is one.
    pub(crate) fn finished(
        &mut self,
        ticket: Ticket,
        result: Result<Option<AckId>, String>,
        step: &mut Step<'_>,
    ) -> Option<(AckId, Bytes, bool)> {
        let mut outcome = self.finishing.remove(&ticket)?;
        if let Some(ask) = outcome.asked.take() {
            answer(ask, result.as_ref().map(drop).map_err(|reason| FinishFailure::Unavailable(reason.clone())), step);
        }
        match result {
            Ok(ack) => ack.zip(outcome.ack).map(|(ack, body)| (ack, body, outcome.offline)),
            Err(reason) => {
                tracing::warn!(reason, "a command's outcome cannot be written down; trying again");
                self.unwritten.push_back((step.now.monotonic + LEDGER_RETRY, outcome));
                None
            }
        }
    }

    pub(crate) fn plugins_scanned(&mut self) {
        self.plugins_scanned = true;
    }

    pub(crate) fn plugin_up(&mut self, up: &PluginUp) {
        if up.commands.is_some() {
            self.handlers.insert(up.plugin.clone(), None);
        } else {
            self.handlers.remove(&up.plugin);
        }
    }

    pub(crate) fn plugin_down(&mut self, plugin: &str, gone: bool, now: Now) {
        if gone {
            self.handlers.remove(plugin);
        } else if let Some(until) = self.handlers.get_mut(plugin) {
            // A plugin that goes down again before it was up gets no more time.
            until.get_or_insert(now.monotonic + HOLD_MAX);
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
    pub(crate) fn asked_to_finish(&mut self, plugin: &str, ask: AskId, id: &str, end: Ending, step: &mut Step<'_>) {
        let running = self.running.iter_mut().find(|(_, running)| running.is(id));
        let (holder, open) = match (running, self.deferred.holder(id)) {
            (Some((holder, running)), _) if holder == plugin => (plugin, running.open.take()),
            (Some((holder, _)), _) => (holder.as_str(), None),
            (None, Some(holder)) if holder == plugin => (plugin, self.deferred.take(id)),
            (None, Some(holder)) => (holder, None),
            (None, None) => return self.asked_to_finish_again(plugin, ask, id, &end, step),
        };
        match open {
            Some(open) => {
                let mut outcome = self.outcome(open, end.clone(), step);
                outcome.told_by = Some((plugin.to_owned(), end));
                outcome.asked = Some(ask);
                self.write(outcome, step);
            }
            None => {
                tracing::debug!(plugin, holder, id, "wants to end another plugin's command");
                answer(ask, Err(FinishFailure::NotYours), step);
            }
        }
    }

    /// It has its end already, unless that could not be written down yet and this is the same once more.
    fn asked_to_finish_again(&mut self, plugin: &str, ask: AskId, id: &str, end: &Ending, step: &mut Step<'_>) {
        let unwritten = self.unwritten.iter_mut().map(|(_, outcome)| outcome).chain(self.finishing.values_mut());
        let same = |outcome: &&mut Outcome| {
            let told = outcome.told_by.as_ref();
            outcome.key == id && told.is_some_and(|(by, told)| by == plugin && told == end)
        };
        match unwritten.filter(|outcome| outcome.asked.is_none()).find(same) {
            Some(outcome) => outcome.asked = Some(ask),
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
        while let Some((at, _)) = self.unrecorded.front()
            && now >= *at
            && let Some((_, recording)) = self.unrecorded.pop_front()
        {
            // Those of a connection that is over come again by themselves.
            if step.world.online.as_ref().is_some_and(|online| online.connection == recording.connection) {
                self.record(recording, step);
            }
        }
        while let Some((at, _)) = self.unwritten.front()
            && now >= *at
            && let Some((_, outcome)) = self.unwritten.pop_front()
        {
            self.write(outcome, step);
        }
        let overdue: Vec<_> = self
            .running
            .iter()
            .filter(|(_, running)| now >= running.deadline)
            .map(|(plugin, _)| plugin.clone())
            .collect();
        for plugin in overdue {
            if let Some(open) = self.running.remove(&plugin).and_then(|running| running.open) {
                self.finish(open, Ending::Failed(format!("plugin {plugin} did not answer in time")), step);
            }
        }
        for (plugin, open) in self.deferred.take_overdue(now) {
            let minutes = DEFER_TIME_MAX.as_secs() / 60;
            let reason = format!("plugin {plugin} deferred it and did not end it within {minutes} minutes");
            self.finish(open, Ending::Failed(reason), step);
        }
        if self.plugins_scanned || self.hold_until.is_some_and(|until| now >= until) {
            self.hold_until = None;
        }
        for down in self.handlers.values_mut() {
            if down.is_some_and(|until| now >= until) {
                // Waited long enough: from now on its commands fail at once, until it is up again.
                *down = Some(Duration::ZERO);
            }
        }
        if self.hold_until.is_none() && !self.stopping && step.world.template.is_some() {
            self.start(step);
        }
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let deadlines = self.running.values().map(|running| running.deadline);
        let unrecorded = self.unrecorded.front().map(|(at, _)| *at);
        let unwritten = self.unwritten.front().map(|(at, _)| *at);
        let waits = !self.waiting.is_empty() && !self.stopping;
        let hold = self.hold_until.filter(|_| waits);
        let down = self.handlers.values().flatten().filter(|until| waits && !until.is_zero()).copied();
        let deferred = self.deferred.timeout();
        deadlines.chain(deferred).chain(unrecorded).chain(unwritten).chain(hold).chain(down).min()
    }

    pub(crate) fn counts(&self) -> CommandCounts {
        CommandCounts { open: self.open() as u64, ..self.counts }
    }

    pub(crate) fn deferred(&self, now: Now) -> Vec<DeferredCommand> {
        self.deferred.status(now.monotonic)
    }

    fn open(&self) -> usize {
        let in_ledger = self.recording.len() + self.unrecorded.len() + self.unwritten.len();
        in_ledger + self.waiting.len() + self.running.len() + self.deferred.len()
    }

    fn is_open(&self, key: &str) -> bool {
        self.waiting.iter().any(|open| open.key == key)
            || self.running.values().any(|running| running.is(key))
            || self.deferred.holder(key).is_some()
            || self.finishing.values().any(|outcome| outcome.key == key)
            || self.unwritten.iter().any(|(_, outcome)| outcome.key == key)
    }

    fn record(&mut self, recording: Recording, step: &mut Step<'_>) {
        let (ticket, key, at_unix_ms) = (step.ticket(), recording.open.key.clone(), step.unix_ms);
        step.act(Action::Record { ticket, key, body: recording.body.clone(), at_unix_ms });
        self.recording.insert(ticket, recording);
    }

    /// Starts every waiting command whose plugin is free.
    fn start(&mut self, step: &mut Step<'_>) {
        for open in std::mem::take(&mut self.waiting) {
            let command = match &open.command {
                Ok(command) => command,
                Err(reason) => {
                    let reason = reason.clone();
                    self.finish(open, Ending::Failed(reason), step);
                    continue;
                }
            };
            let Some((plugin, down)) = self.handlers.first_key_value().map(|(name, down)| (name.clone(), *down)) else {
                self.finish(open, Ending::Failed("no plugin on this device handles commands".into()), step);
                continue;
            };
            if down == Some(Duration::ZERO) {
                self.finish(open, Ending::Failed(format!("plugin {plugin} is down")), step);
                continue;
            }
            if down.is_some() || self.running.contains_key(&plugin) {
                self.waiting.push_back(open);
                continue;
            }
            let call = CallId(step.ticket().0);
            let child = command.child(&step.config.cpid, &step.config.unique_id).map(str::to_owned);
            let (id, text) = (open.key.clone(), command.text.clone());
            step.act(Action::Call { plugin: plugin.clone(), call, id, text, child });
            let deadline = step.now.monotonic + CALL_TIME_MAX;
            self.running.insert(plugin, Running { call, deadline, open: Some(open) });
        }
    }

    fn finish(&mut self, open: Open, ending: Ending, step: &mut Step<'_>) {
        let outcome = self.outcome(open, ending, step);
        self.write(outcome, step);
    }

    fn outcome(&mut self, open: Open, ending: Ending, step: &Step<'_>) -> Outcome {
        let (status, message) = match ending {
            Ending::Done(message) => {
                self.counts.done += 1;
                (Status::Done, message)
            }
            Ending::Failed(message) => {
                self.counts.failed += 1;
                (Status::Failed, message)
            }
        };
        let msg: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let ack = open.ack_id.as_deref().and_then(|ack_id| {
            let template = step.world.template.as_ref()?;
            let st = step.config.ack_status.number(template.version, AckKind::Command, status);
            let ack = Ack { kind: AckKind::Command, ack_id, st, msg: &msg, child_id: None };
            let body = ack::encode(template, &ack, &step.world.sdk, &Timestamp::from_unix_ms(step.unix_ms));
            Some(Bytes::from(body))
        });
        Outcome::of(open.key, ack, step.offline())
    }

    fn write(&mut self, outcome: Outcome, step: &mut Step<'_>) {
        let ticket = step.ticket();
        let (key, ack, offline) = (outcome.key.clone(), outcome.ack.clone(), outcome.offline);
        step.act(Action::Finish { ticket, key, ack, offline, at_unix_ms: step.unix_ms });
        self.finishing.insert(ticket, outcome);
    }
}

/// To a plugin that told the end of a command.
fn answer(ask: AskId, result: Result<(), FinishFailure>, step: &mut Step<'_>) {
    step.act(Action::Answer { ask, answer: Answer::Finished(result) });
}

impl Running {
    fn is(&self, key: &str) -> bool {
        self.open.as_ref().is_some_and(|open| open.key == key)
    }
}

impl Outcome {
    fn of(key: String, ack: Option<Bytes>, offline: bool) -> Self {
        Self { key, ack, offline, told_by: None, asked: None }
    }
}

impl Recording {
    /// To the hub, which may then forget it.
    fn acknowledgement(&self) -> Action {
        Action::Acknowledge { connection: self.connection, delivery: self.delivery }
    }
}

impl Open {
    /// Reads a message that needs an outcome; the error says why this one needs none.
    fn parse(body: &[u8], key: impl FnOnce() -> String) -> Result<Self, String> {
        Self::of(CloudMessage::parse(Version::Legacy, body), key)
    }

    fn of(message: CloudMessage, key: impl FnOnce() -> String) -> Result<Self, String> {
        match message {
            CloudMessage::Command(command) => Ok(Self {
                key: command.ack_id.clone().unwrap_or_else(key),
                ack_id: command.ack_id.clone().filter(|_| command.ack_wanted),
                command: Ok(command),
            }),
            CloudMessage::Unusable { ack_id, reason, .. } => {
                Ok(Self { key: ack_id.clone(), ack_id: Some(ack_id), command: Err(reason) })
            }
            other => Err(format!("{other:?} has no handler yet")),
        }
    }
}

/// The key of a command that the cloud gave no id: its topic (whose properties tell messages apart) and body.
fn hash_key(topic: &str, payload: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::new().chain_update(topic).chain_update([0]).chain_update(payload).finalize();
    digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;

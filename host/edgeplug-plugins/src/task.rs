//! One plugin's task: owns the living instance, serves calls one by one, switches to a new version between two of them,
//! and starts again after a fault.
//!
//! What must stay true: the instance is entered from here alone; a new version takes over only once it has started and
//! taken what the old one hands over; a version that does neither disturbs nothing that runs; the task's events come in the order of
//! [`PluginEvent`].

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backoff;
use crate::call::{CallFailure, Connection, Reply};
use crate::clock::Clock;
use crate::desk::Desk;
use crate::event::{Change, PluginEvent};
use crate::host::Surroundings;
use crate::instance::{Blueprint, Instance};
use crate::loader::{Loaded, Version};
use crate::options::Limits;
use crate::repeats::Repeats;
use crate::slot::{Call, Slot};
use crate::status::PluginState;
use crate::tail::{LogLevel, LogStream};
use crate::voice::cleaned;

/// A loaded version on its way to the task.
pub(crate) struct Delivery {
    pub(crate) loaded: Loaded,
    /// What to name in a refusal.
    pub(crate) file: PathBuf,
    /// Told once the version has taken over, or was put aside because it does not start.
    pub(crate) done: oneshot::Sender<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This is the version now, even if it has yet to start.
    Adopted,
    /// It does not start; the version before goes on, or is tried again.
    PutAside,
}

/// Why a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Removed,
    Shutdown,
}

pub(crate) struct Task {
    plugin: String,
    slot: Arc<Slot>,
    desk: Arc<Desk>,
    /// The plugin is told the latest, never a queue.
    connection: watch::Receiver<Connection>,
    calls: mpsc::Receiver<Call>,
    deliveries: mpsc::Receiver<Delivery>,
    ending: watch::Receiver<Option<Ending>>,
    events: mpsc::Sender<PluginEvent>,
    limits: Limits,
    current: Option<Current>,
    instance: Option<Instance>,
    /// When to start again; set while there is a version but no instance.
    restart_at: Option<Instant>,
    /// Whether there ever was an `Up`.
    was_up: bool,
    /// Errors of the version that runs, as far as its log has them.
    errors: Repeats,
    ailment: Option<Ailment>,
    clock: Clock,
    /// Old instances saying good-bye.
    leaving: JoinSet<()>,
}

/// A problem that came of a call.
struct Ailment {
    /// The call that was answered with an error; none after a fault, which stays.
    error_of: Option<&'static str>,
    words: String,
}

impl Ailment {
    /// Whether it is what the status shows.
    fn is(&self, problem: &Option<String>) -> bool {
        problem.as_ref() == Some(&self.words)
    }
}

struct Current {
    version: Version,
    grants: Vec<String>,
    blueprint: Blueprint,
}

impl Task {
    pub(crate) fn new(
        plugin: &str,
        (slot, calls): (Arc<Slot>, mpsc::Receiver<Call>),
        deliveries: mpsc::Receiver<Delivery>,
        ending: watch::Receiver<Option<Ending>>,
        surroundings: &Surroundings,
        limits: Limits,
    ) -> Self {
        Self {
            plugin: plugin.to_owned(),
            slot,
            desk: surroundings.desks.open(plugin),
            connection: surroundings.connection.clone(),
            calls,
            deliveries,
            ending,
            events: surroundings.events.clone(),
            limits,
            current: None,
            instance: None,
            restart_at: None,
            was_up: false,
            errors: Repeats::default(),
            ailment: None,
            clock: surroundings.clock.clone(),
            leaving: JoinSet::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let restart_at = self.restart_at.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = ended(&mut self.ending) => break,
                Some(delivery) = self.deliveries.recv() => self.take(delivery).await,
                () = tokio::time::sleep_until(restart_at), if self.restart_at.is_some() => self.restart().await,
                Ok(()) = self.connection.changed(), if self.watches_connection() => self.tell_connection().await,
                Some(call) = self.calls.recv(), if self.instance.is_some() => self.serve(call).await,
                Some(_) = self.leaving.join_next() => {}
            }
        }
        self.end().await;
    }

    async fn take(&mut self, delivery: Delivery) {
        let Delivery { loaded, file, done } = delivery;
        let Loaded { version, grants, blueprint, started } = loaded;
        let started = match started {
            Ok(instance) => self.hand_over(instance).await,
            Err(failure) => Err(format!("it does not start: {failure}")),
        };
        match started {
            Ok(instance) => {
                self.current = Some(Current { version, grants, blueprint });
                let change = if self.was_up { Change::Replaced } else { Change::First };
                self.slot.status().strikes = 0;
                self.errors = Repeats::default();
                self.come_up(instance, change).await;
                let _ = done.send(Verdict::Adopted);
            }
            Err(problem) => {
                // A version that once ran is better than one that does not start, even while it waits for its restart.
                let aside = self.was_up && self.current.is_some();
                let outlook = match (aside, &self.instance) {
                    (true, Some(_)) => "the version before goes on",
                    (true, None) => "the version before will be tried again",
                    (false, _) => "it will be tried again",
                };
                let reason = format!("{problem}; {outlook}");
                self.note(&reason);
                self.slot.status().problem = Some(reason.clone());
                self.emit(PluginEvent::Refused { plugin: self.plugin.clone(), file, reason }).await;
                if aside {
                    let _ = done.send(Verdict::PutAside);
                } else {
                    self.current = Some(Current { version, grants, blueprint });
                    self.strike();
                    let _ = done.send(Verdict::Adopted);
                }
            }
        }
    }

    /// Gives the new version what the old one saved. The error says why the new one shall not run.
    async fn hand_over(&mut self, mut new: Instance) -> Result<Instance, String> {
        let Some(old) = &mut self.instance else {
            return Ok(new);
        };
        let saved = match old.save_state().await {
            Ok(saved) => saved,
            Err(failure) => {
                let problem = format!("the version before saved no state, the new one starts with nothing: {failure}");
                tracing::warn!(plugin = self.plugin, problem, "plugin was swapped without its state");
                self.note(&problem);
                return Ok(new);
            }
        };
        if saved.is_empty() {
            return Ok(new);
        }
        if !new.has_lifecycle() {
            let problem = "the version before saved its state, but the new one exports no `lifecycle` to take it";
            tracing::warn!(plugin = self.plugin, problem, "plugin was swapped without its state");
            self.note(problem);
            return Ok(new);
        }
        match new.restore_state(saved).await {
            Ok(()) => Ok(new),
            Err(failure) => {
                // It was started, so it is stopped.
                self.dismiss(new);
                Err(format!("it does not take the state of the version before: {failure}"))
            }
        }
    }

    async fn restart(&mut self) {
        let Some(current) = &self.current else {
            self.restart_at = None;
            return;
        };
        match current.blueprint.start().await {
            Ok(instance) => {
                self.slot.status().restarts += 1;
                let change = if self.was_up { Change::Restarted } else { Change::First };
                self.come_up(instance, change).await;
            }
            Err(failure) => {
                let reason = format!("it does not start: {failure}");
                tracing::warn!(plugin = self.plugin, reason, "plugin did not start, trying again later");
                self.note(&reason);
                self.slot.status().problem = Some(reason);
                self.strike();
            }
        }
    }

    async fn come_up(&mut self, instance: Instance, change: Change) {
        self.restart_at = None;
        if let Some(old) = self.instance.replace(instance) {
            self.dismiss(old);
        }
        let Some(Current { version, grants, blueprint }) = &self.current else {
            return;
        };
        let interval = version.manifest.interval;
        let up = PluginEvent::Up {
            plugin: self.plugin.clone(),
            exports: blueprint.exports,
            interval,
            sha256: version.sha256.clone(),
            change,
            grants: grants.clone(),
            commands: version.manifest.commands.clone(),
        };
        {
            let mut status = self.slot.status();
            status.state = PluginState::Running;
            status.sha256.clone_from(&version.sha256);
            status.exports = blueprint.exports;
            status.interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
            status.grants.clone_from(grants);
            status.commands.clone_from(&version.manifest.commands);
            if change != Change::Restarted {
                status.problem = None;
            }
        }
        self.was_up = true;
        // Told after every start, whatever it was before.
        self.connection.mark_changed();
        // Calls are served by this task too, so no answer precedes this event.
        self.emit(up).await;
    }

    /// Has an instance say good-bye off the path of the next call; bounded by its own deadline.
    fn dismiss(&mut self, instance: Instance) {
        let plugin = self.plugin.clone();
        self.leaving.spawn(async move { say_goodbye(&plugin, instance).await });
    }

    async fn serve(&mut self, call: Call) {
        let Some(instance) = &mut self.instance else {
            self.answer_gone(call).await;
            return;
        };
        let plugin = self.plugin.clone();
        let (what, event, failure) = match call {
            Call::Sample { call } => {
                let result = instance.sample().await;
                let failure = result.as_ref().err().cloned();
                ("sensor.sample", PluginEvent::Sampled { plugin, call, result }, failure)
            }
            Call::Command { call, command } => {
                let result = instance.command(command).await;
                let failure = result.as_ref().err().cloned();
                ("commands.handle", PluginEvent::Replied { plugin, call, result }, failure)
            }
            Call::Desired { call, change } => {
                let result = instance.desired_changed(change).await;
                let failure = result.as_ref().err().cloned();
                ("twin-events.desired-changed", PluginEvent::DesiredHandled { plugin, call, result }, failure)
            }
            Call::Update { call, update } => {
                let id = update.id.clone();
                self.desk.begin_update(&id, update.file.clone());
                let result = instance.update(update).await;
                // Otherwise it is under way until its end is told.
                if result != Ok(Reply::Deferred) {
                    self.desk.end_update(&id);
                }
                let failure = result.as_ref().err().cloned();
                ("firmware.update", PluginEvent::Updated { plugin, call, result }, failure)
            }
            Call::Transform { call, samples } => {
                let result = instance.transform(samples).await;
                let failure = result.as_ref().err().cloned();
                ("transform.process", PluginEvent::Transformed { plugin, call, result }, failure)
            }
        };
        self.called(what, Some(event), failure).await;
    }

    fn watches_connection(&self) -> bool {
        let exports = self.current.as_ref().map(|current| current.blueprint.exports);
        self.instance.is_some() && exports.is_some_and(|exports| exports.connection_events)
    }

    async fn tell_connection(&mut self) {
        let connection = self.connection.borrow_and_update().clone();
        let Some(instance) = &mut self.instance else {
            return;
        };
        let failure = instance.connection_changed(connection).await.err();
        self.called("connection-events.changed", None, failure).await;
    }

    /// Books a call, tells its answer, and takes the plugin down if it died of it.
    async fn called(&mut self, what: &'static str, event: Option<PluginEvent>, failure: Option<CallFailure>) {
        let Some(instance) = &self.instance else {
            return;
        };
        let (dead, memory_bytes) = (instance.is_dead(), instance.memory_bytes());
        {
            let mut status = self.slot.status();
            status.calls += 1;
            status.memory_bytes_max = status.memory_bytes_max.max(memory_bytes);
            // News of the connection come after every start; that a plugin takes them does not make it sound.
            if failure.is_none() && event.is_some() {
                status.strikes = 0;
            }
        }
        match &failure {
            Some(CallFailure::Error(error)) => self.complain(what, error),
            Some(_) => {}
            None => self.recover(what),
        }
        if let Some(event) = event {
            self.emit(event).await;
        }
        if dead {
            let reason = failure.map_or_else(String::new, |failure| failure.to_string());
            self.fall(reason).await;
        }
    }

    /// The plugin answered with an error. Whoever gets the answer logs it for the daemon.
    fn complain(&mut self, what: &'static str, error: &str) {
        let words = format!("{what} failed: {error}");
        if let Some(line) = self.errors.say(&words, self.clock.elapsed()) {
            self.note(&line);
        }
        let mut status = self.slot.status();
        status.errors += 1;
        // A refusal waits for a person; an error that comes again and again must not cover it.
        if status.problem.is_none() || self.ailment.as_ref().is_some_and(|ailment| ailment.is(&status.problem)) {
            status.problem = Some(words.clone());
            self.ailment = Some(Ailment { error_of: Some(what), words });
        }
    }

    /// A good call takes back what an error of the same kind was a problem for.
    fn recover(&mut self, what: &'static str) {
        if let Some(ailment) = self.ailment.take_if(|ailment| ailment.error_of == Some(what)) {
            let mut status = self.slot.status();
            if ailment.is(&status.problem) {
                status.problem = None;
            }
        }
    }

    /// After a fault: nothing gets in any more, what is waiting is told, and a restart is set.
    async fn fall(&mut self, reason: String) {
        self.instance = None;
        {
            let mut status = self.slot.status();
            status.state = PluginState::Restarting;
            status.faults += 1;
            status.problem = Some(reason.clone());
        }
        self.ailment = Some(Ailment { error_of: None, words: reason.clone() });
        self.drain().await;
        tracing::warn!(plugin = self.plugin, reason, "plugin went down, starting it again later");
        self.emit(PluginEvent::Down { plugin: self.plugin.clone(), reason, gone: false }).await;
        self.strike();
    }

    fn strike(&mut self) {
        let mut status = self.slot.status();
        status.state = PluginState::Restarting;
        let wait = backoff::wait(self.limits.restart_min, self.limits.restart_max, status.strikes);
        status.strikes = status.strikes.saturating_add(1);
        self.restart_at = Some(Instant::now() + wait);
    }

    async fn drain(&mut self) {
        while let Ok(call) = self.calls.try_recv() {
            self.answer_gone(call).await;
        }
    }

    async fn answer_gone(&mut self, call: Call) {
        let plugin = self.plugin.clone();
        self.emit(match call {
            Call::Sample { call } => PluginEvent::Sampled { plugin, call, result: Err(CallFailure::Gone) },
            Call::Command { call, .. } => PluginEvent::Replied { plugin, call, result: Err(CallFailure::Gone) },
            Call::Desired { call, .. } => PluginEvent::DesiredHandled { plugin, call, result: Err(CallFailure::Gone) },
            Call::Update { call, .. } => PluginEvent::Updated { plugin, call, result: Err(CallFailure::Gone) },
            Call::Transform { call, .. } => PluginEvent::Transformed { plugin, call, result: Err(CallFailure::Gone) },
        })
        .await;
    }

    async fn end(mut self) {
        let ending = *self.ending.borrow();
        self.slot.status().state = PluginState::Refused;
        self.drain().await;
        if let Some(instance) = self.instance.take() {
            say_goodbye(&self.plugin, instance).await;
        }
        while self.leaving.join_next().await.is_some() {}
        if !self.was_up {
            return;
        }
        let reason = match ending {
            Some(Ending::Shutdown) => "the daemon stops",
            Some(Ending::Removed) | None => "its file was removed",
        };
        let down = PluginEvent::Down { plugin: self.plugin.clone(), reason: reason.to_owned(), gone: true };
        if ending == Some(Ending::Shutdown) {
            // Whoever stops the daemon may no longer listen.
            let _ = self.events.try_send(down);
        } else {
            self.emit(down).await;
        }
    }

    /// For the plugin's own log; whoever gets the event or the status says it elsewhere.
    fn note(&self, message: &str) {
        self.desk.note(LogLevel::Warn, LogStream::Host, cleaned(message));
    }

    /// A receiver that is gone is no reason to stop serving: the daemon is about to end.
    async fn emit(&mut self, event: PluginEvent) {
        let _ = self.events.send(event).await;
    }
}

async fn ended(ending: &mut watch::Receiver<Option<Ending>>) {
    // An error means that the keeper is gone, which is an ending too.
    let _ = ending.wait_for(Option::is_some).await;
}

async fn say_goodbye(plugin: &str, instance: Instance) {
    if let Err(failure) = instance.stop().await {
        tracing::warn!(plugin, %failure, "plugin did not stop well");
    }
}

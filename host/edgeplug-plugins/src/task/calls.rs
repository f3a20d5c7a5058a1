//! Calls of the instance, one at a time, and what they say about it.

use super::{Ailment, Task};
use crate::call::{CallFailure, Reply};
use crate::event::PluginEvent;
use crate::slot::Call;

impl Task {
    pub(super) async fn serve(&mut self, call: Call) {
        let Some(instance) = &mut self.instance else {
            self.answer_gone(call).await;
            return;
        };
        let plugin = self.seat.plugin.clone();
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

    pub(super) fn watches_connection(&self) -> bool {
        let exports = self.current.as_ref().map(|current| current.blueprint.exports);
        self.instance.is_some() && exports.is_some_and(|exports| exports.connection_events)
    }

    pub(super) async fn tell_connection(&mut self) {
        let connection = self.connection.borrow_and_update().clone();
        let Some(instance) = &mut self.instance else {
            return;
        };
        let failure = instance.connection_changed(connection).await.err();
        self.called("connection-events.changed", None, failure).await;
    }

    /// Books a call, tells its answer, and draws the consequences.
    async fn called(&mut self, what: &'static str, event: Option<PluginEvent>, failure: Option<CallFailure>) {
        let Some(instance) = &self.instance else {
            return;
        };
        let (dead, memory_bytes) = (instance.is_dead(), instance.memory_bytes());
        // News of the connection come after every start; that a plugin takes them does not make it sound.
        let is_good = failure.is_none() && event.is_some();
        {
            let mut status = self.seat.slot.status();
            status.calls += 1;
            status.memory_bytes_max = status.memory_bytes_max.max(memory_bytes);
            if is_good {
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
        match failure {
            failure if dead => self.fall(failure.map_or_else(String::new, |failure| failure.to_string())).await,
            Some(CallFailure::Error(error)) => self.erred(&error).await,
            _ if is_good => self.answered_well(),
            _ => {}
        }
    }

    /// The plugin answered with an error. Whoever gets the answer logs it for the daemon.
    fn complain(&mut self, what: &'static str, error: &str) {
        let words = format!("{what} failed: {error}");
        if let Some(line) = self.errors.say(&words, self.clock.elapsed()) {
            self.note(&line);
        }
        let mut status = self.seat.slot.status();
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
            let mut status = self.seat.slot.status();
            if ailment.is(&status.problem) {
                status.problem = None;
            }
        }
    }

    pub(super) async fn drain(&mut self) {
        while let Ok(call) = self.seat.calls.try_recv() {
            self.answer_gone(call).await;
        }
    }

    async fn answer_gone(&mut self, call: Call) {
        let plugin = self.seat.plugin.clone();
        self.emit(match call {
            Call::Sample { call } => PluginEvent::Sampled { plugin, call, result: Err(CallFailure::Gone) },
            Call::Command { call, .. } => PluginEvent::Replied { plugin, call, result: Err(CallFailure::Gone) },
            Call::Desired { call, .. } => PluginEvent::DesiredHandled { plugin, call, result: Err(CallFailure::Gone) },
            Call::Update { call, .. } => PluginEvent::Updated { plugin, call, result: Err(CallFailure::Gone) },
            Call::Transform { call, .. } => PluginEvent::Transformed { plugin, call, result: Err(CallFailure::Gone) },
        })
        .await;
    }
}

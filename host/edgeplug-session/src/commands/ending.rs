//! The end of a command: by its plugin's answer, by `acks.finish`, or by ours; told to the cloud if it wants to hear of it.

use bytes::Bytes;
use edgeplug_protocol::ack::{self, Ack, Status};
use edgeplug_protocol::c2d::AckKind;
use edgeplug_protocol::time::Timestamp;
use edgeplug_protocol::version::Version;

use super::deferred::DEFERRED_MAX;
use super::ledger::{Outcome, Told};
use super::task::{AckTo, Task};
use super::{Commands, Open};
use crate::action::{Answer, FinishFailure};
use crate::event::{CallFailure, Ending, Reply};
use crate::{Action, AskId, CallId, Step};

/// Longest message sent back to the cloud.
const MESSAGE_CHARS_MAX: usize = 1_000;

impl Commands {
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
        let told = Told { by: plugin.to_owned(), id: id.to_owned(), ending: ending.clone(), asked: Some(ask) };
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

    pub(super) fn finish(&mut self, open: Open, ending: Ending, step: &mut Step<'_>) {
        self.end(open, ending, None, step);
    }

    fn end(&mut self, open: Open, ending: Ending, told: Option<Told>, step: &mut Step<'_>) {
        let (status, message) = match ending {
            Ending::Done(message) => (Status::Done, message),
            Ending::Failed(message) => (Status::Failed, message),
        };
        if open.is_local {
            self.log_local(&open, status, message);
            if let Some(ask) = told.and_then(|told| told.asked) {
                answer(ask, Ok(()), step);
            }
            return;
        }
        let Open { key, task: Task { ack, child, .. }, .. } = open;
        self.conclude(Ended { key, ack, child, status, message, told, job: None }, step);
    }

    /// Writes an end down; also that of a firmware update.
    pub(crate) fn conclude(&mut self, ended: Ended, step: &mut Step<'_>) {
        let Ended { key, ack, child, status, message, told, job } = ended;
        match status {
            Status::Done => self.counts.done += 1,
            _ => self.counts.failed += 1,
        }
        let ack = ack.and_then(|to| to.body(child.as_deref(), status, &message, step));
        self.ledger.write(Outcome { key, ack, offline: step.offline(), told, job }, step);
    }

    /// A rule may match at every sample: the same failure again is no news.
    fn log_local(&mut self, open: &Open, status: Status, message: String) {
        let id = &open.key;
        if status == Status::Done {
            self.local_trouble = None;
            tracing::debug!(id, message, "the command of a rule was carried out");
        } else if self.local_trouble.as_ref() == Some(&message) {
            tracing::debug!(id, reason = message, "the command of a rule failed again");
        } else {
            tracing::warn!(id, reason = message, "the command of a rule failed");
            self.local_trouble = Some(message);
        }
    }
}

/// A task that has its end.
pub(crate) struct Ended {
    pub(crate) key: String,
    pub(crate) ack: Option<AckTo>,
    pub(crate) child: Option<String>,
    pub(crate) status: Status,
    pub(crate) message: String,
    pub(crate) told: Option<Told>,
    /// The directory it leaves behind, if any.
    pub(crate) job: Option<String>,
}

impl AckTo {
    /// The body that tells the cloud, in the protocol that is spoken.
    pub(crate) fn body(&self, child: Option<&str>, status: Status, message: &str, step: &Step<'_>) -> Option<Bytes> {
        let template = step.world.speaks.as_ref()?;
        let msg: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let st = step.config.ack_status.number(template.version, self.kind, status);
        let child_id = match (template.version, self.kind) {
            // The old SDKs name a child only for its firmware.
            (Version::Legacy, AckKind::Command | AckKind::Module) => None,
            _ => child,
        };
        let ack = Ack { kind: self.kind, ack_id: &self.id, st, msg: &msg, child_id };
        let body = ack::encode(template, &ack, &step.world.sdk, &Timestamp::from_unix_ms(step.unix_ms));
        Some(Bytes::from(body))
    }
}

/// To a plugin that told the end of a command.
pub(crate) fn answer(ask: AskId, result: Result<(), FinishFailure>, step: &mut Step<'_>) {
    step.act(Action::Answer { ask, answer: Answer::Finished(result) });
}

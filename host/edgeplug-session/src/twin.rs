//! The device twin: what the cloud wants, what the device reports, and who asked.
//!
//! Azure IoT Hub answers a question (GET, or PATCH of the reported properties) on a topic of its own, told apart by the
//! request id `$rid`; changes of the desired properties come unasked ("communicate with an IoT hub using the MQTT
//! protocol", "Use device twins").
//!
//! Invariants: every question of a plugin gets one answer, at the latest when its time is over or the connection is;
//! a report is never sent twice, because one whose answer was lost may have arrived. Questions that come during the pause
//! of a renewal wait for its end.
//!
//! Deliberately absent: keeping reports while there is no connection. The plugin is told so, and knows what is still
//! worth telling later.

mod desired;
mod document;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::azure::hub;

use self::desired::Desired;
use self::document::Document;
use crate::action::{Answer, TwinFailure};
use crate::{Action, AskId, Online, Step, Ticket};

/// Questions without an answer at most: the link has room for so many beside the window of rows.
const OUTSTANDING_MAX: usize = 100;
/// How long the hub may take to answer; a second is usual.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Twin {
    /// What plugins know of the desired properties.
    desired: Desired,
    /// On the wire, by request id; ids grow, so the first has waited longest.
    asked: BTreeMap<u64, Asked>,
    /// Questions that came during the pause of a renewal.
    postponed: VecDeque<Question>,
    /// Publishes that the hub has not taken over yet: it may answer late, and the link counts these.
    unacknowledged: BTreeSet<Ticket>,
    last_request: u64,
}

struct Asked {
    question: Question,
    until: Duration,
}

enum Question {
    /// Our own, to tell plugins what is wanted.
    Read,
    Get(AskId),
    Report(AskId, Bytes),
}

impl Twin {
    /// What the last run knew.
    pub(crate) fn restore(&mut self, kept: Option<Bytes>) {
        self.desired.restore(kept);
    }

    /// A link is there: ask for all of it.
    pub(crate) fn link_up(&mut self, step: &mut Step<'_>) {
        self.read(step);
        for question in std::mem::take(&mut self.postponed) {
            self.put(question, step);
        }
    }

    /// The link is gone: what was asked on it will not be answered.
    pub(crate) fn link_lost(&mut self, planned: bool, step: &mut Step<'_>) {
        self.desired.link_lost(planned);
        self.unacknowledged.clear();
        let reason = "the connection ended before the hub answered";
        for Asked { question, .. } in std::mem::take(&mut self.asked).into_values() {
            match question {
                Question::Get(_) if planned => self.postponed.push_back(question),
                other => other.fail(&TwinFailure::Unavailable(reason.to_owned()), step),
            }
        }
        if !planned {
            self.give_up_postponed(reason, step);
        }
    }

    /// The daemon stops: nobody is left waiting.
    pub(crate) fn close(&mut self, step: &mut Step<'_>) {
        let reason = "the daemon is stopping";
        for Asked { question, .. } in std::mem::take(&mut self.asked).into_values() {
            question.fail(&TwinFailure::Unavailable(reason.to_owned()), step);
        }
        self.give_up_postponed(reason, step);
    }

    /// Whether no answer is waited for.
    pub(crate) fn is_quiet(&self) -> bool {
        self.asked.is_empty()
    }

    /// The hub took over these publishes.
    pub(crate) fn delivered(&mut self, tickets: &[Ticket]) {
        // It mostly is: this is asked for every row.
        if !self.unacknowledged.is_empty() {
            self.unacknowledged.retain(|ticket| !tickets.contains(ticket));
        }
    }

    /// The hub answered a question of ours.
    pub(crate) fn answered(
        &mut self,
        status: u16,
        request_id: &str,
        version: Option<u64>,
        body: &Bytes,
        step: &mut Step<'_>,
    ) {
        let asked = request_id.parse().ok().and_then(|id: u64| self.asked.remove(&id));
        let Some(Asked { question, .. }) = asked else {
            return tracing::debug!(request_id, status, "an answer about the twin that nobody waits for");
        };
        if !(200..300).contains(&status) {
            return self.failed(question, &TwinFailure::Refused(status), step);
        }
        match question {
            Question::Report(ask, _) => {
                // The hub always says it; without it the report was taken all the same.
                let version = version.unwrap_or_default();
                step.act(Action::Answer { ask, answer: Answer::Reported(Ok(version)) });
            }
            question @ (Question::Read | Question::Get(_)) => match Document::parse(body) {
                Err(reason) => self.failed(question, &TwinFailure::Unavailable(reason), step),
                Ok(document) => match question {
                    Question::Get(ask) => {
                        step.act(Action::Answer { ask, answer: Answer::Twin(Ok(document.into_texts())) });
                    }
                    _ => self.desired.read(document.desired, step),
                },
            },
        }
    }

    /// Desired properties changed.
    pub(crate) fn desired_changed(&mut self, version: Option<u64>, body: &Bytes, step: &mut Step<'_>) {
        if self.desired.changed(version, body, step) {
            self.read(step);
        }
    }

    /// A plugin wants the whole twin.
    pub(crate) fn get(&mut self, ask: AskId, step: &mut Step<'_>) {
        self.put(Question::Get(ask), step);
    }

    /// A plugin reports.
    pub(crate) fn report(&mut self, ask: AskId, patch: &str, step: &mut Step<'_>) {
        let question = Question::Report(ask, Bytes::from(patch.to_owned()));
        match report::check(patch, step.world.definition.as_deref()) {
            Ok(()) => self.put(question, step),
            Err(reason) => question.fail(&TwinFailure::Invalid(reason), step),
        }
    }

    /// It may want to know what the others know.
    pub(crate) fn plugin_up(&mut self, plugin: &str, step: &mut Step<'_>) {
        if step.world.online.is_some() || step.world.pausing {
            self.desired.tell_one(plugin, step);
        }
    }

    pub(crate) fn plugin_down(&mut self, plugin: &str) {
        self.desired.plugin_down(plugin);
    }

    /// A plugin could not take what it was told.
    pub(crate) fn missed(&mut self, plugin: String, now: Duration) {
        self.desired.missed(plugin, now);
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        while let Some(first) = self.asked.first_entry().filter(|first| now >= first.get().until) {
            let seconds = ANSWER_TIME_MAX.as_secs();
            let reason = format!("the hub did not answer within {seconds} seconds");
            let question = first.remove().question;
            self.failed(question, &TwinFailure::Unavailable(reason), step);
        }
        if self.desired.wants_reading(now) {
            self.read(step);
        }
        self.desired.advance(step);
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let answer = self.asked.first_key_value().map(|(_, asked)| asked.until);
        answer.into_iter().chain(self.desired.timeout()).min()
    }

    /// Asks for all of it on our own behalf.
    fn read(&mut self, step: &mut Step<'_>) {
        let world = step.world;
        // Before a renewal it is not worth it: the next link begins with this.
        let online = world.online.as_ref().filter(|_| !world.pausing);
        self.desired.reads(online.is_some());
        if let Some(online) = online {
            self.ask(Question::Read, online, step);
        }
    }

    /// A plugin's question: asked, postponed or refused.
    fn put(&mut self, question: Question, step: &mut Step<'_>) {
        let world = step.world;
        let outstanding = self.asked.len().max(self.unacknowledged.len()) + self.postponed.len();
        let reason = match &world.online {
            _ if world.stopped.is_some() => {
                let reason = world.stopped.as_deref().unwrap_or_default();
                format!("the cloud has stopped this device: {reason}")
            }
            _ if outstanding >= OUTSTANDING_MAX => {
                format!("{OUTSTANDING_MAX} questions wait for the hub's answer already; ask again later")
            }
            _ if world.pausing => return self.postponed.push_back(question),
            Some(online) => return self.ask(question, online, step),
            None => "there is no connection to the cloud".to_owned(),
        };
        question.fail(&TwinFailure::Unavailable(reason), step);
    }

    fn ask(&mut self, question: Question, online: &Online, step: &mut Step<'_>) {
        self.last_request += 1;
        let (topic, body) = match &question {
            Question::Report(_, patch) => (hub::twin_report_topic(self.last_request), patch.clone()),
            Question::Read | Question::Get(_) => (hub::twin_get_topic(self.last_request), Bytes::new()),
        };
        let ticket = step.ticket();
        self.unacknowledged.insert(ticket);
        self.asked.insert(self.last_request, Asked { question, until: step.now.monotonic + ANSWER_TIME_MAX });
        step.act(Action::Publish { connection: online.connection, ticket, topic: topic.into(), body });
    }

    fn failed(&mut self, question: Question, failure: &TwinFailure, step: &mut Step<'_>) {
        if let Question::Read = question {
            self.desired.not_read(failure, step);
        }
        question.fail(failure, step);
    }

    fn give_up_postponed(&mut self, reason: &str, step: &mut Step<'_>) {
        for question in std::mem::take(&mut self.postponed) {
            question.fail(&TwinFailure::Unavailable(reason.to_owned()), step);
        }
    }
}

impl Question {
    /// Tells whoever asked.
    fn fail(self, failure: &TwinFailure, step: &mut Step<'_>) {
        let (ask, answer) = match self {
            Self::Read => return,
            Self::Get(ask) => (ask, Answer::Twin(Err(failure.clone()))),
            Self::Report(ask, _) => (ask, Answer::Reported(Err(failure.clone()))),
        };
        step.act(Action::Answer { ask, answer });
    }
}

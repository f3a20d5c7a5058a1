//! Questions about the device that 2.1 answers over the link: published on the `di` topic, answered as cloud-to-device
//! messages (IoTConnect device message 2.1, messages 201 to 205).
//!
//! Each question is in the list once, so that several orders become one question. It leaves the list with its answer. One that is
//! not answered, or with an error, is asked again with growing waits; after [`TRIES_MAX`] it waits for the next connection.

use std::time::Duration;

use edgeplug_protocol::v21::identity::Has;
use edgeplug_protocol::v21::messages::Question;
use edgeplug_protocol::version::Version;

use super::{Connect, State};
use crate::{Action, Step};

/// Longest wait for an answer at first; doubled with every try, up to the longest.
const ANSWER_TIME: Duration = Duration::from_secs(10);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);
/// So often a question is asked on one connection.
const TRIES_MAX: u32 = 8;

/// See the module.
#[derive(Default)]
pub(super) struct Questions {
    /// As many as there are kinds at most, because none is in it twice.
    list: Vec<Pending>,
    /// What the device has, as identity said it last.
    has: Option<Has>,
    /// The link was lost: with the next one everything is asked again.
    missed: bool,
}

struct Pending {
    /// Of the message, and of its answer.
    number: u16,
    body: String,
    tries: u32,
    /// When it is asked next; `None` when that was often enough for this connection.
    due: Option<Duration>,
}

impl Questions {
    /// Asks, as soon as there is a link.
    pub(super) fn ask(&mut self, question: &Question<'_>, now: Duration) {
        let new = Pending { number: question.number(), body: question.body(), tries: 0, due: Some(now) };
        match self.list.iter_mut().find(|pending| pending.number == new.number) {
            Some(pending) => *pending = new,
            None => self.list.push(new),
        }
    }

    /// Asks for all that the device has.
    pub(super) fn ask_all(&mut self, has: Has, now: Duration) {
        self.has = Some(has);
        self.missed = false;
        self.list.clear();
        for question in has.questions() {
            self.ask(&question, now);
        }
    }

    /// Another protocol is spoken.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn link_up(&mut self, now: Duration) {
        if let Some(has) = self.has.filter(|_| self.missed) {
            self.ask_all(has, now);
        }
        for pending in &mut self.list {
            (pending.tries, pending.due) = (0, Some(now));
        }
    }

    /// What changed in the meantime nobody will say.
    pub(super) fn link_lost(&mut self) {
        self.missed = true;
    }

    /// Says whether this was awaited.
    pub(super) fn answered(&mut self, number: u16, code: i64) -> bool {
        let Some(index) = self.list.iter().position(|pending| pending.number == number) else {
            return false;
        };
        if code == 0 {
            self.list.remove(index);
        } else {
            tracing::warn!(number, code, "the cloud refuses to say something about this device; asking again later");
        }
        true
    }

    pub(super) fn is_idle(&self) -> bool {
        self.list.is_empty()
    }

    /// Numbers of the questions without an answer.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|pending| format!("message {}", pending.number))
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.list.iter().filter_map(|pending| pending.due).min()
    }

    fn take_due(&mut self, step: &mut Step<'_>) -> Vec<String> {
        let now = step.now.monotonic;
        let due = self.list.iter_mut().filter(|pending| pending.due.is_some_and(|due| now >= due));
        due.filter_map(|pending| {
            if pending.tries >= TRIES_MAX {
                tracing::warn!(number = pending.number, "the cloud does not answer a question");
                pending.due = None;
                return None;
            }
            let longest = ANSWER_TIME.saturating_mul(2_u32.saturating_pow(pending.tries)).min(ANSWER_TIME_MAX);
            pending.tries += 1;
            pending.due = Some(now + longest.mul_f64(1.0 + step.rng.f64() / 2.0));
            Some(pending.body.clone())
        })
        .collect()
    }
}

impl Connect {
    /// Whether something may be asked on the open connection. One of the other protocol has no topic for it.
    pub(super) fn can_ask(&self) -> bool {
        let ends = matches!(
            self.state,
            State::Quieting { .. } | State::Renewing { .. } | State::Leaving { .. } | State::Closing { .. }
        );
        let open = self.open.as_ref().is_some_and(|open| open.topics.version == Version::V21);
        open && !ends && self.gave_up.is_none()
    }

    /// Publishes what is due.
    pub(super) fn ask_questions(&mut self, step: &mut Step<'_>) {
        self.children_advance(step);
        if !self.can_ask() {
            return;
        }
        for body in self.questions.take_due(step) {
            self.publish_question(body, step);
        }
    }

    pub(super) fn publish_question(&self, body: String, step: &mut Step<'_>) {
        let Some(open) = &self.open else { return };
        let (connection, topic) = (open.connection, open.topics.device_info.as_str().into());
        let ticket = step.ticket();
        step.act(Action::Publish { connection, ticket, topic, body: body.into() });
    }
}

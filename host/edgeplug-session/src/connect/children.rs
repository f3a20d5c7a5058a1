//! Children created and deleted at the cloud by an operator (2.1, messages 221 and 222).
//!
//! The cloud's answer names no request, so one is under way at a time. None is repeated: the second creation of a child is
//! refused, and who asked is told that no answer came. That answer may be only late: nothing else is asked until it came or
//! as much time has passed again, so that it is not taken for the next one's.

use std::collections::VecDeque;
use std::time::Duration;

use edgeplug_protocol::definition::Definition;
use edgeplug_protocol::v21::messages::{self, Question};
use edgeplug_protocol::version::Version;

use super::Connect;
use super::hold::Waiter;
use crate::event::OperatorRequest;
use crate::{RequestId, Step};

/// Longest wait for the cloud's answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Number of the message that creates a child, and of its answer.
const CREATED: u16 = 221;
/// Most requests that wait for their turn: what operators type, or a script of theirs.
const WISHES_MAX: usize = 32;

/// See the module.
#[derive(Default)]
pub(super) struct Children {
    wishes: VecDeque<Wish>,
    /// The one under way is the first.
    asked: bool,
    /// An answer that may still come.
    late: Option<Late>,
}

struct Wish {
    request: RequestId,
    /// Number of the message and of its answer.
    number: u16,
    body: String,
    /// What a code in the answer means.
    refusal: fn(i64) -> Option<&'static str>,
    until: Duration,
}

struct Late {
    number: u16,
    until: Duration,
}

impl Children {
    pub(super) fn timeout(&self) -> Option<Duration> {
        let late = self.late.as_ref().map(|late| late.until);
        self.wishes.iter().map(|wish| wish.until).chain(late).min()
    }

    /// The answer to the one under way is not waited for any more.
    fn is_late(&mut self, now: Duration) {
        let asked = self.wishes.front().filter(|_| self.asked);
        self.late = asked.map(|wish| Late { number: wish.number, until: now + ANSWER_TIME }).or(self.late.take());
    }

    /// Nobody is told any more: who still waits.
    pub(super) fn give_up(&mut self) -> Vec<RequestId> {
        self.asked = false;
        self.wishes.drain(..).map(|wish| wish.request).collect()
    }

    fn take_first(&mut self) -> Option<Wish> {
        self.asked = false;
        self.wishes.pop_front()
    }
}

impl Connect {
    /// An operator wants a child created or deleted.
    pub(crate) fn change_children(&mut self, request: RequestId, what: &OperatorRequest, step: &mut Step<'_>) {
        let room = match self.children.wishes.len() {
            _ if !self.can_ask() => Some("there is no connection to the cloud"),
            WISHES_MAX.. => Some("too many requests wait for the cloud"),
            _ => None,
        };
        let definition = self.definition.as_ref().ok_or("the cloud has said nothing about this device yet".to_owned());
        let question = definition.and_then(|definition| question(definition, what));
        match question.and_then(|question| room.map_or(Ok(question), |reason| Err(reason.to_owned()))) {
            Ok(question) => {
                let refusal =
                    if question.number() == CREATED { messages::create_refusal } else { messages::delete_refusal };
                let (number, body, until) = (question.number(), question.body(), step.now.monotonic + ANSWER_TIME);
                self.children.wishes.push_back(Wish { request, number, body, refusal, until });
            }
            Err(reason) => Waiter::Operator(request).answer(Err(&reason), step),
        }
    }

    pub(super) fn children_advance(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        self.children.late.take_if(|late| now >= late.until);
        while self.children.wishes.front().is_some_and(|wish| now >= wish.until) {
            let reason = match self.children.asked {
                true => "the cloud did not answer in time; look at the portal before you try again",
                false => "not asked, because the cloud has not answered the request before; try again in a minute",
            };
            self.children.is_late(now);
            let Some(wish) = self.children.take_first() else { break };
            Waiter::Operator(wish.request).answer(Err(reason), step);
        }
        if self.children.asked || self.children.late.is_some() || !self.can_ask() {
            return;
        }
        if let Some(wish) = self.children.wishes.front_mut() {
            wish.until = now + ANSWER_TIME;
            let body = wish.body.clone();
            self.children.asked = true;
            self.publish_question(body, step);
        }
    }

    /// An answer of the cloud. Says whether it was one to a wish.
    pub(super) fn child_answered(&mut self, number: u16, code: i64, step: &mut Step<'_>) -> bool {
        if self.children.late.take_if(|late| late.number == number).is_some() {
            if code == 0 {
                self.children_changed(step);
            }
            return true;
        }
        let is_ours = self.children.asked && self.children.wishes.front().is_some_and(|wish| wish.number == number);
        let Some(wish) = is_ours.then(|| self.children.take_first()).flatten() else { return false };
        let refusal = (wish.refusal)(code);
        if refusal.is_none() {
            self.children_changed(step);
        }
        Waiter::Operator(wish.request).answer(refusal.map_or(Ok(()), Err), step);
        true
    }

    fn children_changed(&mut self, step: &mut Step<'_>) {
        let sid = step.config.sid.as_deref().unwrap_or_default();
        self.questions.ask(&Question::ChildrenAfterChange { sid }, step.now.monotonic);
    }

    /// Nobody will answer any more.
    pub(super) fn fail_children(&mut self, reason: &str, step: &mut Step<'_>) {
        self.children.is_late(step.now.monotonic);
        for request in self.children.give_up() {
            Waiter::Operator(request).answer(Err(reason), step);
        }
    }
}

/// What to say to the cloud, or why not.
fn question<'a>(definition: &'a Definition, what: &'a OperatorRequest) -> Result<Question<'a>, String> {
    if definition.version != Version::V21 {
        return Err("protocol 1.0 has no message for that; do it at the portal".to_owned());
    }
    let Some(gateway_guid) = &definition.gateway_guid else {
        return Err("this device is no gateway, so it has no children".to_owned());
    };
    match what {
        OperatorRequest::CreateChild { id, tag, name } => {
            Ok(Question::CreateChild { gateway_guid, unique_id: id, tag, display_name: name })
        }
        OperatorRequest::DeleteChild { id } if definition.devices.iter().skip(1).any(|child| child.id == *id) => {
            Ok(Question::DeleteChild { unique_id: id })
        }
        OperatorRequest::DeleteChild { id } => Err(format!("this gateway has no child {id}")),
        other => Err(format!("{other:?} is not about children")),
    }
}

//! What operators ask of the session, and who waits for the answer.

use std::collections::HashMap;

use edgeplug_session::RequestId;
use edgeplug_session::event::{Event, OperatorRequest};
use tokio::sync::oneshot;

/// Requests that may wait at one time; they are made by hand.
const WAITING_MAX: usize = 16;

/// Done, in words, or why not.
pub(crate) type Answer = Result<String, String>;

/// Requests under way.
#[derive(Default)]
pub(crate) struct Operators {
    waiting: HashMap<RequestId, oneshot::Sender<Answer>>,
    last: u64,
}

impl Operators {
    /// The event for the session; `None` if too many wait.
    pub(crate) fn ask(&mut self, what: OperatorRequest, asker: oneshot::Sender<Answer>) -> Option<Event> {
        // Who does not wait any more is not answered.
        self.waiting.retain(|_, asker| !asker.is_closed());
        if self.waiting.len() >= WAITING_MAX {
            // The asker may have gone.
            let _ = asker.send(Err("others are asking; try again".to_owned()));
            return None;
        }
        self.last += 1;
        let request = RequestId(self.last);
        self.waiting.insert(request, asker);
        Some(Event::Operator { request, what })
    }

    /// The session's answer.
    pub(crate) fn answer(&mut self, request: RequestId, answer: Answer) {
        if let Some(asker) = self.waiting.remove(&request) {
            // The asker may have gone.
            let _ = asker.send(answer);
        }
    }

    /// The session that was asked is gone.
    pub(crate) fn session_ended(&mut self) {
        for (_, asker) in self.waiting.drain() {
            let _ = asker.send(Err("the daemon begins anew with its store; try again".to_owned()));
        }
    }
}

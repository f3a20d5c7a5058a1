//! The way from the main loop to the owner thread: bounded, and quiet while the owner gathers company for a commit.
//!
//! A wake-up costs more than a row does. So the sleeping owner says how many rows would end its sleep, and the sender
//! wakes it for no fewer, unless something is urgent or the queue fills.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    outbox::{REQUEST_BYTES_OUTSTANDING_MAX, REQUESTS_OUTSTANDING_MAX, Refused},
    request::Request,
};

pub(crate) fn queue() -> (Sender, Receiver) {
    let shared = Arc::new(Shared::default());
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// The main loop's end. Dropping it closes the queue.
#[derive(Debug)]
pub(crate) struct Sender(Arc<Shared>);

/// The owner thread's end. Without it requests are refused.
#[derive(Debug)]
pub(crate) struct Receiver(Arc<Shared>);

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRequest {
    /// None came in time.
    Late,
    /// None will come.
    Closed,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when what the owner sleeps for is there.
    enough: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<Request>,
    /// Memory that they occupy.
    bytes: usize,
    /// Rows that they add or remove.
    rows: usize,
    /// How many of them are urgent.
    urgent: usize,
    /// The owner sleeps until there are so many rows.
    asleep_until: Option<usize>,
    sender_gone: bool,
    receiver_gone: bool,
}

impl Sender {
    /// Never waits for the owner.
    pub(crate) fn send(&self, request: Request) -> Result<(), Refused> {
        let bytes = request.bytes();
        if bytes > REQUEST_BYTES_OUTSTANDING_MAX {
            return Err(Refused::TooLarge(request));
        }
        let mut state = self.0.lock();
        if state.receiver_gone {
            return Err(Refused::Ended(request));
        }
        if state.requests.len() >= REQUESTS_OUTSTANDING_MAX || state.bytes + bytes > REQUEST_BYTES_OUTSTANDING_MAX {
            return Err(Refused::Full(request));
        }
        state.push(request, bytes);
        self.0.wake(state);
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.sender_gone = true;
        self.0.wake(state);
    }
}

impl Receiver {
    /// The next request if there is one.
    pub(crate) fn try_receive(&self) -> Result<Request, NoRequest> {
        self.0.lock().pop()
    }

    /// The next request, as soon as requests with this many rows wait, or an urgent one, or much else; or whatever there
    /// is when it is due.
    pub(crate) fn receive(&self, rows: usize, due: Option<Instant>) -> Result<Request, NoRequest> {
        let mut state = self.0.lock();
        while !state.has_enough(rows) {
            state.asleep_until = Some(rows);
            let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
            state = match wait {
                Some(wait) if wait.is_zero() => break,
                Some(wait) => {
                    let woken = self.0.enough.wait_timeout(state, wait);
                    woken.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state)
                }
                None => self.0.enough.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.asleep_until = None;
        state.pop()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receiver_gone = true;
        state.requests.clear();
    }
}

impl Shared {
    /// The state is never left half-changed, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if state.asleep_until.is_some_and(|rows| state.has_enough(rows)) {
            state.asleep_until = None;
            // Whoever is woken wants the lock.
            drop(state);
            self.enough.notify_one();
        }
    }
}

impl State {
    fn push(&mut self, request: Request, bytes: usize) {
        self.bytes += bytes;
        self.rows += request.rows();
        self.urgent += usize::from(request.is_urgent());
        self.requests.push_back(request);
    }

    fn pop(&mut self) -> Result<Request, NoRequest> {
        let Some(request) = self.requests.pop_front() else {
            return Err(if self.sender_gone { NoRequest::Closed } else { NoRequest::Late });
        };
        self.bytes = self.bytes.saturating_sub(request.bytes());
        self.rows = self.rows.saturating_sub(request.rows());
        self.urgent = self.urgent.saturating_sub(usize::from(request.is_urgent()));
        Ok(request)
    }

    /// Whether it is worth waking up for.
    fn has_enough(&self, rows: usize) -> bool {
        // Half of the room is left for what comes while the owner wakes up.
        let is_filling =
            self.requests.len() >= REQUESTS_OUTSTANDING_MAX / 2 || self.bytes >= REQUEST_BYTES_OUTSTANDING_MAX / 2;
        let any = !self.requests.is_empty() && self.rows >= rows;
        any || self.urgent > 0 || is_filling || self.sender_gone
    }
}

#[cfg(test)]
mod tests;

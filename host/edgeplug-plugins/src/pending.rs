//! Questions of guests that the daemon has not answered yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Cloning shares the list. It is bounded by the number of living instances (a plugin has one, and for a moment those that
/// start and stop): a guest waits for its answer.
pub(crate) struct Pending<T>(Arc<Mutex<Inner<T>>>);

struct Inner<T> {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<T>>,
}

/// One question whose answer is awaited; dropping it forgets the question.
pub(crate) struct Question<T> {
    pub(crate) number: u64,
    pub(crate) answer: oneshot::Receiver<T>,
    pending: Pending<T>,
}

impl<T> Pending<T> {
    pub(crate) fn open(&self) -> Question<T> {
        let (sender, answer) = oneshot::channel();
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        inner.waiting.insert(number, sender);
        Question { number, answer, pending: self.clone() }
    }

    /// Tells the guest; a question that nobody waits for any more (its plugin was stopped) is no error.
    pub(crate) fn answer(&self, number: u64, answer: T) {
        if let Some(sender) = self.lock().waiting.remove(&number) {
            let _ = sender.send(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Pending<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner { next: 0, waiting: HashMap::new() })))
    }
}

impl<T> Drop for Question<T> {
    fn drop(&mut self) {
        self.pending.lock().waiting.remove(&self.number);
    }
}

//! One bell for the whole simulator: whoever changes state rings it, whoever waits for a state looks again.
//!
//! Waiting is therefore event-driven (no polling), and a waiter can never miss a change: it subscribes before it looks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// What a waiter waited for did not come about in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:?} for {what}, in vain")]
pub struct TimedOut {
    /// What was awaited, in the waiter's words.
    pub what: String,
    /// For how long.
    pub waited: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Changes(Arc<watch::Sender<u64>>);

impl Changes {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub(crate) fn ring(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// Calls `look` now and after every change until it answers, at most for `timeout`.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T, TimedOut> {
        let mut bell = self.0.subscribe();
        let wait = async {
            loop {
                bell.borrow_and_update();
                if let Some(found) = look() {
                    return found;
                }
                // The sender lives in `self`, so this cannot fail while we are here.
                if bell.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(timeout, wait).await.map_err(|_| TimedOut { what: what.to_owned(), waited: timeout })
    }
}

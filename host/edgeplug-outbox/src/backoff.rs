//! When to try a failing store again.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

/// The first retry: most locks and flushes are over by then.
const RETRY_MS_MIN: u64 = 100;
/// The slowest retry: the longest that a healed disk goes unnoticed.
const RETRY_MS_MAX: u64 = 5_000;

/// Doubling waits between the two bounds, each shortened at random by up to half.
#[derive(Debug)]
pub(crate) struct Backoff {
    wait_ms: u64,
    due: Instant,
}

impl Backoff {
    pub(crate) fn start(now: Instant) -> Self {
        let mut backoff = Self { wait_ms: RETRY_MS_MIN, due: now };
        backoff.wait_again(now);
        backoff
    }

    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    pub(crate) fn wait_again(&mut self, now: Instant) {
        let half = self.wait_ms / 2;
        self.due = now + Duration::from_millis(self.wait_ms - random() % (half + 1));
        self.wait_ms = (self.wait_ms * 2).min(RETRY_MS_MAX);
    }
}

/// The standard library's hash seed is the only randomness it offers; jitter needs no more.
fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests;

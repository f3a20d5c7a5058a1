//! How long one call may take.
//!
//! Two clocks run: processor time that the guest used, host functions included, and wall time less the time it waited for
//! the host. The first catches a loop and is fair when the machine is busy, the second catches a guest that sleeps.
//! Waiting for our own host functions (a commit to disk, a slow sensor file) is not the plugin's fault and stops the
//! second clock; a third, absolute one bounds even that, and so does a bound on their number.
//!
//! Whoever drives the call (`lane`) says what it used, after each tick.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A guest that waits (sleeps) rather than computes gets this much more time than its deadline.
const WALL_FACTOR: u32 = 4;
/// Whatever the host does, a call ends after this: well within the two minutes that the session waits for an answer.
pub(crate) const ABSOLUTE_MAX: Duration = Duration::from_secs(50);
/// Waits in one call. A file or an offer each for thousands of sensors, and still no way to live on our time.
pub(crate) const WAITS_MAX: u32 = 10_000;

/// Shared by the call, the host functions it calls, and whoever waits for it.
#[derive(Clone)]
pub(crate) struct Deadline(Arc<Mutex<Clock>>);

struct Clock {
    started: Instant,
    limit: Duration,
    /// Processor time so far.
    used: Duration,
    /// Sum of finished waits.
    waited: Duration,
    /// Waits begun.
    waits: u32,
    /// A tick interrupted the guest, and what it used until then was not booked yet.
    interrupted: bool,
    /// Start of the wait under way; a guest is single-threaded, so there is one at most.
    waiting_since: Option<Instant>,
    /// What it slept by a clock that is moved by hand, in no time.
    slept: Duration,
}

/// The guest waits for the host while this lives.
pub(crate) struct Waiting(Deadline);

impl Deadline {
    pub(crate) fn start(limit: Duration) -> Self {
        Self(Arc::new(Mutex::new(Clock {
            started: Instant::now(),
            limit,
            used: Duration::ZERO,
            waited: Duration::ZERO,
            waits: 0,
            interrupted: false,
            waiting_since: None,
            slept: Duration::ZERO,
        })))
    }

    /// A tick interrupts the guest.
    pub(crate) fn interrupt(&self) {
        self.lock().interrupted = true;
    }

    /// Books what the guest used, and tells whether a tick interrupted it.
    pub(crate) fn charge(&self, cpu: Duration) -> bool {
        let mut clock = self.lock();
        clock.used += cpu;
        std::mem::take(&mut clock.interrupted)
    }

    /// Whether the guest stopped just now because a tick interrupted it.
    pub(crate) fn interrupts(&self) -> bool {
        self.lock().interrupted
    }

    /// Stops the clock for a wait in one of our own host functions; none when the guest had all its waits.
    pub(crate) fn wait(&self) -> Option<Waiting> {
        let mut clock = self.lock();
        if clock.waits == WAITS_MAX {
            return None;
        }
        clock.waits += 1;
        clock.waiting_since = Some(Instant::now());
        Some(Waiting(self.clone()))
    }

    /// Waits begun so far.
    pub(crate) fn waits(&self) -> u32 {
        self.lock().waits
    }

    /// Counts a sleep by a clock that is moved by hand as if it took its time. An error is how much of it passes until the
    /// call is stopped; which does not depend on this machine.
    pub(crate) fn sleep(&self, asked: Duration) -> Result<(), Duration> {
        let mut clock = self.lock();
        let left = (clock.limit * WALL_FACTOR).min(ABSOLUTE_MAX).saturating_sub(clock.slept);
        clock.slept += asked.min(left);
        if asked < left {
            return Ok(());
        }
        // Whoever drives the call looks at once, and not when a timer says so.
        clock.interrupted = true;
        Err(left)
    }

    /// Ends when the call has had its time. The guest is stopped by dropping its future then.
    pub(crate) async fn passed(&self) {
        while let Some(left) = self.left() {
            tokio::time::sleep(left).await;
        }
    }

    /// Whether the call had its time.
    pub(crate) fn has_passed(&self) -> bool {
        self.left().is_none()
    }

    /// Time until it is worth looking again, none when the time is up.
    fn left(&self) -> Option<Duration> {
        let clock = self.lock();
        if clock.used >= clock.limit {
            return None;
        }
        let waited = clock.waited + clock.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
        let elapsed = clock.started.elapsed() + clock.slept;
        let left = (clock.limit * WALL_FACTOR + waited).min(ABSOLUTE_MAX).checked_sub(elapsed)?;
        // A sleep may end early by rounding.
        (left > Duration::ZERO).then(|| left.max(Duration::from_millis(1)))
    }

    fn lock(&self) -> MutexGuard<'_, Clock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut clock = self.0.lock();
        if let Some(since) = clock.waiting_since.take() {
            clock.waited += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests;

//! How long to wait before trying again.

use std::time::Duration;

/// Doubling waits with a cap and jitter, so that a fleet after a power cut does not knock all at once.
///
/// The first wait is anything up to the base: a thousand devices that lost their hub in the same moment come back
/// spread over it. Later ones are between half and all of the doubled time, so that nobody knocks again at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

/// Doublings beyond this reach every cap.
const DOUBLINGS_MAX: u32 = 16;

impl Backoff {
    pub(crate) const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// The next wait.
    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let longest = self.doubled(self.failures);
        let shortest = if self.failures == 0 { 0.0 } else { 0.5 };
        self.failures = self.failures.saturating_add(1);
        longest.mul_f64(shortest + rng.f64() * (1.0 - shortest))
    }

    /// For what a quick retry does not mend: waits begin at this length.
    pub(crate) fn begin_at(&mut self, wait: Duration) {
        while self.failures < DOUBLINGS_MAX && self.doubled(self.failures) < wait.min(self.cap) {
            self.failures += 1;
        }
    }

    pub(crate) const fn longest(&self) -> Duration {
        self.cap
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    fn doubled(&self, times: u32) -> Duration {
        self.base.saturating_mul(2_u32.saturating_pow(times.min(DOUBLINGS_MAX))).min(self.cap)
    }
}

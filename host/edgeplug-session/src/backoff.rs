//! How long to wait before trying again.

use std::time::Duration;

/// Doubling waits with a cap and jitter, so that a fleet after a power cut does not knock all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// The next wait: between half and all of the doubled time.
    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let doubled = self.base.saturating_mul(2_u32.saturating_pow(self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.cap).mul_f64(0.5 + rng.f64() / 2.0)
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

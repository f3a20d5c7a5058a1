//! How often a guest may do something: so many a second on average, and some at once.

use std::time::Duration;

/// One per what is bounded. Time comes from the caller, because a trial moves it by hand.
pub(crate) struct Pace {
    per_second: u32,
    at_once: u32,
    /// Nanoseconds' worth of what may be done now.
    credit: u128,
    at: Duration,
}

impl Pace {
    pub(crate) const fn new(per_second: u32, at_once: u32) -> Self {
        Self { per_second, at_once, credit: full(at_once), at: Duration::ZERO }
    }

    /// Whether as many may be done now; if not, none is booked.
    pub(crate) fn admit(&mut self, count: usize, now: Duration) -> bool {
        let earned = now.saturating_sub(self.at).as_nanos() * u128::from(self.per_second);
        self.at = now;
        self.credit = (self.credit + earned).min(full(self.at_once));
        let price = (count as u128).saturating_mul(SECOND);
        match self.credit.checked_sub(price) {
            Some(left) => {
                self.credit = left;
                true
            }
            None => false,
        }
    }
}

/// Nanoseconds: the price of one thing at one a second.
const SECOND: u128 = 1_000_000_000;

const fn full(at_once: u32) -> u128 {
    at_once as u128 * SECOND
}

#[cfg(test)]
mod tests;

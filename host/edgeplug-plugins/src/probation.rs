//! What a new version has to show before it is trusted: calls answered well, and time without a fault.
//!
//! What must stay true: time counts only while the daemon runs, and goes on where it was after a restart of the daemon;
//! a fault takes back all the time and all the calls.

use std::time::Duration;

use tokio::time::Instant;

use crate::options::Probation;
use crate::shelf::Trial;
use crate::status::ProbationStatus;

/// Errors in a row, without a good call in between, by which a version fails. One error says little: a sensor may be
/// unplugged for a moment.
pub(crate) const ERRORS_MAX: u32 = 5;
/// A version that nobody calls proves itself by so much time without a fault.
const UNCALLED_TIME: Duration = Duration::from_secs(60 * 60);
/// How often the progress is written down.
const NOTE_GAP: Duration = Duration::from_secs(10);

/// One version's proof under way.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    wanted: Probation,
    good_calls: u32,
    errors_in_a_row: u32,
    /// Whether a call was answered well since the daemon started.
    answered: bool,
    /// From before the last start of the daemon.
    elapsed_before: Duration,
    since: Instant,
    /// When the progress was written down last.
    noted: Instant,
}

impl Proof {
    /// Goes on from what is written down, if anything is.
    pub(crate) fn new(wanted: Probation, so_far: Option<&Trial>, now: Instant) -> Self {
        Self {
            wanted,
            good_calls: so_far.map_or(0, |trial| trial.good_calls),
            errors_in_a_row: 0,
            answered: false,
            elapsed_before: Duration::from_secs(so_far.map_or(0, |trial| trial.elapsed_s)),
            since: now,
            noted: now,
        }
    }

    pub(crate) fn good_call(&mut self) {
        self.good_calls = self.good_calls.saturating_add(1);
        self.errors_in_a_row = 0;
        self.answered = true;
    }

    /// Answers whether that was one too many.
    pub(crate) fn error(&mut self) -> bool {
        self.errors_in_a_row = self.errors_in_a_row.saturating_add(1);
        self.errors_in_a_row >= ERRORS_MAX
    }

    /// There is nothing to go back to, so the proof begins anew.
    pub(crate) fn fault(&mut self, now: Instant) {
        *self = Self::new(self.wanted, None, now);
    }

    pub(crate) fn passed(&self, now: Instant) -> bool {
        self.left(now).is_zero()
    }

    /// When to look again: it may have passed, or its progress wants to be written down.
    pub(crate) fn next_look(&self, now: Instant) -> Instant {
        let decided = now.checked_add(self.left(now));
        decided.map_or(self.noted + NOTE_GAP, |decided| decided.min(self.noted + NOTE_GAP))
    }

    /// Whether another good call is still news.
    pub(crate) fn wants_calls(&self) -> bool {
        self.good_calls <= self.wanted.good_calls
    }

    /// Puts the progress into what is written down.
    pub(crate) fn note(&mut self, trial: &mut Trial, now: Instant) {
        self.noted = now;
        trial.elapsed_s = self.elapsed(now).as_secs();
        trial.good_calls = self.good_calls;
        if self.answered {
            trial.starts = 0;
        }
    }

    pub(crate) fn status(&self, now: Instant) -> ProbationStatus {
        let left = self.left(now).min(UNCALLED_TIME);
        ProbationStatus {
            good_calls: self.good_calls,
            good_calls_wanted: self.wanted.good_calls,
            seconds_left: left.as_secs() + u64::from(left.subsec_nanos() > 0),
        }
    }

    /// Time without a fault that is missing if nobody calls any more.
    fn left(&self, now: Instant) -> Duration {
        let wanted = if self.good_calls >= self.wanted.good_calls {
            self.wanted.time
        } else {
            // Errors alone are no proof, however long they go on.
            if self.errors_in_a_row > 0 {
                return Duration::MAX;
            }
            UNCALLED_TIME.max(self.wanted.time)
        };
        wanted.saturating_sub(self.elapsed(now))
    }

    fn elapsed(&self, now: Instant) -> Duration {
        self.elapsed_before.saturating_add(now.saturating_duration_since(self.since))
    }
}

#[cfg(test)]
mod tests;

//! How much a plugin computed lately, and where its next call therefore begins.
//!
//! Two habits send a plugin off the daemon's workers: calls that compute for long, and more computing on the whole than
//! its share. What must stay true: it goes by the plugin's name, so that a restart forgives nothing; a plugin that
//! mends its ways is back on the workers after some calls; nothing is refused for being slow.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lane::Lane;
use crate::ticker::TICK;

/// Share of one core that a plugin may use on average unless its manifest asks for more, in percent.
pub(crate) const CPU_PERCENT: u32 = 25;
/// What may be used at once after some time of rest: a plugin that is called once a minute may compute for two seconds.
const BURST: Duration = Duration::from_secs(2);
/// Of the burst, what must be there again before a plugin that had used it up counts as any other.
const RECOVERED: Duration = Duration::from_millis(250);
/// A call that computes for longer does not belong on a worker.
pub(crate) const SHORT: Duration = Duration::from_micros(TICK.as_micros() as u64 / 2);
/// Short calls in a row after which a slow plugin is trusted again.
const SHORT_CALLS: u32 = 16;
/// A call shorter than this counts by the wall clock, which costs 20 ns; the clock of the thread's processor time costs
/// up to a microsecond. A thread is rarely interrupted in so short a time, and then for longer.
pub(crate) const BRIEF: Duration = Duration::from_micros(100);
/// Calls for which the exact clock is used after one that was not brief.
const EXACT_CALLS: u32 = 1000;

/// One per plugin name.
pub(crate) struct Standing(Mutex<Inner>);

struct Inner {
    is_judged: bool,
    percent: u32,
    /// What it may use at once; less than nothing when it used more.
    credit: Credit,
    is_over: bool,
    /// Whether the operator can read about it in the plugin's log.
    was_said: bool,
    overran: bool,
    is_slow: bool,
    short_in_row: u32,
    exact_calls: u32,
}

/// Nanoseconds of processor time.
struct Credit {
    nanos: i128,
    at: Instant,
}

/// What one call did, as far as it was not charged yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Since the last [`Standing::charge`].
    pub(crate) uncharged: Duration,
    pub(crate) cpu: Duration,
    /// It was stopped, and not because there was no time for it.
    pub(crate) overran: bool,
    /// Whether it says something about the next ones; instantiation and `start` do not.
    pub(crate) is_usual: bool,
}

impl Standing {
    /// Of a plugin that is judged by its share, or in a trial is not.
    pub(crate) fn new(is_judged: bool) -> Self {
        Self::at(Instant::now(), is_judged)
    }

    fn at(now: Instant, is_judged: bool) -> Self {
        Self(Mutex::new(Inner {
            is_judged,
            percent: CPU_PERCENT,
            credit: Credit { nanos: nanos(BURST), at: now },
            is_over: false,
            was_said: false,
            overran: false,
            is_slow: false,
            short_in_row: 0,
            exact_calls: 0,
        }))
    }

    /// What it may use from now on, in percent of one core.
    pub(crate) fn allow(&self, percent: u32) {
        let mut inner = self.lock();
        inner.was_said &= inner.percent == percent;
        inner.percent = percent;
    }

    /// Where its next call begins, and whether it is worth the exact clock.
    pub(crate) fn begin(&self) -> (Lane, bool) {
        let mut inner = self.lock();
        if inner.is_over {
            inner.charge(Duration::ZERO, Instant::now());
        }
        (inner.lane(), inner.exact_calls > 0)
    }

    pub(crate) fn lane(&self) -> Lane {
        self.begin().0
    }

    /// Takes from its credit; true when there is none left.
    pub(crate) fn charge(&self, cpu: Duration) -> bool {
        let mut inner = self.lock();
        inner.charge(cpu, Instant::now());
        inner.is_over
    }

    /// Books the end of a call. The answer is for the plugin's log.
    pub(crate) fn ended(&self, used: Used) -> Option<String> {
        self.ended_at(used, Instant::now())
    }

    fn ended_at(&self, used: Used, now: Instant) -> Option<String> {
        let mut inner = self.lock();
        inner.charge(used.uncharged, now);
        inner.overran = used.overran || (inner.overran && !used.is_usual);
        inner.exact_calls = if used.cpu >= BRIEF { EXACT_CALLS } else { inner.exact_calls.saturating_sub(1) };
        if used.is_usual {
            if used.cpu >= SHORT || used.overran {
                inner.is_slow = true;
                inner.short_in_row = 0;
            } else if inner.is_slow {
                inner.short_in_row += 1;
                inner.is_slow = inner.short_in_row < SHORT_CALLS;
            }
        }
        if !inner.is_over || inner.was_said {
            return None;
        }
        inner.was_said = true;
        Some(format!(
            "it computes for more than {} % of the time of one core; until that changes its calls run only when the \
             machine has nothing else to do (`limits.cpu_percent` of its manifest asks for more)",
            inner.percent
        ))
    }

    /// Every field is whole whatever a panicking holder did.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn lane(&self) -> Lane {
        match self {
            Self { is_over: true, .. } | Self { overran: true, .. } => Lane::Idle,
            Self { is_slow: true, .. } => Lane::Slow,
            _ => Lane::Fast,
        }
    }

    fn charge(&mut self, cpu: Duration, now: Instant) {
        let rest = now.saturating_duration_since(self.credit.at);
        self.credit.at = now;
        let earned = nanos(rest) * i128::from(self.percent) / 100;
        // What it uses beyond its share is forgotten below a full burst, so that it recovers in bounded time.
        let credit = self.credit.nanos + earned - nanos(cpu);
        self.credit.nanos = credit.clamp(-nanos(BURST), nanos(BURST));
        self.is_over = self.is_judged && self.credit.nanos < if self.is_over { nanos(RECOVERED) } else { 0 };
    }
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests;

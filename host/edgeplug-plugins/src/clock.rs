//! Which time it is for guests: the machine's, or in a trial one that is moved by hand.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgeplug_protocol::time::Timestamp;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::deadline::Deadline;

/// How far the wall clock leaps in a trial that asks for it: a device without a battery for its clock, the other way.
const LEAP: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What a guest's monotonic clock says at the beginning: Go's runtime does not start at zero.
pub(crate) const MONOTONIC_START: Duration = Duration::from_secs(1);

/// Cloning shares it.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Inner>);

struct Inner {
    began: Instant,
    /// Wall time at the beginning, since 1970.
    wall: Duration,
    hand: Option<Hand>,
    /// Between these moments since the beginning the wall clock is [`LEAP`] ahead.
    leap: Option<(Duration, Duration)>,
    /// Neither virtual nor leaping: the wall clock is the machine's, corrections included.
    plain: bool,
}

/// How the time stands that is moved by hand.
#[derive(Default)]
struct Hand {
    /// Nanoseconds since the beginning.
    now_ns: AtomicU64,
    sleeps: Mutex<Sleeps>,
}

/// A trial has one plugin, so there is one call at a time.
#[derive(Default)]
struct Sleeps {
    call: Option<Deadline>,
    /// When those end that the guest waits for.
    until: Vec<Duration>,
}

/// Among [`Sleeps::until`] while it lives.
struct Sleeper<'a> {
    sleeps: &'a Mutex<Sleeps>,
    until: Duration,
}

impl Clock {
    /// The machine's own.
    pub(crate) fn system() -> Self {
        Self::new(false, None)
    }

    /// With `by_hand` it stands still but for [`Self::advance`]; with `leap` the wall clock is ten years ahead between
    /// half and three quarters of this time.
    pub(crate) fn new(by_hand: bool, leap: Option<Duration>) -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            wall: since_1970(),
            hand: by_hand.then(Hand::default),
            leap: leap.map(|span| (span / 2, span / 4 * 3)),
            plain: !by_hand && leap.is_none(),
        }))
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.0.hand.is_some()
    }

    /// What a guest's monotonic clock says, in nanoseconds.
    pub(crate) fn monotonic_ns(&self) -> u64 {
        u64::try_from((MONOTONIC_START + self.elapsed()).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        match &self.0.hand {
            Some(hand) => Duration::from_nanos(hand.now_ns.load(Ordering::Relaxed)),
            None => self.0.began.elapsed(),
        }
    }

    /// Since 1970.
    pub(crate) fn wall(&self) -> Duration {
        if self.0.plain {
            return since_1970();
        }
        let elapsed = self.elapsed();
        let leap = self.0.leap.filter(|(from, to)| (*from..*to).contains(&elapsed)).map_or(Duration::ZERO, |_| LEAP);
        self.0.wall + elapsed + leap
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(i64::try_from(self.wall().as_millis()).unwrap_or(i64::MAX))
    }

    /// Moves a virtual clock on; the machine's own goes by itself.
    pub(crate) fn advance(&self, by: Duration) {
        self.advance_to(self.elapsed().saturating_add(by));
    }

    /// Moves a virtual clock on to this time since the beginning, never back.
    pub(crate) fn advance_to(&self, elapsed: Duration) {
        if let Some(hand) = &self.0.hand {
            hand.now_ns.fetch_max(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// From here on this call pays for what is slept.
    pub(crate) fn call_begins(&self, deadline: &Deadline) {
        if let Some(hand) = &self.0.hand {
            lock(&hand.sleeps).call = Some(deadline.clone());
        }
    }

    /// A guest sleeps by a clock that is moved by hand, and moves it. Of several sleeps at once, say a time-out beside a
    /// timer, the first to end does, and the others go on. One that lasts longer than its call may does not end: the
    /// call does.
    pub(crate) async fn sleep_until(&self, until: Duration) {
        let Some(hand) = self.0.hand.as_ref().filter(|_| self.elapsed() < until) else { return };
        let sleeper = Sleeper::new(&hand.sleeps, until);
        loop {
            // Whatever else the guest waits for is looked at before, its other sleeps among it.
            tokio::task::yield_now().await;
            let left = until.saturating_sub(self.elapsed());
            if left.is_zero() {
                return;
            }
            let Some(call) = sleeper.call_if_first() else { continue };
            match call.sleep(left) {
                Ok(()) => return self.advance_to(until),
                Err(left) => {
                    self.advance(left);
                    return pending().await;
                }
            }
        }
    }
}

impl<'a> Sleeper<'a> {
    fn new(sleeps: &'a Mutex<Sleeps>, until: Duration) -> Self {
        lock(sleeps).until.push(until);
        Self { sleeps, until }
    }

    /// The call that sleeps, if no other of its sleeps ends before this one.
    fn call_if_first(&self) -> Option<Deadline> {
        let sleeps = lock(self.sleeps);
        let is_first = sleeps.until.iter().all(|until| *until >= self.until);
        sleeps.call.clone().filter(|_| is_first)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut sleeps = lock(self.sleeps);
        if let Some(place) = sleeps.until.iter().position(|until| *until == self.until) {
            sleeps.until.swap_remove(place);
        }
    }
}

fn lock(sleeps: &Mutex<Sleeps>) -> MutexGuard<'_, Sleeps> {
    sleeps.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.wall()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.monotonic_ns()
    }
}

/// A clock before 1970 is at 1970, as WASI has no way to say so.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;

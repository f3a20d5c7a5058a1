//! Which time it is for guests: the machine's, or in a trial one that is moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgeplug_protocol::time::Timestamp;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

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
    /// Nanoseconds since the beginning, when the time is moved by hand.
    virtual_ns: Option<AtomicU64>,
    /// Between these moments since the beginning the wall clock is [`LEAP`] ahead.
    leap: Option<(Duration, Duration)>,
    /// Neither virtual nor leaping: the wall clock is the machine's, corrections included.
    plain: bool,
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
            virtual_ns: by_hand.then(AtomicU64::default),
            leap: leap.map(|span| (span / 2, span / 4 * 3)),
            plain: !by_hand && leap.is_none(),
        }))
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.0.virtual_ns.is_some()
    }

    /// What a guest's monotonic clock says, in nanoseconds.
    pub(crate) fn monotonic_ns(&self) -> u64 {
        u64::try_from((MONOTONIC_START + self.elapsed()).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        match &self.0.virtual_ns {
            Some(now) => Duration::from_nanos(now.load(Ordering::Relaxed)),
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
        if let Some(now) = &self.0.virtual_ns {
            now.fetch_max(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
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

//! The time by which certificates are judged.
//!
//! A device without a battery-backed clock starts in 1970 or at its firmware's build date, and then every certificate is
//! "not valid yet": it could reach nobody who would tell it the time. So whoever learns the time (from a trusted floor on
//! disk, from a `Date` header) says so here, and TLS follows without the system's clock being touched.
//!
//! One clock is shared by every TLS configuration made with it; a correction takes effect with the next handshake.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rustix::time::{ClockId, Timespec, clock_gettime};
use rustls::{pki_types::UnixTime, time_provider::TimeProvider};

/// No correction: the system's clock counts.
const SYSTEM: i64 = i64::MIN;

/// The time for TLS: the system's until it is corrected. Cheap to clone; clones share the correction.
#[derive(Clone)]
pub struct LinkClock {
    /// Unix milliseconds at which `CLOCK_BOOTTIME` was zero, or [`SYSTEM`].
    unix_ms_at_boot_zero: Arc<AtomicI64>,
}

impl LinkClock {
    /// A clock that follows the system's.
    #[must_use]
    pub fn new() -> Self {
        Self { unix_ms_at_boot_zero: Arc::new(AtomicI64::new(SYSTEM)) }
    }

    /// From now on the time is this plus `CLOCK_BOOTTIME` (Linux' clock that runs from boot, through suspend too), whatever
    /// the system's clock says. In Unix milliseconds; may be negative only for a time before the boot was in 1970.
    pub fn correct(&self, unix_ms_at_boot_zero: i64) {
        self.unix_ms_at_boot_zero.store(unix_ms_at_boot_zero, Ordering::Relaxed);
    }

    /// The time in Unix milliseconds.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        match self.unix_ms_at_boot_zero.load(Ordering::Relaxed) {
            SYSTEM => milliseconds(clock_gettime(ClockId::Realtime)),
            zero => zero.saturating_add(milliseconds(clock_gettime(ClockId::Boottime))),
        }
    }
}

impl Default for LinkClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LinkClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let corrected = self.unix_ms_at_boot_zero.load(Ordering::Relaxed) != SYSTEM;
        f.debug_struct("LinkClock").field("unix_ms", &self.unix_ms()).field("corrected", &corrected).finish()
    }
}

impl TimeProvider for LinkClock {
    fn current_time(&self) -> Option<UnixTime> {
        // Before 1970 no certificate is valid, and the type cannot say it: at zero none is either.
        let unix_ms = u64::try_from(self.unix_ms()).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_millis(unix_ms)))
    }
}

fn milliseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests;

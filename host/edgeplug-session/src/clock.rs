//! What time it is. Durations come from the monotonic clock, moments from the wall clock, corrected by the cloud when
//! the device has no idea.

use std::time::Duration;

/// One reading of the shell's clocks, passed with every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the system booted, time asleep included; never goes back.
    pub monotonic: Duration,
    /// Milliseconds since 1970 by the device's own clock, which may be wrong.
    pub wall_unix_ms: i64,
    /// Whether the system says its clock is synchronised.
    pub wall_trusted: bool,
}

/// A device clock further off than this cannot sign a usable token.
const DEVIATION_MS_MAX: i64 = 5 * 60 * 1000;

/// The device's clock with the correction learnt from HTTPS `Date` headers.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Server time minus monotonic time, milliseconds; set only while the device's own clock is far off.
    correction: Option<i64>,
}

impl Clock {
    /// Takes a server's `Date`.
    pub(crate) fn learn(&mut self, date_unix_s: i64, now: Now) {
        let server_ms = date_unix_s.saturating_mul(1000);
        let deviation_ms = server_ms.saturating_sub(now.wall_unix_ms);
        let off = !now.wall_trusted && deviation_ms.saturating_abs() > DEVIATION_MS_MAX;
        if off && self.correction.is_none() {
            tracing::warn!(deviation_s = deviation_ms / 1000, "this device's clock is wrong; using the cloud's");
        }
        self.correction = off.then(|| server_ms.saturating_sub(monotonic_ms(now)));
    }

    /// Whether the time of day is known.
    pub(crate) fn is_known(&self, now: Now) -> bool {
        now.wall_trusted || self.correction.is_some()
    }

    /// The best guess, milliseconds since 1970.
    pub(crate) fn unix_ms(&self, now: Now) -> i64 {
        match self.correction {
            Some(offset) => offset.saturating_add(monotonic_ms(now)),
            None => now.wall_unix_ms,
        }
    }
}

fn monotonic_ms(now: Now) -> i64 {
    i64::try_from(now.monotonic.as_millis()).unwrap_or(i64::MAX)
}

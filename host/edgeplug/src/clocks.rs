//! The device's clocks, read together.
//!
//! Durations are those of `CLOCK_BOOTTIME`, which runs through suspend: a token ages while the device sleeps. Timers of
//! the runtime stand still meanwhile, so no sleep is longer than [`SLEEP_MAX`].

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edgeplug_session::Now;
use rustix::time::{ClockId, clock_gettime};

/// Exists once the clock was set from the network since boot (systemd-timesyncd). The kernel's own answer (`adjtimex`)
/// would also know of chrony, but is one of the calls that the unit's `ProtectClock` takes away; there an HTTPS `Date`
/// teaches the time.
const CLOCK_SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// How often that is looked up.
const CLOCK_LOOK: Duration = Duration::from_secs(10);
/// Longest sleep of the main loop: how late anything may be after a suspend.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Names this boot of the kernel ("The kernel's documentation, admin-guide/sysctl/kernel: random").
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The device's clocks.
pub(crate) struct Clocks {
    started: Duration,
    /// Whether the wall clock was set from the network, and when that was looked up.
    trusted: bool,
    looked_at: Duration,
}

impl Clocks {
    pub(crate) fn start() -> Self {
        let now = since_boot();
        Self { started: now, trusted: Path::new(CLOCK_SYNCHRONISED).exists(), looked_at: now }
    }

    /// All clocks, read together.
    pub(crate) fn now(&mut self) -> Now {
        let monotonic = since_boot();
        if monotonic.saturating_sub(self.looked_at) > CLOCK_LOOK {
            self.trusted = Path::new(CLOCK_SYNCHRONISED).exists();
            self.looked_at = monotonic;
        }
        Now { monotonic, wall_unix_ms: wall_unix_ms(), wall_trusted: self.trusted }
    }

    /// How long the daemon has been running.
    pub(crate) fn uptime(&self) -> Duration {
        since_boot().saturating_sub(self.started)
    }

    /// How long it had been running then.
    pub(crate) fn uptime_at(&self, now: Now) -> Duration {
        now.monotonic.saturating_sub(self.started)
    }

    /// A moment of the session's monotonic clock, or an earlier one to look again.
    pub(crate) fn at(&self, monotonic: Duration) -> tokio::time::Instant {
        tokio::time::Instant::now() + monotonic.saturating_sub(since_boot()).min(SLEEP_MAX)
    }
}

/// Which boot of the system this is. Where the kernel does not say, every start of the daemon counts as one: stored
/// monotonic times are then never taken for times of the present clock.
pub(crate) fn boot_id() -> String {
    match std::fs::read_to_string(BOOT_ID) {
        Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
        _ => format!("start-{:016x}", fastrand::u64(..)),
    }
}

/// Sleeps until then, or for ever.
pub(crate) async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Milliseconds since 1970, negative before.
fn wall_unix_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // The kernel's clock since boot has no negative values.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

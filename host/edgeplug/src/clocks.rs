//! The device's clocks, read together.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgeplug_session::Now;

/// Exists once the clock was set from the network since boot (systemd-timesyncd).
const CLOCK_SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// How often that is looked up.
const CLOCK_LOOK: Duration = Duration::from_secs(10);

/// The device's clocks.
pub(crate) struct Clocks {
    started: Instant,
    /// Whether the wall clock was set from the network, and when that was looked up.
    trusted: bool,
    looked_at: Instant,
}

impl Clocks {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self { started: now, trusted: Path::new(CLOCK_SYNCHRONISED).exists(), looked_at: now }
    }

    /// All clocks, read together.
    pub(crate) fn now(&mut self) -> Now {
        if self.looked_at.elapsed() > CLOCK_LOOK {
            self.trusted = Path::new(CLOCK_SYNCHRONISED).exists();
            self.looked_at = Instant::now();
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic: self.started.elapsed(),
            wall_unix_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            wall_trusted: self.trusted,
        }
    }

    /// How long the daemon has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// A moment of the session's monotonic clock.
    pub(crate) fn at(&self, monotonic: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.started + monotonic)
    }
}

/// Sleeps until then, or for ever.
pub(crate) async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

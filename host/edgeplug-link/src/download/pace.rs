//! How fast a download may go, and how slow it may be.

use std::{num::NonZeroU64, time::Duration};

use tokio::time::Instant;

/// How long an unused allowance is kept: what may come at once after a pause is this long at full rate. Short, because the
/// rate is there to leave room for others; long enough not to be lost between two timer ticks.
const KEPT: Duration = Duration::from_millis(250);

/// A wait in which not even this much came is a stall. One byte just in time would otherwise hold a download for ever;
/// no link that is of use for firmware is this slow.
const PROGRESS_BYTES_MIN: u64 = 1024;

/// A token bucket, kept as the time at which what was taken is paid for. It may go into debt by one chunk, since how large
/// that is is known only once it is here.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_s: NonZeroU64,
    paid_at: Instant,
}

impl Pace {
    pub(super) fn new(bytes_per_s: NonZeroU64, now: Instant) -> Self {
        Self { bytes_per_s, paid_at: now }
    }

    /// From when on the next chunk may be asked for.
    pub(super) fn ready_at(&self) -> Instant {
        self.paid_at
    }

    pub(super) fn took(&mut self, bytes: usize, now: Instant) {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_s.get());
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let from = now.checked_sub(KEPT).map_or(self.paid_at, |earliest| self.paid_at.max(earliest));
        self.paid_at = from.checked_add(cost).unwrap_or(from);
    }
}

/// How long the other side may still keep us waiting. It lasts across calls that were dropped while they waited.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    left: Duration,
    since: Option<Instant>,
    progress: u64,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, left: limit, since: None, progress: 0 }
    }

    /// A wait begins or goes on; when it ends at the latest.
    pub(super) fn wait(&mut self, now: Instant) -> Instant {
        let since = *self.since.get_or_insert(now);
        since.checked_add(self.left).unwrap_or(since)
    }

    /// A wait ended with this many bytes.
    pub(super) fn received(&mut self, bytes: usize, now: Instant) {
        let waited = self.since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.progress = self.progress.saturating_add(bytes as u64);
        if self.progress >= PROGRESS_BYTES_MIN {
            (self.left, self.progress) = (self.limit, 0);
        } else {
            self.left = self.left.saturating_sub(waited);
        }
    }
}

#[cfg(test)]
mod tests;

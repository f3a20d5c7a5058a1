//! What time it is. Durations come from the monotonic clock; moments from an *anchor*: the time of day at the zero of the
//! monotonic clock. Jumps of the device's wall clock therefore change nothing once there is an anchor.
//!
//! An anchor comes from, the later ones yielding to the earlier:
//! 1. the `Date` of an HTTPS reply, whose sender TLS has verified;
//! 2. a wall clock that the system calls synchronised. The anchor follows it, but not over a leap of more than
//!    [`LEAP_MS_MAX`]: a flag that was right before somebody set the clock says nothing about it afterwards;
//! 3. what the last process wrote down, if the system has not booted since: the monotonic clock is still the same one;
//! 4. the hub, which took a token that an unsynchronised clock had dated, over a certificate that it found valid. So the
//!    clock is hardly behind, but may be ahead: good enough for stamps, not for giving readings up as too old.
//!
//! With an anchor the time is *known*: readings are stamped. Without one, a wall clock that is not before the *floor*
//! (the last time known to be right, at least [`BUILD_UNIX_MS`]) is good enough to *sign* tokens with: a device with a
//! battery-backed clock and no NTP reaches its hub although the portal is down, and the hub finds out the rest. A clock
//! before the floor is plainly wrong: nothing is signed until the portal or the system says the time.
//!
//! Certificates are checked at the best guess. Where one fails, the next is checked at the second best: the floor for a
//! wall clock that nobody vouches for, the wall clock where it contradicts the anchor or is before the floor; and then in
//! turn. So neither a dead battery nor a clock that was years ahead locks a device out that needs HTTPS to learn the
//! time. Deliberately absent: asking a time server; the system does that.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Action;
use crate::action::Fact;

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

/// 2026-01-01T00:00:00Z, before any build of this program: no right clock shows less.
pub(crate) const BUILD_UNIX_MS: i64 = 1_767_225_600_000;
/// 9999-12-31T23:59:59Z, the last moment that RFC 3339 can write.
const LAST_UNIX_MS: i64 = 253_402_300_799_000;
/// A synchronised clock is corrected by less than this at once; also how far a token's dates may be off.
const LEAP_MS_MAX: i64 = 5 * 60 * 1000;
/// What a `Date` cannot tell: it counts whole seconds and travels some time.
const DATE_MS: i64 = 2_000;
/// Certificates are checked with the system's clock until it is this far off.
const CORRECTION_MS_MIN: i64 = 60_000;
/// How often the time is written down; a floor this old still tells 1970 from now.
const KEEP_EVERY: Duration = Duration::from_secs(3600);

/// The time of day, as far as it is known.
#[derive(Debug)]
pub(crate) struct Clock {
    anchor: Option<Anchor>,
    /// The last time known to be right, as of the zero of the monotonic clock.
    floor_at_zero: i64,
    /// A certificate was not valid at the best guess.
    doubts: bool,
    /// What the certificate checks were last told.
    told: Option<i64>,
    /// What was last written down, and when.
    kept: Option<(i64, Duration)>,
    boot_id: String,
}

/// The time of day at the zero of the monotonic clock, milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    unix_ms_at_zero: i64,
    /// Only the hub's word for it.
    weak: bool,
}

/// What is written down of the time.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    unix_ms: i64,
    boot: String,
    unix_ms_at_zero: i64,
}

impl Clock {
    /// A clock that knows nothing. Anchors outlive the process, but not the boot of this id; an empty id is none.
    pub(crate) fn new(boot_id: String) -> Self {
        let floor_at_zero = BUILD_UNIX_MS;
        Self { anchor: None, floor_at_zero, doubts: false, told: None, kept: None, boot_id }
    }

    /// Takes up what the last run wrote down.
    pub(crate) fn restore(&mut self, fact: Option<&Bytes>, now: Now) {
        let Some(bytes) = fact.filter(|bytes| !bytes.is_empty()) else { return };
        let kept = match serde_json::from_slice::<Kept>(bytes) {
            Ok(kept) if is_sane(kept.unix_ms) => kept,
            _ => return tracing::warn!("the time written down by the last run makes no sense"),
        };
        self.floor_at_zero = at_zero(kept.unix_ms, now);
        // The same boot cannot be at an earlier moment now than it was then.
        let at = kept.unix_ms_at_zero.saturating_add(now.monotonic_ms());
        let same_boot = !self.boot_id.is_empty() && kept.boot == self.boot_id;
        if same_boot && is_sane(at) && at >= kept.unix_ms {
            self.anchor = Some(Anchor { unix_ms_at_zero: kept.unix_ms_at_zero, weak: false });
        }
    }

    /// Looks at the wall clock; call it before anything asks for the time.
    pub(crate) fn observe(&mut self, now: Now) {
        if !now.wall_trusted || !is_sane(now.wall_unix_ms) {
            return;
        }
        let wall_at_zero = at_zero(now.wall_unix_ms, now);
        let follows = self
            .anchor
            .is_none_or(|anchor| anchor.weak || distance(anchor.unix_ms_at_zero, wall_at_zero) <= LEAP_MS_MAX);
        if follows {
            self.anchor = Some(Anchor { unix_ms_at_zero: wall_at_zero, weak: false });
        }
    }

    /// Takes a server's `Date`, Unix seconds.
    pub(crate) fn learn(&mut self, date_unix_s: i64, now: Now) {
        // Somewhere in that second.
        let date_ms = date_unix_s.saturating_mul(1000).saturating_add(500);
        if !is_sane(date_ms) {
            return tracing::debug!(date_unix_s, "a server's date makes no sense");
        }
        let tolerance = if now.wall_trusted { LEAP_MS_MAX } else { DATE_MS };
        // Whatever agrees is finer than a `Date`.
        let unix_ms_at_zero = if distance(now.wall_unix_ms, date_ms) <= tolerance {
            at_zero(now.wall_unix_ms, now)
        } else {
            let date_at_zero = at_zero(date_ms, now);
            match self.anchor {
                Some(anchor) if distance(anchor.unix_ms_at_zero, date_at_zero) <= DATE_MS => anchor.unix_ms_at_zero,
                _ => {
                    let deviation_s = now.wall_unix_ms.saturating_sub(date_ms) / 1000;
                    tracing::warn!(deviation_s, "this device's clock is wrong; using the cloud's");
                    date_at_zero
                }
            }
        };
        self.anchor = Some(Anchor { unix_ms_at_zero, weak: false });
        self.doubts = false;
    }

    /// The hub accepted our token.
    pub(crate) fn vouched(&mut self, now: Now) {
        if self.anchor.is_none() && self.can_sign(now) {
            let unix_ms_at_zero = at_zero(now.wall_unix_ms, now);
            self.anchor = Some(Anchor { unix_ms_at_zero, weak: true });
        }
    }

    /// A certificate was not accepted, perhaps because of the time it was checked at.
    pub(crate) fn certificate_failed(&mut self) {
        self.doubts = !self.doubts;
    }

    pub(crate) fn is_anchored(&self) -> bool {
        self.anchor.is_some()
    }

    /// Whether the time of day is known.
    pub(crate) fn is_known(&self, now: Now) -> bool {
        self.anchor.is_some() || (now.wall_trusted && is_sane(now.wall_unix_ms))
    }

    /// Whether the time of day is known by more than the hub's word, which holds for a clock that is ahead as well.
    pub(crate) fn is_sure(&self, now: Now) -> bool {
        self.is_known(now) && !self.anchor.is_some_and(|anchor| anchor.weak)
    }

    /// Whether the system's synchronised clock contradicts what we go by, so that a third voice is needed.
    pub(crate) fn is_contested(&self, now: Now) -> bool {
        now.wall_trusted && distance(self.unix_ms(now), now.wall_unix_ms) > LEAP_MS_MAX
    }

    /// Whether a token may be dated by this clock.
    pub(crate) fn can_sign(&self, now: Now) -> bool {
        self.is_known(now) || (!self.doubts && self.is_plausible(now))
    }

    /// The best guess, milliseconds since 1970.
    pub(crate) fn unix_ms(&self, now: Now) -> i64 {
        self.guess_at_zero(now).saturating_add(now.monotonic_ms())
    }

    /// The moment at which the monotonic clock showed this, milliseconds since 1970; `None` while the time is unknown.
    pub(crate) fn unix_ms_at(&self, monotonic_ms: i64) -> Option<i64> {
        self.anchor.map(|anchor| anchor.unix_ms_at_zero.saturating_add(monotonic_ms))
    }

    /// Says what has to be said of the time, and writes it down.
    pub(crate) fn settle(&mut self, now: Now, actions: &mut VecDeque<Action>) {
        let unix_ms_at_zero = self.certificate_time_at_zero(now);
        let off_by = match self.told {
            Some(told) => distance(told, unix_ms_at_zero),
            None => distance(at_zero(now.wall_unix_ms, now), unix_ms_at_zero),
        };
        if off_by > CORRECTION_MS_MIN {
            self.told = Some(unix_ms_at_zero);
            actions.push_back(Action::CorrectClock { unix_ms_at_zero });
        }
        let Some(Anchor { unix_ms_at_zero, weak: false }) = self.anchor else { return };
        let is_kept = self.kept.is_some_and(|(kept_at_zero, at)| {
            distance(kept_at_zero, unix_ms_at_zero) <= CORRECTION_MS_MIN
                && now.monotonic.saturating_sub(at) < KEEP_EVERY
        });
        if is_kept {
            return;
        }
        self.kept = Some((unix_ms_at_zero, now.monotonic));
        let kept = Kept { unix_ms: self.unix_ms(now), boot: self.boot_id.clone(), unix_ms_at_zero };
        if let Ok(value) = serde_json::to_vec(&kept) {
            actions.push_back(Action::Keep { fact: Fact::Clock, value: value.into() });
        }
    }

    fn guess_at_zero(&self, now: Now) -> i64 {
        match self.anchor {
            Some(anchor) => anchor.unix_ms_at_zero,
            None if self.can_sign(now) => at_zero(now.wall_unix_ms, now),
            None => self.floor_at_zero,
        }
    }

    fn certificate_time_at_zero(&self, now: Now) -> i64 {
        let (guess, wall) = (self.guess_at_zero(now), at_zero(now.wall_unix_ms, now));
        // A plausible clock without an anchor is the best guess or, in doubt, what the floor is tried instead of.
        let may_differ = self.is_anchored() || !self.is_plausible(now);
        let has_second_best = may_differ && is_sane(now.wall_unix_ms) && distance(guess, wall) > LEAP_MS_MAX;
        if self.doubts && has_second_best { wall } else { guess }
    }

    fn is_plausible(&self, now: Now) -> bool {
        let floor_ms = self.floor_at_zero.saturating_add(now.monotonic_ms());
        is_sane(now.wall_unix_ms) && now.wall_unix_ms >= floor_ms.saturating_sub(LEAP_MS_MAX)
    }
}

impl Now {
    /// The monotonic clock in milliseconds.
    pub(crate) fn monotonic_ms(self) -> i64 {
        i64::try_from(self.monotonic.as_millis()).unwrap_or(i64::MAX)
    }
}

/// The time of day at the zero of the monotonic clock, if it is this time now.
fn at_zero(unix_ms: i64, now: Now) -> i64 {
    unix_ms.saturating_sub(now.monotonic_ms())
}

fn is_sane(unix_ms: i64) -> bool {
    (BUILD_UNIX_MS..=LAST_UNIX_MS).contains(&unix_ms)
}

fn distance(one: i64, other: i64) -> i64 {
    one.saturating_sub(other).saturating_abs()
}

#[cfg(test)]
mod tests;

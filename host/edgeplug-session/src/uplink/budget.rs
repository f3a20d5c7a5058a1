//! Bytes published in a day (UTC), and whether more may go.
//!
//! What was spent is written down ahead, in steps: a process that dies has overspent by what the last step's write had not
//! reached the disk, and a new one takes a begun step for spent. Topic and body are counted, again for each time they are
//! sent; what TLS, MQTT and TCP add is not.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::action::Fact;
use crate::{Action, Step};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Into so many steps a day's budget is divided: what a crash may waste of it, against writes to the ledger.
const STEPS: u64 = 64;

#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Days since 1970; `None` while the time is unknown.
    day: Option<i64>,
    spent: u64,
    /// What the ledger takes for spent.
    written: u64,
    /// Spent for this day: something did not fit.
    is_spent: bool,
}

/// What is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    day: Option<i64>,
    bytes: u64,
}

impl Budget {
    pub(super) fn restore(&mut self, fact: Option<&Bytes>) {
        let Some(bytes) = fact.filter(|bytes| !bytes.is_empty()) else { return };
        match serde_json::from_slice::<Kept>(bytes) {
            Ok(kept) => {
                *self = Self { day: kept.day, spent: kept.bytes, written: kept.bytes, is_spent: false };
            }
            Err(error) => tracing::warn!(%error, "what was spent of the daily budget makes no sense; counting anew"),
        }
    }

    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Begins a new day when it is one, and says so if the one before was cut short. While the time is unknown the last
    /// day known goes on.
    pub(super) fn turn(&mut self, step: &Step<'_>) -> bool {
        if !step.clock.is_known(step.now) {
            return false;
        }
        let today = step.unix_ms.div_euclid(DAY_MS);
        if self.day == Some(today) {
            return false;
        }
        let was_spent = self.is_spent;
        if self.day.is_some() {
            *self = Self::default();
        }
        self.day = Some(today);
        was_spent && !self.is_spent
    }

    /// Whether so many bytes may go; otherwise when to ask again, if that is known.
    pub(super) fn allows(&mut self, bytes: usize, step: &Step<'_>) -> Result<(), Option<Duration>> {
        let Some(max) = step.config.daily_bytes_max else { return Ok(()) };
        if !self.is_spent && self.spent.saturating_add(bytes as u64) <= max {
            return Ok(());
        }
        let to_midnight = self.day.map(|_| DAY_MS - step.unix_ms.rem_euclid(DAY_MS));
        let wait = to_midnight.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        if !std::mem::replace(&mut self.is_spent, true) {
            let until_s = wait.map(|wait| wait.as_secs());
            tracing::warn!(spent = self.spent, max, until_s, "the daily byte budget is spent; only alarms are sent");
        }
        Err(wait.map(|wait| step.now.monotonic + wait))
    }

    /// So many bytes go.
    pub(super) fn spend(&mut self, bytes: usize, step: &mut Step<'_>) {
        self.spent = self.spent.saturating_add(bytes as u64);
        if let Some(max) = step.config.daily_bytes_max
            && self.spent > self.written
        {
            self.write(self.spent.saturating_add(max / STEPS), step);
        }
    }

    /// Writes down what was really spent: the process ends in order.
    pub(super) fn close(&mut self, step: &mut Step<'_>) {
        if self.written > self.spent {
            self.write(self.spent, step);
        }
    }

    fn write(&mut self, bytes: u64, step: &mut Step<'_>) {
        self.written = bytes;
        if let Ok(value) = serde_json::to_vec(&Kept { day: self.day, bytes }) {
            step.act(Action::Keep { fact: Fact::Budget, value: value.into() });
        }
    }
}

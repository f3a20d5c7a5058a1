//! The readings of one plugin over all its versions, as one chain of numbers.

use std::collections::{BTreeMap, HashSet};

use anyhow::Context as _;
use bytes::Bytes;
use serde::Deserialize;

const COMPLAINTS_MAX: usize = 20;

/// What arrived so far, and what may come next.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The reading that came last.
    last: Option<Reading>,
    /// Readings of the version that came last, without a break.
    in_a_row: u64,
    readings: u64,
    /// The version that may take over, with the count of the one before it.
    expected: Option<u32>,
    /// The version before the one that came last, and its last count: where a rollback goes back to.
    before: Option<(u32, i64)>,
    /// The plugin was taken away: the next count is 1.
    anew: bool,
    /// Since the plugin last began anew.
    seen: HashSet<(u32, i64, i64)>,
    lost: u64,
    doubled: u64,
    gaps_us: Vec<i64>,
    /// Last count by version.
    counts: BTreeMap<u32, i64>,
    complaints: Vec<String>,
    complained: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    version: u32,
    count: i64,
    /// By the guest's clock.
    us: i64,
}

#[derive(Deserialize)]
struct Envelope {
    mt: i64,
    #[serde(default)]
    d: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    d: Vec<Values>,
}

#[derive(Deserialize)]
struct Values {
    count: f64,
    version: f64,
    us: f64,
}

impl Chain {
    /// This version may take over.
    pub(super) fn expect(&mut self, version: u32) {
        self.expected = Some(version);
    }

    /// The plugin was taken away with all that it had.
    pub(super) fn begin_anew(&mut self) {
        self.anew = true;
        self.before = None;
        self.counts.clear();
    }

    /// A message that arrived.
    pub(super) fn arrive(&mut self, body: &Bytes) -> anyhow::Result<()> {
        let text = || String::from_utf8_lossy(body).into_owned();
        let envelope: Envelope = serde_json::from_slice(body).with_context(text)?;
        anyhow::ensure!(envelope.mt == 0, "a message that nobody sent: {}", text());
        for values in envelope.d.into_iter().flat_map(|entry| entry.d) {
            // All three are whole and far below 2^53.
            self.link(Reading { version: values.version as u32, count: values.count as i64, us: values.us as i64 });
        }
        Ok(())
    }

    fn link(&mut self, reading: Reading) {
        self.readings += 1;
        if !self.seen.insert((reading.version, reading.count, reading.us)) {
            self.doubled += 1;
            self.complain(format!("{reading:?} came twice"));
            return;
        }
        let Some(last) = self.last.replace(reading) else {
            self.in_a_row = 1;
            self.counts.insert(reading.version, reading.count);
            return;
        };
        self.counts.insert(reading.version, reading.count);
        let is_expected = self.expected == Some(reading.version);
        let due = if std::mem::take(&mut self.anew) {
            self.seen.clear();
            self.expected = None;
            self.in_a_row = 0;
            1
        } else if reading.version == last.version && !is_expected {
            last.count + 1
        } else if is_expected {
            self.expected = None;
            self.before = Some((last.version, last.count));
            self.gaps_us.push(reading.us - last.us);
            self.in_a_row = 0;
            last.count + 1
        } else if let Some((_, count)) = self.before.take_if(|(version, _)| *version == reading.version) {
            self.in_a_row = 0;
            count + 1
        } else {
            self.in_a_row = 0;
            self.complain(format!("{reading:?} after {last:?}: that version has no business here"));
            reading.count
        };
        self.in_a_row += 1;
        if reading.count > due {
            self.lost += (reading.count - due) as u64;
            self.complain(format!("{reading:?} after {last:?}: {due} was due"));
        } else if reading.count < due {
            self.doubled += 1;
            self.complain(format!("{reading:?} after {last:?}: {due} was due, the count went back"));
        }
    }

    /// Whether this version made so many readings in a row, and the last ones.
    pub(super) fn goes_on(&self, version: u32, readings: u64) -> bool {
        self.version() == version && self.in_a_row >= readings
    }

    /// The one that made the last reading.
    pub(super) fn version(&self) -> u32 {
        self.last.map_or(0, |last| last.version)
    }

    /// The last count of this version.
    pub(super) fn count_of(&self, version: u32) -> i64 {
        self.counts.get(&version).copied().unwrap_or(0)
    }

    pub(super) fn readings(&self) -> u64 {
        self.readings
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn doubled(&self) -> u64 {
        self.doubled
    }

    pub(super) fn complaints(&self) -> u64 {
        self.complained
    }

    pub(super) fn into_complaints(self) -> Vec<String> {
        self.complaints
    }

    /// What one swap in a hundred exceeds: time between two readings across it, less the interval, in milliseconds.
    pub(super) fn gap_ms_p99(&self, interval_ms: u64) -> f64 {
        let mut gaps = self.gaps_us.clone();
        gaps.sort_unstable();
        let at = (gaps.len() * 99).div_ceil(100).saturating_sub(1);
        let interval_us = interval_ms as f64 * 1000.0;
        gaps.get(at).map_or(0.0, |gap| (*gap as f64 - interval_us).max(0.0) / 1000.0)
    }

    fn complain(&mut self, complaint: String) {
        self.complained += 1;
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint);
        }
    }
}

#[cfg(test)]
mod tests;

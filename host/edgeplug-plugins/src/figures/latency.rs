//! A log-linear histogram of call times: each power of two in eighths, so that a percentile is right to an eighth.

use std::time::Duration;

use serde::Serialize;

/// Parts of a power of two, as a power of two itself.
const PART_BITS: u32 = 3;
const PARTS: u64 = 1 << PART_BITS;
/// 2^27 µs are 134 s: more than a call can take (`deadline`).
const OCTAVES: u32 = 27 - PART_BITS;
const BUCKETS: usize = ((OCTAVES + 1) << PART_BITS) as usize;

/// Call times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    pub count: u64,
    /// Half of the calls took at most this, to an eighth.
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    /// Exactly.
    pub max_us: u64,
    /// From the fastest to the slowest, those that hold any.
    pub buckets: Vec<Bucket>,
}

/// Calls that took at most `up_to_us` and more than the bucket before allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    pub up_to_us: u64,
    pub count: u64,
}

pub(super) struct Histogram {
    buckets: [u64; BUCKETS],
    count: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], count: 0, max_us: 0 }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(index(us)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    pub(super) fn read(&self) -> Latency {
        let held = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        Latency {
            count: self.count,
            p50_us: self.percentile(50),
            p90_us: self.percentile(90),
            p99_us: self.percentile(99),
            max_us: self.max_us,
            buckets: held.map(|(index, count)| Bucket { up_to_us: up_to(index), count: *count }).collect(),
        }
    }

    /// The upper end of the bucket in which the call lies that so many percent are not slower than.
    fn percentile(&self, percent: u64) -> u64 {
        let wanted = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return up_to(index).min(self.max_us);
            }
        }
        0
    }
}

/// The last bucket holds whatever is longer.
fn index(us: u64) -> usize {
    let octave = us.checked_ilog2().unwrap_or(0).saturating_sub(PART_BITS);
    let index = if us < PARTS { us } else { (u64::from(octave) << PART_BITS) + (us >> octave) };
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The longest time that lies in a bucket.
fn up_to(index: usize) -> u64 {
    let index = index as u64;
    if index < PARTS {
        return index;
    }
    let octave = (index >> PART_BITS) - 1;
    (((index - (octave << PART_BITS)) + 1) << octave) - 1
}

#[cfg(test)]
mod tests;

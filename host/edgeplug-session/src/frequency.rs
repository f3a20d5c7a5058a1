//! Data frequency (`df`): how often the cloud wants readings.
//!
//! Counted for each source (a plugin) by the monotonic clock: its first call passes at once, then one call in every `df`
//! seconds, with all its samples. What comes sooner is held back and its sender told so: dropped, or kept as the latest
//! value of each device and attribute and sent when the time has come ([`FrequencyPolicy`]). It is in nobody's custody
//! until then; a stop or a crash loses it. A change of `df` counts at once. Edge devices have no data frequency.
//!
//! What must stay true: a source costs memory only while it is held back or within `df` of its last call, and what is kept
//! of it is at most [`KEPT_MAX`] samples and [`KEPT_BYTES_MAX`]; sources are as many as there are plugins.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;
use serde_json::Value;

use crate::config::FrequencyPolicy;
use crate::{Now, Step};

/// Devices of one source whose latest values are kept: as many as a large gateway has children.
const KEPT_MAX: usize = 1_000;
/// And the bytes of all their names and values.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

#[derive(Default)]
pub(crate) struct Frequency {
    sources: BTreeMap<String, Source>,
    held_back: u64,
    lost: u64,
}

/// A source that sent within the last `df`.
struct Source {
    /// When a call of it last passed.
    passed: Duration,
    /// One merged sample for each device, the one whose first value came first in front.
    kept: VecDeque<Kept>,
    bytes: usize,
}

/// The latest values of one device.
struct Kept {
    sample: Sample,
    /// When the latest of them came.
    taken: Duration,
    bytes: usize,
}

/// What becomes of a call.
pub(crate) enum Gate {
    /// It passes; what was kept of other attributes passes with it.
    Open(Vec<Sample>),
    /// It came too soon.
    Closed,
}

impl Frequency {
    /// Decides about a call. One that comes too soon is kept, if that is wanted.
    pub(crate) fn call(&mut self, source: &str, samples: &[Sample], step: &mut Step<'_>) -> Gate {
        let Some(frequency) = step.world.frequency() else {
            // What it is kept for ends when the timers are looked at next.
            return Gate::Open(Vec::new());
        };
        let now = step.now.monotonic;
        let Some(known) = self.sources.get_mut(source) else {
            let first = Source { passed: now, kept: VecDeque::new(), bytes: 0 };
            self.sources.insert(source.to_owned(), first);
            return Gate::Open(Vec::new());
        };
        if now >= known.passed + frequency {
            known.passed = now;
            return Gate::Open(known.take_beside(samples, step));
        }
        self.held_back += samples.len() as u64;
        if step.config.frequency == FrequencyPolicy::KeepLatest {
            for sample in samples {
                self.lost += known.keep(sample, now);
            }
        }
        Gate::Closed
    }

    /// What was kept and may go now, by source; forgets sources that would pass anyway.
    pub(crate) fn due(&mut self, step: &mut Step<'_>) -> Vec<(String, Vec<Sample>)> {
        let (frequency, now) = (step.world.frequency().unwrap_or_default(), step.now.monotonic);
        let mut due = Vec::new();
        if self.timeout(step.world.frequency()).is_none_or(|at| now < at) {
            return due;
        }
        self.sources.retain(|name, source| {
            if now < source.passed + frequency {
                return true;
            }
            if source.kept.is_empty() {
                return false;
            }
            source.passed = now;
            due.push((name.clone(), source.take(step)));
            !frequency.is_zero()
        });
        due
    }

    /// Nothing that is kept will be sent.
    pub(crate) fn forget(&mut self) {
        self.lost += self.sources.values().map(|source| source.kept.len() as u64).sum::<u64>();
        self.sources.clear();
    }

    /// When something is due. Sources without anything kept are forgotten then, too.
    pub(crate) fn timeout(&self, frequency: Option<Duration>) -> Option<Duration> {
        let frequency = frequency.unwrap_or_default();
        let waiting = self.sources.values().filter(|source| !source.kept.is_empty());
        waiting.map(|source| source.passed + frequency).min()
    }

    /// Samples that came too soon.
    pub(crate) fn held_back(&self) -> u64 {
        self.held_back
    }

    /// Devices' latest values that were kept and given up.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

impl Source {
    /// Adds the values of a sample; says how many kept samples had to go for them.
    fn keep(&mut self, sample: &Sample, now: Duration) -> u64 {
        match self.kept.iter_mut().find(|kept| kept.sample.device == sample.device) {
            Some(kept) => {
                self.bytes -= kept.bytes;
                kept.merge(sample, now);
                self.bytes += kept.bytes;
            }
            None => {
                let mut kept = Kept { sample: Sample { values: Vec::new(), ..sample.clone() }, taken: now, bytes: 0 };
                kept.merge(sample, now);
                self.bytes += kept.bytes;
                self.kept.push_back(kept);
            }
        }
        let mut given_up = 0;
        while (self.kept.len() > KEPT_MAX || self.bytes > KEPT_BYTES_MAX)
            && let Some(kept) = self.kept.pop_front()
        {
            self.bytes -= kept.bytes;
            given_up += 1;
        }
        given_up
    }

    fn take(&mut self, step: &Step<'_>) -> Vec<Sample> {
        self.bytes = 0;
        std::mem::take(&mut self.kept).into_iter().map(|kept| kept.stamped(step)).collect()
    }

    /// What is kept, but for values that these samples bring anew.
    fn take_beside(&mut self, samples: &[Sample], step: &Step<'_>) -> Vec<Sample> {
        let mut kept = self.take(step);
        for Sample { device, values, .. } in &mut kept {
            let newer = || samples.iter().filter(|sample| sample.device == *device).flat_map(|sample| &sample.values);
            values.retain(|(name, _)| !newer().any(|(other, _)| other == name));
        }
        kept.retain(|sample| !sample.values.is_empty());
        kept
    }
}

impl Kept {
    /// The later value of an attribute counts, and the later sample's time.
    fn merge(&mut self, sample: &Sample, now: Duration) {
        self.sample.time.clone_from(&sample.time);
        self.taken = now;
        for (name, value) in &sample.values {
            self.bytes += name.len() + size(value);
            match self.sample.values.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => {
                    self.bytes = self.bytes.saturating_sub(name.len() + size(old));
                    old.clone_from(value);
                }
                None => self.sample.values.push((name.clone(), value.clone())),
            }
        }
    }

    /// A sample without a time of its own gets the moment it came.
    fn stamped(self, step: &Step<'_>) -> Sample {
        let Self { mut sample, taken, .. } = self;
        if sample.time.is_none() {
            let taken_ms = Now { monotonic: taken, ..step.now }.monotonic_ms();
            sample.time = step.clock.unix_ms_at(taken_ms).map(Timestamp::from_unix_ms);
        }
        sample
    }
}

/// About how many bytes a sample takes.
pub(crate) fn sample_size(sample: &Sample) -> usize {
    sample.values.iter().map(|(name, value)| name.len() + size(value)).sum()
}

/// About how many bytes a value takes.
fn size(value: &Value) -> usize {
    const NODE: usize = 32;
    NODE + match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(size).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + size(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests;

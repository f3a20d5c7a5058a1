//! What is counted about a plugin: its calls, how long they took, what they cost, what came out of it.
//!
//! Counted by plugin name, over all its instances since the daemon started. What must stay true: booking a call costs a
//! small part of a microsecond (one lock that nobody else holds for longer, no allocation after the first call), and
//! every number only rises but for those that say `now`.
//!
//! Deliberately absent: rates and averages. Whoever draws curves reads the counters twice.

mod latency;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use serde::Serialize;
use serde_json::Value;

pub use self::latency::{Bucket, Latency};

use self::latency::Histogram;
use crate::call::CallFailure;
use crate::lane::Lane;

/// The figures of one plugin, read at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// How its calls ended, by exported function (`sensor.sample`), and instantiation; only what was called.
    pub calls: BTreeMap<&'static str, Calls>,
    /// How long calls took, from the way in to the way out, waiting for the host included; all but those of the lifecycle.
    pub latency: Latency,
    /// Processor time of all calls, in microseconds. A call of less than a tenth of a millisecond counts by the clock on
    /// the wall.
    pub cpu_us: u64,
    /// Where its next call begins.
    pub lane: Lane,
    /// Linear memory of the instance that runs, after its last call, in bytes; 0 when none does.
    pub memory_bytes: u64,
    /// The most there ever was after a call.
    pub memory_bytes_max: u64,
    /// Instances that came up.
    pub starts: u64,
    /// Samples it returned or offered, as far as they were well formed.
    pub samples: u64,
    /// Values in these samples.
    pub readings: u64,
    /// Names and values of these samples, in bytes: a number or a flag counts 8.
    pub reading_bytes: u64,
    /// Samples that were not taken: malformed, too fast, or refused by the daemon.
    pub rejected: u64,
    /// Times it tried what it has no right to.
    pub refused: u64,
    /// Times it waited for a host function: the store, the cloud, a file.
    pub waits: u64,
}

/// How the calls of one exported function ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// With an answer.
    pub good: u64,
    /// With an error that the plugin answered.
    pub errors: u64,
    /// With a trap.
    pub traps: u64,
    /// Over the deadline.
    pub timeouts: u64,
}

/// An exported function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Export {
    Sample,
    Handle,
    DesiredChanged,
    ConnectionChanged,
    Update,
    Process,
    /// No function, but as much a way in: what the component's toolchain runs at its beginning.
    Instantiate,
    Start,
    SaveState,
    RestoreState,
    Stop,
}

/// How one call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Error,
    Trap,
    Timeout,
}

/// One call, to be booked.
pub(crate) struct Called {
    pub(crate) export: Export,
    pub(crate) outcome: Outcome,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) waits: u32,
    /// Linear memory of the instance.
    pub(crate) memory_bytes: u64,
    /// Whether the instance outlived the call.
    pub(crate) is_left: bool,
}

/// The counters of one plugin.
#[derive(Default)]
pub(crate) struct Book(Mutex<Counters>);

#[derive(Default)]
struct Counters {
    calls: [Calls; Export::ALL.len()],
    latency: Histogram,
    /// All but what is kept in a form of its own here.
    plain: Figures,
}

impl Book {
    pub(crate) fn called(&self, called: &Called) {
        let mut counters = self.lock();
        if !called.export.is_lifecycle() {
            counters.latency.add(called.wall);
        }
        if let Some(calls) = counters.calls.get_mut(called.export as usize) {
            match called.outcome {
                Outcome::Good => calls.good += 1,
                Outcome::Error => calls.errors += 1,
                Outcome::Trap => calls.traps += 1,
                Outcome::Timeout => calls.timeouts += 1,
            }
        }
        let plain = &mut counters.plain;
        plain.cpu_us += u64::try_from(called.cpu.as_micros()).unwrap_or(u64::MAX);
        plain.waits += u64::from(called.waits);
        // Whoever is stopped has a successor, whose memory it is.
        if called.export != Export::Stop {
            plain.memory_bytes = if called.is_left { called.memory_bytes } else { 0 };
        }
        plain.memory_bytes_max = plain.memory_bytes_max.max(called.memory_bytes);
    }

    /// An instance came up.
    pub(crate) fn started(&self) {
        self.lock().plain.starts += 1;
    }

    pub(crate) fn took<'a>(&self, samples: impl IntoIterator<Item = &'a Sample>) {
        let (mut taken, mut readings, mut bytes) = (0, 0, 0);
        for sample in samples {
            taken += 1;
            readings += u64::try_from(sample.values.len()).unwrap_or(u64::MAX);
            bytes += sample_len(sample);
        }
        let mut counters = self.lock();
        counters.plain.samples += taken;
        counters.plain.readings += readings;
        counters.plain.reading_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    pub(crate) fn rejected(&self, samples: usize) {
        self.lock().plain.rejected += u64::try_from(samples).unwrap_or(u64::MAX);
    }

    pub(crate) fn refused(&self) {
        self.lock().plain.refused += 1;
    }

    pub(crate) fn read(&self, lane: Lane) -> Figures {
        let counters = self.lock();
        let named = Export::ALL.iter().zip(&counters.calls).filter(|(_, calls)| **calls != Calls::default());
        Figures {
            calls: named.map(|(export, calls)| (export.name(), *calls)).collect(),
            latency: counters.latency.read(),
            lane,
            ..counters.plain.clone()
        }
    }

    /// The counters are whole whatever a panicking holder did.
    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outcome {
    pub(crate) fn of<T>(answer: &Result<T, CallFailure>) -> Self {
        match answer {
            Ok(_) => Self::Good,
            Err(CallFailure::Error(_) | CallFailure::Gone) => Self::Error,
            Err(CallFailure::Trapped(_)) => Self::Trap,
            Err(CallFailure::TimedOut) => Self::Timeout,
        }
    }
}

impl Export {
    /// In the order of their declaration.
    const ALL: [Self; 11] = [
        Self::Sample,
        Self::Handle,
        Self::DesiredChanged,
        Self::ConnectionChanged,
        Self::Update,
        Self::Process,
        Self::Instantiate,
        Self::Start,
        Self::SaveState,
        Self::RestoreState,
        Self::Stop,
    ];

    /// Whether it makes an instance ready for calls.
    pub(crate) fn sets_up(self) -> bool {
        matches!(self, Self::Instantiate | Self::Start)
    }

    fn is_lifecycle(self) -> bool {
        self.sets_up() || matches!(self, Self::SaveState | Self::RestoreState | Self::Stop)
    }

    /// As the WIT package names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sample => "sensor.sample",
            Self::Handle => "commands.handle",
            Self::DesiredChanged => "twin-events.desired-changed",
            Self::ConnectionChanged => "connection-events.changed",
            Self::Update => "firmware.update",
            Self::Process => "transform.process",
            Self::Instantiate => "instantiate",
            Self::Start => "lifecycle.start",
            Self::SaveState => "lifecycle.save-state",
            Self::RestoreState => "lifecycle.restore-state",
            Self::Stop => "lifecycle.stop",
        }
    }
}

/// Names and values, in bytes: a number or a flag counts 8.
pub(crate) fn sample_len(sample: &Sample) -> usize {
    sample.values.iter().map(|(name, value)| name.len() + value_len(value)).sum()
}

fn value_len(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len() * 8,
        Value::Object(members) => members.iter().map(|(name, held)| name.len() + value_len(held)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

#[cfg(test)]
mod tests;

//! Medians, and what a stretch of work cost.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The middle one; of an even number the upper of the two, and of none not a number, which JSON writes as `null`.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Messages that were acknowledged within a stretch of time, and the processor time of the process that sent them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) messages: u64,
    pub(crate) time: Duration,
    pub(crate) processor: Duration,
}

impl Round {
    pub(crate) fn per_second(&self) -> f64 {
        self.messages as f64 / self.time.as_secs_f64()
    }

    pub(crate) fn processor_us(&self) -> f64 {
        self.processor.as_secs_f64() * 1e6 / self.messages as f64
    }
}

/// Runs from its making.
pub(crate) struct Stopwatch {
    begun: Instant,
    processor: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), processor: processor_time() }
    }

    pub(crate) fn stop(&self, messages: u64) -> Round {
        let time = self.begun.elapsed();
        Round { messages, time, processor: processor_time().saturating_sub(self.processor) }
    }
}

/// What all threads of this process have spent.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// All rounds of one way to send.
#[derive(Debug, Default)]
pub(crate) struct Rounds(pub(crate) Vec<Round>);

impl Rounds {
    pub(crate) fn per_second(&self) -> f64 {
        median(self.0.iter().map(Round::per_second).collect())
    }

    pub(crate) fn processor_us(&self) -> f64 {
        median(self.0.iter().map(Round::processor_us).collect())
    }

    /// The median over the rounds of this rate by that of the same round: what disturbs a round disturbs both.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        let pairs = self.0.iter().zip(&other.0);
        median(pairs.map(|(ours, theirs)| ours.per_second() / theirs.per_second()).collect())
    }

    /// Rates of the single rounds, for whoever doubts a median.
    pub(crate) fn rates(&self) -> Value {
        json!(self.0.iter().map(|round| round.per_second().round()).collect::<Vec<_>>())
    }
}

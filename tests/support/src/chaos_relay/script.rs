//! Scripts of faults: the same seed gives the same script, on every machine.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Chaos;

/// Pauses between two faults, in milliseconds: from a burst of trouble to time enough to come up again.
const PAUSE_MS: std::ops::Range<u64> = 50..1500;

/// How long a lasting fault lasts, in milliseconds.
const LASTING_MS: std::ops::Range<u64> = 50..1500;

/// Faults in the order they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub steps: Vec<Step>,
    /// When it is over, counted from its start; no fault lasts longer.
    pub length: Duration,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When, counted from the script's start.
    pub at: Duration,
    pub fault: Fault,
}

/// What goes wrong; a fault with a `time` is over after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Cut,
    CutAfter {
        bytes: u64,
    },
    BlackHole {
        time: Duration,
    },
    Delay {
        up: Duration,
        down: Duration,
        time: Duration,
    },
    Throttle {
        bytes_per_s: u64,
        time: Duration,
    },
    /// A cut, and nobody gets through for a while.
    Outage {
        time: Duration,
    },
}

impl Script {
    /// Faults of every kind at random times, for `length`.
    #[must_use]
    pub fn from_seed(seed: u64, length: Duration) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut steps = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            at += milliseconds(random.u64(PAUSE_MS));
            if at >= length {
                return Self { steps, length };
            }
            let time = milliseconds(random.u64(LASTING_MS)).min(length - at);
            let fault = match random.u8(0..6) {
                0 => Fault::Cut,
                // From within the TLS handshake to some way into the traffic.
                1 => {
                    let magnitude = random.u32(4..18);
                    Fault::CutAfter { bytes: random.u64(1..1 << magnitude) }
                }
                2 => Fault::BlackHole { time },
                3 => {
                    let (up, down) = (milliseconds(random.u64(0..300)), milliseconds(random.u64(0..300)));
                    Fault::Delay { up, down, time }
                }
                4 => Fault::Throttle { bytes_per_s: random.u64(500..50_000), time },
                _ => Fault::Outage { time },
            };
            steps.push(Step { at, fault });
            at += fault.time();
        }
    }

    pub(super) async fn play(&self, chaos: &Chaos) {
        let start = Instant::now();
        for step in &self.steps {
            sleep_until(start + step.at).await;
            step.fault.begin(chaos);
            sleep_until(start + step.at + step.fault.time()).await;
            step.fault.end(chaos);
        }
        sleep_until(start + self.length).await;
        chaos.calm();
    }
}

impl Fault {
    fn time(self) -> Duration {
        match self {
            Self::Cut | Self::CutAfter { .. } => Duration::ZERO,
            Self::BlackHole { time }
            | Self::Delay { time, .. }
            | Self::Throttle { time, .. }
            | Self::Outage { time } => time,
        }
    }

    fn begin(self, chaos: &Chaos) {
        match self {
            Self::Cut => chaos.cut(),
            Self::CutAfter { bytes } => chaos.cut_after(bytes),
            Self::BlackHole { .. } => chaos.black_hole(true),
            Self::Delay { up, down, .. } => chaos.delay(up, down),
            Self::Throttle { bytes_per_s, .. } => chaos.throttle(Some(bytes_per_s)),
            Self::Outage { .. } => {
                chaos.refuse(true);
                chaos.cut();
            }
        }
    }

    fn end(self, chaos: &Chaos) {
        match self {
            Self::Cut | Self::CutAfter { .. } => {}
            Self::BlackHole { .. } => chaos.black_hole(false),
            Self::Delay { .. } => chaos.delay(Duration::ZERO, Duration::ZERO),
            Self::Throttle { .. } => chaos.throttle(None),
            Self::Outage { .. } => chaos.refuse(false),
        }
    }
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

//! How much a plugin may bring, sent or returned beyond what was asked for: so many samples and bytes a second.
//!
//! It needs no right to bring readings, and all plugins share one store: whoever floods it would drive out what others
//! brought. Goes by the plugin's name, so that a restart refills nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use edgeplug_protocol::sample::Sample;

use crate::figures::sample_len;
use crate::pace::Pace;

/// Ten times what the fastest sensible sensor brings (100 a second), and at once what such a one kept back for a minute.
const SAMPLES_PER_SECOND: u32 = 1000;
const SAMPLES_AT_ONCE: u32 = 5000;
/// One message of the largest size each second, and ten of them at once.
const BYTES_PER_SECOND: u32 = 256 << 10;
const BYTES_AT_ONCE: u32 = 10 * BYTES_PER_SECOND;

pub(crate) struct Inflow(Mutex<Paces>);

struct Paces {
    samples: Pace,
    bytes: Pace,
}

impl Default for Inflow {
    fn default() -> Self {
        Self(Mutex::new(Paces {
            samples: Pace::new(SAMPLES_PER_SECOND, SAMPLES_AT_ONCE),
            bytes: Pace::new(BYTES_PER_SECOND, BYTES_AT_ONCE),
        }))
    }
}

impl Inflow {
    /// Takes a sample, or says in words why not.
    pub(crate) fn admit(&self, sample: &Sample, now: Duration) -> Result<(), String> {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !paces.samples.admit(1, now) {
            return Err(format!(
                "too fast: more than {SAMPLES_PER_SECOND} samples a second; put several values into one sample"
            ));
        }
        if !paces.bytes.admit(sample_len(sample), now) {
            return Err(format!("too fast: more than {} KiB of readings a second", BYTES_PER_SECOND >> 10));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Readings that the plugin sends of its own accord.

use crate::Sample;

/// What became of one sample: taken into the daemon's store for good, or not, with the reason.
pub type Outcome = Result<(), String>;

/// Sends up to 1000 samples, at most 240 KB of names and texts and 16 bytes for every value, and waits until the daemon's
/// store has them. One outcome per sample, in the order given; more at once is rejected whole.
#[must_use]
pub fn send(samples: &[Sample]) -> Vec<Outcome> {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::imports::edgeplug::plugin::telemetry;
        let outcome = |outcome| match outcome {
            telemetry::Outcome::Accepted => Ok(()),
            telemetry::Outcome::Rejected(reason) => Err(reason),
        };
        telemetry::send(samples).into_iter().map(outcome).collect()
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let outcome = host.outcome.clone();
        if outcome.is_ok() {
            host.sent.extend_from_slice(samples);
        }
        vec![outcome; samples.len()]
    })
}

//! Readings that the plugin sends of its own accord.

use crate::Sample;

pub use crate::bindings::imports::edgeplug::plugin::telemetry::Outcome;

/// Sends up to 1000 samples, at most 240 KB of names and texts and 16 bytes for every value, and waits until the
/// daemon's store has them. One outcome per sample, in the order given; more at once is rejected whole.
///
/// ```
/// use edgeplug_guest::telemetry::{self, Outcome};
/// use edgeplug_guest::{Sample, warn};
///
/// for outcome in telemetry::send(&[Sample::new().with("door", "open")]) {
///     if let Outcome::Rejected(reason) = outcome {
///         warn!("the door's opening is not on record: {reason}");
///     }
/// }
/// ```
#[must_use]
pub fn send(samples: &[Sample]) -> Vec<Outcome> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::telemetry::send(samples);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let outcome = host.outcome.clone();
        if outcome.is_accepted() {
            host.sent.extend_from_slice(samples);
        }
        vec![outcome; samples.len()]
    })
}

impl Outcome {
    /// Whether the daemon has it, in its store or, where the operator chose so, in its memory.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted | Self::AcceptedInMemory)
    }
}

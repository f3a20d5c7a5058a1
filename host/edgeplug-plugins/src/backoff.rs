//! How long to wait before the next try: doubling, capped, never twice the same.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Between half and the whole of `min * 2^failures`, at most `max`. The spread keeps plugins that failed together from
/// coming back together.
pub(crate) fn wait(min: Duration, max: Duration, failures: u32) -> Duration {
    let whole = min.saturating_mul(2u32.saturating_pow(failures)).min(max);
    // The only randomness of the standard library: every hasher is seeded differently.
    let spread = RandomState::new().build_hasher().finish() % 1000;
    let spread = u32::try_from(spread).unwrap_or(0);
    whole / 2 + whole / 2 * spread / 1000
}

#[cfg(test)]
mod tests;

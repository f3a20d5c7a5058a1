//! The neighbour's latencies, pooled.

/// Microseconds.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<u32>);

impl Latencies {
    pub(super) fn add(&mut self, microseconds: &[u32]) {
        self.0.extend_from_slice(microseconds);
    }

    /// 0 of none.
    pub(super) fn percentile(&mut self, percent: usize) -> u32 {
        self.0.sort_unstable();
        let at = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(at).copied().unwrap_or(0)
    }

    /// How many of a hundred took longer.
    pub(super) fn percent_above(&self, microseconds: u32) -> usize {
        let above = self.0.iter().filter(|took| **took > microseconds).count();
        (above * 100).checked_div(self.0.len()).unwrap_or(0)
    }
}

impl From<&[u32]> for Latencies {
    fn from(microseconds: &[u32]) -> Self {
        Self(microseconds.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(99), 0);
        latencies.add(&(1..=200).rev().collect::<Vec<_>>());
        assert_eq!((latencies.percentile(50), latencies.percentile(99), latencies.percentile(100)), (100, 198, 200));
        assert_eq!(latencies.percent_above(150), 25);
    }
}

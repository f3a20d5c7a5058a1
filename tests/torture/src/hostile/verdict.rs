//! The last line of a run.

use std::fmt;

use serde::Serialize;

/// Whether all walls stand.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Ways through that were tried.
    pub walls: usize,
    /// Those of them that led somewhere, or that proved nothing.
    pub breached: usize,
    /// The 99th percentile of the neighbour's calls under attack, over that of its calls alone, in the same run.
    pub neighbour_p99_ratio: f64,
    /// Attackers that were left alone in the end.
    pub quarantined: usize,
    /// Broken promises in words.
    #[serde(skip)]
    pub complaints: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

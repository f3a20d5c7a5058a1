//! What is said once to the operator and not with every sample.

use std::collections::HashSet;

/// Distinct complaints remembered; after that none is said any more, since whoever sends ever new ones floods the log.
const COMPLAINTS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Complaints(HashSet<String>);

impl Complaints {
    pub(super) fn say(&mut self, about: &str, reason: &str) {
        if self.0.len() < COMPLAINTS_MAX && self.0.insert(format!("{about}: {reason}")) {
            tracing::warn!(about, reason, "a reading was not taken as it is");
        }
    }
}

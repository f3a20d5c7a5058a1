//! Which types of message were covered, counted by the simulator's two lists.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use edgeplug_cloud::{AckBalance, LEGACY_ROWS, Protocol, V21_ROWS};

/// What all scenes together have shown.
#[derive(Default)]
pub(super) struct Coverage(Mutex<Shown>);

#[derive(Default)]
struct Shown {
    rows: BTreeSet<(Protocol, &'static str)>,
    missing_acks: usize,
    double_acks: usize,
}

impl Coverage {
    /// The type was sent and its effect seen.
    pub(super) fn cover(&self, protocol: Protocol, row: &'static str) {
        self.with(|shown| shown.rows.insert((protocol, row)));
    }

    pub(super) fn count(&self, balance: &AckBalance) {
        self.with(|shown| {
            shown.missing_acks += balance.missing.len();
            shown.double_acks += balance.double.len();
        });
    }

    pub(super) fn uncovered(&self) -> Vec<String> {
        self.with(|shown| {
            let all = all().filter(|row| !shown.rows.contains(row));
            all.map(|(protocol, row)| format!("{protocol:?} {row}")).collect()
        })
    }

    pub(super) fn is_complete(&self) -> bool {
        self.uncovered().is_empty() && self.with(|shown| shown.missing_acks + shown.double_acks == 0)
    }

    /// The last line.
    pub(super) fn summary(&self) -> String {
        self.with(|shown| {
            let covered = all().filter(|row| shown.rows.contains(row)).count();
            format!(
                r#"{{"c2d_types_covered":{covered},"c2d_types_total":{},"missing_acks":{},"double_acks":{}}}"#,
                all().count(),
                shown.missing_acks,
                shown.double_acks
            )
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Shown) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn all() -> impl Iterator<Item = (Protocol, &'static str)> {
    let legacy = LEGACY_ROWS.into_iter().map(|row| (Protocol::Legacy, row));
    legacy.chain(V21_ROWS.into_iter().map(|row| (Protocol::V21, row)))
}

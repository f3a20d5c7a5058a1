//! What a mode found: the last line it prints.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// Which promise was put to the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `kill -9` under load.
    Kill,
    /// The power goes between any two writes to the disk.
    Powercut,
    /// A network and a hub that misbehave.
    Chaos,
    /// Outages again and again while memory, files and threads are watched.
    Soak,
    /// A day's readings to be sent beside live ones.
    Backlog,
}

/// The figures of one run. A figure that a mode cannot measure is 0.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Which mode.
    pub mode: Mode,
    /// Kills, cut points, seeds, outages or runs.
    pub cycles: u64,
    /// Readings (or, for power cuts, rows) that were reported as accepted.
    pub accepted: u64,
    /// Those of them that arrived, or were found on the disk.
    pub delivered: u64,
    /// Those of them that did neither.
    pub lost: u64,
    /// Rows that arrived more than once.
    pub duplicates: u64,
    /// Most rows that one crash may send twice (`uplink.window`).
    pub window: u64,
    /// Most rows that one crash did send twice.
    pub duplicates_per_crash_max: u64,
    /// Files that SQLite or the outbox called damaged.
    pub corrupt: u64,
    /// Runs that did not come to rest in time.
    pub wedged: u64,
    /// Commands with two different outcomes.
    pub double_acks: u64,
    /// Connections on which readings of one plugin came in another order than promised.
    pub order_violations: u64,
    /// Crashes that hit a transaction of which something was written and not yet synced.
    pub hit_open_transaction: u64,
    /// What only this mode has to say.
    #[serde(flatten)]
    pub more: Map<String, Value>,
    /// Broken promises in words; none of them is in the JSON twice.
    #[serde(skip)]
    pub complaints: Vec<String>,
}

/// Complaints printed at most: the first ones tell the story.
const COMPLAINTS_MAX: usize = 20;

impl Verdict {
    /// Nothing found yet.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            cycles: 0,
            accepted: 0,
            delivered: 0,
            lost: 0,
            duplicates: 0,
            window: 0,
            duplicates_per_crash_max: 0,
            corrupt: 0,
            wedged: 0,
            double_acks: 0,
            order_violations: 0,
            hit_open_transaction: 0,
            more: Map::new(),
            complaints: Vec::new(),
        }
    }

    /// Adds a figure of this mode's own.
    pub fn say(&mut self, name: &str, value: impl Into<Value>) {
        self.more.insert(name.to_owned(), value.into());
    }

    /// Adds a broken promise in words.
    pub fn complain(&mut self, complaint: impl Into<String>) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint.into());
        }
    }

    /// Turns broken promises among the figures into words, so that none can be overlooked.
    pub fn judge(&mut self) {
        let broken = [
            ("accepted and lost", self.lost),
            ("damaged files", self.corrupt),
            ("runs that never came to rest", self.wedged),
            ("commands with two outcomes", self.double_acks),
            ("connections out of order", self.order_violations),
        ];
        for (what, count) in broken.into_iter().filter(|(_, count)| *count > 0) {
            self.complain(format!("{count} {what}"));
        }
        if self.duplicates_per_crash_max > self.window {
            let (most, window) = (self.duplicates_per_crash_max, self.window);
            self.complain(format!("one crash sent {most} rows twice, the window is {window}"));
        }
        if self.accepted == 0 {
            self.complain("nothing was accepted, so nothing is proven");
        }
    }

    /// Whether every promise was kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.complaints.is_empty()
    }
}

/// One JSON object on one line.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

//! Recorded behaviour of the upstream SDKs, run through the real session and codecs.
//!
//! A vector file holds one case a line: what the portal answers, what is done, and what was seen. Each case gets a device
//! of its own ([`device`]): the session of the daemon with a store, a portal and a hub in memory and a clock that stands
//! still unless the case moves it. What that device shows is compared with what was recorded ([`judge`]).
//!
//! What must stay true: nothing here knows how a message is made; whatever is published was encoded by the host's code.
//! Deliberately absent: a way to record. The schema and its rules: `README.md` beside this crate.

mod attributes;
mod case;
mod compare;
mod device;
mod happening;
mod judge;
mod portal;
mod run;
mod store;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use anyhow::{Context as _, Result};

pub use crate::run::Verdict;

/// What came of one line.
#[derive(Debug)]
pub struct Outcome {
    /// Of the case, or the place of a line that is none.
    pub id: String,
    /// What came of it.
    pub verdict: Verdict,
}

/// Runs every case of a file. Only a file that cannot be read is an error; a line that cannot counts as failed.
pub fn run_file(path: &Path) -> Result<Vec<Outcome>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Ok(lines.map(|(index, line)| run_line(line, &format!("{}:{}", path.display(), index + 1))).collect())
}

/// Runs one case; `place` names it as long as it has no id.
#[must_use]
pub fn run_line(line: &str, place: &str) -> Outcome {
    match case::Case::parse(line) {
        Ok(case) => {
            let id = format!("{} ({place}, {})", case.id, case.family);
            // A session that panics fails this case and no other.
            let verdict = panic::catch_unwind(AssertUnwindSafe(|| run::run(case)));
            let verdict = verdict.unwrap_or_else(|_| Verdict::Failed(vec!["the session panicked; see above".into()]));
            Outcome { id, verdict }
        }
        Err(error) => Outcome { id: place.to_owned(), verdict: Verdict::Failed(vec![format!("{error:#}")]) },
    }
}

/// Counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// As recorded.
    pub passed: usize,
    /// Not as recorded, or not understood.
    pub failed: usize,
    /// Left out.
    pub skipped: usize,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

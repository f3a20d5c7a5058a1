//! Says what became of a component that somebody put into a directory.

use std::ffi::OsStr;

use super::{Known, Work};
use crate::question::Question;
use crate::status::{PluginState, Trust};

/// Failures of our own side with the same files after which they count as not taken: some two minutes of trying.
const FAILURES_MAX: u32 = 6;

impl Work {
    /// Answers what can be answered by now.
    pub(super) fn answer(&mut self) {
        for (question, was_looked_for) in std::mem::take(&mut self.asked) {
            match self.judge(&question).filter(|_| was_looked_for) {
                Some(trust) => {
                    // Whoever asked may have given up.
                    let _ = question.done.send(trust);
                }
                None if question.done.is_closed() => {}
                None => self.asked.push((question, was_looked_for)),
            }
        }
    }

    /// The directories cannot be read.
    pub(super) fn answer_unknown(&mut self) {
        for (question, _) in self.asked.drain(..) {
            let _ = question.done.send(Trust::Unknown);
        }
    }

    /// None while it is being looked into.
    fn judge(&self, Question { plugin, sha256, .. }: &Question) -> Option<Trust> {
        let file_name = format!("{plugin}.wasm");
        let mut users = self.known.values().filter(|known| known.runs_file(&file_name)).peekable();
        if users.peek().is_none() {
            let refused = self.refused.iter().find(|(file, _)| file.file_name() == Some(OsStr::new(&file_name)));
            return Some(refused.map_or(Trust::Unknown, |(_, reason)| Trust::Failed(reason.clone())));
        }
        let answers: Vec<_> = users.map(|known| known.trust(sha256)).collect();
        let found = |wanted: fn(&Trust) -> bool| answers.iter().flatten().find(|trust| wanted(trust)).cloned();
        match found(|trust| matches!(trust, Trust::Failed(_))) {
            None if answers.iter().any(Option::is_none) => None,
            failed => failed
                .or_else(|| found(|trust| *trust == Trust::Unknown))
                .or_else(|| found(|trust| *trust == Trust::OnProbation))
                .or(Some(Trust::Confirmed)),
        }
    }
}

impl Known {
    /// Whether this is its component's file, at the last look.
    fn runs_file(&self, file_name: &str) -> bool {
        let seen = self.seen.as_ref().and_then(|seen| seen.component.file_name());
        seen == Some(OsStr::new(file_name))
    }

    /// None while it is being looked into.
    fn trust(&self, sha256: &str) -> Option<Trust> {
        if self.shelf.is_disabled() {
            let reason = "an operator switched the plugin off; switch it on (`plugin enable`) and send it again";
            return Some(Trust::Failed(reason.to_owned()));
        }
        if self.loading || self.judged.is_none() || self.judged != self.seen || self.ending.borrow().is_some() {
            return None;
        }
        if let Some((of, reason)) = &self.verdict {
            let is_asked_for = of.as_ref().is_none_or(|of| of == sha256);
            return Some(if is_asked_for { Trust::Failed(reason.clone()) } else { Trust::Unknown });
        }
        if self.retry_at.is_some() {
            let reason = self.said.clone().filter(|_| self.failures >= FAILURES_MAX);
            return Some(reason.map_or(Trust::Unknown, Trust::Failed));
        }
        let is_running = self.slot.running().is_some_and(|running| running.sha256 == sha256);
        let status = self.slot.status();
        // Before what runs: that may be the same component with another manifest.
        if let Some(set_aside) = status.set_aside.as_ref().filter(|set_aside| set_aside.sha256 == sha256) {
            return Some(Trust::Failed(set_aside.reason.clone()));
        }
        Some(match (&status.probation, status.state) {
            (_, PluginState::Quarantined) => Trust::Failed(status.problem.clone().unwrap_or_default()),
            _ if !is_running => Trust::Unknown,
            (Some(_), _) => Trust::OnProbation,
            (None, _) => Trust::Confirmed,
        })
    }
}

//! A new version on its way to being trusted.

use std::sync::Arc;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::Task;
use crate::adopt::as_good;
use crate::event::PluginEvent;
use crate::probation::ERRORS_MAX;
use crate::shelf::Trial;

impl Task {
    pub(super) fn answered_well(&mut self) {
        let Some(proof) = &mut self.proof else {
            return;
        };
        proof.good_call();
        let is_news = proof.wants_calls();
        if proof.passed(Instant::now()) {
            self.confirm();
        } else if is_news {
            self.note_proof();
        }
    }

    /// An error is no fault, but many in a row are no proof either.
    pub(super) async fn erred(&mut self, error: &str) {
        let failed = self.proof.as_mut().is_some_and(crate::probation::Proof::error);
        if failed && let Some(standby) = self.standby.take() {
            self.roll_back(standby, &format!("{ERRORS_MAX} calls in a row failed, the last one: {error}")).await;
        }
    }

    /// Time alone may have decided.
    pub(super) fn weigh(&mut self) {
        if self.proof.as_ref().is_some_and(|proof| proof.passed(Instant::now())) {
            self.confirm();
        } else {
            self.note_proof();
        }
    }

    fn confirm(&mut self) {
        self.proof = None;
        self.standby = None;
        let Some(current) = &self.current else {
            return;
        };
        let sha256 = current.version.sha256.clone();
        let shelf = Arc::clone(&self.seat.shelf);
        let number = shelf.confirm(as_good(current));
        // A disk that fails is said in the status.
        self.writing.spawn(async move {
            if let Some(number) = number {
                let _ = shelf.written(number).await;
            }
            Some(sha256)
        });
    }

    /// It is on disk, or never will be.
    pub(super) async fn written(&mut self, written: Result<Option<String>, JoinError>) {
        if let Ok(Some(sha256)) = written {
            // Not before: until then a crash takes it back.
            self.show_proof();
            self.emit(PluginEvent::Confirmed { plugin: self.seat.plugin.clone(), sha256 }).await;
        }
    }

    /// How far the version that runs is, for the shelf.
    pub(super) fn trial_under_way(&mut self) -> Option<Trial> {
        let (proof, current) = (self.proof.as_mut()?, self.current.as_ref()?);
        let known = self.seat.shelf.record().trial.filter(|trial| trial.id == current.id);
        let mut trial = known.unwrap_or(Trial { id: current.id.clone(), elapsed_s: 0, good_calls: 0, starts: 0 });
        proof.note(&mut trial, Instant::now());
        Some(trial)
    }

    pub(super) fn note_proof(&mut self) {
        self.show_proof();
        if let Some(trial) = self.trial_under_way() {
            self.seat.shelf.change(|record| record.trial = Some(trial));
        }
    }

    pub(super) fn show_proof(&self) {
        let now = Instant::now();
        self.seat.slot.status().probation = self.proof.as_ref().map(|proof| proof.status(now));
    }

    /// The daemon stops well, so it was not this version that ended it.
    pub(super) async fn note_end(&mut self) {
        while self.writing.join_next().await.is_some() {}
        let trial = self.trial_under_way();
        let number = self.seat.shelf.change(|record| {
            if let Some(trial) = trial {
                record.trial = Some(Trial { starts: 0, ..trial });
            }
        });
        // Also for what was changed before. A disk that fails was said.
        let _ = self.seat.shelf.written(number).await;
    }
}

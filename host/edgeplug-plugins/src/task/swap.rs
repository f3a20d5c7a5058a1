//! From one version to the next, between two calls.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Cargo, Current, Delivery, Newcomer, Standby, Task, Verdict};
use crate::event::{Change, PluginEvent};
use crate::instance::Instance;
use crate::probation::Proof;
use crate::repeats::Repeats;
use crate::shelf::{Failure, VersionId};
use crate::status::{PluginState, SetAside};

/// What the old version handed over, for the new one and for when it has to come back.
type Saved = Option<Arc<Vec<u8>>>;

impl Task {
    pub(super) async fn take(&mut self, delivery: Delivery) {
        let Delivery { cargo, file, done } = delivery;
        let verdict = match cargo {
            // Switched off while it was loaded.
            Cargo::New(newcomer) if self.seat.shelf.is_disabled() => {
                if let Ok(instance) = newcomer.started {
                    self.dismiss(instance);
                }
                Verdict::PutAside
            }
            Cargo::Kept(_) if self.seat.shelf.is_disabled() => Verdict::PutAside,
            Cargo::New(newcomer) => {
                let Newcomer { current, started, trial, standby } = *newcomer;
                let proof = trial.map(|trial| Proof::new(self.limits.probation, Some(&trial), Instant::now()));
                let started = match started {
                    Ok(instance) => self.hand_over(instance).await,
                    Err(failure) => Err(format!("it does not start: {failure}")),
                };
                match started {
                    Ok((instance, saved)) => {
                        self.switch(current, proof, standby, saved);
                        let change = if self.was_up { Change::Replaced } else { Change::First };
                        self.come_up(instance, change).await;
                        Verdict::Adopted
                    }
                    Err(problem) => self.refuse(current, proof, standby, (file, problem)).await,
                }
            }
            Cargo::Kept(standby) => {
                self.resume(*standby, Change::First).await;
                Verdict::Adopted
            }
        };
        let _ = done.send(verdict);
    }

    /// Gives the new version what the old one saved. The error says why the new one shall not run.
    pub(super) async fn hand_over(&mut self, mut new: Instance) -> Result<(Instance, Saved), String> {
        let saved = match &mut self.instance {
            None => return Ok((new, None)),
            Some(old) => old.save_state().await,
        };
        let saved = match saved {
            Ok(saved) if saved.is_empty() => return Ok((new, None)),
            Ok(saved) => saved,
            Err(failure) => {
                let problem = format!("the version before saved no state, the new one starts with nothing: {failure}");
                tracing::warn!(plugin = self.seat.plugin, problem, "plugin was swapped without its state");
                self.note(&problem);
                return Ok((new, None));
            }
        };
        let kept = Arc::new(saved.clone());
        if !new.has_lifecycle() {
            let problem = "the version before saved its state, but the new one exports no `lifecycle` to take it";
            tracing::warn!(plugin = self.seat.plugin, problem, "plugin was swapped without its state");
            self.note(problem);
            return Ok((new, Some(kept)));
        }
        match new.restore_state(saved).await {
            Ok(()) => Ok((new, Some(kept))),
            Err(failure) => {
                // It was started, so it is stopped.
                self.dismiss(new);
                Err(format!("it does not take the state of the version before: {failure}"))
            }
        }
    }

    /// Makes the new version the current one, and decides what to go back to.
    fn switch(&mut self, current: Current, proof: Option<Proof>, standby: Option<Standby>, saved: Saved) {
        let was_trusted = self.proof.is_none();
        let old = self.set_current(Some(current));
        let at_hand = self.standby.take();
        if proof.is_some() {
            // A version on probation is nothing to go back to; the one before it stays that.
            self.standby = standby.or(match old {
                Some(current) if was_trusted => {
                    self.keep_state(&current.id, saved.clone());
                    Some(Standby { current, state: saved })
                }
                _ => at_hand,
            });
        }
        self.proof = proof;
        self.show_proof();
        self.inheritance = None;
        self.errors = Repeats::default();
        let mut status = self.seat.slot.status();
        status.strikes = 0;
        status.set_aside = None;
        status.swaps += u64::from(self.was_up);
    }

    fn keep_state(&mut self, of: &VersionId, saved: Saved) {
        let (shelf, of) = (Arc::clone(&self.seat.shelf), of.clone());
        // Not awaited: the next call may come now. After a kill there is what was kept before, or nothing.
        self.writing.spawn(async move {
            shelf.keep_state(of, saved).await;
            None
        });
    }

    /// A version that does not start, or does not take what the old one hands over.
    async fn refuse(
        &mut self,
        current: Current,
        proof: Option<Proof>,
        standby: Option<Standby>,
        (file, problem): (std::path::PathBuf, String),
    ) -> Verdict {
        // A version that once ran is better than one that does not start, even while it waits for its restart.
        let aside = self.was_up && self.current.is_some();
        let outlook = match (aside, &self.instance, &standby) {
            (true, Some(_), _) => "the version before goes on",
            (true, None, _) => "the version before will be tried again",
            (false, _, Some(_)) => "the last good version takes its place",
            (false, _, None) => "it will be tried again",
        };
        let reason = format!("{problem}; {outlook}");
        self.note(&reason);
        self.seat.slot.status().problem = Some(reason.clone());
        let sha256 = (aside || standby.is_some()).then(|| current.version.sha256.clone());
        let plugin = self.seat.plugin.clone();
        self.emit(PluginEvent::Refused { plugin, file, reason: reason.clone(), sha256 }).await;
        if aside {
            self.set_aside(&current, &problem);
            return Verdict::PutAside;
        }
        if let Some(standby) = standby {
            self.set_aside(&current, &problem);
            self.resume(standby, Change::First).await;
            self.seat.slot.status().problem = Some(reason);
            return Verdict::Adopted;
        }
        self.set_current(Some(current));
        self.proof = proof;
        self.show_proof();
        self.strike(&problem).await;
        Verdict::Adopted
    }

    /// Not to be tried again until its files change. What runs stays on its own probation.
    pub(super) fn set_aside(&mut self, failed: &Current, reason: &str) {
        let failure = Failure::now(failed.id.clone(), reason);
        let trial = self.trial_under_way();
        self.seat.shelf.change(|record| {
            record.set_aside(failure);
            record.trial = trial;
        });
        let set_aside = SetAside { sha256: failed.version.sha256.clone(), reason: reason.to_owned() };
        self.seat.slot.status().set_aside = Some(set_aside);
    }

    /// The last good version is the current one again, as it was when it was replaced.
    pub(super) async fn resume(&mut self, standby: Standby, change: Change) {
        let Standby { current, state } = standby;
        self.set_current(Some(current));
        self.proof = None;
        self.show_proof();
        self.standby = None;
        self.inheritance = state;
        self.errors = Repeats::default();
        self.seat.slot.status().strikes = 0;
        self.start_again(change).await;
    }

    pub(super) async fn come_up(&mut self, instance: Instance, change: Change) {
        self.restart_at = None;
        self.seat.slot.remark(instance.problems());
        if let Some(old) = self.instance.replace(instance) {
            self.dismiss(old);
        }
        let Some(Current { version, grants, blueprint, papers, .. }) = &self.current else {
            return;
        };
        let interval = version.manifest.interval;
        let firmware = blueprint.exports.firmware.then(|| version.manifest.firmware.clone());
        let up = PluginEvent::Up {
            plugin: self.seat.plugin.clone(),
            exports: blueprint.exports,
            interval,
            sha256: version.sha256.clone(),
            change,
            grants: grants.clone(),
            commands: version.manifest.commands.clone(),
            firmware: firmware.clone(),
        };
        let provenance = &papers.provenance;
        {
            let mut status = self.seat.slot.status();
            status.state = PluginState::Running;
            status.sha256.clone_from(&version.sha256);
            status.exports = blueprint.exports;
            status.interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
            status.grants.clone_from(grants);
            status.commands.clone_from(&version.manifest.commands);
            status.firmware = firmware;
            if change != Change::Restarted {
                status.problem = None;
                // Its files may have been put elsewhere since, unchanged.
                status.origin = Some(papers.origin);
            }
        }
        self.seat.slot.certify(provenance);
        if let Some(words) = provenance.words.as_ref().filter(|_| change != Change::Restarted) {
            tracing::warn!(plugin = self.seat.plugin, problem = words, "plugin runs all the same");
            self.note(words);
        }
        self.show_proof();
        self.was_up = true;
        // Told after every start, whatever it was before.
        self.connection.mark_changed();
        // Calls are served by this task too, so no answer precedes this event.
        self.emit(up).await;
    }
}

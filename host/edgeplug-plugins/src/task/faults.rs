//! After a fault: start again later, go back to the last good version, or leave the plugin alone.

use tokio::time::Instant;

use super::{Ailment, Standby, Task};
use crate::backoff;
use crate::event::{Change, PluginEvent};
use crate::shelf::Failure;
use crate::status::PluginState;

/// Digits of a hash by which people tell versions apart.
const SHORT_HASH_LEN: usize = 12;

impl Task {
    /// The instance died: nothing gets in any more, what is waiting is told.
    pub(super) async fn fall(&mut self, reason: String) {
        self.instance = None;
        {
            let mut status = self.seat.slot.status();
            status.state = PluginState::Restarting;
            status.faults += 1;
            status.problem = Some(reason.clone());
        }
        self.ailment = Some(Ailment { error_of: None, words: reason.clone() });
        self.drain().await;
        tracing::warn!(plugin = self.seat.plugin, reason, "plugin went down, starting it again");
        self.emit(PluginEvent::Down { plugin: self.seat.plugin.clone(), reason: reason.clone(), gone: false }).await;
        if let Some(standby) = self.standby.take() {
            self.roll_back(standby, &reason).await;
            return;
        }
        if let Some(proof) = &mut self.proof {
            proof.fault(Instant::now());
            self.note_proof();
        }
        self.strike(&reason).await;
    }

    /// The new version failed its probation; the one before takes over again.
    pub(super) async fn roll_back(&mut self, standby: Standby, reason: &str) {
        let Some(failed) = self.set_current(None) else {
            return;
        };
        self.proof = None;
        self.standby = None;
        self.set_aside(&failed, reason);
        self.seat.slot.status().rollbacks += 1;
        let short = failed.version.sha256.get(..SHORT_HASH_LEN).unwrap_or_default();
        let words = format!("version {short} was rolled back: {reason}");
        self.note(&words);
        let (plugin, sha256) = (self.seat.plugin.clone(), failed.version.sha256);
        self.emit(PluginEvent::RolledBack { plugin, sha256, reason: reason.to_owned() }).await;
        self.resume(standby, Change::RolledBack).await;
        // It waits for a person.
        self.ailment = None;
        self.seat.slot.status().problem = Some(words);
    }

    pub(super) async fn restart(&mut self) {
        let change = if self.was_up { Change::Restarted } else { Change::First };
        self.start_again(change).await;
    }

    /// A fresh instance of the current version, given what there is to inherit.
    pub(super) async fn start_again(&mut self, change: Change) {
        let is_restart = self.restart_at.take().is_some();
        loop {
            let Some(current) = &self.current else {
                return;
            };
            let started = current.blueprint.start().await;
            let mut instance = match started {
                Ok(instance) => instance,
                Err(failure) => break self.not_started(&format!("it does not start: {failure}")).await,
            };
            if let Some(state) = self.inheritance.take().filter(|_| instance.has_lifecycle())
                && let Err(failure) = instance.restore_state(state.to_vec()).await
            {
                let problem = format!("it does not take back what it saved and starts with nothing: {failure}");
                tracing::warn!(plugin = self.seat.plugin, problem, "plugin starts without its state");
                self.note(&problem);
                self.dismiss(instance);
                continue;
            }
            self.seat.slot.status().restarts += u64::from(is_restart);
            break self.come_up(instance, change).await;
        }
    }

    async fn not_started(&mut self, reason: &str) {
        tracing::warn!(plugin = self.seat.plugin, reason, "plugin did not start, trying again later");
        self.note(reason);
        {
            let mut status = self.seat.slot.status();
            status.state = PluginState::Restarting;
            status.problem = Some(reason.to_owned());
        }
        // One that was to be replaced because it answers nothing but errors.
        if let Some(old) = self.instance.take() {
            self.dismiss(old);
            self.drain().await;
            let down = PluginEvent::Down { plugin: self.seat.plugin.clone(), reason: reason.to_owned(), gone: false };
            self.emit(down).await;
        }
        self.strike(reason).await;
    }

    /// One more fault: sets the next try, or leaves the plugin alone.
    pub(super) async fn strike(&mut self, reason: &str) {
        let strikes = {
            let mut status = self.seat.slot.status();
            status.state = PluginState::Restarting;
            status.strikes = status.strikes.saturating_add(1);
            status.strikes
        };
        if strikes >= self.limits.quarantine_strikes {
            self.quarantine(strikes, reason).await;
            return;
        }
        let wait = backoff::wait(self.limits.restart_min, self.limits.restart_max, strikes - 1);
        self.restart_at = Some(Instant::now() + wait);
    }

    async fn quarantine(&mut self, strikes: u32, reason: &str) {
        let Some(left_alone) = self.set_current(None) else {
            return;
        };
        self.restart_at = None;
        let was_on_probation = self.proof.take().is_some();
        let plugin = self.seat.plugin.clone();
        let words = format!(
            "left alone after {strikes} faults in a row until its files change or `edgeplug plugin enable {plugin}`; \
             the last: {reason}"
        );
        self.seat.shelf.change(|record| {
            record.trial = None;
            record.quarantine = Some(Failure::now(left_alone.id, &words));
        });
        {
            let mut status = self.seat.slot.status();
            status.state = PluginState::Quarantined;
            status.problem = Some(words.clone());
            status.probation = None;
        }
        self.ailment = None;
        tracing::error!(plugin, reason = words, "plugin is in quarantine");
        self.note(&words);
        if was_on_probation {
            let sha256 = left_alone.version.sha256;
            self.emit(PluginEvent::RolledBack { plugin: plugin.clone(), sha256, reason: words.clone() }).await;
        }
        if std::mem::take(&mut self.was_up) {
            self.emit(PluginEvent::Down { plugin, reason: words, gone: true }).await;
        }
    }
}

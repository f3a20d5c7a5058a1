//! Carries out what operators want, beside everything else: a plugin in the middle of a long call keeps nobody waiting but
//! whoever asked.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::Work;
use crate::operate::{NotOperated, Operating, Operation};
use crate::shelf::Shelf;
use crate::status::PluginState;
use crate::task::Order;

/// What is left to do for the keeper.
pub(super) enum Followup {
    Nothing,
    /// The files of this plugin are to be loaded as if they were new.
    LoadAgain {
        plugin: String,
        generation: u64,
    },
}

/// One operation at work.
struct Operator {
    plugin: String,
    generation: u64,
    state: PluginState,
    has_version: bool,
    shelf: Arc<Shelf>,
    orders: mpsc::Sender<Order>,
}

impl Work {
    pub(super) fn operate(&mut self, operating: Operating) {
        let Operating { plugin, operation, done } = operating;
        let Some(known) = self.known.get(&plugin) else {
            let known = self.keeper.slots.names();
            let _ = done.send(Err(NotOperated::Unknown { plugin, known }));
            return;
        };
        let operator = Operator {
            plugin,
            generation: known.generation,
            state: known.slot.status().state,
            has_version: known.slot.running().is_some(),
            shelf: Arc::clone(&known.shelf),
            orders: known.orders.clone(),
        };
        self.operating.spawn(async move {
            let (answer, followup) = operator.carry_out(operation).await;
            let _ = done.send(answer);
            followup
        });
    }

    pub(super) fn operated(&mut self, followup: Result<Followup, JoinError>) {
        let Ok(Followup::LoadAgain { plugin, generation }) = followup else {
            return;
        };
        if let Some(known) = self.known.get_mut(&plugin).filter(|known| known.generation == generation) {
            known.judged = None;
            known.said = None;
            known.failures = 0;
            if matches!(known.slot.status().state, PluginState::Disabled | PluginState::Quarantined) {
                known.slot.rest(PluginState::Loading, None);
            }
            self.next_look = Instant::now();
        }
    }
}

impl Operator {
    async fn carry_out(self, operation: Operation) -> (Result<String, NotOperated>, Followup) {
        let is_disabled = self.shelf.is_disabled();
        let is_quarantined = self.state == PluginState::Quarantined;
        let load_again = Followup::LoadAgain { plugin: self.plugin.clone(), generation: self.generation };
        let refused = |reason: &str| NotOperated::Refused { plugin: self.plugin.clone(), reason: reason.to_owned() };
        match operation {
            Operation::Disable if is_disabled => (Ok("it is switched off already".to_owned()), Followup::Nothing),
            Operation::Disable => (self.disable().await, Followup::Nothing),
            Operation::Enable if is_disabled || is_quarantined => {
                let what = if is_disabled { "switched on" } else { "the quarantine is lifted" };
                (Ok(self.lift(&format!("{what}; it is being loaded")).await), load_again)
            }
            Operation::Enable => (Ok("it is switched on already".to_owned()), Followup::Nothing),
            Operation::Restart if is_disabled => {
                (Err(refused("it is switched off; switch it on instead (`plugin enable`)")), Followup::Nothing)
            }
            Operation::Restart if is_quarantined => {
                (Ok(self.lift("the quarantine is lifted; it is being loaded").await), load_again)
            }
            Operation::Restart if self.has_version => {
                let (done, answer) = oneshot::channel();
                let _ = self.orders.send(Order::Restart(done)).await;
                let answer = answer.await.unwrap_or_else(|_| Err("it is on its way out".to_owned()));
                (answer.map_err(|reason| refused(&reason)), Followup::Nothing)
            }
            Operation::Restart => (Ok("no version of it runs; its files are looked at again".to_owned()), load_again),
        }
    }

    async fn disable(&self) -> Result<String, NotOperated> {
        let written = self.shelf.changed(|record| record.disabled = true).await;
        let (done, halted) = oneshot::channel();
        let reason = "an operator switched it off".to_owned();
        let _ = self.orders.send(Order::Halt { state: PluginState::Disabled, reason, done }).await;
        // A task on its way out is off as well.
        let _ = halted.await;
        Ok(match written {
            Ok(()) => "switched off".to_owned(),
            Err(reason) => format!("switched off, but only until the daemon ends: {reason}"),
        })
    }

    async fn lift(&self, what: &str) -> String {
        let written = self.shelf.changed(|record| {
            record.disabled = false;
            record.quarantine = None;
        });
        match written.await {
            Ok(()) => what.to_owned(),
            Err(reason) => format!("{what}, but only until the daemon ends: {reason}"),
        }
    }
}

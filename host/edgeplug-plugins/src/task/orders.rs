//! What an operator has the task do.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Task;
use crate::event::{Change, PluginEvent};
use crate::status::PluginState;

/// An order; answered once it is carried out.
pub(crate) enum Order {
    /// A fresh instance; the answer says what was done, or why it was not.
    Restart(oneshot::Sender<Result<String, String>>),
    /// End the instance and forget the version. The next one is delivered as if it were the first.
    Halt {
        state: PluginState,
        /// For whoever wonders why it is down.
        reason: String,
        done: oneshot::Sender<()>,
    },
}

impl Task {
    pub(super) async fn obey(&mut self, order: Order) {
        match order {
            Order::Restart(done) => {
                let answer = self.renew().await;
                let _ = done.send(answer);
            }
            Order::Halt { state, reason, done } => {
                self.halt(state, reason).await;
                let _ = done.send(());
            }
        }
    }

    async fn renew(&mut self) -> Result<String, String> {
        let Some(current) = &self.current else {
            return Err("there is no version of it to start".to_owned());
        };
        self.seat.slot.status().strikes = 0;
        if self.instance.is_none() {
            self.restart_at = Some(Instant::now());
            return Ok("it is being started again now".to_owned());
        }
        let started = current.blueprint.start().await;
        let new =
            started.map_err(|failure| format!("a new instance does not start, the old one goes on: {failure}"))?;
        let (new, how) = match self.hand_over(new).await {
            Ok((new, Some(_))) => (new, "restarted with what it had saved"),
            Ok((new, None)) => (new, "restarted"),
            Err(problem) => {
                self.note(&problem);
                let Some(current) = &self.current else {
                    return Err(problem);
                };
                let started = current.blueprint.start().await;
                (
                    started.map_err(|failure| failure.to_string())?,
                    "restarted with nothing: it did not take its own state",
                )
            }
        };
        {
            let mut status = self.seat.slot.status();
            status.restarts += 1;
            status.problem = None;
        }
        self.ailment = None;
        self.come_up(new, Change::Restarted).await;
        Ok(how.to_owned())
    }

    async fn halt(&mut self, state: PluginState, reason: String) {
        {
            let mut status = self.seat.slot.status();
            status.state = state;
            status.strikes = 0;
            status.problem = None;
        }
        self.set_current(None);
        self.proof = None;
        self.standby = None;
        self.inheritance = None;
        self.restart_at = None;
        self.ailment = None;
        self.show_proof();
        self.drain().await;
        if let Some(instance) = self.instance.take() {
            self.dismiss(instance);
        }
        if std::mem::take(&mut self.was_up) {
            self.emit(PluginEvent::Down { plugin: self.seat.plugin.clone(), reason, gone: true }).await;
        }
    }
}

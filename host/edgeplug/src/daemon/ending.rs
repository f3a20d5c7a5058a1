//! How it ends: the session comes to rest, for good or to begin anew; plugins, link, TPM and store close, in this
//! order.

use std::time::Duration;

use edgeplug_plugins::Straggler;
use edgeplug_session::Session;
use edgeplug_session::event::Event;
use tokio::sync::mpsc;

use super::{Daemon, Inputs, Phase, ready};
use crate::exit::{Exit, Problem};

// The limits of an orderly end: 5 s for the plugins, 7 s for the link, and these; together they stay below the unit's
// TimeoutStopSec of 30 s.
/// How long the TPM may take to let go.
const IDENTITY_CLOSE: Duration = Duration::from_secs(3);
/// How long the store may take to write and close.
const STORE_CLOSE: Duration = Duration::from_secs(10);

impl Daemon {
    /// The session came to rest: for good, or to begin anew with a store that opened late.
    pub(super) fn session_stopped(&mut self, inputs: &mut Inputs) {
        match std::mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Arrived(opened) if !self.stopping => {
                self.session = Session::new(self.session_config.clone(), fastrand::u64(..));
                self.store.forget_requests();
                self.cloud.begin_anew();
                self.ota.begin_anew();
                let reason = "the daemon begins anew with its store".to_owned();
                self.plugins.connection_changed(edgeplug_plugins::Connection::Disconnected(reason));
                self.plugins.session_ended();
                self.operators.session_ended();
                self.begin(*opened, inputs);
            }
            Phase::Arrived(opened) => {
                // Only to be closed well.
                self.store.forget_requests();
                self.store.opened(opened.outbox, opened.found);
            }
            _ => {
                let unacknowledged = self.session.status(self.clocks.now()).uplink.in_flight;
                if unacknowledged > 0 {
                    self.straggler(format!("the hub, which did not acknowledge {unacknowledged} messages in time"));
                }
            }
        }
    }

    pub(super) fn begin_stop(&mut self, plugins_ended: &mpsc::Sender<Vec<Straggler>>) {
        tracing::info!("stopping; a second signal ends it at once");
        self.stopping = true;
        self.service.stopping();
        self.feed(Event::PluginsStopping);
        let (stop, ended) = (self.plugins.stop(), plugins_ended.clone());
        tokio::spawn(async move {
            // The receiver lives as long as the loop does.
            let _ = ended.send(stop.await).await;
        });
    }

    pub(super) fn plugins_stopped(&mut self, cut_off: Vec<Straggler>, inputs: &mut Inputs) {
        for straggler in cut_off {
            self.straggler(format!("plugin {}, which was cut off", straggler.plugin));
        }
        // Their last readings may still be on the way to the store.
        while let Some(event) = ready(&mut inputs.plugins) {
            self.on_plugin(event);
        }
        match self.phase {
            // Nothing has begun that could come to rest.
            Phase::Opening => self.phase = Phase::Stopped,
            _ => self.feed(Event::Stop),
        }
    }

    fn straggler(&mut self, who: String) {
        tracing::warn!(who, "did not end in time");
        self.stragglers.push(who);
    }

    /// The rest of an orderly end, after the main loop.
    pub(super) async fn close(mut self) -> Result<(), Problem> {
        if tokio::time::timeout(IDENTITY_CLOSE, self.cloud.identity.close()).await.is_err() {
            self.straggler("the TPM".to_owned());
        }
        let store = self.store;
        let closed = tokio::time::timeout(STORE_CLOSE, tokio::task::spawn_blocking(move || store.close())).await;
        let closed = match closed {
            Ok(Ok(())) => Ok(()),
            // What was accepted is on disk all the same.
            Ok(Err(error)) => Err(Problem::new(Exit::Failed, format!("the store did not close: {error}"))),
            Err(_) => {
                self.stragglers.push("the store".to_owned());
                Err(Problem::new(Exit::Failed, "the store did not close in time; the disk may hang"))
            }
        };
        tracing::info!(stragglers = self.stragglers.join("; "), "edgeplug stopped");
        closed
    }
}

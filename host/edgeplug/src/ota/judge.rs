//! What became of a component after it was laid into its directory: trusted, or not taken.
//!
//! The plugins say most of it by themselves, and the session hears that as they say it. What they do not say is asked
//! for here: that a component is trusted already, or was refused before.

use std::sync::Arc;
use std::time::Duration;

use edgeplug_plugins::{Plugins, Trust};
use edgeplug_session::event::{Deployment, Event};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Told;

/// The plugins answer once the component was compiled and started; compiling alone may take three minutes.
const ANSWER_MAX: Duration = Duration::from_secs(15 * 60);
/// Between two questions, when the first was answered by "not known".
const AGAIN: Duration = Duration::from_secs(60);
/// After so many of those the session's own limit for a probation decides.
const UNKNOWN_MAX: u32 = 30;

/// The deployment that is being watched, and whom to ask.
#[derive(Default)]
pub(super) struct Judge {
    plugins: Option<Arc<Plugins>>,
    watched: Option<Watched>,
}

struct Watched {
    deployment: Deployment,
    /// Says that something happened; `None` before there are plugins to ask.
    hints: Option<mpsc::Sender<()>>,
    /// Who asks; dropped, it ends.
    _asking: JoinSet<()>,
}

impl Judge {
    pub(super) fn plugins_started(&mut self, plugins: Arc<Plugins>, tell: &mpsc::Sender<Told>) {
        self.plugins = Some(plugins);
        if let Some(watched) = self.watched.take() {
            self.begin(watched.deployment, tell);
        }
    }

    /// Finds out about this one, and about no other any more.
    pub(super) fn begin(&mut self, deployment: Deployment, tell: &mpsc::Sender<Told>) {
        let mut asking = JoinSet::new();
        let hints = self.plugins.clone().map(|plugins| {
            // One hint stands for all that come while the plugins are being asked.
            let (hints, hinted) = mpsc::channel(1);
            asking.spawn(watch(plugins, deployment.clone(), hinted, tell.clone()));
            hints
        });
        self.watched = Some(Watched { deployment, hints, _asking: asking });
    }

    pub(super) fn forget(&mut self) {
        self.watched = None;
    }

    /// A component that several plugins share is judged under its own name once they are.
    pub(super) fn heard(&mut self, event: &Event) {
        let Some(Watched { deployment, hints: Some(hints), .. }) = &self.watched else { return };
        let concerned = match event {
            Event::PluginConfirmed { plugin, sha256 } | Event::PluginRolledBack { plugin, sha256, .. } => {
                *plugin == deployment.plugin || *sha256 == deployment.sha256
            }
            Event::PluginRefused { plugin, sha256, .. } => {
                *plugin == deployment.plugin || sha256.as_ref() == Some(&deployment.sha256)
            }
            _ => false,
        };
        if concerned {
            // A hint that waits already is as good.
            let _ = hints.try_send(());
        }
    }
}

/// Asks until there is an end, and tells it.
async fn watch(
    plugins: Arc<Plugins>,
    deployment: Deployment,
    mut hinted: mpsc::Receiver<()>,
    tell: mpsc::Sender<Told>,
) {
    let Deployment { plugin, sha256 } = deployment;
    let mut unknown = 0;
    let end = loop {
        let trust = tokio::time::timeout(ANSWER_MAX, plugins.trust(&plugin, &sha256)).await;
        match trust.unwrap_or(Trust::Unknown) {
            Trust::Confirmed => break Event::PluginConfirmed { plugin, sha256 },
            Trust::Failed(reason) => break Event::PluginRefused { plugin, sha256: Some(sha256), reason },
            Trust::OnProbation => {
                hinted.recv().await;
            }
            Trust::Unknown if unknown == UNKNOWN_MAX => {
                tracing::warn!(
                    plugin,
                    sha256,
                    "it cannot be found out what became of a component that came by an update"
                );
                return;
            }
            Trust::Unknown => {
                unknown += 1;
                // A hint is a reason to ask sooner.
                let _ = tokio::time::timeout(AGAIN, hinted.recv()).await;
            }
        }
    };
    // The receiver lives as long as the session that waits.
    let _ = tell.send(Told::Event(end)).await;
}

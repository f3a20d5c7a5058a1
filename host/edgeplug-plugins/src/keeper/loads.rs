//! What becomes of a load.

use std::path::PathBuf;

use tokio::task::{Id, JoinError};
use tokio::time::Instant;

use super::{LOOK_GAP_MIN, RETRY_MAX, RETRY_MIN, Work};
use crate::adopt::Adopted;
use crate::backoff;
use crate::event::PluginEvent;
use crate::loader::NotLoaded;
use crate::status::{PluginState, SetAside};

impl Work {
    pub(super) async fn load_ended(&mut self, ended: Result<(Id, Adopted), JoinError>) {
        let (id, adopted) = match ended {
            Ok((id, adopted)) => (id, Some(adopted)),
            // Only a panic: loads are aborted at shutdown alone.
            Err(error) => {
                tracing::error!(%error, "loading a plugin failed inside the daemon");
                (error.id(), None)
            }
        };
        let Some((plugin, generation)) = self.load_names.remove(&id) else {
            return;
        };
        let Some(known) = self.known.get(&plugin).filter(|known| known.generation == generation) else {
            // The plugin went meanwhile; one that came under its name has loads of its own.
            return;
        };
        let adopted = adopted.unwrap_or_else(|| {
            let file = known.judged.as_ref().map(|judged| judged.component.clone()).unwrap_or_default();
            let reason = "loading it failed inside the daemon; please report this".to_owned();
            Adopted::Not(NotLoaded::Later { file, reason })
        });
        self.loaded(&plugin, adopted).await;
    }

    async fn loaded(&mut self, plugin: &str, adopted: Adopted) {
        let Some(known) = self.known.get_mut(plugin) else {
            return;
        };
        known.loading = false;
        let mut settled = true;
        let mut refusal = None;
        match adopted {
            Adopted::Delivered => known.said = None,
            Adopted::Discarded => {}
            Adopted::Unchanged(provenance, origin) => {
                tracing::debug!(plugin, "plugin file was touched but is the same");
                known.slot.certify(&provenance);
                known.slot.locate(origin);
                known.said = None;
                known.slot.forget_refusal();
            }
            Adopted::Not(NotLoaded::Unsettled) => {
                known.judged = None;
                settled = false;
            }
            Adopted::Not(NotLoaded::Refused { file, reason, sha256 }) => {
                known.verdict = Some((sha256.clone(), reason.clone()));
                refusal = Some((file, reason, sha256));
            }
            Adopted::Not(NotLoaded::Later { file, reason }) => {
                known.retry_at = Some(Instant::now() + backoff::wait(RETRY_MIN, RETRY_MAX, known.failures));
                known.failures = known.failures.saturating_add(1);
                if known.failures > 1 {
                    tracing::warn!(plugin, reason, "plugin cannot be loaded yet, trying again later");
                }
                refusal = Some((file, reason, None));
            }
            Adopted::SetAside { file, failed, is_news } => {
                let sha256 = failed.id.component.as_str().to_owned();
                known.verdict = Some((Some(sha256.clone()), failed.reason.clone()));
                let set_aside = SetAside { sha256: sha256.clone(), reason: failed.reason.clone() };
                let was_said = known.said.as_ref().is_some_and(|said| said.contains(&failed.reason));
                if known.slot.set_aside(set_aside) || was_said {
                    known.slot.end_loading();
                } else {
                    if is_news {
                        known.slot.status().rollbacks += 1;
                        let (plugin, reason) = (plugin.to_owned(), failed.reason.clone());
                        self.emit(PluginEvent::RolledBack { plugin, sha256: sha256.clone(), reason }).await;
                    }
                    let reason = format!("it failed before and is not tried again: {}", failed.reason);
                    refusal = Some((file, reason, Some(sha256)));
                }
            }
            Adopted::Quarantined(reason) => {
                known.verdict = Some((None, reason.clone()));
                known.slot.rest(PluginState::Quarantined, Some(reason));
            }
        }
        if let Some((file, reason, sha256)) = refusal {
            self.refuse(plugin, file, reason, sha256).await;
        }
        if settled && let Some(first) = &mut self.first {
            first.remove(plugin);
        }
        self.finish_first_look().await;
        // The files may have changed while they were loaded.
        self.next_look = self.next_look.min(Instant::now() + LOOK_GAP_MIN);
    }

    /// Says it once for as long as it is the same.
    async fn refuse(&mut self, plugin: &str, file: PathBuf, reason: String, sha256: Option<String>) {
        let Some(known) = self.known.get_mut(plugin) else {
            return;
        };
        known.slot.refuse(&reason);
        if known.said.as_ref() == Some(&reason) {
            return;
        }
        known.said = Some(reason.clone());
        self.keeper.loader.note(plugin, &reason);
        self.emit(PluginEvent::Refused { plugin: plugin.to_owned(), file, reason, sha256 }).await;
    }
}

//! Looks at the directories, and what follows from each.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Work;
use crate::adopt::Adoption;
use crate::event::PluginEvent;
use crate::scan::{Blind, Candidate, Look, STAMP_GRAIN, Scanner};
use crate::status::PluginState;
use crate::task::Ending;
use crate::voice::cleaned;

/// A file untouched for so long is not being written; it needs no settling.
const OLD_AGE: Duration = Duration::from_secs(2);

impl Work {
    pub(super) async fn look(&mut self, mut scanner: Scanner) -> Scanner {
        self.next_look = Instant::now() + self.keeper.limits.rescan;
        let (places, limits) = (self.keeper.places.clone(), self.keeper.limits.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let look = scanner.look(&places, &limits);
            (scanner, look)
        });
        let scanner = match looked.await {
            Ok((scanner, Ok(look))) => {
                self.directory_problem = None;
                self.compare(look).await;
                for (_, was_looked_for) in &mut self.asked {
                    *was_looked_for = true;
                }
                scanner
            }
            Ok((scanner, Err(Blind { path, error }))) => {
                // What runs goes on: a mount that failed is no wish to stop everything.
                let problem = format!("{}: {error}", path.display());
                if self.directory_problem.as_ref() != Some(&problem) {
                    tracing::warn!(problem, "cannot read the plugin directory; what runs goes on");
                    self.directory_problem = Some(problem);
                }
                self.answer_unknown();
                scanner
            }
            Err(_) => Scanner::default(),
        };
        self.finish_first_look().await;
        scanner
    }

    async fn compare(&mut self, look: Look) {
        let first_look = self.known.is_empty() && self.first.is_some();
        for (file, reason) in &look.refused {
            if self.refused.get(file) != Some(reason) {
                let plugin = cleaned(&file.file_stem().unwrap_or_default().to_string_lossy());
                let (file, reason) = (file.clone(), reason.clone());
                self.emit(PluginEvent::Refused { plugin, file, reason, sha256: None }).await;
            }
        }
        self.refused = look.refused;
        self.fallen.retain(|plugin, _| look.candidates.contains_key(plugin));
        for plugin in look.candidates.keys() {
            if !self.known.contains_key(plugin) {
                if let Some((at, _)) = self.fallen.get(plugin)
                    && *at > Instant::now()
                {
                    self.next_look = self.next_look.min(*at);
                    continue;
                }
                self.meet(plugin).await;
                if first_look && let Some(first) = &mut self.first {
                    first.insert(plugin.clone());
                }
            }
        }
        let plugins: Vec<_> = self.known.keys().cloned().collect();
        for plugin in plugins {
            if let Some(known) = self.known.get(&plugin) {
                known.shelf.retry();
            }
            match look.candidates.get(&plugin) {
                Some(candidate) => self.consider(&plugin, candidate),
                None => self.miss(&plugin),
            }
        }
    }

    fn consider(&mut self, plugin: &str, candidate: &Candidate) {
        let now = Instant::now();
        let settle = self.keeper.limits.settle;
        let first_look = self.first.is_some();
        let Some(known) = self.known.get_mut(plugin) else {
            return;
        };
        known.missing_since = None;
        known.seen = Some(candidate.clone());
        if known.loading || known.ending.borrow().is_some() {
            // Looked at again when the load or the task ends.
            return;
        }
        if known.shelf.is_disabled() {
            known.slot.rest(PluginState::Disabled, None);
            if let Some(first) = &mut self.first {
                first.remove(plugin);
            }
            return;
        }
        // However old the file: its manifest, or another one that takes it, may follow in a moment.
        let newcomer = known.judged.is_none() && candidate.manifest_stamp.is_none();
        let wait_until = if known.judged.as_ref() == Some(candidate) {
            known.settling = None;
            // The same files once more, if there is a reason.
            known.retry_at.into_iter().chain(known.reread_at).min()
        } else if candidate.is_old(OLD_AGE) && (first_look || !newcomer) {
            Some(now)
        } else {
            let since = match &known.settling {
                Some((settling, since)) if settling == candidate => *since,
                _ => now,
            };
            known.settling = Some((candidate.clone(), since));
            Some(since + settle)
        };
        match wait_until {
            Some(at) if at <= now => self.load(plugin, candidate),
            Some(at) => self.next_look = self.next_look.min(at),
            None => {}
        }
    }

    fn load(&mut self, plugin: &str, candidate: &Candidate) {
        let Some(known) = self.known.get_mut(plugin) else {
            return;
        };
        if known.judged.as_ref() != Some(candidate) {
            known.failures = 0;
        }
        known.judged = Some(candidate.clone());
        known.settling = None;
        known.retry_at = None;
        known.verdict = None;
        known.reread_at = candidate.is_fresh().then(|| Instant::now() + STAMP_GRAIN);
        known.loading = true;
        known.slot.begin_loading();
        let adoption = Adoption {
            loader: Arc::clone(&self.keeper.loader),
            shelf: Arc::clone(&known.shelf),
            plugin: plugin.to_owned(),
            candidate: candidate.clone(),
            running: known.slot.running(),
            deliveries: known.deliveries.clone(),
        };
        let handle = self.loads.spawn(adoption.run());
        self.load_names.insert(handle.id(), (plugin.to_owned(), known.generation));
    }

    /// The kernel lost count of what changed; so all is read again, whatever its stamps say.
    pub(super) fn distrust(&mut self) {
        tracing::debug!("changes of plugin files were lost; all are read again");
        for known in self.known.values_mut() {
            known.reread_at = Some(Instant::now());
        }
    }

    /// Files may be missing for a moment while an editor or a copy program renames them.
    fn miss(&mut self, plugin: &str) {
        let (now, settle) = (Instant::now(), self.keeper.limits.settle);
        let Some(known) = self.known.get_mut(plugin) else {
            return;
        };
        let since = *known.missing_since.get_or_insert(now);
        if since + settle > now {
            self.next_look = self.next_look.min(since + settle);
        } else {
            known.ending.send_replace(Some(Ending::Removed));
        }
    }
}

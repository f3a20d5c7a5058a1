//! Commands that plugins deferred: open until their plugin tells the end, at most for [`DEFER_TIME_MAX`].
//!
//! A plugin that goes down keeps what it deferred, because it may remember the ids and finish after a restart. None of
//! this outlives the daemon: after its restart a deferred command is handed over again, under the same id.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Open;
use crate::status::DeferredCommand;

/// How long a plugin may take to end what it deferred. Promised in `wit/types.wit`.
pub(crate) const DEFER_TIME_MAX: Duration = Duration::from_secs(60 * 60);
/// Commands deferred at one time; half of what may be open, so that plugins that never finish leave room for others.
pub(super) const DEFERRED_MAX: usize = super::OPEN_MAX / 2;
/// Longest words kept of a progress.
pub(crate) const PROGRESS_CHARS_MAX: usize = 200;

/// By key.
#[derive(Default)]
pub(super) struct Deferred(BTreeMap<String, Entry>);

struct Entry {
    plugin: String,
    until: Duration,
    progress: Option<(u8, String)>,
    open: Open,
}

impl Deferred {
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < DEFERRED_MAX
    }

    /// Only if there is room.
    pub(super) fn insert(&mut self, plugin: &str, open: Open, now: Duration) {
        let entry = Entry { plugin: plugin.to_owned(), until: now + DEFER_TIME_MAX, progress: None, open };
        self.0.insert(entry.open.key.clone(), entry);
    }

    /// Who has it.
    pub(super) fn holder(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|entry| entry.plugin.as_str())
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Open> {
        self.0.remove(key).map(|entry| entry.open)
    }

    /// Takes what was not ended in time, with its plugin.
    pub(super) fn take_overdue(&mut self, now: Duration) -> Vec<(String, Open)> {
        self.0.extract_if(.., |_, entry| now >= entry.until).map(|(_, entry)| (entry.plugin, entry.open)).collect()
    }

    /// False if this plugin deferred nothing of that id.
    pub(super) fn note_progress(&mut self, plugin: &str, key: &str, percent: u8, message: &str) -> bool {
        let entry = self.0.get_mut(key).filter(|entry| entry.plugin == plugin);
        entry.is_some_and(|entry| {
            entry.progress = Some((percent.min(100), message.chars().take(PROGRESS_CHARS_MAX).collect()));
            true
        })
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.0.values().map(|entry| entry.until).min()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn status(&self, now: Duration) -> Vec<DeferredCommand> {
        let status = |(key, entry): (&String, &Entry)| DeferredCommand {
            id: key.clone(),
            plugin: entry.plugin.clone(),
            seconds_left: entry.until.saturating_sub(now).as_secs(),
            percent: entry.progress.as_ref().map(|(percent, _)| *percent),
            message: entry.progress.as_ref().map(|(_, message)| message.clone()),
        };
        self.0.iter().map(status).collect()
    }
}

#[cfg(test)]
mod tests;

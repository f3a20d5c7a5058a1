//! Hints that something changed in the plugin directories.
//!
//! A hint carries nothing but whether others were lost: whatever the kernel says, the answer is a look. So events may be
//! lost or doubled without harm, and where nothing is announced (network mounts, links into other directories) the periodic
//! look does it all.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// What the kernel said, for whoever looks. Nobody waits but one.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    changed: Notify,
    overflowed: AtomicBool,
}

impl Hints {
    /// Something may have changed.
    pub(crate) fn hint(&self) {
        self.changed.notify_one();
    }

    pub(crate) async fn wait(&self) {
        self.changed.notified().await;
    }

    /// Whether events were lost since this was asked last.
    pub(crate) fn take_overflow(&self) -> bool {
        self.overflowed.swap(false, Ordering::Relaxed)
    }

    fn take(&self, event: &notify::Result<notify::Event>) {
        let Ok(event) = event else {
            self.hint();
            return;
        };
        if event.need_rescan() {
            self.overflowed.store(true, Ordering::Relaxed);
            self.hint();
            return;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.hint(),
            // Our own reading would otherwise announce itself for ever.
            EventKind::Access(_) => {}
            _ => self.hint(),
        }
    }
}

/// Watches one directory, again when another one takes its place.
pub(crate) struct Watch {
    directory: PathBuf,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of what is watched.
    watched: Option<(u64, u64)>,
    failed: bool,
}

impl Watch {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, watcher: None, watched: None, failed: false }
    }

    /// Makes sure that the directory which lies at the path now is watched. Cheap when it is.
    pub(crate) fn keep(&mut self, hints: &Arc<Hints>) {
        let now = fs::metadata(&self.directory).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if now == self.watched {
            return;
        }
        self.watcher = None;
        self.watched = None;
        if now.is_none() {
            return;
        }
        match watch(&self.directory, Arc::clone(hints)) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.watched = now;
                self.failed = false;
            }
            Err(error) if !self.failed => {
                self.failed = true;
                tracing::warn!(
                    directory = %self.directory.display(),
                    %error,
                    "cannot watch the plugin directory; changes are seen by looking every few seconds"
                );
            }
            Err(_) => {}
        }
    }
}

fn watch(directory: &Path, hints: Arc<Hints>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event| hints.take(&event))?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

#[cfg(test)]
mod tests;

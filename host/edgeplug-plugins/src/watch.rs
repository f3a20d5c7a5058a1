//! Hints that something changed in the plugin directory.
//!
//! A hint carries nothing: whatever the kernel says, the answer is a rescan. So events may be lost, doubled or
//! overflow without harm, and where a file system announces nothing (network mounts) the periodic rescan does it all.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Watches one directory, again when another one takes its place.
#[derive(Default)]
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of what is watched.
    watched: Option<(u64, u64)>,
    failed: bool,
}

impl Watch {
    /// Makes sure that the directory which lies at the path now is watched. Cheap when it is.
    pub(crate) fn keep(&mut self, directory: &Path, hint: &Arc<Notify>) {
        let now = fs::metadata(directory).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if now == self.watched {
            return;
        }
        self.watcher = None;
        self.watched = None;
        if now.is_none() {
            return;
        }
        match watch(directory, Arc::clone(hint)) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.watched = now;
                self.failed = false;
            }
            Err(error) if !self.failed => {
                self.failed = true;
                tracing::warn!(
                    directory = %directory.display(),
                    %error,
                    "cannot watch the plugin directory; changes are seen by looking every few seconds"
                );
            }
            Err(_) => {}
        }
    }
}

fn watch(directory: &Path, hint: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading would otherwise announce itself for ever.
        let only_read = event.is_ok_and(|event| match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => !event.need_rescan(),
            _ => false,
        });
        if !only_read {
            hint.notify_one();
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

//! What must be known of one plugin across restarts: the version to go back to, a probation under way, what failed, and
//! whether an operator switched it off.
//!
//! `DIRECTORY/<plugin>/` holds `record.json` and files named after the hash of their content: `<sha256>.wasm`, a component,
//! and `<sha256>.state`, what the last good version saved when it was replaced.
//!
//! What must stay true: a change counts in memory at once and reaches the disk soon after, in the order of the changes;
//! nobody but who asks for it waits for the disk; whatever the moment of a crash, the record on disk is one that once held,
//! and what it names is there (`disk`). A disk that fails costs the memory across a restart, never a call or a swap, and is
//! said.
//!
//! Deliberately absent: what the plugin itself keeps (`state` of the interface), which is the daemon's.

mod disk;
mod record;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use disk::{Disk, Kind};
pub(crate) use record::{Failure, Good, Hash, Record, Trial, VersionId};

/// How long anybody waits for the disk. One that takes longer is out of order.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);

/// All shelves: a directory each.
#[derive(Clone, Debug)]
pub(crate) enum Shelves {
    In(PathBuf),
    /// Nothing is kept, as in a trial; or nothing can be, with the reason.
    Nowhere(Option<String>),
}

/// One plugin's shelf, for as long as its files are there. Nobody else may have one of the same name meanwhile.
pub(crate) struct Shelf {
    /// Locked by whoever reads or writes, before `held`.
    disk: Option<Mutex<Disk>>,
    held: Mutex<Held>,
    progress: watch::Sender<Progress>,
    runtime: Handle,
}

struct Held {
    record: Record,
    /// Counts changes of the record.
    changes: u64,
    /// Whether somebody is writing, who will also write what changes meanwhile.
    flushing: bool,
    /// The plugin is gone; what still changes is nothing any more.
    closed: bool,
    /// Components that lie there.
    stocked: BTreeSet<Hash>,
    /// Components that must stay though the record does not name them yet.
    wanted: BTreeSet<Hash>,
    /// Why a component or a saved state could not be kept.
    missing: Option<String>,
    /// Whether a version was tried since this shelf was opened.
    tried: bool,
}

/// How far the writing has come.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// All changes up to this number were written, or tried to be.
    tried: u64,
    /// Why the last try failed.
    problem: Option<String>,
}

impl Shelves {
    /// Blocks. An empty path keeps nothing.
    pub(crate) fn open(directory: PathBuf) -> Self {
        if directory.as_os_str().is_empty() {
            return Self::Nowhere(None);
        }
        match disk::make_private(&directory) {
            Ok(()) => Self::In(directory),
            Err(reason) => {
                tracing::error!(
                    directory = %directory.display(),
                    reason,
                    "what is known of plugins cannot be kept; no version can be gone back to after a restart"
                );
                Self::Nowhere(Some(reason))
            }
        }
    }

    /// The shelf of a plugin whose name was checked. Blocks.
    pub(crate) fn shelf(&self, plugin: &str, runtime: Handle) -> Arc<Shelf> {
        match self {
            Self::Nowhere(reason) => Shelf::nowhere(reason.clone(), runtime),
            Self::In(directory) => {
                match Disk::open(directory.join(plugin)).and_then(|disk| Shelf::on(disk, &runtime)) {
                    Ok(shelf) => shelf,
                    Err(reason) => {
                        tracing::error!(plugin, reason, "what is known of the plugin cannot be read or kept");
                        Shelf::nowhere(Some(reason), runtime)
                    }
                }
            }
        }
    }
}

impl Shelf {
    fn nowhere(reason: Option<String>, runtime: Handle) -> Arc<Self> {
        Self::new(None, Record::default(), BTreeSet::new(), reason, runtime)
    }

    fn on(disk: Disk, runtime: &Handle) -> Result<Arc<Self>, String> {
        let (record, problem) = disk.read_record()?;
        let stocked = disk.components();
        Ok(Self::new(Some(disk), record, stocked, problem, runtime.clone()))
    }

    fn new(
        disk: Option<Disk>,
        record: Record,
        stocked: BTreeSet<Hash>,
        problem: Option<String>,
        runtime: Handle,
    ) -> Arc<Self> {
        let held = Held {
            record,
            changes: 0,
            flushing: false,
            closed: false,
            stocked,
            wanted: BTreeSet::new(),
            missing: None,
            tried: false,
        };
        let progress = watch::Sender::new(Progress { tried: 0, problem });
        Arc::new(Self { disk: disk.map(Mutex::new), held: Mutex::new(held), progress, runtime })
    }

    /// As it is now.
    pub(crate) fn record(&self) -> Record {
        self.held().record.clone()
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.held().record.disabled
    }

    /// Why not everything is kept, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        let unwritten = self.progress.borrow().problem.clone();
        unwritten.or_else(|| self.held().missing.clone())
    }

    /// Changes the record now, and the disk soon.
    pub(crate) fn change(self: &Arc<Self>, change: impl FnOnce(&mut Record)) -> u64 {
        let mut held = self.held();
        if held.closed {
            return 0;
        }
        let before = held.record.clone();
        change(&mut held.record);
        if held.record == before && self.progress.borrow().problem.is_none() {
            return held.changes;
        }
        held.changes += 1;
        if self.disk.is_some() && !held.flushing {
            held.flushing = true;
            let shelf = Arc::clone(self);
            self.runtime.spawn_blocking(move || shelf.flush());
        }
        held.changes
    }

    /// [`Self::change`], and waits for the disk. The error says why the change may be forgotten.
    pub(crate) async fn changed(self: &Arc<Self>, change: impl FnOnce(&mut Record)) -> Result<(), String> {
        let number = self.change(change);
        self.written(number).await
    }

    /// Waits until the disk has all changes up to this number.
    pub(crate) async fn written(&self, number: u64) -> Result<(), String> {
        if self.disk.is_none() {
            return self.problem().map_or(Ok(()), Err);
        }
        let mut progress = self.progress.subscribe();
        let tried = tokio::time::timeout(WRITE_WAIT_MAX, progress.wait_for(|progress| progress.tried >= number));
        match tried.await {
            Ok(Ok(progress)) => progress.problem.clone().map_or(Ok(()), Err),
            Ok(Err(_)) | Err(_) => Err("the disk does not answer".to_owned()),
        }
    }

    /// Tries again what could not be written. Called now and then.
    pub(crate) fn retry(self: &Arc<Self>) {
        if self.progress.borrow().problem.is_some() {
            self.change(|_| {});
        }
    }

    /// A version is about to be tried: notes it, so that whatever it does to the daemon is known to be its doing. Answers
    /// with its probation, if it is on one.
    pub(crate) async fn begin_trial(self: &Arc<Self>, id: &VersionId) -> Option<Trial> {
        let is_first = !std::mem::replace(&mut self.held().tried, true);
        let number = self.change(|record| record.begin_trial(id, is_first));
        // A disk that fails is said in the status; the swap goes on.
        let _ = self.written(number).await;
        self.held().record.trial.clone()
    }

    /// Keeps a component, for the record to name it later.
    pub(crate) async fn stock(self: &Arc<Self>, hash: &Hash, component: Arc<Vec<u8>>) {
        self.held().wanted.insert(hash.clone());
        let (shelf, hash) = (Arc::clone(self), hash.clone());
        let stocked = self.with_disk(move |disk| {
            if shelf.held().stocked.contains(&hash) {
                return Ok(());
            }
            disk.write_blob(&hash, Kind::Component, &component)?;
            shelf.held().stocked.insert(hash);
            Ok(())
        });
        let stocked = stocked.await;
        self.note(stocked);
    }

    /// This component need not stay any longer on account of [`Self::stock`].
    pub(crate) fn release(&self, hash: &Hash) {
        self.held().wanted.remove(hash);
    }

    /// From now on this is the version to go back to. The number is for [`Self::written`]; none when its component could
    /// not be kept, so that the version before stays the one to go back to after a restart.
    pub(crate) fn confirm(self: &Arc<Self>, good: Good) -> Option<u64> {
        if self.disk.is_some() && !self.held().stocked.contains(&good.id.component) {
            // Why it is not there was said.
            return None;
        }
        Some(self.change(|record| record.confirm(good)))
    }

    /// Keeps what the last good version saved, for when it has to come back.
    pub(crate) async fn keep_state(self: &Arc<Self>, of: VersionId, state: Option<Arc<Vec<u8>>>) {
        let shelf = Arc::clone(self);
        let kept = self.with_disk(move |disk| {
            let hash = state.as_ref().map(|state| Hash::of(state));
            if let (Some(hash), Some(state)) = (&hash, &state) {
                disk.write_blob(hash, Kind::State, state)?;
            }
            // Nothing is deleted between the two while the disk is ours.
            shelf.change(|record| record.keep_state(&of, hash));
            Ok(())
        });
        let kept = kept.await;
        self.note(kept);
    }

    /// The component and the saved state of the version to go back to.
    pub(crate) async fn fetch(self: &Arc<Self>, good: &Good) -> Result<(Vec<u8>, Option<Vec<u8>>), String> {
        if self.disk.is_none() {
            return Err("nothing is kept".to_owned());
        }
        let (component, state) = (good.id.component.clone(), good.state.clone());
        let fetched = self.with_disk(move |disk| {
            let component = disk.read_blob(&component, Kind::Component)?;
            // Without its state it is still better than none.
            let state = state.and_then(|state| {
                let read = disk.read_blob(&state, Kind::State);
                read.inspect_err(|reason| tracing::warn!(reason, "what the last good version saved is lost")).ok()
            });
            Ok(Some((component, state)))
        });
        fetched.await?.ok_or_else(|| "nothing is kept".to_owned())
    }

    /// The plugin's files are gone: keeps only what outlives them, and nothing of what may still be under way.
    pub(crate) async fn close(self: &Arc<Self>) {
        let number = self.change(Record::strip);
        let _ = self.written(number).await;
        self.held().closed = true;
    }

    fn flush(&self) {
        let Some(disk) = &self.disk else {
            return;
        };
        loop {
            let disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
            let (record, number, spared) = {
                let held = self.held();
                (held.record.clone(), held.changes, held.wanted.clone())
            };
            let result = disk.write_record(&record, &spared);
            let stocked = disk.components();
            drop(disk);
            if let Err(problem) = &result {
                tracing::warn!(problem, "what is known of a plugin cannot be written down");
            }
            let mut held = self.held();
            let wanted = held.wanted.clone();
            held.stocked.retain(|hash| stocked.contains(hash) || wanted.contains(hash));
            self.progress.send_replace(Progress { tried: number, problem: result.err() });
            if held.changes == number {
                held.flushing = false;
                return;
            }
        }
    }

    fn note(&self, kept: Result<(), String>) {
        if let Err(problem) = &kept {
            tracing::warn!(problem, "a version of a plugin cannot be kept; it cannot be gone back to after a restart");
        }
        self.held().missing = kept.err();
    }

    /// Nothing to do where nothing is kept.
    async fn with_disk<T: Default + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Disk) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        if self.disk.is_none() {
            return Ok(T::default());
        }
        let shelf = Arc::clone(self);
        let work = self.runtime.spawn_blocking(move || match &shelf.disk {
            Some(disk) => work(&disk.lock().unwrap_or_else(PoisonError::into_inner)),
            None => Ok(T::default()),
        });
        match tokio::time::timeout(WRITE_WAIT_MAX, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the disk does not answer".to_owned()),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

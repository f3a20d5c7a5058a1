//! Decides which version of which plugin runs: looks at the directory, lets changes settle, has them loaded, and hands
//! them to the plugins' tasks. One task does all of it, so that every decision is made from one state.
//!
//! What must stay true: nothing is read before it has settled; a version is judged once per state of its files; one
//! load per plugin at a time; a name is free again only once its old task has ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backoff;
use crate::event::PluginEvent;
use crate::loader::{Loader, NotLoaded, Version};
use crate::options::Limits;
use crate::scan::{Candidate, Look, Scanner};
use crate::slot::{Slot, Slots};
use crate::status::Straggler;
use crate::tail::{LogLevel, LogStream};
use crate::task::{Delivery, Ending, Task, Verdict};
use crate::voice::cleaned;
use crate::watch::Watch;

/// A burst of events (a copy writes a block at a time) is one look.
const LOOK_GAP_MIN: Duration = Duration::from_millis(20);
/// A file untouched for so long is not being written; it needs no settling.
const OLD_AGE: Duration = Duration::from_secs(2);
/// Retries after a failure of our side: a full disk, a missing compiler.
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);

pub(crate) struct Keeper {
    pub(crate) directory: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) loader: Arc<Loader>,
    pub(crate) slots: Slots,
    pub(crate) events: mpsc::Sender<PluginEvent>,
    pub(crate) hint: Arc<Notify>,
    /// Set once, to the moment by which everything must have ended.
    pub(crate) shutdown: watch::Receiver<Option<Instant>>,
}

/// The keeper at work.
struct Work {
    keeper: Keeper,
    known: BTreeMap<String, Known>,
    loads: JoinSet<Loading>,
    /// Which plugin each load is for, and which [`Known`] of that name.
    load_names: HashMap<tokio::task::Id, (String, u64)>,
    tasks: JoinSet<()>,
    names: HashMap<tokio::task::Id, String>,
    /// Plugins whose task failed inside the daemon: when they may be met again, and how often it happened.
    fallen: BTreeMap<String, (Instant, u32)>,
    /// Counts every [`Known`] there ever was.
    generation: u64,
    /// Plugins of the first look that are not loaded or refused yet; none once `ScanDone` was sent.
    first: Option<BTreeSet<String>>,
    /// Files that are no plugins, and were said so.
    refused: BTreeMap<PathBuf, String>,
    directory_problem: Option<String>,
    next_look: Instant,
}

/// One plugin as the keeper sees it.
struct Known {
    /// Tells it from one of the same name before it, whose load may still be under way.
    generation: u64,
    slot: Arc<Slot>,
    deliveries: mpsc::Sender<Delivery>,
    ending: watch::Sender<Option<Ending>>,
    /// The files that were last handed to a load.
    judged: Option<Candidate>,
    /// Files that changed, and since when they have not changed again.
    settling: Option<(Candidate, Instant)>,
    missing_since: Option<Instant>,
    loading: bool,
    /// The version that was adopted last.
    version: Option<Version>,
    /// When to try the same files again, after so many failures.
    retry_at: Option<Instant>,
    failures: u32,
}

/// How a load ended.
enum Loading {
    Adopted(Version),
    PutAside,
    Not(NotLoaded),
    /// The task ended meanwhile.
    Discarded,
}

impl Keeper {
    /// Runs until shutdown; the answer names the plugins that had to be cut off.
    pub(crate) async fn run(self) -> Vec<Straggler> {
        let mut work = Work {
            keeper: self,
            known: BTreeMap::new(),
            loads: JoinSet::new(),
            load_names: HashMap::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            fallen: BTreeMap::new(),
            generation: 0,
            first: Some(BTreeSet::new()),
            refused: BTreeMap::new(),
            directory_problem: None,
            next_look: Instant::now(),
        };
        let mut shutdown = work.keeper.shutdown.clone();
        let deadline = tokio::select! {
            biased;
            deadline = shutdown.wait_for(Option::is_some) => deadline.ok().and_then(|deadline| *deadline),
            () = work.run() => None,
        };
        work.stop(deadline.unwrap_or_else(Instant::now)).await
    }
}

impl Work {
    async fn run(&mut self) {
        let hint = Arc::clone(&self.keeper.hint);
        let mut scanner = Scanner::default();
        let mut watch = Watch::default();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(self.next_look) => {
                    watch.keep(&self.keeper.directory, &hint);
                    scanner = self.look(scanner).await;
                }
                () = hint.notified() => {
                    self.next_look = self.next_look.min(Instant::now() + LOOK_GAP_MIN);
                }
                Some(ended) = self.loads.join_next_with_id() => self.load_ended(ended).await,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended).await,
            }
        }
    }

    async fn look(&mut self, mut scanner: Scanner) -> Scanner {
        self.next_look = Instant::now() + self.keeper.limits.rescan;
        let (directory, limits) = (self.keeper.directory.clone(), self.keeper.limits.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let look = scanner.look(&directory, &limits);
            (scanner, look)
        });
        let scanner = match looked.await {
            Ok((scanner, Ok(look))) => {
                self.directory_problem = None;
                self.compare(look).await;
                scanner
            }
            Ok((scanner, Err(error))) => {
                // What runs goes on: a mount that failed is no wish to stop everything.
                let problem = error.to_string();
                if self.directory_problem.as_ref() != Some(&problem) {
                    let directory = self.keeper.directory.display();
                    tracing::warn!(%directory, problem, "cannot read the plugin directory; what runs goes on");
                    self.directory_problem = Some(problem);
                }
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
                self.emit(PluginEvent::Refused { plugin, file: file.clone(), reason: reason.clone() }).await;
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
                self.meet(plugin);
                if first_look && let Some(first) = &mut self.first {
                    first.insert(plugin.clone());
                }
            }
        }
        let plugins: Vec<_> = self.known.keys().cloned().collect();
        for plugin in plugins {
            match look.candidates.get(&plugin) {
                Some(candidate) => self.consider(&plugin, candidate),
                None => self.miss(&plugin),
            }
        }
    }

    /// A new name: its task waits for the first version.
    fn meet(&mut self, plugin: &str) {
        let (slot, calls) = Slot::new(plugin);
        self.keeper.slots.insert(plugin, Arc::clone(&slot));
        // One load per plugin at a time, which waits for its delivery.
        let (deliveries, delivered) = mpsc::channel(1);
        let (ending, ended) = watch::channel(None);
        let task = Task::new(
            plugin,
            (Arc::clone(&slot), calls),
            delivered,
            ended,
            &self.keeper.loader.surroundings,
            self.keeper.limits.clone(),
        );
        let handle = self.tasks.spawn(task.run());
        self.names.insert(handle.id(), plugin.to_owned());
        self.generation += 1;
        let known = Known {
            generation: self.generation,
            slot,
            deliveries,
            ending,
            judged: None,
            settling: None,
            missing_since: None,
            loading: false,
            version: None,
            retry_at: None,
            failures: 0,
        };
        self.known.insert(plugin.to_owned(), known);
    }

    fn consider(&mut self, plugin: &str, candidate: &Candidate) {
        let now = Instant::now();
        let settle = self.keeper.limits.settle;
        let first_look = self.first.is_some();
        let Some(known) = self.known.get_mut(plugin) else {
            return;
        };
        known.missing_since = None;
        if known.loading || known.ending.borrow().is_some() {
            // Looked at again when the load or the task ends.
            return;
        }
        // However old the file: its manifest, or another one that takes it, may follow in a moment.
        let newcomer = known.judged.is_none() && candidate.manifest_stamp.is_none();
        let ready = if known.judged.as_ref() == Some(candidate) {
            known.settling = None;
            match known.retry_at {
                Some(at) if at <= now => true,
                Some(at) => {
                    self.next_look = self.next_look.min(at);
                    false
                }
                None => false,
            }
        } else if candidate.is_old(OLD_AGE) && (first_look || !newcomer) {
            true
        } else {
            match &known.settling {
                Some((settling, since)) if settling == candidate => {
                    self.next_look = self.next_look.min(*since + settle);
                    *since + settle <= now
                }
                _ => {
                    known.settling = Some((candidate.clone(), now));
                    self.next_look = self.next_look.min(now + settle);
                    false
                }
            }
        };
        if ready {
            if known.judged.as_ref() != Some(candidate) {
                known.failures = 0;
            }
            known.judged = Some(candidate.clone());
            known.settling = None;
            known.retry_at = None;
            known.loading = true;
            known.slot.begin_loading();
            let load = load(
                Arc::clone(&self.keeper.loader),
                plugin.to_owned(),
                candidate.clone(),
                known.version.clone(),
                known.deliveries.clone(),
            );
            let handle = self.loads.spawn(load);
            self.load_names.insert(handle.id(), (plugin.to_owned(), known.generation));
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

    async fn load_ended(&mut self, ended: Result<(tokio::task::Id, Loading), tokio::task::JoinError>) {
        let (id, loading) = match ended {
            Ok((id, loading)) => (id, Some(loading)),
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
        let loading = loading.unwrap_or_else(|| {
            let file = known.judged.as_ref().map(|judged| judged.component.clone()).unwrap_or_default();
            let reason = "loading it failed inside the daemon; please report this".to_owned();
            Loading::Not(NotLoaded::Later { file, reason })
        });
        self.loaded(&plugin, loading).await;
    }

    async fn loaded(&mut self, plugin: &str, loading: Loading) {
        let Some(known) = self.known.get_mut(plugin) else {
            return;
        };
        known.loading = false;
        let mut settled = true;
        match loading {
            Loading::Adopted(version) => known.version = Some(version),
            Loading::Not(NotLoaded::Unchanged) => {
                tracing::debug!(plugin, "plugin file was touched but is the same");
                known.slot.forget_refusal();
            }
            Loading::PutAside | Loading::Discarded => {}
            Loading::Not(NotLoaded::Unsettled) => {
                known.judged = None;
                settled = false;
            }
            Loading::Not(NotLoaded::Refused { file, reason }) => {
                known.slot.refuse(&reason);
                self.note(plugin, &reason);
                self.emit(PluginEvent::Refused { plugin: plugin.to_owned(), file, reason }).await;
            }
            Loading::Not(NotLoaded::Later { file, reason }) => {
                known.retry_at = Some(Instant::now() + backoff::wait(RETRY_MIN, RETRY_MAX, known.failures));
                known.failures = known.failures.saturating_add(1);
                known.slot.refuse(&reason);
                let failures = known.failures;
                self.note(plugin, &reason);
                if failures == 1 {
                    self.emit(PluginEvent::Refused { plugin: plugin.to_owned(), file, reason }).await;
                } else {
                    tracing::warn!(plugin, reason, "plugin cannot be loaded yet, trying again later");
                }
            }
        }
        if settled && let Some(first) = &mut self.first {
            first.remove(plugin);
        }
        self.finish_first_look().await;
        // The files may have changed while they were loaded.
        self.next_look = self.next_look.min(Instant::now() + LOOK_GAP_MIN);
    }

    async fn ended(&mut self, ended: Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let (id, panicked) = match &ended {
            Ok((id, ())) => (*id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some(plugin) = self.names.remove(&id) else {
            return;
        };
        self.known.remove(&plugin);
        self.keeper.slots.remove(&plugin);
        if let Some(first) = &mut self.first {
            first.remove(&plugin);
        }
        if panicked {
            let reason = "its task failed inside the daemon; please report this".to_owned();
            tracing::error!(plugin, reason);
            let failures = self.fallen.get(&plugin).map_or(0, |(_, failures)| *failures);
            let again = Instant::now() + backoff::wait(RETRY_MIN, RETRY_MAX, failures);
            self.fallen.insert(plugin.clone(), (again, failures.saturating_add(1)));
            self.emit(PluginEvent::Down { plugin, reason, gone: true }).await;
        }
        self.finish_first_look().await;
        // The name may be there again.
        self.next_look = self.next_look.min(Instant::now() + LOOK_GAP_MIN);
    }

    async fn finish_first_look(&mut self) {
        if self.first.as_ref().is_some_and(BTreeSet::is_empty) {
            self.first = None;
            self.emit(PluginEvent::ScanDone).await;
        }
    }

    async fn stop(mut self, deadline: Instant) -> Vec<Straggler> {
        self.loads.abort_all();
        for known in self.known.values() {
            known.ending.send_replace(Some(Ending::Shutdown));
        }
        let all_ended = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                self.names.remove(&id);
            }
        };
        let _ = tokio::time::timeout_at(deadline, all_ended).await;
        // What does not even end when it is cut off, because it holds its thread, is left behind.
        let cut_off = async {
            self.tasks.shutdown().await;
            self.loads.shutdown().await;
        };
        let _ = tokio::time::timeout_at(deadline, cut_off).await;
        let mut stragglers: Vec<_> = self.names.into_values().map(|plugin| Straggler { plugin }).collect();
        stragglers.sort_by(|one, other| one.plugin.cmp(&other.plugin));
        stragglers
    }

    /// For the plugin's own log.
    fn note(&self, plugin: &str, reason: &str) {
        let desk = self.keeper.loader.surroundings.desks.open(plugin);
        desk.note(LogLevel::Warn, LogStream::Host, cleaned(reason));
    }

    async fn emit(&self, event: PluginEvent) {
        let _ = self.keeper.events.send(event).await;
    }
}

async fn load(
    loader: Arc<Loader>,
    plugin: String,
    candidate: Candidate,
    running: Option<Version>,
    deliveries: mpsc::Sender<Delivery>,
) -> Loading {
    let loaded = match loader.load(&plugin, &candidate, running.as_ref()).await {
        Ok(loaded) => loaded,
        Err(not) => return Loading::Not(not),
    };
    let version = loaded.version.clone();
    let (done, verdict) = oneshot::channel();
    if deliveries.send(Delivery { loaded, file: candidate.component, done }).await.is_err() {
        return Loading::Discarded;
    }
    match verdict.await {
        Ok(Verdict::Adopted) => Loading::Adopted(version),
        Ok(Verdict::PutAside) => Loading::PutAside,
        Err(_) => Loading::Discarded,
    }
}

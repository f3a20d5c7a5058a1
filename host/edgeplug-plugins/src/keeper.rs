//! Decides which version of which plugin runs: looks at the directories and lets changes settle (`files`), has them loaded
//! (`loads`), hands them to the plugins' tasks, passes on what operators want (`operations`) and says what became of a file
//! (`questions`). One task does all of it, so that every decision is made from one state.
//!
//! What must stay true: nothing is read before it has settled; a version is judged once per state of its files; one
//! load per plugin at a time, and no plugin's load waits for another's; a name is free again only once its old task has
//! ended.

mod files;
mod loads;
mod operations;
mod questions;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::adopt::Adopted;
use crate::backoff;
use crate::event::PluginEvent;
use crate::loader::Loader;
use crate::operate::{OPERATIONS_MAX, Operating};
use crate::options::Limits;
use crate::question::{QUESTIONS_MAX, Question};
use crate::scan::{Candidate, Places, Scanner};
use crate::shelf::{Shelf, Shelves};
use crate::slot::{Slot, Slots};
use crate::status::Straggler;
use crate::task::{Delivery, Ending, Order, Seat, Task};
use crate::watch::{Hints, Watch};
use operations::Followup;

/// A burst of events (a copy writes a block at a time) is one look.
const LOOK_GAP_MIN: Duration = Duration::from_millis(20);
/// Retries after a failure of our side: a full disk, a missing compiler.
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);

pub(crate) struct Keeper {
    pub(crate) places: Places,
    pub(crate) shelves: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) loader: Arc<Loader>,
    pub(crate) slots: Slots,
    pub(crate) events: mpsc::Sender<PluginEvent>,
    pub(crate) hints: Arc<Hints>,
    pub(crate) operations: mpsc::Receiver<Operating>,
    pub(crate) questions: mpsc::Receiver<Question>,
    /// Set once, to the moment by which everything must have ended.
    pub(crate) shutdown: watch::Receiver<Option<Instant>>,
}

/// The keeper at work.
struct Work {
    keeper: Keeper,
    shelves: Shelves,
    known: BTreeMap<String, Known>,
    loads: JoinSet<Adopted>,
    /// Which plugin each load is for, and which [`Known`] of that name.
    load_names: HashMap<tokio::task::Id, (String, u64)>,
    /// Operations under way, at most [`OPERATIONS_MAX`].
    operating: JoinSet<Followup>,
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
    /// Questions without an answer yet, at most [`QUESTIONS_MAX`]; true once there was a look for it.
    asked: Vec<(Question, bool)>,
}

/// One plugin as the keeper sees it.
struct Known {
    /// Tells it from one of the same name before it, whose load may still be under way.
    generation: u64,
    slot: Arc<Slot>,
    shelf: Arc<Shelf>,
    deliveries: mpsc::Sender<Delivery>,
    orders: mpsc::Sender<Order>,
    ending: watch::Sender<Option<Ending>>,
    /// The files at the last look.
    seen: Option<Candidate>,
    /// The files that were last handed to a load.
    judged: Option<Candidate>,
    /// Files that changed, and since when they have not changed again.
    settling: Option<(Candidate, Instant)>,
    missing_since: Option<Instant>,
    loading: bool,
    /// When to try the same files again, after so many failures.
    retry_at: Option<Instant>,
    failures: u32,
    /// When to read the same files once more, because their stamps may lie.
    reread_at: Option<Instant>,
    /// The refusal that was said last, so that it is not said at each look.
    said: Option<String>,
    /// Why the files that were loaded last do not run, and their component, where it was read.
    verdict: Option<(Option<String>, String)>,
}

impl Keeper {
    /// Runs until shutdown; the answer names the plugins that had to be cut off.
    pub(crate) async fn run(self) -> Vec<Straggler> {
        let directory = self.shelves.clone();
        let opened = tokio::task::spawn_blocking(move || Shelves::open(directory)).await;
        let mut work = Work {
            keeper: self,
            shelves: opened.unwrap_or_else(|error| Shelves::Nowhere(Some(error.to_string()))),
            known: BTreeMap::new(),
            loads: JoinSet::new(),
            load_names: HashMap::new(),
            operating: JoinSet::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            fallen: BTreeMap::new(),
            generation: 0,
            first: Some(BTreeSet::new()),
            refused: BTreeMap::new(),
            directory_problem: None,
            next_look: Instant::now(),
            asked: Vec::new(),
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
        let hints = Arc::clone(&self.keeper.hints);
        let mut scanner = Scanner::default();
        let mut watches: Vec<_> = self.keeper.places.all().map(|directory| Watch::new(directory.clone())).collect();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(self.next_look) => {
                    for watch in &mut watches {
                        watch.keep(&hints);
                    }
                    if hints.take_overflow() {
                        self.distrust();
                    }
                    scanner = self.look(scanner).await;
                }
                () = hints.wait() => {
                    self.next_look = self.next_look.min(Instant::now() + LOOK_GAP_MIN);
                }
                Some(ended) = self.loads.join_next_with_id() => self.load_ended(ended).await,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended).await,
                Some(operating) = self.keeper.operations.recv(), if self.operating.len() < OPERATIONS_MAX => {
                    self.operate(operating);
                }
                Some(followup) = self.operating.join_next() => self.operated(followup),
                Some(question) = self.keeper.questions.recv(), if self.asked.len() < QUESTIONS_MAX => {
                    self.asked.push((question, false));
                    self.next_look = Instant::now();
                }
            }
            self.answer();
        }
    }

    /// A new name: its task waits for the first version.
    async fn meet(&mut self, plugin: &str) {
        let (shelves, name, runtime) = (self.shelves.clone(), plugin.to_owned(), Handle::current());
        let opened = tokio::task::spawn_blocking(move || shelves.shelf(&name, runtime)).await;
        let shelf = match opened {
            Ok(shelf) => shelf,
            Err(error) => Shelves::Nowhere(Some(error.to_string())).shelf(plugin, Handle::current()),
        };
        if let Some(problem) = shelf.problem() {
            self.keeper.loader.note(plugin, &problem);
        }
        let (slot, calls) = Slot::new(plugin, Arc::clone(&shelf));
        self.keeper.slots.insert(plugin, Arc::clone(&slot));
        // One load per plugin at a time, which waits for its delivery.
        let (deliveries, delivered) = mpsc::channel(1);
        // An operation waits for the one before it.
        let (orders, ordered) = mpsc::channel(1);
        let (ending, ended) = watch::channel(None);
        let seat = Seat {
            plugin: plugin.to_owned(),
            slot: Arc::clone(&slot),
            calls,
            deliveries: delivered,
            orders: ordered,
            ending: ended,
            shelf: Arc::clone(&shelf),
        };
        let task = Task::new(seat, &self.keeper.loader.surroundings, self.keeper.limits.clone());
        let handle = self.tasks.spawn(task.run());
        self.names.insert(handle.id(), plugin.to_owned());
        self.generation += 1;
        let known = Known {
            generation: self.generation,
            slot,
            shelf,
            deliveries,
            orders,
            ending,
            seen: None,
            judged: None,
            settling: None,
            missing_since: None,
            loading: false,
            retry_at: None,
            failures: 0,
            reread_at: None,
            said: None,
            verdict: None,
        };
        self.known.insert(plugin.to_owned(), known);
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

    async fn emit(&self, event: PluginEvent) {
        let _ = self.keeper.events.send(event).await;
    }
}

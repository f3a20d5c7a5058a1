//! What belongs to a plugin's name rather than to one of its instances: its log, its figures, how much
//! it computed, and the updates it is installing.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::figures::{Book, Figures};
use crate::inflow::Inflow;
use crate::kept::Keeping;
use crate::standing::Standing;
use crate::tail::{LogLevel, LogPage, LogStream, Tail};

/// Desks kept. More than plugins that can run at once (`scan`), so that the log of one that was just removed can be read.
const DESKS_MAX: usize = 300;
/// Updates of one plugin under way. The session has one per target at a time.
const UPDATES_MAX: usize = 16;
/// Reads of files of one plugin under way: an instance has one, and after it some that hang.
pub(crate) const READS_MAX: usize = 4;

/// All desks by plugin. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Desks {
    clock: Clock,
    desks: Arc<Mutex<BTreeMap<String, Arc<Desk>>>>,
}

pub(crate) struct Desk {
    clock: Clock,
    tail: Tail,
    pub(crate) book: Book,
    pub(crate) standing: Standing,
    inflow: Inflow,
    /// How often and how much it may keep.
    pub(crate) keeping: Keeping,
    /// Reads of files under way. One that hangs goes on holding a thread when its call is long over.
    pub(crate) reads: Arc<Semaphore>,
    /// Id and file, the oldest first.
    updates: Mutex<VecDeque<(String, PathBuf)>>,
}

impl Desks {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, desks: Arc::default() }
    }

    /// The plugin's desk; a new one if need be, in place of one that nobody sits at.
    pub(crate) fn open(&self, plugin: &str) -> Arc<Desk> {
        let mut desks = self.lock();
        if let Some(desk) = desks.get(plugin) {
            return Arc::clone(desk);
        }
        if desks.len() >= DESKS_MAX {
            let left = desks.iter().find(|(_, desk)| Arc::strong_count(desk) == 1).map(|(name, _)| name.clone());
            left.and_then(|left| desks.remove(&left));
        }
        let desk = Arc::new(Desk::new(self.clock.clone()));
        desks.insert(plugin.to_owned(), Arc::clone(&desk));
        desk
    }

    pub(crate) fn log_tail(&self, plugin: &str, after: u64, max: usize) -> Option<LogPage> {
        let desk = self.lock().get(plugin).cloned();
        desk.map(|desk| desk.tail.page(after, max))
    }

    pub(crate) fn end_update(&self, plugin: &str, id: &str) {
        let desk = self.lock().get(plugin).cloned();
        if let Some(desk) = desk {
            desk.end_update(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Desk>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            tail: Tail::default(),
            book: Book::default(),
            // Processor time means nothing beside a time that is moved by hand.
            standing: Standing::new(!clock.is_virtual()),
            inflow: Inflow::default(),
            keeping: Keeping::default(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            updates: Mutex::default(),
            clock,
        }
    }

    /// Since the daemon started, or the trial.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// A line for the plugin's log, cleaned already.
    pub(crate) fn note(&self, level: LogLevel, stream: LogStream, text: String) {
        self.tail.push(self.clock.now(), level, stream, text);
    }

    pub(crate) fn figures(&self) -> Figures {
        self.book.read(self.standing.lane())
    }

    /// Takes a sample that the plugin brings, or says in words why not.
    pub(crate) fn admit(&self, sample: &Sample) -> Result<(), String> {
        self.inflow.admit(sample, self.elapsed())
    }

    /// A line that came too fast to be kept.
    pub(crate) fn skip(&self) {
        self.tail.skip();
    }

    /// From now on the plugin may read this file under this id.
    pub(crate) fn begin_update(&self, id: &str, file: PathBuf) {
        self.end_update(id);
        let mut updates = self.updates();
        if updates.len() == UPDATES_MAX {
            updates.pop_front();
        }
        updates.push_back((id.to_owned(), file));
    }

    pub(crate) fn end_update(&self, id: &str) {
        self.updates().retain(|(held, _)| held != id);
    }

    pub(crate) fn update(&self, id: &str) -> Option<PathBuf> {
        self.updates().iter().find(|(held, _)| held == id).map(|(_, file)| file.clone())
    }

    fn updates(&self) -> MutexGuard<'_, VecDeque<(String, PathBuf)>> {
        self.updates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

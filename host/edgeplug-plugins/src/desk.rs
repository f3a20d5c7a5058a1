//! What belongs to a plugin's name rather than to one of its instances: its log, its figures, how much
//! it computed, and the updates it is installing.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::figures::{Book, Figures};
use crate::pace::Pace;
use crate::standing::Standing;
use crate::tail::{LogLevel, LogPage, LogStream, Tail};

/// Desks kept. More than plugins that can run at once (`scan`), so that the log of one that was just removed can be read.
const DESKS_MAX: usize = 300;
/// Updates of one plugin under way. The session has one per target at a time.
const UPDATES_MAX: usize = 16;

/// Samples a plugin may send of its own accord: ten times what the fastest sensible sensor brings (100 a second), and at
/// once what such a one kept back for a minute.
pub(crate) const SAMPLES_PER_SECOND: u32 = 1000;
pub(crate) const SAMPLES_AT_ONCE: u32 = 5000;

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
    /// Of samples that it sends of its own accord.
    offers: Mutex<Pace>,
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
        let offers = Mutex::new(Pace::new(SAMPLES_PER_SECOND, SAMPLES_AT_ONCE));
        Self { clock, tail: Tail::default(), book: Book::default(), standing: Standing::default(), offers, updates: Mutex::default() }
    }

    /// A line for the plugin's log, cleaned already.
    pub(crate) fn note(&self, level: LogLevel, stream: LogStream, text: String) {
        self.tail.push(self.clock.now(), level, stream, text);
    }

    pub(crate) fn figures(&self) -> Figures {
        self.book.read(self.standing.lane())
    }

    /// Whether the plugin may send so many samples now.
    pub(crate) fn admits(&self, samples: usize) -> bool {
        let now = self.clock.elapsed();
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).admit(samples, now)
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

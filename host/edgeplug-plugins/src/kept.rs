//! What plugins keep (`state` of the interface): a copy in memory of what the daemon has on disk, shared by all
//! instances of a plugin and kept under its name, also while it is away.
//!
//! What must stay true: a key changes here only once the daemon said that the change is durable, whether or not the
//! guest that asked for it still waits; and no plugin asks for more than its quota.
//!
//! Two versions of one plugin that write in the same moment (one stops, the other starts) may together pass the quota by
//! one value. The bound on memory and disk is then so much softer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::ask::{Answer, AskId};
use crate::pace::Pace;

/// Keys of one plugin (`wit/imports.wit`, `state`).
const KEYS_MAX: usize = 64;
/// Bytes of one key.
const KEY_LEN_MAX: usize = 128;
/// How long a guest waits for the store to be opened. A ledger is recovered in well under a second or is in trouble.
const OPENING_WAIT_MAX: Duration = Duration::from_secs(10);
/// Writes on their way to disk, those of guests that are gone included. Each instance has one.
const WRITES_MAX: usize = 1024;

/// Changes a plugin may make in a second on average, and at once. Each is a write to disk that acknowledgements and
/// commands wait behind, and flash wears out by them.
const CHANGES_PER_SECOND: u32 = 10;
const CHANGES_AT_ONCE: u32 = 100;
/// Bytes of such changes: at once as much as the largest quota.
const BYTES_PER_SECOND: u32 = 64 << 10;
const BYTES_AT_ONCE: u32 = 4 << 20;

/// What one plugin keeps, by key.
pub(crate) type Keys = BTreeMap<String, Bytes>;

/// Cloning shares it.
#[derive(Clone)]
pub(crate) struct Kept {
    store: watch::Sender<Store>,
    writes: Arc<Mutex<HashMap<AskId, Write>>>,
}

enum Store {
    /// The daemon has not opened it yet.
    Opening,
    Unavailable(String),
    Open(BTreeMap<String, Keys>),
}

/// A change on its way to disk.
pub(crate) struct Write {
    pub(crate) plugin: String,
    pub(crate) key: String,
    /// None deletes.
    pub(crate) value: Option<Bytes>,
}

/// Why nothing was read or written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotKept {
    Quota(String),
    Unavailable(String),
}

/// How often and how much one plugin may change what it keeps. It belongs to the plugin's name, so that a new instance does
/// not begin anew.
pub(crate) struct Keeping(Mutex<[Pace; 2]>);

impl Default for Keeping {
    fn default() -> Self {
        let changes = Pace::new(CHANGES_PER_SECOND, CHANGES_AT_ONCE);
        Self(Mutex::new([changes, Pace::new(BYTES_PER_SECOND, BYTES_AT_ONCE)]))
    }
}

impl Keeping {
    /// Books a change, at this time since some beginning.
    pub(crate) fn admit(&self, write: &Write, now: Duration) -> Result<(), NotKept> {
        let [changes, bytes] = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let len = write.key.len() + write.value.as_ref().map_or(0, Bytes::len);
        let unavailable = |what| Err(NotKept::Unavailable(format!("it changes too {what}; keep things less often")));
        if !changes.admit(1, now) {
            return unavailable(format!(
                "often: {CHANGES_PER_SECOND} a second on average and {CHANGES_AT_ONCE} at once are written"
            ));
        }
        if !bytes.admit(len, now) {
            return unavailable(format!(
                "much: {} KiB a second on average and {} MiB at once are written",
                BYTES_PER_SECOND >> 10,
                BYTES_AT_ONCE >> 20
            ));
        }
        Ok(())
    }
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self { store: watch::Sender::new(Store::Opening), writes: Arc::default() }
    }

    pub(crate) fn restore(&self, all: BTreeMap<String, Keys>) {
        self.store.send_replace(Store::Open(all));
    }

    pub(crate) fn unavailable(&self, reason: String) {
        self.store.send_replace(Store::Unavailable(reason));
    }

    /// Waits until the daemon said something about the store, but not for ever.
    pub(crate) async fn opened(&self) {
        let mut store = self.store.subscribe();
        let opened = store.wait_for(|store| !matches!(store, Store::Opening));
        // Whoever reads next is told how it stands.
        let _ = tokio::time::timeout(OPENING_WAIT_MAX, opened).await;
    }

    pub(crate) fn get(&self, plugin: &str, key: &str) -> Result<Option<Bytes>, NotKept> {
        self.of(plugin, |keys| keys.and_then(|keys| keys.get(key).cloned()))
    }

    pub(crate) fn keys(&self, plugin: &str) -> Result<Vec<String>, NotKept> {
        self.of(plugin, |keys| keys.map(|keys| keys.keys().cloned().collect()).unwrap_or_default())
    }

    /// Whether the change stays within the quota: all keys and values together, in bytes.
    pub(crate) fn check(&self, write: &Write, quota: usize) -> Result<(), NotKept> {
        let Write { plugin, key, value } = write;
        self.of(plugin, |keys| {
            let Some(value) = value else {
                return Ok(());
            };
            if key.is_empty() || key.len() > KEY_LEN_MAX {
                return Err(NotKept::Quota(format!("a key has 1 to {KEY_LEN_MAX} bytes, not {}", key.len())));
            }
            let others = || keys.into_iter().flatten().filter(|(held, _)| *held != key);
            if others().count() >= KEYS_MAX {
                return Err(NotKept::Quota(format!("there are {KEYS_MAX} keys already; delete one")));
            }
            let bytes = others()
                .map(|(held, value)| held.len() + value.len())
                .fold(key.len() + value.len(), usize::saturating_add);
            if bytes > quota {
                return Err(NotKept::Quota(format!(
                    "all keys and values would be {bytes} bytes; at most {quota} are kept (`limits.state_kb` of the \
                     manifest, as far as the operator allows)"
                )));
            }
            Ok(())
        })?
    }

    /// Remembers what to change once the answer comes, unless what is returned is dropped before it was [`Begun::sent`].
    pub(crate) fn begin(&self, ask: AskId, write: Write) -> Result<Begun, NotKept> {
        let mut writes = self.writes();
        if writes.len() >= WRITES_MAX {
            return Err(NotKept::Unavailable("too many writes wait for the store".to_owned()));
        }
        writes.insert(ask, write);
        Ok(Begun { kept: self.clone(), ask: Some(ask) })
    }

    /// The daemon answered: what is on disk is in memory now.
    pub(crate) fn end(&self, ask: AskId, answer: &Answer) {
        let Some(write) = self.writes().remove(&ask) else {
            return;
        };
        if !matches!(answer, Answer::Kept(Ok(()))) {
            return;
        }
        self.store.send_if_modified(|store| {
            if let Store::Open(plugins) = store {
                let keys = plugins.entry(write.plugin.clone()).or_default();
                match write.value {
                    Some(value) => keys.insert(write.key, value),
                    None => keys.remove(&write.key),
                };
                if keys.is_empty() {
                    plugins.remove(&write.plugin);
                }
            }
            // Nobody waits for keys.
            false
        });
    }

    fn of<T>(&self, plugin: &str, look: impl FnOnce(Option<&Keys>) -> T) -> Result<T, NotKept> {
        match &*self.store.borrow() {
            Store::Opening => Err(NotKept::Unavailable("the store is not open yet".to_owned())),
            Store::Unavailable(reason) => Err(NotKept::Unavailable(reason.clone())),
            Store::Open(plugins) => Ok(look(plugins.get(plugin))),
        }
    }

    fn writes(&self) -> MutexGuard<'_, HashMap<AskId, Write>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change that the daemon does not know of yet. The guest's call may end before it does.
pub(crate) struct Begun {
    kept: Kept,
    ask: Option<AskId>,
}

impl Begun {
    /// The daemon has it, and will answer.
    pub(crate) fn sent(mut self) {
        self.ask = None;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(ask) = self.ask {
            self.kept.writes().remove(&ask);
        }
    }
}

#[cfg(test)]
mod tests;

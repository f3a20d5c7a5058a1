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

/// Keys of one plugin (`wit/imports.wit`, `state`).
const KEYS_MAX: usize = 64;
/// Bytes of one key.
const KEY_LEN_MAX: usize = 128;
/// How long a guest waits for the store to be opened. A ledger is recovered in well under a second or is in trouble.
const OPENING_WAIT_MAX: Duration = Duration::from_secs(10);
/// Writes on their way to disk, those of guests that are gone included. Each instance has one.
const WRITES_MAX: usize = 1024;

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

    /// Remembers what to change once the answer comes.
    pub(crate) fn begin(&self, ask: AskId, write: Write) -> Result<(), NotKept> {
        let mut writes = self.writes();
        if writes.len() >= WRITES_MAX {
            return Err(NotKept::Unavailable("too many writes wait for the store".to_owned()));
        }
        writes.insert(ask, write);
        Ok(())
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

    /// A write that never left the adapter.
    pub(crate) fn forget(&self, ask: AskId) {
        self.writes().remove(&ask);
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

#[cfg(test)]
mod tests;

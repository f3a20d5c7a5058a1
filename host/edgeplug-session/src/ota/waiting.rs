//! An update that waits at the portal: in a sync, or in the answer 205. It brings new URLs to an update that is under way, or is a
//! new one.
//!
//! A portal goes on saying it until it was told the end, and the ledger knows its ack id for as long as that may take. A legacy
//! one has no ack id but its guid, and mostly waits also as a message at the hub: that message is given some time to come
//! first, so that the same files are not installed twice.

use std::collections::VecDeque;
use std::time::Duration;

use edgeplug_protocol::c2d::Ota as Said;
use edgeplug_protocol::definition::Definition;
use edgeplug_protocol::version::Version;
use serde_json::Value;

use super::Ota;
use super::entry::Entry;
use crate::Step;
use crate::commands::{Task, Work};

/// How long the message at the hub has to come first.
const MESSAGE_TIME: Duration = Duration::from_secs(10);
/// Names of updates that have their end, kept in case the portal still says them.
const ENDED_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Waiting {
    /// What the cloud said last.
    said: Option<Value>,
    /// To be taken over then.
    due: Option<(Duration, Said)>,
    /// Guids of updates that ended in this run.
    ended: VecDeque<String>,
}

impl Waiting {
    pub(super) fn ended(&mut self, guid: Option<&String>) {
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.extend(guid.cloned());
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.due.as_ref().map(|(at, _)| *at)
    }
}

impl Ota {
    /// The cloud said something about the device, perhaps that an update waits.
    pub(crate) fn cloud_says(&mut self, definition: &Definition, step: &mut Step<'_>) {
        if self.waiting.said == definition.pending_ota {
            return;
        }
        self.waiting.said.clone_from(&definition.pending_ota);
        self.waiting.due = None;
        let Some(said) = &definition.pending_ota else { return };
        let said = match Said::waiting(definition.version, said) {
            Ok(said) => said,
            Err(reason) => return tracing::warn!(reason, "a firmware update that waits at the portal is passed over"),
        };
        let mut tasks = Task::of_update(&said, step);
        tasks.retain(|(key, task)| !self.renew(key, task));
        if !tasks.is_empty() {
            let wait = if definition.version == Version::Legacy { MESSAGE_TIME } else { Duration::ZERO };
            self.waiting.due = Some((step.now.monotonic + wait, said));
        }
    }

    /// The targets of an update that is to be taken over now.
    pub(crate) fn take_waiting(&mut self, step: &mut Step<'_>) -> Vec<(String, Task)> {
        if self.stopping || step.world.stopped.is_some() {
            return Vec::new();
        }
        let Some((_, said)) = self.waiting.due.take_if(|(at, _)| step.now.monotonic >= *at) else {
            return Vec::new();
        };
        let mut tasks = Task::of_update(&said, step);
        tasks.retain(|(key, task)| {
            let ended = task.ack.as_ref().is_some_and(|ack| self.waiting.ended.contains(&ack.id));
            !ended && !self.entries.iter().any(|entry| is_of(entry, key, task))
        });
        tasks
    }

    /// There was no room for it: the next time the cloud says it, it is heard again.
    pub(crate) fn put_off_waiting(&mut self) {
        tracing::warn!("too much is unfinished to take over a firmware update that waits at the portal");
        self.waiting.said = None;
    }

    /// Brings URLs to an update that is under way. Says whether there is one.
    pub(super) fn renew(&mut self, key: &str, task: &Task) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|entry| is_of(entry, key, task)) else { return false };
        if let Work::Update(journal) = &task.work {
            entry.renew(journal.wanted.clone());
        }
        true
    }
}

/// Whether a task is this one, by its ack id or by its guid.
fn is_of(entry: &Entry, key: &str, task: &Task) -> bool {
    let named = || entry.journal.guid.as_ref().zip(task.ack.as_ref()).is_some_and(|(guid, ack)| *guid == ack.id);
    entry.key == key || (entry.child == task.child && named())
}

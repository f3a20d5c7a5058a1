//! What plugins know of the desired properties: all of them once after a connection was made, then change by change.
//!
//! Invariants: versions told only grow on a connection; a change is told as such only if the one before it was told.
//! Where one is missing, all of it is asked for again, and what comes meanwhile waits. If that fails, changes are told as
//! they come, and the whole follows when the hub answers: late is better than never.
//!
//! What is kept of it is at most [`BYTES_MAX`], and so is what waits, whatever the cloud sends.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::{Properties, merge, text};
use crate::action::{DesiredChange, Fact, TwinFailure};
use crate::backoff::Backoff;
use crate::{Action, Step};

/// Changes that wait for the whole at most; past it they are dropped, and the whole is asked for once more.
const EARLY_MAX: usize = 100;
/// Bytes of the whole, and of all changes that wait for it, as text: no message is larger, and the hub takes an eighth of it
/// (Azure IoT Hub, "Understand and use device twins").
pub(super) const BYTES_MAX: usize = 256 * 1024;
/// Waits between tries to read the whole.
const RETRY_BASE: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// When a plugin that could not take a change is told the whole.
const MISSED_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Desired {
    /// Version told last.
    told: Option<u64>,
    /// All of it at that version; `None` where only changes are known.
    whole: Option<Map<String, Value>>,
    /// No less than its bytes.
    whole_bytes: usize,
    /// Plugins have to be told the whole, whether or not it changed.
    owed: bool,
    reading: Reading,
    /// Changes that wait for the whole, by version.
    early: BTreeMap<u64, Patch>,
    /// Some of those had no room or no version.
    early_lost: bool,
    backoff: Backoff,
    /// Plugins that missed something, and when they are told the whole.
    behind: BTreeMap<String, Duration>,
    /// The version of the last run or as kept since.
    kept: Option<u64>,
}

/// A change.
struct Patch {
    members: Map<String, Value>,
    /// As it came.
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Nothing to ask.
    No,
    /// Asked.
    Asked,
    /// It failed; ask again then.
    Again(Duration),
}

/// What is kept for the next run.
#[derive(Serialize, Deserialize)]
struct Kept {
    desired_version: u64,
}

impl Default for Desired {
    fn default() -> Self {
        Self {
            told: None,
            whole: None,
            whole_bytes: 0,
            owed: true,
            reading: Reading::No,
            early: BTreeMap::new(),
            early_lost: false,
            backoff: Backoff::new(RETRY_BASE, RETRY_MAX),
            behind: BTreeMap::new(),
            kept: None,
        }
    }
}

impl Desired {
    pub(super) fn restore(&mut self, kept: Option<Bytes>) {
        let kept = kept.and_then(|kept| serde_json::from_slice::<Kept>(&kept).ok());
        self.kept = kept.map(|kept| kept.desired_version);
    }

    /// Bytes of the changes that wait.
    pub(super) fn early_bytes(&self) -> usize {
        self.early.values().map(|patch| patch.bytes).sum()
    }

    pub(super) fn link_lost(&mut self, planned: bool) {
        self.owed |= !planned;
        self.reading = Reading::No;
        self.early.clear();
        self.early_lost = false;
        self.backoff.reset();
    }

    /// The whole was asked for, or cannot be until the next link.
    pub(super) fn reads(&mut self, asked: bool) {
        self.reading = if asked { Reading::Asked } else { Reading::No };
    }

    pub(super) fn wants_reading(&self, now: Duration) -> bool {
        matches!(self.reading, Reading::Again(at) if now >= at)
    }

    /// The hub's word on the whole.
    pub(super) fn read(&mut self, whole: Properties, step: &mut Step<'_>) {
        let whole_text = text(whole.members.clone());
        if whole_text.len() > BYTES_MAX {
            let reason = format!("the desired properties have {} bytes; at most {BYTES_MAX} are read", whole_text.len());
            return self.not_read(&TwinFailure::Unavailable(reason), step);
        }
        self.reading = Reading::No;
        let version = whole.version.unwrap_or_default();
        if self.told.is_none() && self.kept.is_some_and(|kept| kept != version) {
            tracing::info!(
                was = self.kept,
                version,
                "the twin's desired properties changed while this device was away"
            );
        }
        // Also where its version is lower: a device that was deleted and made anew begins at 1.
        self.told = Some(version);
        self.whole_bytes = whole_text.len();
        if std::mem::take(&mut self.owed) || self.whole.as_ref() != Some(&whole.members) {
            let change = DesiredChange { version, complete: true, desired: whole_text };
            step.act(Action::TellDesired { to: None, change });
            self.behind.clear();
        }
        self.whole = Some(whole.members);
        self.keep(step);
        let early = std::mem::take(&mut self.early);
        for (version, patch) in early.into_iter().filter(|(early, _)| *early > version) {
            self.tell_patch(version, patch, step);
        }
        if std::mem::take(&mut self.early_lost) || self.owed {
            // The hub's own answer is behind its changes: asking at once might go on for ever.
            self.owed = true;
            self.read_later(step);
        } else {
            self.backoff.reset();
        }
    }

    /// The whole cannot be had now.
    pub(super) fn not_read(&mut self, failure: &TwinFailure, step: &mut Step<'_>) {
        let wait = self.read_later(step);
        tracing::warn!(?failure, retry_in_s = wait.as_secs_f64(), "the twin cannot be read; trying again");
        for (version, patch) in std::mem::take(&mut self.early) {
            self.tell_patch(version, patch, step);
        }
    }

    /// A change came. Says whether the whole has to be asked for.
    pub(super) fn changed(&mut self, version: Option<u64>, body: &Bytes, step: &mut Step<'_>) -> bool {
        let patch = match Properties::parse(body) {
            Ok(patch) => patch,
            Err(reason) => {
                tracing::warn!(reason, "a change of the desired properties cannot be read");
                return self.miss();
            }
        };
        match version.or(patch.version) {
            Some(version) => self.patch(version, Patch { members: patch.members, bytes: body.len() }, step),
            None => {
                tracing::warn!("a change of the desired properties has no version");
                self.miss()
            }
        }
    }

    /// Tells one plugin what the others know.
    pub(super) fn tell_one(&mut self, plugin: &str, step: &mut Step<'_>) {
        self.behind.remove(plugin);
        // Where it is owed, all of them are told soon.
        if let (Some(version), Some(whole), false) = (self.told, &self.whole, self.owed) {
            let change = DesiredChange { version, complete: true, desired: text(whole.clone()) };
            step.act(Action::TellDesired { to: Some(plugin.to_owned()), change });
        }
    }

    pub(super) fn missed(&mut self, plugin: String, now: Duration) {
        self.behind.entry(plugin).or_insert(now + MISSED_WAIT);
    }

    pub(super) fn plugin_down(&mut self, plugin: &str) {
        self.behind.remove(plugin);
    }

    pub(super) fn advance(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        if self.behind.values().any(|at| now >= *at) {
            let due: Vec<_> = self.behind.extract_if(.., |_, at| now >= *at).map(|(plugin, _)| plugin).collect();
            for plugin in due {
                self.tell_one(&plugin, step);
            }
        }
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        let again = match self.reading {
            Reading::Again(at) => Some(at),
            Reading::No | Reading::Asked => None,
        };
        again.into_iter().chain(self.behind.values().copied()).min()
    }

    /// Says whether the whole has to be asked for.
    fn patch(&mut self, version: u64, patch: Patch, step: &mut Step<'_>) -> bool {
        match (self.reading, self.told) {
            (Reading::Asked, _) => {
                self.wait_for_the_whole(version, patch);
                false
            }
            (_, Some(told)) if version <= told => {
                tracing::debug!(version, told, "an older change of the desired properties");
                false
            }
            (Reading::No, Some(told)) if version > told.saturating_add(1) => {
                tracing::info!(version, told, "a change of the desired properties is missing; reading the whole");
                self.wait_for_the_whole(version, patch);
                true
            }
            _ => {
                let outgrew = self.tell_patch(version, patch, step);
                outgrew && self.reading == Reading::No
            }
        }
    }

    fn wait_for_the_whole(&mut self, version: u64, patch: Patch) {
        if self.early.len() < EARLY_MAX && self.early_bytes() + patch.bytes <= BYTES_MAX {
            self.early.insert(version, patch);
        } else {
            self.early_lost = true;
        }
    }

    fn read_later(&mut self, step: &mut Step<'_>) -> Duration {
        let wait = self.backoff.next(step.rng);
        self.reading = Reading::Again(step.now.monotonic + wait);
        wait
    }

    /// Something changed, and nobody knows what. Says whether the whole has to be asked for.
    fn miss(&mut self) -> bool {
        self.owed = true;
        self.early_lost |= self.reading == Reading::Asked;
        self.reading == Reading::No
    }

    /// Says whether that made the whole too large to be kept.
    fn tell_patch(&mut self, version: u64, patch: Patch, step: &mut Step<'_>) -> bool {
        let follows = self.told.is_some_and(|told| version == told.saturating_add(1));
        let outgrew = match self.whole.as_mut().filter(|_| follows) {
            Some(whole) => {
                merge(whole, &patch.members);
                self.whole_bytes += patch.bytes;
                if self.whole_bytes > BYTES_MAX {
                    // Mostly the changes were about the same properties.
                    self.whole_bytes = text(whole.clone()).len();
                }
                self.whole_bytes > BYTES_MAX
            }
            None => false,
        };
        if !follows || outgrew {
            self.whole = None;
        }
        self.owed |= self.whole.is_none();
        self.told = Some(version);
        let change = DesiredChange { version, complete: false, desired: text(patch.members) };
        step.act(Action::TellDesired { to: None, change });
        self.keep(step);
        outgrew
    }

    fn keep(&mut self, step: &mut Step<'_>) {
        if let Some(version) = self.told.filter(|_| self.told != self.kept) {
            self.kept = self.told;
            let kept = serde_json::to_vec(&Kept { desired_version: version }).unwrap_or_default();
            step.act(Action::Keep { fact: Fact::Twin, value: kept.into() });
        }
    }
}

//! What has to be known of a firmware update to go on with it after a crash. It lies in the ledger as part of its task.
//!
//! Invariant: a phase is on disk before anything is done that follows from it. Whoever finds a phase after a crash knows
//! what may have been done, and does it again, at the price of an attempt.

use edgeplug_protocol::c2d::{Ota, OtaFile};
use serde::{Deserialize, Serialize};

use crate::action::{FetchFile, SecretUrl};
use crate::config::{DeviceWay, OtaPolicy};
use crate::event::{Deployment, VerifiedFile};

/// Longest version kept; portals make some dozen characters.
const VERSION_CHARS_MAX: usize = 200;
/// Longest words kept of the end of one of several hand-overs: all of them have to fit into the ledger and one acknowledgement.
const WORDS_CHARS_MAX: usize = 200;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    /// Software version as the cloud says it; may be empty.
    pub(super) version: String,
    /// The cloud's other name for the update.
    pub(super) guid: Option<String>,
    /// What is to be fetched, in the cloud's order; empty once all of it is there.
    pub(super) wanted: Vec<FetchFile>,
    /// Times the files were asked for, but for those that brought it on.
    pub(super) tries: u32,
    /// Times the cloud was asked for new URLs.
    pub(super) urls_asked: u32,
    /// What was fetched and verified, in the cloud's order.
    pub(super) files: Vec<Payload>,
    /// Hand-overs begun of what is in hand.
    pub(super) attempts: u32,
    /// The component that was put into the plugin directory, until it proved itself.
    pub(super) deployed: Option<Deployment>,
    /// How hand-overs ended, in words.
    pub(super) said: Vec<String>,
    pub(super) phase: Phase,
}

/// A file to hand over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) file: VerifiedFile,
    pub(super) done: bool,
}

/// How far an update is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    Queued,
    Fetching,
    /// The cloud is asked for new URLs.
    AwaitingUrls,
    /// All that is left is verified and in nobody's hands.
    Ready,
    HandingOver {
        /// Places in [`Journal::files`].
        parcel: Vec<usize>,
        way: Way,
        /// In which boot of the system.
        boot_id: String,
    },
    /// A plugin tells the end later.
    Deferred {
        parcel: Vec<usize>,
        plugin: String,
    },
    AwaitingRestart {
        parcel: Vec<usize>,
        boot_id: String,
        /// Whether the installer said that it had installed it; otherwise the device restarted while it ran.
        installed: bool,
        /// Times it was asked what runs.
        asked: u32,
    },
    /// [`Journal::deployed`] proves itself.
    Probation {
        parcel: Vec<usize>,
    },
}

/// By which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    /// To the plugin in whose scope the device is.
    Plugin,
    /// With all others of its kind to the installer.
    Installer,
    /// Into the plugin directory.
    Component,
}

impl Journal {
    /// Of the files for one target. The error says why they cannot be carried out.
    pub(crate) fn new(ota: &Ota, files: &[&OtaFile]) -> Result<Self, String> {
        if files.is_empty() {
            return Err("no device here has the tag that these files are for".to_owned());
        }
        let mut wanted: Vec<FetchFile> = Vec::with_capacity(files.len());
        for (index, file) in files.iter().enumerate() {
            let place = index + 1;
            let name = file.file_name().ok_or_else(|| format!("file {place} has no name that a file can have"))?;
            if wanted.iter().any(|other| other.name == name) {
                return Err(format!("two files are named {name:?}"));
            }
            wanted.push(FetchFile { url: SecretUrl::new(file.url.clone()), name });
        }
        if wanted.iter().all(|file| is_sidecar(&file.name)) {
            return Err("there is nothing to install, only signatures or checksums".to_owned());
        }
        Ok(Self {
            version: ota.software.chars().take(VERSION_CHARS_MAX).collect(),
            guid: ota.guid.clone(),
            wanted,
            tries: 0,
            urls_asked: 0,
            files: Vec::new(),
            attempts: 0,
            deployed: None,
            said: Vec::new(),
            phase: Phase::Queued,
        })
    }

    /// Whether these are the same files, wherever they lie.
    pub(super) fn wants_the_same(&self, wanted: &[FetchFile]) -> bool {
        fn names(files: &[FetchFile]) -> std::collections::BTreeSet<&str> {
            files.iter().map(|file| file.name.as_str()).collect()
        }
        names(&self.wanted) == names(wanted)
    }

    /// By which ways the files go that are not there yet.
    pub(super) fn ways(&self, is_child: bool, policy: &OtaPolicy) -> impl Iterator<Item = Way> {
        let payload = self.wanted.iter().filter(|file| !is_sidecar(&file.name));
        payload.map(move |file| way(&file.name, is_child, policy))
    }

    /// What is to be handed over next. The installer comes last, because a restart may follow it.
    pub(super) fn next_parcel(&self, is_child: bool, policy: &OtaPolicy) -> Option<(Way, Vec<usize>)> {
        let way = |payload: &Payload| way(&payload.file.name, is_child, policy);
        let open = || self.files.iter().enumerate().filter(|(_, payload)| !payload.done);
        if let Some((place, payload)) = open().find(|(_, payload)| way(payload) != Way::Installer) {
            return Some((way(payload), vec![place]));
        }
        let rest: Vec<_> = open().map(|(place, _)| place).collect();
        (!rest.is_empty()).then_some((Way::Installer, rest))
    }

    /// What is in hand, if anything is.
    pub(super) fn parcel(&self) -> &[usize] {
        match &self.phase {
            Phase::HandingOver { parcel, .. }
            | Phase::Deferred { parcel, .. }
            | Phase::AwaitingRestart { parcel, .. }
            | Phase::Probation { parcel } => parcel,
            Phase::Queued | Phase::Fetching | Phase::AwaitingUrls | Phase::Ready => &[],
        }
    }

    /// The files in hand.
    pub(super) fn in_hand(&self) -> impl Iterator<Item = &VerifiedFile> {
        self.parcel().iter().filter_map(|place| self.files.get(*place)).map(|payload| &payload.file)
    }

    /// What was in hand is where it shall be. Says whether that was all.
    pub(super) fn parcel_done(&mut self, words: &str) -> bool {
        for place in self.parcel().to_vec() {
            if let Some(payload) = self.files.get_mut(place) {
                payload.done = true;
            }
        }
        let words: String = words.chars().take(WORDS_CHARS_MAX).collect();
        self.said.extend(Some(words).filter(|words| !words.is_empty()));
        (self.attempts, self.deployed, self.phase) = (0, None, Phase::Ready);
        self.files.iter().all(|payload| payload.done)
    }
}

fn way(name: &str, is_child: bool, policy: &OtaPolicy) -> Way {
    match policy.device_way {
        _ if is_child => Way::Plugin,
        _ if policy.components && is_component(name) => Way::Component,
        DeviceWay::Installer => Way::Installer,
        DeviceWay::Plugin => Way::Plugin,
    }
}

/// A file that only verifies others.
fn is_sidecar(name: &str) -> bool {
    name == "SHA256SUMS" || has_extension(name, "sha256") || has_extension(name, "minisig")
}

/// A WebAssembly component, or a bundle of one with its manifest.
fn is_component(name: &str) -> bool {
    has_extension(name, "wasm") || has_extension(name, "edgeplug")
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, last)| !stem.is_empty() && last == extension)
}

#[cfg(test)]
mod tests;

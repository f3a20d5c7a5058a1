//! What was promised of updates against what became of them.
//!
//! Three witnesses, none of them the daemon: the simulator's balance of acknowledgements, what the installer and the plugin wrote
//! down of the files they were handed, and the staging directory when all is over. An update that ended other than it had to, or of something else,
//! counts as missing its acknowledgement, one too many of any kind as doubled; an update that "is done" though nobody
//! was handed its files as a bad file.
//!
//! One thing is excused that the balance is not: the very same message, time and all, once more on a later connection. A daemon
//! that is killed between a PUBACK and its own disk cannot know that the hub has it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use edgeplug_cloud::{Ack, AckBalance, Owed, Protocol, Recorder};
use sha2::{Digest as _, Sha256};

use super::Verdict;

/// A file's content as witnesses write it down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Content {
    pub(super) size: u64,
    /// In lower case hex.
    pub(super) sha256: String,
}

/// How an update has to end, for every target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Failed,
}

/// A file that is there for somebody.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) name: String,
    /// The child it is for.
    pub(super) child: Option<String>,
    /// Each of them is right; none is when it must not be handed over.
    pub(super) contents: Vec<Content>,
}

/// An update that was sent.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    /// Its version too.
    pub(super) ack_id: String,
    pub(super) end: End,
    /// What a failure's message must hold, so that it did not fail of something else.
    pub(super) says: &'static str,
    pub(super) payload: Vec<Payload>,
}

/// What an installer or a plugin was handed, by its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HandedOver {
    pub(super) version: String,
    pub(super) name: String,
    pub(super) content: Content,
}

/// An acknowledgement as it came.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) ack: Ack,
    pub(super) connection: u64,
    pub(super) body: Bytes,
}

/// All that was promised and seen of one device.
#[derive(Debug, Default)]
pub(super) struct Judge {
    promises: BTreeMap<String, Promise>,
    handed_over: Vec<HandedOver>,
    /// What else is wrong with files.
    wrong: Vec<String>,
}

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { size: bytes.len() as u64, sha256 }
    }
}

impl Told {
    /// Everything the hub heard.
    pub(super) fn all(recorder: &Recorder) -> Vec<Self> {
        let acks = recorder.all_acks();
        recorder.with(|records| {
            let of = |ack: Ack| {
                let record = records.iter().find(|record| record.number == ack.record)?;
                Some(Self { ack, connection: record.connection, body: record.body.clone() })
            };
            acks.into_iter().filter_map(of).collect()
        })
    }

    fn is_end_of(&self, owed: &Owed) -> bool {
        self.ack.is_terminal() && self.ack.ack_id == owed.ack_id && self.ack.child == owed.child
    }
}

impl HandedOver {
    /// `version=V name=N size=S sha256=H`
    pub(super) fn read(text: &str) -> Option<Self> {
        let field = |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            version: field("version")?.to_owned(),
            name: field("name")?.to_owned(),
            content: Content { size: field("size")?.parse().ok()?, sha256: field("sha256")?.to_owned() },
        })
    }
}

impl Judge {
    pub(super) fn promise(&mut self, promise: Promise) {
        self.promises.insert(promise.ack_id.clone(), promise);
    }

    pub(super) fn was_handed_over(&mut self, handed_over: HandedOver) {
        self.handed_over.push(handed_over);
    }

    /// A file that was fetched or used as it must not be.
    pub(super) fn wrong(&mut self, words: String) {
        self.wrong.push(words);
    }

    /// A component that counts now, against the one that has to.
    pub(super) fn component(&mut self, after: &str, found: Option<&Content>, wanted: Option<&Content>) {
        if found != wanted {
            self.wrong(format!("after {after} the component is {found:?}, it has to be {wanted:?}"));
        }
    }

    /// Holds everything against everything. `leftovers` is what still lies in the staging directory.
    pub(super) fn judge(&self, balance: &AckBalance, told: &[Told], leftovers: &[String], verdict: &mut Verdict) {
        for owed in &balance.missing {
            verdict.missing_acks += 1;
            verdict.complain(format!("never acknowledged: {} of {:?}", owed.ack_id, owed.child));
        }
        for ack in told.iter().map(|told| &told.ack).filter(|ack| ack.is_terminal()) {
            let Some(promise) = self.promises.get(&ack.ack_id) else { continue };
            let is_right = match end(ack) {
                Some(End::Failed) => promise.end == End::Failed && ack.message.contains(promise.says),
                found => found == Some(promise.end),
            };
            if !is_right {
                verdict.missing_acks += 1;
                verdict.complain(format!("{} had to be {:?} {:?}: {ack:?}", ack.ack_id, promise.end, promise.says));
            }
        }
        for owed in &balance.double {
            let ends: Vec<_> = told.iter().filter(|told| told.is_end_of(owed)).collect();
            if !is_one_message(&ends) {
                verdict.double_acks += 1;
                verdict.complain(format!("acknowledged more than once: {} of {:?}: {ends:?}", owed.ack_id, owed.child));
            }
        }
        for ack in balance.unasked.iter().chain(&balance.late) {
            verdict.double_acks += 1;
            verdict.complain(format!("an acknowledgement that nobody is owed, or after the end: {ack:?}"));
        }
        for handed_over in self.handed_over.iter().filter(|handed_over| !self.is_right(handed_over)) {
            verdict.bad_files_handed_over += 1;
            verdict.complain(format!("must not be handed over: {handed_over:?}"));
        }
        for ack in told.iter().map(|told| &told.ack).filter(|ack| end(ack) == Some(End::Done)) {
            for name in self.not_handed_over(ack) {
                verdict.bad_files_handed_over += 1;
                verdict.complain(format!("{} is done, and nobody was handed its {name}", ack.ack_id));
            }
        }
        for words in &self.wrong {
            verdict.bad_files_handed_over += 1;
            verdict.complain(words.clone());
        }
        for left in leftovers {
            verdict.staging_leftovers += 1;
            verdict.complain(format!("left in the staging directory: {left}"));
        }
    }

    fn is_right(&self, handed_over: &HandedOver) -> bool {
        let Some(promise) = self.promises.get(&handed_over.version) else { return false };
        let mut named = promise.payload.iter().filter(|payload| payload.name == handed_over.name);
        named.any(|payload| payload.contents.contains(&handed_over.content))
    }

    /// Files for the target of this acknowledgement that no witness has. Components are looked after by themselves.
    fn not_handed_over(&self, ack: &Ack) -> Vec<String> {
        let Some(promise) = self.promises.get(&ack.ack_id) else { return Vec::new() };
        let whose = promise.payload.iter().filter(|payload| payload.child == ack.child);
        let files = whose.filter(|payload| !payload.name.ends_with(".wasm"));
        let has = |name: &str| {
            let mut all = self.handed_over.iter().filter(|handed_over| handed_over.version == ack.ack_id);
            all.any(|handed_over| handed_over.name == name)
        };
        files.filter(|payload| !has(&payload.name)).map(|payload| payload.name.clone()).collect()
    }
}

/// Whether all of them are one message, each on a connection of its own.
fn is_one_message(ends: &[&Told]) -> bool {
    let again = |pair: &[&Told]| matches!(pair, [a, b] if a.body == b.body && a.connection < b.connection);
    ends.len() > 1 && ends.windows(2).all(again)
}

/// What a terminal acknowledgement of firmware says: legacy 7 is done; 2.1 by its published table, 3 is.
fn end(ack: &Ack) -> Option<End> {
    match (ack.protocol, ack.status) {
        _ if !ack.is_terminal() => None,
        (Protocol::Legacy, 7) | (Protocol::V21, 3) => Some(End::Done),
        (Protocol::Legacy, 4) | (Protocol::V21, 1 | 4) => Some(End::Failed),
        _ => None,
    }
}

/// Everything in a staging directory but the installer's lock, which stays. A directory that never was holds nothing.
pub(super) fn leftovers(staging: &Path) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    let entries = match std::fs::read_dir(staging) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(left),
        Err(error) => return Err(error).with_context(|| format!("cannot look into {}", staging.display())),
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != LOCK {
            left.push(name);
        }
    }
    left.sort();
    Ok(left)
}

/// Files that never got their names in the directory of plugins that came by an update.
pub(super) fn unnamed(plugins: &Path) -> Vec<String> {
    let names = std::fs::read_dir(plugins).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(".aside")).collect()
}

/// Held by whatever the installer starts, so that it outlives the daemon.
const LOCK: &str = ".install.lock";

#[cfg(test)]
mod tests;

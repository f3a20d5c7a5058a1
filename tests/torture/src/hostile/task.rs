//! What the judge tells the daemon's side to do, and what that one says it saw. Both ends are this program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use edgeplug_protocol::sample::Sample;
use serde::{Deserialize, Serialize};

/// The plugin that is measured.
pub(super) const NEIGHBOUR: &str = "neighbour";
/// The plugin that tries to get through.
pub(super) const ATTACKER: &str = "attacker";
/// A plugin that does nothing wrong, to which other things were given.
pub(super) const VICTIM: &str = "victim";
/// What the daemon's side prints when it lets the attacker in.
pub(super) const ATTACK: &str = "attack";

/// A run of the daemon's side.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// Everything lies below it.
    pub(super) stage: PathBuf,
    pub(super) cache: PathBuf,
    pub(super) compiler: PathBuf,
    /// Tables of `plugins.allow`, as text.
    pub(super) policy: BTreeMap<String, String>,
    pub(super) errand: Errand,
    pub(super) until: Until,
    pub(super) alone_ms: u64,
    pub(super) attack_ms: u64,
}

/// What an attack waits for, beyond its time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Until {
    Nothing,
    /// The attacker is left alone.
    Quarantined,
    /// Somebody said this.
    Said(String),
}

/// What the attacker is asked to do, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Errand {
    Sample,
    Command,
    Desired,
    Update,
    Transform,
    /// The connection comes and goes.
    Connection,
    /// Another version of its file.
    Swap,
    /// Its file goes and comes back.
    Remove,
    /// It should never be ready to be asked.
    Nothing,
}

/// What the daemon's side saw. It is material for the judge, who does not believe what a look from outside can tell.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    /// Microseconds from asking the neighbour to its answer.
    pub(super) alone_us: Vec<u32>,
    pub(super) attack_us: Vec<u32>,
    /// Calls of the neighbour that brought no readings, with the reason.
    pub(super) missed: Vec<String>,
    pub(super) ups: u32,
    pub(super) good: u32,
    pub(super) failed: u32,
    /// Why files were not taken and calls failed, each once.
    pub(super) words: Vec<String>,
    /// Samples that the attacker answered with, each once.
    pub(super) readings: Vec<Sample>,
    /// Most samples in one answer.
    pub(super) samples_max: u64,
    /// Samples that it sent by itself and that came to the daemon.
    pub(super) offered: u64,
    pub(super) offered_bytes: u64,
    pub(super) progress: u64,
    /// Changes of what it keeps.
    pub(super) kept_changes: u64,
    /// Most bytes that it had kept at a time.
    pub(super) kept_bytes_max: u64,
    /// What was asked in the victim's name, which asks nothing.
    pub(super) stolen: Vec<String>,
    /// The attacker's log.
    pub(super) log: Vec<String>,
    pub(super) list: Vec<Status>,
    /// How long the attack lasted.
    pub(super) attack_ms: u64,
    /// How long it took to end the plugins, by force in the end.
    pub(super) stop_ms: u64,
}

/// A plugin's line of `plugin list`, as much of it as counts here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) plugin: String,
    pub(super) state: String,
    pub(super) faults: u64,
    pub(super) problem: Option<String>,
}

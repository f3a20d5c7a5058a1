//! What is known about a plugin from outside.

use edgeplug_engine::Exports;
use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::scope::{CommandScope, FirmwareScope};

/// One line of `plugin list`.
#[derive(Clone, Debug, Serialize)]
pub struct PluginStatus {
    pub plugin: String,
    pub state: PluginState,
    /// Of the version that runs, or ran last; empty when none ever did.
    pub sha256: String,
    /// Where the files of that version lie, or lay.
    pub origin: Option<Origin>,
    /// The release that its signature names, such as `1.2.3`.
    pub version: Option<String>,
    /// The id of the key that signed it.
    pub signed_by: Option<String>,
    pub exports: Exports,
    pub interval_ms: u64,
    pub grants: Vec<String>,
    /// Which commands it asks for; empty lists are all.
    pub commands: CommandScope,
    /// Whose firmware it installs, if it does; an empty list is everybody's.
    pub firmware: Option<FirmwareScope>,
    /// Calls answered since the daemon started, errors included.
    pub calls: u64,
    /// Calls that the plugin answered with an error.
    pub errors: u64,
    /// Calls that ended in a trap or over their deadline.
    pub faults: u64,
    /// Times the plugin was started again after a fault.
    pub restarts: u64,
    /// Times another version took over.
    pub swaps: u64,
    /// Times a version that failed its probation was replaced by the one before it.
    pub rollbacks: u64,
    /// Faults without a good call in between.
    pub strikes: u32,
    /// Most linear memory that any instance of the plugin has had after a call, in bytes.
    pub memory_bytes_max: u64,
    /// The last fault or refusal, in words; or an error that no good call of the same kind has followed yet, if no
    /// refusal stands.
    pub problem: Option<String>,
    /// What its calls took and brought, over all versions since the daemon started.
    pub figures: Figures,
    /// What the version that runs has shown so far, while it is not trusted yet.
    pub probation: Option<ProbationStatus>,
    /// The version that lies in the directory and is not run because it failed.
    pub set_aside: Option<SetAside>,
}

/// Where a version comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub component: Source,
    /// None where there is no manifest.
    pub manifest: Option<Source>,
}

/// Who put a file there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It lies in the operator's directory.
    Operator,
    /// It came over the air.
    Ota,
}

/// What becomes of a component that was put into a directory; [`Plugins::trust`](crate::Plugins::trust) answers with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Other content lies there, or none; or the machine is at fault (a full disk) and it is being tried again.
    Unknown,
    /// It runs and has yet to prove itself.
    OnProbation,
    /// It runs and is the version to go back to.
    Confirmed,
    /// It does not run, with the reason.
    Failed(String),
}

/// A version under probation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbationStatus {
    pub good_calls: u32,
    pub good_calls_wanted: u32,
    /// Time without a fault that is still missing, at the last look.
    pub seconds_left: u64,
}

/// A version that is not tried again until its files change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    pub sha256: String,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// Can be called.
    Running,
    /// Waits to be started again after a fault.
    Restarting,
    /// Has never run; its file is being read, compiled or started for the first time.
    Loading,
    /// Has never run and its file was refused, or is on its way out.
    Refused,
    /// Failed so often that it is left alone until its files change or an operator says so.
    Quarantined,
    /// Switched off by an operator.
    Disabled,
}

/// A plugin that did not end within the deadline of [`Plugins::stop`](crate::Plugins::stop) and was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Straggler {
    pub plugin: String,
}

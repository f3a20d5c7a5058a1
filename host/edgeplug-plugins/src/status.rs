//! What is known about a plugin from outside.

use serde::Serialize;

use crate::scope::CommandScope;

/// One line of `plugin list`.
#[derive(Clone, Debug, Serialize)]
pub struct PluginStatus {
    pub plugin: String,
    pub state: PluginState,
    /// Of the version that runs, or ran last; empty when none ever did.
    pub sha256: String,
    pub exports: Exports,
    pub interval_ms: u64,
    pub grants: Vec<String>,
    /// Which commands it asks for; empty lists are all.
    pub commands: CommandScope,
    /// Calls answered since the daemon started, errors included.
    pub calls: u64,
    /// Calls that the plugin answered with an error.
    pub errors: u64,
    /// Calls that ended in a trap or over their deadline.
    pub faults: u64,
    /// Times the plugin was started again after a fault.
    pub restarts: u64,
    /// Faults without a good call in between.
    pub strikes: u32,
    /// Most linear memory that any instance of the plugin has had after a call, in bytes.
    pub memory_bytes_max: u64,
    /// The last fault or refusal, in words; or an error that no good call of the same kind has followed yet, if no
    /// refusal stands.
    pub problem: Option<String>,
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
}

/// Which of the optional interfaces a component exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exports {
    pub sensor: bool,
    pub commands: bool,
    pub twin_events: bool,
    pub connection_events: bool,
    pub firmware: bool,
    pub lifecycle: bool,
    pub transform: bool,
}

/// A plugin that did not end within the deadline of [`Plugins::stop`](crate::Plugins::stop) and was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Straggler {
    pub plugin: String,
}

//! What the plugins tell the daemon, and what the daemon tells them.

use std::path::PathBuf;
use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use serde::Serialize;

/// Everything that comes out of [`Plugins`](crate::Plugins), past tense. Per plugin the order is: `Up` before any answer,
/// then answers, then `Down`; between `Up` and `Down` every call that was taken is answered exactly once. `Refused` may
/// come at any time, and so may `Offered`: a plugin may send while it starts, before its `Up`, and while an old version
/// stops, after its `Down`.
#[derive(Debug)]
pub enum PluginEvent {
    /// Everything that lay in the directory at the start has been loaded or refused. Comes once.
    ScanDone,
    /// The plugin can be called.
    Up {
        plugin: String,
        exports: Exports,
        /// How often the manifest wants `sample` called.
        interval: Duration,
        /// Hash of the component's content, 64 hexadecimal digits.
        sha256: String,
        change: Change,
        /// What the plugin may touch beside its own configuration, log and readings, one sentence each.
        grants: Vec<String>,
    },
    /// The plugin cannot be called for now, or for good when `gone`.
    Down { plugin: String, reason: String, gone: bool },
    /// A file was not taken. What ran before under this name goes on running.
    Refused { plugin: String, file: PathBuf, reason: String },
    /// The answer to [`Plugins::sample`](crate::Plugins::sample).
    Sampled { plugin: String, call: u64, result: Result<Vec<Sample>, CallFailure> },
    /// The answer to [`Plugins::command`](crate::Plugins::command).
    Replied { plugin: String, call: u64, result: Result<CommandOutcome, CallFailure> },
    /// The plugin sends of its own accord and waits for [`Plugins::answer_offer`](crate::Plugins::answer_offer).
    Offered { plugin: String, offer: OfferId, samples: Vec<Sample> },
}

/// Names one [`PluginEvent::Offered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OfferId(pub(crate) u64);

/// Which of the optional interfaces a component exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exports {
    pub sensor: bool,
    pub commands: bool,
    pub lifecycle: bool,
}

/// Why a plugin is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there before.
    First,
    /// Its component or manifest changed; the old version served until this moment.
    Replaced,
    /// The same version again, after a fault.
    Restarted,
}

/// What became of a command that the plugin understood well enough to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    Done(String),
    Failed(String),
}

/// What became of one offered sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SampleOutcome {
    /// Committed to the store.
    Accepted,
    /// Not taken, with the reason.
    Rejected(String),
}

/// A command on its way to a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The whole text as the cloud sent it.
    pub text: String,
    /// The child device it is meant for, `None` for the device itself.
    pub device: Option<String>,
}

/// Why a call brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The plugin crashed; it restarts by itself. Holds the trap, what the guest last said, and its backtrace.
    #[error("the plugin trapped: {0}")]
    Trapped(String),
    /// The plugin overran its deadline and was stopped; it restarts by itself.
    #[error("the plugin did not answer within its deadline")]
    TimedOut,
    /// The plugin answered with an error. It keeps running.
    #[error("the plugin answered: {0}")]
    Error(String),
    /// The plugin went down or away before the call reached it.
    #[error("the plugin is not running")]
    Gone,
}

/// Why a call was not taken. Nothing will come back for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    #[error("there is no plugin {0:?}")]
    Unknown(String),
    #[error("plugin {0:?} is not running")]
    Down(String),
    #[error("plugin {plugin:?} does not export {export}")]
    NotExported { plugin: String, export: &'static str },
    #[error("plugin {0:?} has too many calls waiting")]
    Busy(String),
}

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
    /// Calls answered since the daemon started, errors included.
    pub calls: u64,
    /// Calls that ended in a trap or over their deadline.
    pub faults: u64,
    /// Times the plugin was started again after a fault.
    pub restarts: u64,
    /// Faults without a good call in between.
    pub strikes: u32,
    /// Most linear memory that any instance of the plugin has had after a call, in bytes.
    pub memory_bytes_max: u64,
    /// The last fault or refusal, in words.
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

/// A plugin that did not end within the deadline of [`Plugins::stop`](crate::Plugins::stop) and was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Straggler {
    pub plugin: String,
}

//! What the plugins tell the daemon.

use std::path::PathBuf;
use std::time::Duration;

use edgeplug_protocol::sample::Sample;

use crate::ask::{Ask, AskId};
use crate::call::{CallFailure, Reply};
use crate::scope::{CommandScope, FirmwareScope};
use edgeplug_engine::Exports;

/// Everything that comes out of [`Plugins`](crate::Plugins), past tense. Per plugin the order is: `Up` before any answer,
/// then answers, then `Down`; between `Up` and `Down` every call that was taken is answered exactly once. `Refused` may
/// come at any time, as may `Confirmed` and `RolledBack` (which comes before the `Up` it leads to), and so may `Offered`, `Asked` and `Progress`: a plugin may send and ask while it starts, before its
/// `Up`, and while an old version stops, after its `Down`.
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
        /// Which commands the manifest asks for; says nothing where commands are not exported.
        commands: CommandScope,
        /// Whose firmware the manifest asks for; none where `firmware` is not exported.
        firmware: Option<FirmwareScope>,
    },
    /// The plugin cannot be called for now, or for good when `gone`.
    Down { plugin: String, reason: String, gone: bool },
    /// A new version proved itself; it is the one to go back to from now on.
    Confirmed { plugin: String, sha256: String },
    /// A new version failed its probation. The one before it takes over again, and this one is not tried any more until
    /// its files change. Where there was none before it, it is left alone, and a `Down` for good follows.
    RolledBack {
        plugin: String,
        /// Of the version that failed.
        sha256: String,
        reason: String,
    },
    /// A file was not taken. What ran before under this name goes on running.
    Refused {
        plugin: String,
        file: PathBuf,
        reason: String,
        /// Of the component; none where it was not read, and where it is being tried again all the same.
        sha256: Option<String>,
    },
    /// The answer to [`Plugins::sample`](crate::Plugins::sample).
    Sampled { plugin: String, call: u64, result: Result<Vec<Sample>, CallFailure> },
    /// The answer to [`Plugins::command`](crate::Plugins::command).
    Replied { plugin: String, call: u64, result: Result<Reply, CallFailure> },
    /// The answer to [`Plugins::desired_changed`](crate::Plugins::desired_changed).
    DesiredHandled { plugin: String, call: u64, result: Result<(), CallFailure> },
    /// The answer to [`Plugins::update`](crate::Plugins::update).
    Updated { plugin: String, call: u64, result: Result<Reply, CallFailure> },
    /// The answer to [`Plugins::transform`](crate::Plugins::transform): what shall be stored in place of the samples.
    Transformed { plugin: String, call: u64, result: Result<Vec<Sample>, CallFailure> },
    /// The plugin sends of its own accord and waits for [`Plugins::answer_offer`](crate::Plugins::answer_offer).
    Offered { plugin: String, offer: OfferId, samples: Vec<Sample> },
    /// The plugin asks and waits for [`Plugins::answer`](crate::Plugins::answer).
    Asked { plugin: String, ask: AskId, request: Ask },
    /// How far the plugin is with a deferred command or an update: 0 to 100 percent, and at most 1000 characters on one
    /// line. Nobody waits, and the id may be anything of at most 256 bytes.
    Progress { plugin: String, id: String, percent: u8, message: String },
}

/// Names one [`PluginEvent::Offered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OfferId(pub(crate) u64);

/// Why a plugin is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there before.
    First,
    /// Its component or manifest changed; the old version served until this moment.
    Replaced,
    /// The same version again, after a fault or because an operator said so.
    Restarted,
    /// The version before, because its successor failed.
    RolledBack,
}

/// What became of one offered sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SampleOutcome {
    /// Committed to the store.
    Accepted,
    /// Taken into memory only, because the operator chose so.
    AcceptedInMemory,
    /// Dropped on purpose: it came sooner than the cloud wants readings.
    HeldBack,
    /// Not taken, with the reason.
    Rejected(String),
}

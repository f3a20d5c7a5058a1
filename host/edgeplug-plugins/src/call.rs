//! What the daemon may ask of a plugin, and how a call ends.

use std::path::PathBuf;

/// A command on its way to a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Names it for `acks.finish`; the same when it is handled again after a crash of the daemon.
    pub id: String,
    /// The whole text as the cloud sent it.
    pub text: String,
    /// The child device it is meant for, `None` for the device itself.
    pub device: Option<String>,
}

/// A change of the twin's desired properties on its way to a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredChange {
    /// Grows with every change.
    pub version: u64,
    /// Whether `desired` is all of it, or only what changed.
    pub complete: bool,
    /// A JSON object, at most 32 KiB.
    pub desired: String,
}

/// A firmware file, downloaded and verified, on its way to a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Names it for `acks.finish`, `acks.progress` and `firmware-file.read`.
    pub id: String,
    /// The child device it is meant for, `None` for the device itself.
    pub device: Option<String>,
    /// The file's name for the plugin, without directories.
    pub name: String,
    /// As typed at the portal; empty when none was.
    pub version: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the content, 64 hexadecimal digits; checked by the caller.
    pub sha256: String,
    /// Where it lies. The plugin reads it through `firmware-file.read` until the update has its end.
    pub file: PathBuf,
}

/// What `connection-events.changed` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    Connected,
    /// With the reason, in words.
    Disconnected(String),
}

/// What a plugin said to a command or an update that it understood well enough to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done(String),
    Failed(String),
    /// The end comes by [`Ask::Finish`](crate::Ask::Finish).
    Deferred,
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

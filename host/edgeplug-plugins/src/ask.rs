//! What a plugin may ask of the daemon, and the answers. The guest waits meanwhile; the wait is not charged to it.

use bytes::Bytes;

/// Names one [`PluginEvent::Asked`](crate::PluginEvent::Asked).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AskId(pub(crate) u64);

/// A question that only the daemon can answer, by [`Plugins::answer`](crate::Plugins::answer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `twin.get`; [`Answer::Twin`].
    TwinGet,
    /// `twin.report`; [`Answer::Reported`]. `patch` is a JSON object of at most 32 KiB, nested at most 10 deep.
    TwinReport { patch: String },
    /// `acks.finish`; [`Answer::Finished`]. The id has at most 256 bytes, the message 1000 characters on one line.
    Finish { id: String, ending: Ending },
    /// `state.set` and, without a value, `state.delete`; [`Answer::Kept`], in the order asked. Within the quota.
    KeepState { key: String, value: Option<Bytes> },
    /// `device.disconnect` of a plugin that has the right; [`Answer::Link`].
    Disconnect,
    /// `device.reconnect` of a plugin that has the right; [`Answer::Link`].
    Reconnect,
}

/// How something the cloud asked for ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Done(String),
    Failed(String),
}

/// The answer to an [`Ask`]; each names the one it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Twin(Result<TwinDocument, TwinFailure>),
    /// The new version of what is reported.
    Reported(Result<u64, TwinFailure>),
    Finished(Result<(), FinishFailure>),
    /// Durable now, or why not, in words.
    Kept(Result<(), String>),
    /// Done, or why not, in words.
    Link(Result<(), String>),
}

/// The whole twin; the texts are JSON objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinDocument {
    pub desired: String,
    pub desired_version: u64,
    pub reported: String,
    pub reported_version: u64,
}

/// Why the twin was not read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TwinFailure {
    /// No connection, or no answer in time.
    #[error("{0}")]
    Unavailable(String),
    /// The hub cannot take such a text.
    #[error("{0}")]
    Invalid(String),
    /// The hub's status code.
    #[error("the hub refused it with status {0}")]
    Refused(u16),
}

/// Why something was not ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishFailure {
    #[error("nothing under way has this id")]
    Unknown,
    #[error("it was given to another plugin")]
    NotYours,
    /// It could not be written down.
    #[error("{0}")]
    Unavailable(String),
}

//! What happened: the session's only input.

use bytes::Bytes;
use edgeplug_protocol::sample::Sample;

use crate::{AckId, AskId, CallId, ConnectionId, DeliveryId, KeySlot, OfferId, RequestId, RowId, Ticket};

/// Something that happened outside. Answers carry the [`Ticket`] of the action they answer; an answer whose ticket
/// is no longer awaited is ignored.
#[derive(Debug)]
pub enum Event {
    /// Nothing but time passed.
    Woke,
    /// The store was opened; always the first event.
    Restored(Restored),
    /// Answer to [`crate::Action::OpenIdentity`].
    IdentityOpened {
        /// Of the action.
        ticket: Ticket,
        /// Who we are, or why that is not known.
        result: Result<Registration, Failure>,
    },
    /// Answer to [`crate::Action::Http`].
    HttpDone {
        /// Of the action.
        ticket: Ticket,
        /// Reply of any status, or why there is none.
        result: Result<HttpReply, Failure>,
    },
    /// Answer to [`crate::Action::Activate`].
    Activated {
        /// Of the action.
        ticket: Ticket,
        /// Which key.
        slot: KeySlot,
        /// Done, or why not.
        result: Result<(), Failure>,
    },
    /// Answer to [`crate::Action::Sign`].
    Signed {
        /// Of the action.
        ticket: Ticket,
        /// HMAC-SHA256, or why not.
        result: Result<Vec<u8>, Failure>,
    },
    /// CONNACK and all SUBACKs came.
    LinkUp {
        /// Of which connection.
        connection: ConnectionId,
    },
    /// The connection ended or never came up; nothing is known about what was outstanding on it.
    LinkDown {
        /// Of which connection.
        connection: ConnectionId,
        /// Why.
        reason: LinkDownReason,
    },
    /// The hub took over these publishes (PUBACK).
    Delivered {
        /// Of which connection.
        connection: ConnectionId,
        /// Tickets of the publishes.
        tickets: Vec<Ticket>,
    },
    /// A message from the hub, not yet acknowledged to it.
    Received {
        /// On which connection.
        connection: ConnectionId,
        /// For [`crate::Action::Acknowledge`].
        delivery: DeliveryId,
        /// Its topic.
        topic: String,
        /// Its body.
        payload: Bytes,
    },
    /// Rows are on disk, in the order given.
    Committed {
        /// Ticket of the store action and the row it became.
        rows: Vec<(Ticket, RowId)>,
    },
    /// Rows could not be stored and will not be.
    NotStored {
        /// Tickets of the store actions.
        tickets: Vec<Ticket>,
        /// Why, in words for an operator.
        reason: String,
    },
    /// So many removed rows are off the disk for good; a crash cannot send them again. A store that cannot write at the
    /// moment says so of rows it only remembers to remove: holding the window closed would then hold back everything.
    Removed {
        /// Rows named in [`crate::Action::Remove`], in that order.
        rows: u64,
    },
    /// The store gave up its oldest rows to keep its limits, or an operator dropped them.
    Evicted {
        /// Every row up to here is gone.
        through: RowId,
        /// How many that were.
        rows: u64,
    },
    /// Answer to [`crate::Action::Load`].
    Loaded {
        /// Of the action.
        ticket: Ticket,
        /// Rows in order; an error leaves the store as it was.
        result: Result<LoadedRows, String>,
    },
    /// Answer to [`crate::Action::Record`]: the command is on disk.
    Recorded {
        /// Of the action.
        ticket: Ticket,
        /// New or known, or why it could not be written.
        result: Result<Recorded, String>,
    },
    /// Answer to [`crate::Action::Finish`]: the outcome is on disk.
    Finished {
        /// Of the action.
        ticket: Ticket,
        /// The stored acknowledgement if there is one to send, or why it could not be written.
        result: Result<Option<AckId>, String>,
    },
    /// Answer to [`crate::Action::Note`].
    Noted {
        /// Of the action.
        ticket: Ticket,
        /// On disk, or why not.
        result: Result<(), String>,
    },
    /// How far [`crate::Action::Fetch`] is; at most one a second.
    FetchProgress {
        /// Of the action.
        ticket: Ticket,
        /// Staged of all its files.
        bytes: u64,
        /// How many there are, if that is known.
        total: Option<u64>,
    },
    /// Answer to [`crate::Action::Fetch`].
    Fetched {
        /// Of the action.
        ticket: Ticket,
        /// What is to be handed over, in the order of the cloud, verified; without the files that only verify others.
        result: Result<Vec<VerifiedFile>, FetchFailure>,
    },
    /// Answer to [`crate::Action::Install`].
    Installed {
        /// Of the action.
        ticket: Ticket,
        /// What became of it, or why it failed.
        result: Result<Installation, String>,
    },
    /// Answer to [`crate::Action::ConfirmInstall`].
    InstallConfirmed {
        /// Of the action.
        ticket: Ticket,
        /// What was installed runs, in words; or why the device is back at what it ran before.
        result: Result<String, String>,
    },
    /// Answer to [`crate::Action::Deploy`]; the swap follows.
    Deployed {
        /// Of the action.
        ticket: Ticket,
        /// What lies there now, or why it does not.
        result: Result<Deployment, String>,
    },
    /// A version of a plugin proved itself.
    PluginConfirmed {
        /// Its name.
        plugin: String,
        /// SHA-256 of its component in hex.
        sha256: String,
    },
    /// A version of a plugin failed, and the one before runs again.
    PluginRolledBack {
        /// Its name.
        plugin: String,
        /// SHA-256 of the component that failed, in hex.
        sha256: String,
        /// Why.
        reason: String,
    },
    /// A version of a plugin was not taken.
    PluginRefused {
        /// Its name.
        plugin: String,
        /// SHA-256 of the component in hex; `None` where it was not read, or is tried again by itself.
        sha256: Option<String>,
        /// Why.
        reason: String,
    },
    /// Every plugin present at start has been tried once.
    PluginsScanned,
    /// A plugin runs.
    PluginUp(PluginUp),
    /// A plugin stopped.
    PluginDown {
        /// Its name.
        plugin: String,
        /// For good; otherwise it will be up again by itself.
        gone: bool,
    },
    /// The plugins are being stopped because the daemon is: what they do not finish, the next run does.
    PluginsStopping,
    /// Answer to [`crate::Action::Sample`].
    Sampled {
        /// Who.
        plugin: String,
        /// Of the action.
        call: CallId,
        /// Readings, or why none.
        result: Result<Vec<Sample>, CallFailure>,
    },
    /// Answer to [`crate::Action::Transform`].
    Transformed {
        /// Who.
        plugin: String,
        /// Of the action.
        call: CallId,
        /// What shall be read in place of the readings, or why they are as they were.
        result: Result<Vec<Sample>, CallFailure>,
    },
    /// A plugin sends readings of its own accord and waits for [`crate::Action::AnswerOffer`].
    Offered {
        /// Who.
        plugin: String,
        /// For the answer.
        offer: OfferId,
        /// The readings.
        samples: Vec<Sample>,
    },
    /// Answer to [`crate::Action::Call`] and [`crate::Action::Update`].
    Replied {
        /// Who.
        plugin: String,
        /// Of the action.
        call: CallId,
        /// What the plugin made of the command or file.
        result: Result<Reply, CallFailure>,
    },
    /// A plugin wants something of the cloud side and waits for [`crate::Action::Answer`].
    Asked {
        /// Who.
        plugin: String,
        /// For the answer.
        ask: AskId,
        /// What.
        request: Ask,
    },
    /// A plugin tells how far a command or firmware update is.
    Progress {
        /// Who.
        plugin: String,
        /// As in [`crate::Action::Call`] or [`crate::action::FirmwareUpdate`].
        id: String,
        /// 0 to 100.
        percent: u8,
        /// A few words.
        message: String,
    },
    /// A plugin could not take a [`crate::Action::TellDesired`] now, because too many calls wait for it.
    DesiredMissed {
        /// Who.
        plugin: String,
    },
    /// Answer to [`crate::Action::KeepFor`].
    Kept {
        /// Of the action.
        ticket: Ticket,
        /// On disk, or why not.
        result: Result<(), String>,
    },
    /// An operator wants something and waits for [`crate::Action::AnswerOperator`].
    Operator {
        /// For the answer.
        request: RequestId,
        /// What.
        what: OperatorRequest,
    },
    /// Come to rest: finish what is under way, close the link, answer with [`crate::Action::Stopped`].
    Stop,
}

/// What the store held at start.
#[derive(Debug, Default)]
pub struct Restored {
    /// Telemetry rows that wait.
    pub rows: u64,
    /// The highest row id ever given out.
    pub last_row: Option<RowId>,
    /// Acknowledgements that wait, oldest first.
    pub acks: Vec<RestoredAck>,
    /// Commands accepted from the cloud but not finished, oldest first: key and what was recorded.
    pub commands: Vec<(String, Bytes)>,
    /// The last good sync reply.
    pub sync: Option<Bytes>,
    /// The last DPS assignment, as the session wrote it.
    pub assignment: Option<Bytes>,
    /// The last time known to be right, as the session wrote it.
    pub clock: Option<Bytes>,
    /// What was spent of the daily budget, as the session wrote it.
    pub budget: Option<Bytes>,
    /// Windows that were open, as the session wrote them.
    pub windows: Option<Bytes>,
    /// That the cloud stopped this device, as the session wrote it.
    pub hard_stop: Option<Bytes>,
    /// The twin as last seen, as the session wrote it.
    pub twin: Option<Bytes>,
}

/// An acknowledgement that waits.
#[derive(Debug)]
pub struct RestoredAck {
    /// Its place in the ledger.
    pub id: AckId,
    /// Its body.
    pub body: Bytes,
    /// Whether it was made while the link was down.
    pub offline: bool,
}

/// Who this device is.
#[derive(Debug, Clone)]
pub struct Registration {
    /// How it proves itself.
    pub attestation: Attestation,
    /// Whether a key for the hub is there, so that DPS need not be asked.
    pub hub_key: bool,
}

/// How a device proves itself to DPS.
#[derive(Debug, Clone)]
pub enum Attestation {
    /// By two public areas (`TPM2B_PUBLIC`) and what only that TPM can open.
    Tpm {
        /// Endorsement key.
        endorsement_key: Vec<u8>,
        /// Storage root key.
        storage_root_key: Vec<u8>,
    },
    /// By a key it was given.
    SymmetricKey,
}

/// Why a step outside failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What kind of trouble.
    pub kind: FailureKind,
    /// In words for an operator, cause chain included.
    pub text: String,
}

/// Trouble by what someone has to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// No TPM, or no way to it.
    TpmMissing,
    /// The TPM does not answer in time or is used by someone else.
    TpmBusy,
    /// The TPM or key file refuses us: rights, password, wrong object at a handle.
    KeyRefused,
    /// Nobody answers.
    Network,
    /// Somebody answers whose certificate we do not trust.
    Certificate,
    /// DPS or the portal does not know or want this device.
    Enrolment,
    /// An answer that makes no sense.
    Protocol,
    /// The hub closes every connection soon: another one of the same identity takes its place.
    Kicked,
    /// No clock says what time it is, and without it nothing can be signed.
    TimeUnknown,
}

/// A reply of any HTTP status.
#[derive(Debug, Clone)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after_s: Option<u64>,
    /// `Date` in Unix seconds.
    pub date_unix_s: Option<i64>,
    /// Body.
    pub body: Bytes,
}

/// Why a link ended.
#[derive(Debug, Clone)]
pub enum LinkDownReason {
    /// We asked for it.
    Asked,
    /// The hub does not accept this device or token (CONNACK 4 or 5).
    NotAuthorised,
    /// The hub closed an open connection without a word: an expired token, a second connection of the same device, a
    /// broken rule, or maintenance (Azure IoT Hub MQTT docs).
    Closed,
    /// Anything else.
    Failed(Failure),
}

/// Rows read back from the store.
#[derive(Debug)]
pub struct LoadedRows {
    /// In id order.
    pub rows: Vec<LoadedRow>,
    /// Whether more lie behind them.
    pub more: bool,
}

/// One row read back.
#[derive(Debug)]
pub struct LoadedRow {
    /// Its place.
    pub id: RowId,
    /// What the body is, as given to the store.
    pub kind: u8,
    /// Whether the link was down when it was committed.
    pub offline: bool,
    /// When it was accepted, Unix milliseconds.
    pub created_unix_ms: i64,
    /// Its body.
    pub body: Bytes,
}

/// What the ledger knew of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// First sight.
    New,
    /// Delivered again.
    Seen {
        /// Whether it has its outcome.
        finished: bool,
    },
}

/// A plugin that can be called.
#[derive(Debug, Clone)]
pub struct PluginUp {
    /// Its name.
    pub plugin: String,
    /// How often to sample it; `None` if it has nothing to sample.
    pub interval: Option<std::time::Duration>,
    /// Which commands it handles, if any.
    pub commands: Option<CommandScope>,
    /// Whose firmware it takes, if anybody's.
    pub firmware: Option<FirmwareScope>,
}

/// Which commands a plugin handles, as its manifest says; empty lists are "all".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandScope {
    /// First words of command texts.
    pub names: Vec<String>,
    /// Unique ids of devices; the device's own is one of them.
    pub devices: Vec<String>,
}

/// Whose firmware a plugin takes, as its manifest says; an empty list is "everybody's".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirmwareScope {
    /// Unique ids of devices; the device's own is one of them.
    pub devices: Vec<String>,
}

/// A file that was fetched whole and is what it shall be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VerifiedFile {
    /// Its name in the staging directory.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hex.
    pub sha256: String,
    /// What the operator lets pass but the cloud shall know: that nobody signed it, for instance.
    #[serde(default)]
    pub warning: Option<String>,
}

/// Why files could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFailure {
    /// What to do about it.
    pub kind: FetchFailureKind,
    /// In words for the cloud and an operator, cause chain included, without a URL's query.
    pub text: String,
    /// How long whoever serves the files wants to be left alone.
    pub retry_after: Option<std::time::Duration>,
}

/// Trouble with files by what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchFailureKind {
    /// 401 or 403: ask for new URLs.
    Expired,
    /// Network, 5xx, 429, a time-out or a cut: try again.
    Transient,
    /// The disk is full or fails: try again later.
    Disk,
    /// Wrong length, digest, signature or name, too large, 404, redirects: for good.
    Refused,
}

/// What an installer made of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installation {
    /// Installed and running, with words for the cloud.
    Done(String),
    /// Installed; the device must restart before it runs. With words for the cloud.
    NeedsRestart(String),
}

/// A component in its directory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Deployment {
    /// Name of the plugin that it is a version of.
    pub plugin: String,
    /// SHA-256 of the component in hex.
    pub sha256: String,
}

/// What an operator may want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorRequest {
    /// Close the connection to the hub and leave it closed.
    Disconnect,
    /// Connect again.
    Connect,
    /// Take back the cloud's hard stop.
    Resume,
    /// Ask the cloud for everything it says about the device.
    Refresh,
    /// Create a child at the cloud (2.1).
    CreateChild {
        /// Unique id.
        id: String,
        /// Tag.
        tag: String,
        /// Name to show.
        name: String,
    },
    /// Delete a child at the cloud (2.1).
    DeleteChild {
        /// Unique id.
        id: String,
    },
}

/// What a plugin made of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done, with a message for the cloud.
    Done(String),
    /// Refused or failed, with a message for the cloud.
    Failed(String),
    /// It takes longer: [`Ask::Finish`] tells the end.
    Deferred,
}

/// How something the cloud asked for ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Carried out, with a message for the cloud.
    Done(String),
    /// Not carried out, with a message for the cloud.
    Failed(String),
}

/// What a plugin may want of the cloud side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The whole twin.
    TwinGet,
    /// Merge this into what is reported.
    TwinReport {
        /// A JSON object.
        patch: String,
    },
    /// End a command or firmware update, deferred or in the plugin's hands right now.
    Finish {
        /// As in [`crate::Action::Call`] or [`crate::action::FirmwareUpdate`].
        id: String,
        /// How it ended.
        ending: Ending,
    },
    /// Close the connection to the hub and leave it closed.
    Disconnect,
    /// Connect again after [`Self::Disconnect`].
    Reconnect,
}

/// Why a call gave nothing, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CallFailure(pub String);

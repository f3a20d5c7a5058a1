//! What shall be done: the session's only output.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use edgeplug_protocol::azure::challenge::ChallengeBlob;
use edgeplug_protocol::azure::sas::SasToken;
use edgeplug_protocol::model::DeviceModel;
use edgeplug_protocol::sample::Sample;
use serde::{Deserialize, Serialize};

use crate::{AckId, AskId, CallId, ConnectionId, DeliveryId, KeySlot, OfferId, RequestId, RowId, Ticket};

/// One thing to do. Those with a [`Ticket`] are answered by an event with the same ticket.
#[derive(Debug)]
pub enum Action {
    /// Find out who we are; may be asked again after a failure.
    OpenIdentity {
        /// For the answer.
        ticket: Ticket,
    },
    /// Make an HTTPS request.
    Http {
        /// For the answer.
        ticket: Ticket,
        /// What to ask.
        request: HttpRequest,
    },
    /// Open a wrapped key.
    Activate {
        /// For the answer.
        ticket: Ticket,
        /// What it is for.
        slot: KeySlot,
        /// The wrapped key.
        blob: ChallengeBlob,
    },
    /// Sign with HMAC-SHA256.
    Sign {
        /// For the answer.
        ticket: Ticket,
        /// By which key.
        slot: KeySlot,
        /// What.
        bytes: Vec<u8>,
    },
    /// Forget the challenge key.
    DiscardChallenge,
    /// Open a connection to the hub; the one before it is over.
    Connect {
        /// Its name.
        connection: ConnectionId,
        /// Where and as whom.
        to: ConnectTo,
    },
    /// End a connection politely.
    Disconnect {
        /// Which.
        connection: ConnectionId,
    },
    /// Publish at QoS 1.
    Publish {
        /// On which connection.
        connection: ConnectionId,
        /// For [`crate::Event::Delivered`].
        ticket: Ticket,
        /// Topic.
        topic: Arc<str>,
        /// Body.
        body: Bytes,
    },
    /// Acknowledge a received message to the hub, which then forgets it.
    Acknowledge {
        /// On which connection.
        connection: ConnectionId,
        /// Which.
        delivery: DeliveryId,
    },
    /// Put a telemetry row into the store.
    Store {
        /// For the answer.
        ticket: Ticket,
        /// What.
        row: NewRow,
    },
    /// Delivered rows may go.
    Remove {
        /// Which.
        rows: Vec<RowId>,
    },
    /// Read rows back.
    Load {
        /// For the answer.
        ticket: Ticket,
        /// Rows behind this one.
        after: RowId,
        /// At most so many.
        rows_max: usize,
        /// And so many bytes.
        bytes_max: usize,
    },
    /// Write a command into the ledger before it is acknowledged.
    Record {
        /// For the answer.
        ticket: Ticket,
        /// What makes it the same command.
        key: String,
        /// What has to be known of it to carry it out; comes back in [`crate::event::Restored::commands`].
        body: Bytes,
        /// Now, Unix milliseconds.
        at_unix_ms: i64,
    },
    /// Write a command's one outcome, and its acknowledgement if the cloud wants one.
    Finish {
        /// For the answer.
        ticket: Ticket,
        /// Which command.
        key: String,
        /// Body of the acknowledgement.
        ack: Option<Bytes>,
        /// Whether the link is down now.
        offline: bool,
        /// Now, Unix milliseconds.
        at_unix_ms: i64,
    },
    /// Replace what has to be known of an unfinished command: how far a firmware update is.
    Note {
        /// For [`crate::Event::Noted`].
        ticket: Ticket,
        /// Which command.
        key: String,
        /// As in [`Self::Record`].
        body: Bytes,
    },
    /// Delivered acknowledgements may go.
    RemoveAcks {
        /// Which.
        acks: Vec<AckId>,
    },
    /// Keep a small fact.
    Keep {
        /// Which.
        fact: Fact,
        /// Its value.
        value: Bytes,
    },
    /// Keep a fact, and say when it is on disk.
    KeepFor {
        /// For [`crate::Event::Kept`].
        ticket: Ticket,
        /// Which.
        fact: Fact,
        /// Its value; empty stands for none.
        value: Bytes,
    },
    /// Give up every telemetry row there is: the cloud stopped this device, and the operator wants the store wiped then.
    Wipe,
    /// Ask a plugin for readings.
    Sample {
        /// Whom.
        plugin: String,
        /// For the answer.
        call: CallId,
    },
    /// Have a plugin filter readings of another one.
    Transform {
        /// Whom.
        plugin: String,
        /// For the answer.
        call: CallId,
        /// The readings.
        samples: Vec<Sample>,
    },
    /// Hand a command to a plugin.
    Call {
        /// Whom.
        plugin: String,
        /// For the answer.
        call: CallId,
        /// Names the command, also when it is handed over again after a restart.
        id: String,
        /// Name and parameters as typed at the portal.
        text: String,
        /// The child it is for, `None` for the device itself.
        child: Option<String>,
    },
    /// Bring all files of a firmware update into its staging directory and verify them. Tried once; what is staged
    /// already is resumed.
    Fetch {
        /// For [`crate::Event::FetchProgress`] and [`crate::Event::Fetched`].
        ticket: Ticket,
        /// Name of the staging directory: 32 hex digits.
        job: String,
        /// Whence, and under which names. Not empty.
        files: Vec<FetchFile>,
    },
    /// Stop fetching; no event follows.
    CancelFetch {
        /// Of [`Self::Fetch`].
        ticket: Ticket,
    },
    /// Hand a file of a firmware update to a plugin; answered by [`crate::Event::Replied`].
    Update {
        /// Whom.
        plugin: String,
        /// For the answer.
        call: CallId,
        /// What.
        update: FirmwareUpdate,
    },
    /// A plugin may read a file no longer.
    UpdateEnded {
        /// Which plugin.
        plugin: String,
        /// Of [`FirmwareUpdate::id`].
        id: String,
    },
    /// Run the installer.
    Install {
        /// For [`crate::Event::Installed`].
        ticket: Ticket,
        /// Staging directory of the files.
        job: String,
        /// Names of the verified files. Not empty.
        names: Vec<String>,
        /// Software version as the cloud says it; may be empty.
        version: String,
        /// Counts from 1.
        attempt: u32,
    },
    /// Find out after a restart of the device whether what was installed runs.
    ConfirmInstall {
        /// For [`crate::Event::InstallConfirmed`].
        ticket: Ticket,
        /// As in [`Self::Install`].
        job: String,
        /// As in [`Self::Install`].
        version: String,
    },
    /// Put a component into the directory of plugins that came by firmware update.
    Deploy {
        /// For [`crate::Event::Deployed`].
        ticket: Ticket,
        /// Staging directory of the file.
        job: String,
        /// Name of the verified file: `NAME.wasm` or `NAME.edgeplug`.
        name: String,
    },
    /// Put back what was there before a component that failed. Does nothing where another one lies there by now.
    Withdraw {
        /// Which plugin.
        plugin: String,
        /// SHA-256 of the component in hex.
        sha256: String,
    },
    /// The staging directory of an update that has its outcome may go.
    DiscardJob {
        /// Which.
        job: String,
    },
    /// Every staging directory but these may go; once after [`crate::Event::Restored`].
    KeepJobs {
        /// Which stay.
        jobs: Vec<String>,
    },
    /// Answer a plugin that sent readings.
    AnswerOffer {
        /// Of the event.
        offer: OfferId,
        /// One for each sample, in order.
        outcomes: Vec<Outcome>,
    },
    /// The device's own clock is wrong: check certificates at this time instead. Milliseconds since 1970 at the zero of
    /// the monotonic clock.
    CorrectClock {
        /// Add the monotonic clock to it.
        unix_ms_at_zero: i64,
    },
    /// Answer a plugin that wanted something.
    Answer {
        /// Of the event.
        ask: AskId,
        /// The kind that fits what was asked.
        answer: Answer,
    },
    /// Tell plugins whether the cloud can be reached; only when that changed.
    TellConnected(Connection),
    /// Tell plugins what the cloud says about the device; only when that changed.
    TellTemplate(Arc<DeviceModel>),
    /// Tell plugins what the cloud wants of the twin.
    TellDesired {
        /// This one, or `None` for every plugin that wants to know.
        to: Option<String>,
        /// What.
        change: DesiredChange,
    },
    /// Answer an operator.
    AnswerOperator {
        /// Of the event.
        request: RequestId,
        /// Done, in words or JSON, or why not.
        result: Result<String, String>,
    },
    /// The session came to rest after [`crate::Event::Stop`].
    Stopped,
}

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFile {
    /// Where it lies.
    pub url: SecretUrl,
    /// Under which name to stage it; the adapter refuses what is none.
    pub name: String,
}

/// A signed URL. Whoever reads it may fetch the file, so that its query, and a login, are shown by [`Self::expose`] only, and written into the
/// ledger, whose file is the daemon's alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Hides it.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// The whole of it, to be requested and never printed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let place = rest.split(['?', '#']).next().unwrap_or_default();
        let authority = place.split(['/', '\\']).next().unwrap_or_default();
        // A name and a password may stand before the host.
        let login = authority.rfind('@').map_or(0, |at| at + 1);
        let hidden = if login > 0 { "…@" } else { "" };
        let more = if place.len() < rest.len() { "…" } else { "" };
        let shown = place.get(login..).unwrap_or_default();
        write!(formatter, "{:?}{more}", format_args!("{scheme}://{hidden}{shown}").to_string())
    }
}

/// A file of a firmware update in a plugin's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareUpdate {
    /// Names this hand-over, also when it is repeated after a restart: for `acks.finish` and progress.
    pub id: String,
    /// Staging directory of the file.
    pub job: String,
    /// Its name there.
    pub name: String,
    /// Software version as the cloud says it; may be empty.
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hex.
    pub sha256: String,
    /// Unique id of the child it is for, `None` for the device itself.
    pub child: Option<String>,
}

/// An HTTPS request.
#[derive(Debug)]
pub struct HttpRequest {
    /// `GET`, `POST` or `PUT`.
    pub method: Method,
    /// Where.
    pub url: String,
    /// `Authorization` header.
    pub authorization: Option<SasToken>,
    /// JSON body.
    pub body: Option<String>,
    /// Largest reply to read.
    pub reply_bytes_max: usize,
}

/// HTTP methods the protocols need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// Where and as whom to connect.
#[derive(Debug)]
pub struct ConnectTo {
    /// Host name.
    pub host: String,
    /// TLS port.
    pub port: u16,
    /// MQTT client id.
    pub client_id: String,
    /// MQTT user name.
    pub user_name: String,
    /// Freshly signed.
    pub password: SasToken,
    /// Topic filters.
    pub subscriptions: Vec<String>,
    /// Most publishes the session leaves unacknowledged.
    pub window: u16,
}

/// A telemetry row to store.
#[derive(Debug)]
pub struct NewRow {
    /// What the body is; comes back in [`crate::event::LoadedRow`].
    pub kind: u8,
    /// Whether the link is down.
    pub offline: bool,
    /// Now, Unix milliseconds.
    pub created_unix_ms: i64,
    /// The body.
    pub body: Bytes,
}

/// Facts kept across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The last good sync reply, as received.
    Sync,
    /// The last DPS assignment.
    Assignment,
    /// The last time known to be right.
    Clock,
    /// What was spent of the daily budget.
    Budget,
    /// The windows of an edge device that are still open.
    Windows,
    /// The cloud stopped this device; empty when it did not, or when that was taken back.
    HardStop,
    /// The twin as last seen.
    Twin,
}

/// What became of one sample a plugin sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// On disk; it will be delivered.
    Accepted,
    /// In the bounded memory of a mode that stores less; lost with the process.
    AcceptedInMemory,
    /// On disk, but the template has no place for some of its values.
    AcceptedInPart(String),
    /// Sooner than the cloud wants readings (data frequency): dropped, or kept in memory as the latest until it is time.
    HeldBack,
    /// Not taken, and why.
    Rejected(String),
}

/// The twin's desired properties changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredChange {
    /// Grows with every change.
    pub version: u64,
    /// Whether `desired` is all of it; otherwise only what changed, a removed member as `null`.
    pub complete: bool,
    /// A JSON object without `$version`.
    pub desired: String,
}

/// Whether there is a connection to the hub. The pause of a renewal is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// There is.
    Connected,
    /// There is not, and why, in words.
    Disconnected(String),
}

/// The answer to what a plugin wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`crate::event::Ask::TwinGet`].
    Twin(Result<TwinDocument, TwinFailure>),
    /// To [`crate::event::Ask::TwinReport`]: the new version.
    Reported(Result<u64, TwinFailure>),
    /// To [`crate::event::Ask::Finish`]: the end is on disk, or not.
    Finished(Result<(), FinishFailure>),
    /// To [`crate::event::Ask::Disconnect`], when the connection is closed, and to [`crate::event::Ask::Reconnect`].
    Link(Result<(), String>),
}

/// The whole twin; both texts are JSON objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinDocument {
    /// What the cloud wants.
    pub desired: String,
    /// Grows with every change of `desired`.
    pub desired_version: u64,
    /// What the device last reported.
    pub reported: String,
    /// Grows with every change of `reported`.
    pub reported_version: u64,
}

/// Why the twin could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwinFailure {
    /// It cannot be reached, and why.
    Unavailable(String),
    /// What was to be reported is no such document, and where.
    Invalid(String),
    /// The hub's status code.
    Refused(u16),
}

/// Why a command could not be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishFailure {
    /// Nothing under way has this id, or it has its end already.
    Unknown,
    /// Another plugin has it.
    NotYours,
    /// It could not be written down, and why. The end is kept and tried again; until the plugin asks once more with the
    /// same end it does not learn whether that worked.
    Unavailable(String),
}

#[cfg(test)]
mod tests;

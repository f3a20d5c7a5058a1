//! What the outbox tells the main loop, and what it found when it was opened.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use bytes::Bytes;

use crate::request::Lane;

/// A row in the telemetry store. Grows in the order of the appends and is never given out twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub i64);

/// An acknowledgement in the ledger. Grows and is never given out twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AckId(pub i64);

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Store {
    Telemetry,
    Ledger,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Telemetry => "telemetry store",
            Self::Ledger => "ledger",
        })
    }
}

/// A ticket and the row it became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedRow {
    pub ticket: u64,
    pub id: RowId,
}

/// A row as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    pub id: RowId,
    pub lane: Lane,
    pub kind: u8,
    pub link_down: bool,
    pub created_unix_ms: i64,
    pub body: Bytes,
}

/// A command that was recorded and has no terminal outcome yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommand {
    pub key: String,
    pub received_unix_ms: i64,
    /// As recorded, or as last noted.
    pub body: Bytes,
}

/// An acknowledgement that was not removed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAck {
    pub id: AckId,
    /// The key of the command that it ends.
    pub key: String,
    pub kind: u8,
    pub link_down: bool,
    pub created_unix_ms: i64,
    pub body: Bytes,
}

/// What recording a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    New,
    /// The key was recorded before; nothing was changed.
    Seen {
        finished: bool,
    },
}

/// What finishing a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishOutcome {
    /// The command is finished; the acknowledgement, if there was one, has this id.
    Done { ack: Option<AckId> },
    /// It had its terminal outcome already; nothing was changed. Its acknowledgement, while that waits, has this id.
    AlreadyFinished { ack: Option<AckId> },
    /// No such command was recorded; nothing was changed.
    Unknown,
}

/// A file that could not be trusted and was put beside its old place under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    pub store: Store,
    pub set_aside: PathBuf,
    pub reason: String,
    /// Undelivered rows or acknowledgements in it, where it could still say. They are not sent any more.
    pub rows_lost: Option<u64>,
}

/// Why rows were given up undelivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// Their room was needed for newer ones.
    Space,
    /// An operator dropped them.
    Asked,
}

/// What happened, in the past tense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxEvent {
    /// These rows are on disk, in the order they were appended. May answer several appends at once.
    Committed { rows: Vec<AppendedRow> },
    /// These rows were not taken: they break a cap, or the store cannot write.
    AppendFailed { tickets: Vec<u64>, reason: String },
    /// This many removal requests on this store are done with: on disk, or, while the store cannot write, kept in
    /// memory to be tried again. What was not on disk at a crash is delivered again.
    ///
    /// `rows` counts the ids named in the requests.
    Removed { store: Store, requests: usize, rows: u64 },
    /// The oldest rows were given up to keep the limits, or dropped on request: every live row up to `through` is gone.
    /// Alarm rows up to it are gone as well, except where one file holds everything: there they go once no live row is
    /// left. `rows` and `bytes` (of bodies) count what was undelivered.
    Evicted { through: RowId, rows: u64, bytes: u64, why: Eviction },
    /// A damaged segment was put aside while the rest goes on; its undelivered rows are lost to the cloud.
    SetAside(Damaged),
    /// Rows in id order; `more` when the lane held further ones.
    Loaded { ticket: u64, lane: Lane, rows: Vec<StoredRow>, more: bool },
    /// Acknowledgements in id order; `more` when the ledger held further ones.
    AcksLoaded { ticket: u64, acks: Vec<StoredAck>, more: bool },
    /// Nothing was dropped: the store cannot write.
    DropFailed { reason: String },
    /// A load could not read.
    LoadFailed { ticket: u64, reason: String },
    /// The command is on disk; it may be acknowledged to the broker now.
    Recorded { ticket: u64, outcome: RecordOutcome },
    /// The command is not on disk and must not be acknowledged to the broker.
    RecordFailed { ticket: u64, reason: String },
    /// How far a command is, is on disk; or why not, and its former body stands.
    CommandNoted { ticket: u64, result: Result<(), String> },
    /// The outcome of a command is on disk.
    Finished { ticket: u64, outcome: FinishOutcome },
    /// The outcome of a command is not on disk; ask again.
    FinishFailed { ticket: u64, reason: String },
    /// The fact is on disk.
    Stored { ticket: u64 },
    /// The fact is not on disk; its former value stands.
    PutFailed { ticket: u64, reason: String },
    /// The store cannot write. Said once; further requests fail at once with the same reason until it has healed.
    Degraded { store: Store, reason: String },
    /// The store can write again; if it had to be started afresh, `damaged` says where the old file is.
    Healed { store: Store, damaged: Option<Damaged> },
}

/// What one lane holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneState {
    pub rows: u64,
    /// Bytes of the bodies.
    pub bytes: u64,
    pub first: Option<RowId>,
    pub last: Option<RowId>,
}

/// What was found at opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub live: LaneState,
    pub alarm: LaneState,
    /// The highest row id ever given out; every row appended from now on is above it.
    pub last_row: RowId,
    /// Undelivered acknowledgements, oldest first: as many as one [`LoadAcks`](crate::Request::LoadAcks) may answer.
    pub acks: Vec<StoredAck>,
    /// There are more; load them with [`LoadAcks`](crate::Request::LoadAcks).
    pub acks_more: bool,
    /// Every command without a terminal outcome, in the order recorded.
    pub unfinished: Vec<StoredCommand>,
    pub facts: BTreeMap<String, Bytes>,
    /// Files that were set aside; what they held is not sent.
    pub damaged: Vec<Damaged>,
}

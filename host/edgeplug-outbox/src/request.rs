//! What the main loop may ask of the outbox, and the caps on it.

use bytes::Bytes;

use crate::event::{AckId, RowId};

/// Largest body of a row or of an acknowledgement. Four times the largest message that Azure IoT Hub takes (256 KB,
/// Azure IoT Hub quotas and throttling), because a body may be stored in a roomier form than it is sent in.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Largest body of a command. A direct method may carry 128 KB, a cloud-to-device message 64 KB (Azure IoT Hub quotas).
pub const COMMAND_BODY_BYTES_MAX: usize = 128 * 1024;
/// Commands recorded and not finished. The hub queues 50 per device; more than this many means that nothing finishes
/// them. It also bounds what [`Restored`](crate::Restored) holds: 32 MiB.
pub const COMMANDS_UNFINISHED_MAX: u32 = 256;
/// Finished commands kept so that a redelivery is recognised; the oldest beyond it are forgotten.
pub const COMMANDS_SEEN_MAX: u32 = 100_000;
/// Acknowledgements waiting to be delivered. Beyond it no new command is recorded, so that the cloud waits for us.
pub const ACKS_UNDELIVERED_MAX: u32 = 10_000;
/// Names that [`Request::Put`] may use at one time: a few of the daemon's own, and what plugins keep.
pub const FACTS_MAX: u32 = 4_096;
/// Largest value of a fact: the open windows of an edge gateway with thousands of devices. The last good sync of a template
/// with hundreds of attributes is a hundredth of it.
pub const FACT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest command key or fact name.
pub const KEY_BYTES_MAX: usize = 512;
/// Most rows one load answers with.
pub const LOAD_ROWS_MAX: usize = 1_000;
/// Most body bytes one load answers with, except that a single larger row comes alone.
pub const LOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Which stream of telemetry a row belongs to. Order is kept within a lane, not across lanes.
///
/// Backlog is no lane here: it is a range of the live lane that the caller reads with a second cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Reports and faults, in the order stored.
    Live,
    /// Rule matches, which never wait behind reports.
    Alarm,
}

/// A row that is to be taken into custody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    /// The caller's number, returned with the outcome. The outbox does not interpret it.
    pub ticket: u64,
    pub lane: Lane,
    /// The caller's kind of body. The outbox does not interpret it.
    pub kind: u8,
    /// Whether the link to the cloud was down when the row was accepted.
    pub link_down: bool,
    /// Milliseconds since 1970-01-01 UTC, by the caller's clock; may be wrong or negative.
    pub created_unix_ms: i64,
    /// At most [`BODY_BYTES_MAX`] bytes.
    pub body: Bytes,
}

/// The acknowledgement that ends a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The caller's kind of body.
    pub kind: u8,
    /// Whether the link to the cloud was down when the command ended.
    pub link_down: bool,
    /// Milliseconds since 1970-01-01 UTC.
    pub created_unix_ms: i64,
    /// At most [`BODY_BYTES_MAX`] bytes.
    pub body: Bytes,
}

/// One thing asked of the outbox. Each is answered by the event named with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Takes rows into custody, in this order. Every ticket is answered once, in
    /// [`Committed`](crate::OutboxEvent::Committed) or [`AppendFailed`](crate::OutboxEvent::AppendFailed); no rows, no answer.
    Append(Vec<NewRow>),
    /// Gives up delivered rows. Ids that are not in the store are ignored. Answered by
    /// [`Removed`](crate::OutboxEvent::Removed). While the store cannot write the ids are kept in memory and tried again.
    Remove(Vec<RowId>),
    /// Gives up every row up to `through`, delivered or not, in all lanes. Answered by
    /// [`Evicted`](crate::OutboxEvent::Evicted) (with no rows if there were none) or
    /// [`DropFailed`](crate::OutboxEvent::DropFailed).
    Drop { through: RowId },
    /// Reads rows of one lane with an id above `after`, in id order, at most `rows_max` (and [`LOAD_ROWS_MAX`]) rows and
    /// `bytes_max` (and [`LOAD_BYTES_MAX`]) body bytes, but always at least one row where there is one. Answered by
    /// [`Loaded`](crate::OutboxEvent::Loaded) or [`LoadFailed`](crate::OutboxEvent::LoadFailed).
    Load { ticket: u64, lane: Lane, after: RowId, rows_max: usize, bytes_max: usize },
    /// Notes a command before it is acknowledged to the broker. Answered by
    /// [`Recorded`](crate::OutboxEvent::Recorded) or [`RecordFailed`](crate::OutboxEvent::RecordFailed).
    RecordCommand { ticket: u64, key: String, body: Bytes, received_unix_ms: i64 },
    /// Notes how far an unfinished command is: its body is replaced. Answered by
    /// [`CommandNoted`](crate::OutboxEvent::CommandNoted), with an error where the key is unknown or finished; then
    /// nothing was changed.
    NoteCommand { ticket: u64, key: String, body: Bytes },
    /// Ends a command: its state and its acknowledgement change in one transaction, and its body is forgotten. Answered by
    /// [`Finished`](crate::OutboxEvent::Finished) or [`FinishFailed`](crate::OutboxEvent::FinishFailed); after the latter
    /// the command is still unfinished and the caller must ask again.
    FinishCommand { ticket: u64, key: String, finished_unix_ms: i64, ack: Option<Ack> },
    /// Gives up delivered acknowledgements. Answered by [`Removed`](crate::OutboxEvent::Removed).
    RemoveAcks(Vec<AckId>),
    /// Reads acknowledgements with an id above `after`, oldest first; for those that
    /// [`Restored`](crate::Restored) had no room for. Answered by
    /// [`AcksLoaded`](crate::OutboxEvent::AcksLoaded) or [`LoadFailed`](crate::OutboxEvent::LoadFailed).
    LoadAcks { ticket: u64, after: AckId, rows_max: usize, bytes_max: usize },
    /// Keeps (or with `None` forgets) a small durable fact, such as the last good sync. Answered by
    /// [`Stored`](crate::OutboxEvent::Stored) or [`PutFailed`](crate::OutboxEvent::PutFailed).
    Put { ticket: u64, name: String, value: Option<Bytes> },
    /// Forgets finished commands that ended before this moment; a redelivery of one of them counts as new. Answered by
    /// [`Removed`](crate::OutboxEvent::Removed).
    PruneCommands { finished_before_unix_ms: i64 },
}

/// What a row or a request is charged with besides its bytes; also keeps an endless list of ids or empty rows bounded.
const BYTES_PER_ENTRY: usize = 64;

impl Request {
    /// Memory that the request occupies in the queue, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let entries_and_bytes = match self {
            Self::Append(rows) => (rows.len(), rows.iter().map(|row| row.body.len()).sum()),
            Self::Remove(ids) => (0, ids.len().saturating_mul(size_of::<RowId>())),
            Self::RemoveAcks(ids) => (0, ids.len().saturating_mul(size_of::<AckId>())),
            Self::RecordCommand { key, body, .. } | Self::NoteCommand { key, body, .. } => {
                (1, key.len().saturating_add(body.len()))
            }
            Self::FinishCommand { key, ack, .. } => (1, key.len() + ack.as_ref().map_or(0, |ack| ack.body.len())),
            Self::Put { name, value, .. } => (1, name.len() + value.as_ref().map_or(0, Bytes::len)),
            Self::Drop { .. } | Self::Load { .. } | Self::LoadAcks { .. } | Self::PruneCommands { .. } => (0, 0),
        };
        let (entries, bytes): (usize, usize) = entries_and_bytes;
        bytes.saturating_add((entries + 1).saturating_mul(BYTES_PER_ENTRY))
    }

    /// Rows that it adds or removes.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Append(rows) => rows.len(),
            Self::Remove(ids) => ids.len(),
            _ => 0,
        }
    }

    /// Whether it is to be done at once. Rows may wait for company.
    pub(crate) fn is_urgent(&self) -> bool {
        !matches!(self, Self::Append(_) | Self::Remove(_))
    }

    /// What the request adds to a group: bytes that its answer may hold, or that the ledger has to write.
    pub(crate) fn group_bytes(&self) -> usize {
        match self {
            // One row comes however large it is.
            Self::Load { bytes_max, .. } | Self::LoadAcks { bytes_max, .. } => {
                (*bytes_max).clamp(BODY_BYTES_MAX, LOAD_BYTES_MAX)
            }
            // Counted row by row.
            Self::Append(_) | Self::Remove(_) => 0,
            other => other.bytes(),
        }
    }
}

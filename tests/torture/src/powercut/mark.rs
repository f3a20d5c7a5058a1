//! What the driver was promised, in the order of the disk's log: it writes these lines into a file on the watched disk.

use serde::{Deserialize, Serialize};

/// The file of marks, below the watched directory.
pub(super) const FILE: &str = "marks";
/// The outbox directory, below the watched directory.
pub(super) const OUTBOX: &str = "outbox";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Mark {
    /// These rows are accepted: ticket and id.
    Committed(Vec<(u64, i64)>),
    /// Their removal is about to be asked for: from here on they may be gone.
    Removing(Vec<i64>),
    /// They are removed: from here on they must be gone.
    Removed(Vec<i64>),
    /// Every row up to here was given up for room.
    Evicted(i64),
    /// This command is about to be recorded.
    Recording(String),
    /// It is on the disk.
    Recorded(String),
    /// Its outcome is about to be written.
    Finishing(String),
    /// Its outcome is on the disk, with this acknowledgement.
    Finished(String, i64),
    /// These acknowledgements are about to be removed.
    RemovingAcks(Vec<i64>),
    /// They are removed.
    RemovedAcks(Vec<i64>),
    /// This value of a fact is about to be written.
    Putting(String, u64),
    /// It is on the disk.
    Put(String, u64),
}

/// The body of the row with this ticket: any size up to three pages, told from the first eight bytes.
pub(super) fn body(ticket: u64) -> Vec<u8> {
    let mut random = crate::random::Random::new(ticket);
    let words = if ticket.is_multiple_of(7) { random.between(200, 1_500) } else { random.between(3, 60) };
    let mut body = ticket.to_le_bytes().to_vec();
    body.extend((0..words).flat_map(|_| random.number().to_le_bytes()));
    body
}

/// The ticket a body belongs to, if it is whole.
pub(super) fn ticket_of(bytes: &[u8]) -> Option<u64> {
    let ticket = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    (body(ticket) == bytes).then_some(ticket)
}

//! What the driver was promised, in the order of the disk's log: it writes these lines into a file on the watched disk.

use bytes::Bytes;
use edgeplug_outbox::{Lane, NewRow, StoredRow};
use serde::{Deserialize, Serialize};

/// The file of marks, below the watched directory.
pub(super) const FILE: &str = "marks";
/// The outbox directory, below the watched directory.
pub(super) const OUTBOX: &str = "outbox";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Mark {
    /// A step begins: nothing is asked and not answered.
    Step,
    /// These rows are accepted: ticket and id.
    Committed(Vec<(u64, i64)>),
    /// Their removal is about to be asked for: from here on they may be gone.
    Removing(Vec<i64>),
    /// They are removed: from here on they must be gone.
    Removed(Vec<i64>),
    /// Every row up to here was given up for room.
    Evicted(i64),
    /// Every row up to here is about to be dropped: from here on they may be gone.
    Dropping(i64),
    /// They are dropped: from here on they must be gone.
    Dropped(i64),
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

/// The row with this ticket: everything about it is told from the ticket.
pub(super) fn row(ticket: u64) -> NewRow {
    NewRow {
        ticket,
        lane: lane(ticket),
        kind: ticket.to_le_bytes()[0],
        link_down: ticket.is_multiple_of(2),
        created_unix_ms: created_unix_ms(ticket),
        body: Bytes::from(body(ticket)),
    }
}

/// One in ten is an alarm.
pub(super) fn lane(ticket: u64) -> Lane {
    if ticket % 10 == 3 { Lane::Alarm } else { Lane::Live }
}

/// Before 1970 as well, as a wrong clock has it.
fn created_unix_ms(ticket: u64) -> i64 {
    ticket.cast_signed().wrapping_mul(86_399_999).wrapping_sub(1 << 40)
}

/// The ticket of a row, if the row is as it was given, to the last bit.
pub(super) fn ticket_of(stored: &StoredRow) -> Option<u64> {
    let ticket = u64::from_le_bytes(stored.body.get(..8)?.try_into().ok()?);
    let given = row(ticket);
    let same = (given.lane, given.kind, given.link_down, given.created_unix_ms)
        == (stored.lane, stored.kind, stored.link_down, stored.created_unix_ms);
    (same && given.body == stored.body).then_some(ticket)
}

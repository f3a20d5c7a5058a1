//! Custody: what the daemon has accepted and not yet delivered, on disk.
//!
//! One owner thread holds SQLite files in one directory: the segments of the telemetry store (`telemetry/000001.db` and
//! so on; rows are appended to the newest and leave the oldest) and the ledger (`ledger.db`: commands seen, their
//! acknowledgements, small durable facts). The daemon's main loop puts [`Request`]s into a bounded queue and never waits;
//! answers come back as [`OutboxEvent`]s.
//!
//! What must stay true:
//! - Nothing is reported committed before `COMMIT` returned under `synchronous=FULL`: a reading that was reported
//!   survives `kill -9` and a power cut. (Telemetry alone may be asked to survive only the former, see [`Durability`].)
//! - A row goes only when it is named in a removal or a drop, or when the limits leave no room for newer ones; the latter
//!   two are reported with counts. Row ids grow over all segments and are never given out twice, not even after the store
//!   was emptied, restarted or replaced because of damage. Ids follow the order of the appends.
//! - All segments with their logs never take more than [`SpaceLimits`] allow. Telemetry never evicts what the ledger holds.
//! - Everything that queued since the last sync is one transaction per file (group commit). No promise spans two files.
//! - Requests on one store take effect and are answered in the order they were made; between the two stores there is no
//!   order.
//! - One terminal acknowledgement per command key, across redelivery and restart.
//! - A write that fails is reported, never swallowed. The store heals by itself, with backoff, and says so.
//! - A damaged file is set aside, never deleted; the other segments go on.
//!
//! Deliberately absent: any knowledge of what a body means, of topics, of the cloud, of the clock (callers give times).
//!
//! # Why it cannot deadlock
//! The owner thread waits for room in the event channel; the main loop never waits for room in the request queue
//! ([`Outbox::request`] answers [`Refused`] instead) and so always comes back to reading events. [`Outbox::close`] waits
//! for the owner thread, which stops waiting for room in the event channel as soon as closing has begun.
//!
//! # What it costs
//! Each group costs one `fsync` per file it writes, and under load waits up to [`OutboxOptions::group_wait`] for company.
//! A 200-byte body takes about 230 bytes on disk, and is written about five times on its way: into a log and a file when
//! it comes, and again when it goes ([`Outbox::written`] counts). Besides its bodies the thread holds about 2.3 MiB of page
//! cache; the number of segments does not matter. Up to 12 MiB of disk are kept back for the time when it is full.

mod backoff;
mod database;
mod directory;
mod emitter;
mod error;
mod event;
mod export;
mod ledger;
mod log;
mod look;
mod outbox;
mod owner;
mod queue;
mod request;
mod reserve;
mod stats;
mod telemetry;
mod trouble;
mod written;

pub use error::{OpenError, SqliteError, StatsError};
pub use event::{
    AckId, AppendedRow, Damaged, Eviction, FinishOutcome, LaneState, OutboxEvent, RecordOutcome, Restored, RowId,
    Store, StoredAck, StoredCommand, StoredRow,
};
pub use export::{Dropped, drop_rows, export};
pub use outbox::{
    Durability, EVENTS_QUEUED_MAX, GROUP_WAIT_MAX, Outbox, OutboxOptions, REQUEST_BYTES_OUTSTANDING_MAX,
    REQUESTS_OUTSTANDING_MAX, Refused, SpaceLimits,
};
pub use request::{
    ACKS_UNDELIVERED_MAX, Ack, BODY_BYTES_MAX, COMMAND_BODY_BYTES_MAX, COMMANDS_SEEN_MAX, COMMANDS_UNFINISHED_MAX,
    FACT_BYTES_MAX, FACTS_MAX, KEY_BYTES_MAX, LOAD_BYTES_MAX, LOAD_ROWS_MAX, Lane, NewRow, Request,
};
pub use stats::{SegmentStats, Stats, stats};
pub use written::Written;

//! Custody: what the daemon has accepted and not yet delivered, on disk.
//!
//! One owner thread holds two SQLite files in one directory: the telemetry store (`telemetry/000001.db`) and the ledger
//! (`ledger.db`: commands seen, their acknowledgements, small durable facts). The daemon's main loop puts [`Request`]s
//! into a bounded queue and never waits; answers come back as [`OutboxEvent`]s.
//!
//! What must stay true:
//! - Nothing is reported committed before `COMMIT` returned under `synchronous=FULL`: a reading that was reported
//!   survives `kill -9` and a power cut.
//! - A row goes only when it is named in a removal. Row ids grow and are never given out twice, not even after the store
//!   was emptied, restarted or replaced because of damage. Ids follow the order of the appends.
//! - Everything that queued since the last sync is one transaction per file (group commit). No promise spans both files.
//! - Requests on one file take effect and are answered in the order they were made; between the files there is no order.
//! - One terminal acknowledgement per command key, across redelivery and restart.
//! - A write that fails is reported, never swallowed. The store heals by itself, with backoff, and says so.
//! - A damaged file is set aside, never deleted.
//!
//! Deliberately absent: any knowledge of what a body means, of topics, of the cloud, of the clock (callers give times).
//!
//! # Why it cannot deadlock
//! The owner thread waits for room in the event channel; the main loop never waits for room in the request queue
//! ([`Outbox::request`] answers [`Refused`] instead) and so always comes back to reading events. [`Outbox::close`] waits
//! for the owner thread, which stops waiting for room in the event channel as soon as closing has begun.
//!
//! # What it costs
//! Each group costs one `fsync` per file it writes. A 200-byte body takes about 230 bytes on disk. Besides its bodies
//! the thread holds about 1.3 MiB of page cache. 12 MiB of disk are kept back for the time when it is full.

mod backoff;
mod database;
mod directory;
mod emitter;
mod error;
mod event;
mod ledger;
mod outbox;
mod owner;
mod request;
mod reserve;
mod stats;
mod telemetry;
mod trouble;

pub use error::{OpenError, SqliteError, StatsError};
pub use event::{
    AckId, AppendedRow, Damaged, Eviction, FinishOutcome, LaneState, OutboxEvent, RecordOutcome, Restored, RowId,
    Store, StoredAck, StoredCommand, StoredRow,
};
pub use outbox::{
    Durability, EVENTS_QUEUED_MAX, Outbox, OutboxOptions, REQUEST_BYTES_OUTSTANDING_MAX, REQUESTS_OUTSTANDING_MAX,
    Refused, SpaceLimits,
};
pub use request::{
    ACKS_UNDELIVERED_MAX, Ack, BODY_BYTES_MAX, COMMAND_BODY_BYTES_MAX, COMMANDS_SEEN_MAX, COMMANDS_UNFINISHED_MAX,
    FACT_BYTES_MAX, FACTS_MAX, KEY_BYTES_MAX, LOAD_BYTES_MAX, LOAD_ROWS_MAX, Lane, NewRow, Request,
};
pub use stats::{Stats, stats};

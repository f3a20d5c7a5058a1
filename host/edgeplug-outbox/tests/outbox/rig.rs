//! An outbox in a temporary directory, with events read under a deadline.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use edgeplug_outbox::{
    AppendedRow, Lane, NewRow, Outbox, OutboxEvent, OutboxOptions, Request, Restored, RowId, StoredRow,
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::mpsc::Receiver, time::timeout};

/// Far above what any event takes, so that a lost event fails a test instead of hanging it.
const EVENT_WAIT: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) restored: Restored,
    pub(crate) outbox: Outbox,
    events: Receiver<OutboxEvent>,
    runtime: Runtime,
}

impl Rig {
    pub(crate) fn open(directory: &Path) -> Self {
        Self::open_with(OutboxOptions::new(directory))
    }

    pub(crate) fn open_with(options: OutboxOptions) -> Self {
        let (outbox, restored, events) = Outbox::open(options).expect("the outbox opens");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { restored, outbox, events, runtime }
    }

    pub(crate) fn ask(&self, request: Request) {
        self.outbox.request(request).expect("room in the queue");
    }

    pub(crate) fn next(&mut self) -> OutboxEvent {
        let event = self.runtime.block_on(async { timeout(EVENT_WAIT, self.events.recv()).await });
        event.expect("an event in time").expect("an outbox that lives")
    }

    /// Appends rows and waits until all are committed.
    pub(crate) fn append(&mut self, rows: Vec<NewRow>) -> Vec<AppendedRow> {
        let count = rows.len();
        self.ask(Request::Append(rows));
        let mut committed = Vec::new();
        while committed.len() < count {
            match self.next() {
                OutboxEvent::Committed { rows } => committed.extend(rows),
                other => panic!("wanted Committed, got {other:?}"),
            }
        }
        committed
    }

    pub(crate) fn remove(&mut self, ids: Vec<RowId>) {
        self.ask(Request::Remove(ids));
        match self.next() {
            OutboxEvent::Removed { requests: 1, .. } => {}
            other => panic!("wanted Removed, got {other:?}"),
        }
    }

    /// Everything in a lane, page by page.
    pub(crate) fn all(&mut self, lane: Lane) -> Vec<StoredRow> {
        let mut all: Vec<StoredRow> = Vec::new();
        loop {
            let after = all.last().map_or(RowId(0), |row| row.id);
            self.ask(Request::Load { ticket: 9, lane, after, rows_max: 100, bytes_max: 1 << 20 });
            match self.next() {
                OutboxEvent::Loaded { ticket: 9, rows, more, .. } => {
                    all.extend(rows);
                    if !more {
                        return all;
                    }
                }
                other => panic!("wanted Loaded, got {other:?}"),
            }
        }
    }

    /// Closes, and opens again.
    pub(crate) fn restart(self, directory: &Path) -> Self {
        self.restart_with(OutboxOptions::new(directory))
    }

    pub(crate) fn restart_with(self, options: OutboxOptions) -> Self {
        self.outbox.close();
        Self::open_with(options)
    }
}

pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

pub(crate) fn row(ticket: u64, body: impl Into<Bytes>) -> NewRow {
    NewRow {
        ticket,
        lane: Lane::Live,
        kind: 1,
        link_down: false,
        created_unix_ms: 1_700_000_000_000,
        body: body.into(),
    }
}

pub(crate) fn rows(tickets: std::ops::Range<u64>) -> Vec<NewRow> {
    tickets.map(|ticket| row(ticket, format!("reading {ticket}"))).collect()
}

/// A connection beside the outbox's own.
pub(crate) fn look(directory: &Path, file: impl AsRef<Path>) -> rusqlite::Connection {
    rusqlite::Connection::open(directory.join(file)).expect("the store opens a second time")
}

pub(crate) const TELEMETRY: &str = "telemetry/000001.db";
pub(crate) const LEDGER: &str = "ledger.db";

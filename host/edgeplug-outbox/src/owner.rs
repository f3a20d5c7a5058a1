//! The thread that owns both files: takes what queued, commits it, says what happened.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::Instant,
};

use crate::{
    directory::Lock,
    emitter::Emitter,
    event::OutboxEvent,
    ledger::{Ledger, store::Entry, store::LoadAcks},
    request::{BODY_BYTES_MAX, NewRow, Request},
    telemetry::{
        Telemetry,
        store::{LoadRows, Operation},
    },
};

/// A group takes no further request once it holds this many rows: a millisecond or two of inserts, so that the first row
/// of a flood is not reported late.
const GROUP_ROWS_MAX: usize = 2_000;
/// A group takes no further request once it writes or reads this many bytes. Bounds the memory of one group.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(crate) struct Owner {
    pub(crate) requests: Receiver<Request>,
    /// Bytes of queued requests, shared with the sender.
    pub(crate) bytes_queued: Arc<AtomicUsize>,
    pub(crate) emitter: Emitter,
    pub(crate) telemetry: Telemetry,
    pub(crate) ledger: Ledger,
    /// Given back after both files are closed.
    pub(crate) lock: Lock,
    /// What a group had no room for of a large request.
    pub(crate) rest: Option<Request>,
}

#[derive(Default)]
struct Group {
    telemetry: Vec<Operation>,
    ledger: Vec<Entry>,
    rows: usize,
    bytes: usize,
}

enum Next {
    Request(Request),
    /// Nothing is queued, or something else is due.
    Idle,
    Closed,
}

impl Owner {
    /// Works until the sender is gone and the queue is empty.
    pub(crate) fn run(mut self, mut events: Vec<OutboxEvent>) {
        loop {
            self.emit(&mut events);
            match self.next() {
                Next::Request(first) => {
                    let group = self.take_group(first);
                    self.telemetry.process(group.telemetry, &mut events);
                    // Telemetry is on disk: it need not wait for the other file.
                    self.emit(&mut events);
                    self.ledger.process(group.ledger, &mut events);
                }
                Next::Idle if self.telemetry.shrink_due() => self.telemetry.shrink(&mut events),
                Next::Idle => {}
                Next::Closed => break,
            }
            self.retry(&mut events);
        }
        self.telemetry.close();
        self.ledger.close();
        drop(self.lock);
    }

    fn next(&mut self) -> Next {
        if let Some(rest) = self.rest.take() {
            return Next::Request(rest);
        }
        let next = self.wait();
        if let Next::Request(request) = &next {
            self.taken(request);
        }
        next
    }

    fn wait(&self) -> Next {
        if self.telemetry.shrink_due() {
            return match self.requests.try_recv() {
                Ok(request) => Next::Request(request),
                Err(TryRecvError::Empty) => Next::Idle,
                Err(TryRecvError::Disconnected) => Next::Closed,
            };
        }
        let Some(due) = self.telemetry.retry_due().into_iter().chain(self.ledger.retry_due()).min() else {
            return self.requests.recv().map_or(Next::Closed, Next::Request);
        };
        match self.requests.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(request) => Next::Request(request),
            Err(RecvTimeoutError::Timeout) => Next::Idle,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    fn take_group(&mut self, first: Request) -> Group {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(request) = next {
            self.rest = group.add(request);
            next = if self.rest.is_some() || group.is_full() { None } else { self.receive() };
        }
        group
    }

    fn receive(&self) -> Option<Request> {
        self.requests.try_recv().ok().inspect(|request| self.taken(request))
    }

    fn taken(&self, request: &Request) {
        self.bytes_queued.fetch_sub(request.bytes(), Ordering::AcqRel);
    }

    fn retry(&mut self, events: &mut Vec<OutboxEvent>) {
        let now = Instant::now();
        if self.telemetry.retry_due().is_some_and(|due| due <= now) {
            self.telemetry.retry(now, events);
        }
        if self.ledger.retry_due().is_some_and(|due| due <= now) {
            self.ledger.retry(now, events);
        }
    }

    fn emit(&self, events: &mut Vec<OutboxEvent>) {
        for event in events.drain(..) {
            self.emitter.emit(event);
        }
    }
}

impl Group {
    fn is_full(&self) -> bool {
        self.rows >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    /// Takes the request, or as many of its rows as there is room for and gives back the rest.
    fn add(&mut self, request: Request) -> Option<Request> {
        self.bytes = self.bytes.saturating_add(request.group_bytes());
        match request {
            Request::Append(mut rows) => {
                let rest = rows.split_off(self.room_for(&rows));
                self.rows += rows.len();
                self.telemetry.push(Operation::Append(rows));
                return (!rest.is_empty()).then_some(Request::Append(rest));
            }
            Request::Remove(ids) => {
                self.rows += ids.len();
                self.telemetry.push(Operation::Remove(ids));
            }
            Request::Load { ticket, lane, after, rows_max, bytes_max } => {
                self.telemetry.push(Operation::Load(LoadRows { ticket, lane, after, rows_max, bytes_max }));
            }
            Request::RecordCommand { ticket, key, body, received_unix_ms } => {
                self.ledger.push(Entry::Record { ticket, key, body, received_unix_ms });
            }
            Request::FinishCommand { ticket, key, finished_unix_ms, ack } => {
                self.ledger.push(Entry::Finish { ticket, key, finished_unix_ms, ack });
            }
            Request::RemoveAcks(ids) => {
                self.rows += ids.len();
                self.ledger.push(Entry::RemoveAcks(ids));
            }
            Request::LoadAcks { ticket, after, rows_max, bytes_max } => {
                self.ledger.push(Entry::LoadAcks(LoadAcks { ticket, after, rows_max, bytes_max }));
            }
            Request::Put { ticket, name, value } => self.ledger.push(Entry::Put { ticket, name, value }),
            Request::PruneCommands { finished_before_unix_ms } => {
                self.ledger.push(Entry::Prune { finished_before_unix_ms });
            }
        }
        None
    }

    /// How many of these rows a group takes: at least one.
    fn room_for(&mut self, rows: &[NewRow]) -> usize {
        let mut count = 0;
        for row in rows {
            if count > 0 && (self.rows + count >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX) {
                break;
            }
            count += 1;
            // A larger body is refused before it costs anything.
            if row.body.len() <= BODY_BYTES_MAX {
                self.bytes = self.bytes.saturating_add(row.body.len());
            }
        }
        count
    }
}

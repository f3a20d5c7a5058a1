//! The thread that owns both files: takes what queued, commits it, says what happened.

use std::time::{Duration, Instant};

use crate::{
    directory::Lock,
    emitter::Emitter,
    event::OutboxEvent,
    ledger::{Ledger, store::Entry, store::LoadAcks},
    queue::{self, NoRequest},
    request::{BODY_BYTES_MAX, NewRow, Request},
    telemetry::{
        LoadRows, Operation, Telemetry,
        space::{removal_cost, removals_costing, row_cost},
    },
};

/// A group takes no further request once it holds this many rows: a millisecond or two of inserts, so that the first row
/// of a flood is not reported late.
const GROUP_ROWS_MAX: usize = 2_000;
/// A group takes no further request once its answers may hold this many bytes. Bounds the memory of one group.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A group of this many rows does not wait for more: the share that each has in the sync is small already. Less than
/// half of the uplink's default window, so that a busy uplink does not wait for removals.
const GROUP_ROWS_WORTH_A_SYNC: usize = 400;
/// Groups that do not wait after one has waited in vain: a caller that asks only after each answer has no company to wait
/// for, and would get a tenth of what the disk can do.
const WAITS_SKIPPED: u32 = 32;

pub(crate) struct Owner {
    pub(crate) requests: queue::Receiver,
    pub(crate) emitter: Emitter,
    pub(crate) telemetry: Telemetry,
    pub(crate) ledger: Ledger,
    /// Given back after both files are closed.
    pub(crate) lock: Lock,
    /// What a group had no room for of a large request.
    pub(crate) rest: Option<Request>,
    /// What one transaction of telemetry may cost.
    pub(crate) cost_max: u64,
    /// Longest wait of a request for company in its commit.
    pub(crate) group_wait: Duration,
    /// When telemetry was last committed.
    pub(crate) committed: Option<Instant>,
    /// Groups that do not wait for company.
    pub(crate) waits_to_skip: u32,
}

struct Group {
    telemetry: Vec<Operation>,
    ledger: Vec<Entry>,
    rows: usize,
    bytes: usize,
    cost: u64,
    cost_max: u64,
    /// Something in it is to be done at once.
    urgent: bool,
    /// Nothing may follow in it.
    ends: bool,
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
                    let writes = group.rows > 0;
                    self.telemetry.process(group.telemetry, &mut events);
                    if writes {
                        self.committed = Some(Instant::now());
                    }
                    // Telemetry is on disk: it need not wait for the other file.
                    self.emit(&mut events);
                    self.ledger.process(group.ledger, &mut events);
                    self.emit(&mut events);
                    self.telemetry.move_logs();
                    self.ledger.move_log();
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
        let due = self.telemetry.retry_due().into_iter().chain(self.ledger.retry_due()).min();
        let next =
            if self.telemetry.shrink_due() { self.requests.try_receive() } else { self.requests.receive(0, due) };
        match next {
            Ok(request) => Next::Request(request),
            Err(NoRequest::Late) => Next::Idle,
            Err(NoRequest::Closed) => Next::Closed,
        }
    }

    fn take_group(&mut self, first: Request) -> Group {
        let mut group = Group::new(self.cost_max);
        let (mut next, mut requests) = (Some(first), 0);
        while let Some(request) = next {
            requests += 1;
            self.rest = group.add(request);
            next = if self.rest.is_some() || group.is_full() { None } else { self.receive(&group) };
        }
        self.waits_to_skip = if requests > 1 { 0 } else { self.waits_to_skip.saturating_sub(1) };
        group
    }

    /// Takes what queued; or waits for more, as long as the last commit is recent.
    fn receive(&mut self, group: &Group) -> Option<Request> {
        let waits = !group.is_worth_a_sync() && self.waits_to_skip == 0;
        let due = self.committed.map(|committed| committed + self.group_wait).filter(|due| Instant::now() < *due);
        let Some(due) = due.filter(|_| waits) else { return self.requests.try_receive().ok() };
        let rows = GROUP_ROWS_WORTH_A_SYNC.saturating_sub(group.rows);
        let company = self.requests.receive(rows, Some(due)).ok();
        if company.is_none() {
            self.waits_to_skip = WAITS_SKIPPED;
        }
        company
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
    fn new(cost_max: u64) -> Self {
        let (telemetry, ledger) = (Vec::new(), Vec::new());
        Self { telemetry, ledger, rows: 0, bytes: 0, cost: 0, cost_max, urgent: false, ends: false }
    }

    fn is_full(&self) -> bool {
        self.ends || self.rows >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX || self.cost >= self.cost_max
    }

    fn is_worth_a_sync(&self) -> bool {
        self.urgent || self.rows == 0 || self.rows >= GROUP_ROWS_WORTH_A_SYNC
    }

    /// Takes the request, or as many of its rows as there is room for and gives back the rest.
    fn add(&mut self, request: Request) -> Option<Request> {
        self.bytes = self.bytes.saturating_add(request.group_bytes());
        self.urgent |= request.is_urgent();
        match request {
            Request::Append(mut rows) => {
                let rest = rows.split_off(self.room_for(&rows));
                self.rows += rows.len();
                self.telemetry.push(Operation::Append(rows));
                return (!rest.is_empty()).then_some(Request::Append(rest));
            }
            Request::Remove(mut ids) => {
                let room = removals_costing(&ids, self.cost_max.saturating_sub(self.cost));
                let rest = ids.split_off(ids.len().min(room));
                self.rows += ids.len();
                self.cost = self.cost.saturating_add(removal_cost(&ids));
                self.telemetry.push(Operation::Remove { ids, last: rest.is_empty() });
                return (!rest.is_empty()).then_some(Request::Remove(rest));
            }
            Request::Drop { through } => {
                self.telemetry.push(Operation::Drop { through });
                self.ends = true;
            }
            Request::Load { ticket, lane, after, rows_max, bytes_max } => {
                self.telemetry.push(Operation::Load(LoadRows { ticket, lane, after, rows_max, bytes_max }));
            }
            Request::RecordCommand { ticket, key, body, received_unix_ms } => {
                self.ledger.push(Entry::Record { ticket, key, body, received_unix_ms });
            }
            Request::NoteCommand { ticket, key, body } => self.ledger.push(Entry::Note { ticket, key, body }),
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

    /// How many of these rows a group takes: at least one, if it holds none yet.
    fn room_for(&mut self, rows: &[NewRow]) -> usize {
        let mut count = 0;
        for row in rows {
            // A larger body is refused before it costs anything.
            let cost = if row.body.len() <= BODY_BYTES_MAX { row_cost(row.body.len()) } else { 0 };
            let full = self.rows + count >= GROUP_ROWS_MAX || self.cost.saturating_add(cost) > self.cost_max;
            if full && self.rows + count > 0 {
                break;
            }
            count += 1;
            self.cost = self.cost.saturating_add(cost);
        }
        count
    }
}

#[cfg(test)]
mod tests;

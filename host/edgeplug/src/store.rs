//! The session's side of the outbox: actions in, events out, nothing lost in between.
//!
//! The outbox's queue is bounded and may refuse for a moment. Rows that nobody was promised are then answered as not
//! stored; everything else waits here in order, and that is bounded too, because the session never has more
//! outstanding than it has commands and messages in flight.

use std::collections::VecDeque;
use std::time::Duration;

use edgeplug_outbox::{
    Ack, AckId, FinishOutcome, Lane, NewRow, Outbox, OutboxEvent, RecordOutcome, Refused, Request, RowId, StoredAck,
};
use edgeplug_session::action::Fact;
use edgeplug_session::event::{Event, LoadedRow, LoadedRows, Recorded, Restored, RestoredAck};
use edgeplug_session::{Action, Ticket};
use tokio::sync::mpsc;

/// Rows of one append: one group commit's worth.
const APPEND_ROWS_MAX: usize = 1_000;
/// Acknowledgements read back at once at start.
const ACKS_PAGE: usize = 1_000;
const ACKS_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// The kind under which every acknowledgement is stored; there is only one so far.
const ACK_KIND: u8 = 1;
/// How long finished commands are remembered, so that a late redelivery is known: the hub keeps a message for two days
/// at most (Azure IoT Hub, cloud-to-device time to live).
const COMMANDS_KEPT_MS: i64 = 2 * 24 * 60 * 60 * 1000;
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
const PRUNE_NOT_BEFORE: Duration = Duration::from_secs(60 * 60);

/// The open outbox and what waits for it.
pub(crate) struct Store {
    outbox: Outbox,
    /// Rows of this turn of the main loop, appended together.
    rows: Vec<NewRow>,
    /// Requests the outbox had no room for.
    waiting: VecDeque<Request>,
    /// Uptime when old commands were last forgotten.
    pruned_at: Option<Duration>,
}

impl Store {
    pub(crate) fn new(outbox: Outbox) -> Self {
        Self { outbox, rows: Vec::new(), waiting: VecDeque::new(), pruned_at: None }
    }

    /// Takes a store action; the rest come back.
    pub(crate) fn take(&mut self, action: Action, uptime: Duration) -> Option<Action> {
        let request = match action {
            Action::Store { ticket, row } => {
                self.rows.push(NewRow {
                    ticket: ticket.0,
                    lane: Lane::Live,
                    kind: row.kind,
                    link_down: row.offline,
                    created_unix_ms: row.created_unix_ms,
                    body: row.body,
                });
                return None;
            }
            Action::Remove { rows } => Request::Remove(rows.into_iter().map(|row| RowId(signed(row.0))).collect()),
            Action::Load { ticket, after, rows_max, bytes_max } => {
                Request::Load { ticket: ticket.0, lane: Lane::Live, after: RowId(signed(after.0)), rows_max, bytes_max }
            }
            Action::Record { ticket, key, body, at_unix_ms } => {
                Request::RecordCommand { ticket: ticket.0, key, body, received_unix_ms: at_unix_ms }
            }
            Action::Finish { ticket, key, ack, offline, at_unix_ms } => {
                let ack = ack.map(|body| Ack { kind: ACK_KIND, link_down: offline, created_unix_ms: at_unix_ms, body });
                self.prune(at_unix_ms, uptime);
                Request::FinishCommand { ticket: ticket.0, key, finished_unix_ms: at_unix_ms, ack }
            }
            Action::RemoveAcks { acks } => {
                Request::RemoveAcks(acks.into_iter().map(|ack| AckId(signed(ack.0))).collect())
            }
            Action::Keep { fact, value } => {
                Request::Put { ticket: 0, name: fact_name(fact).to_owned(), value: Some(value) }
            }
            other => return Some(other),
        };
        self.waiting.push_back(request);
        None
    }

    /// Hands the outbox what it has room for. Returns rows that were not taken.
    pub(crate) fn flush(&mut self) -> Option<Event> {
        while let Some(request) = self.waiting.pop_front() {
            match self.outbox.request(request) {
                Ok(()) => {}
                Err(Refused::Full(request)) => {
                    self.waiting.push_front(request);
                    break;
                }
                Err(refused @ (Refused::TooLarge(_) | Refused::Ended(_))) => {
                    tracing::error!(reason = %refused, "the store did not take a request");
                }
            }
        }
        let mut refused = Vec::new();
        let mut reason = String::new();
        let mut rows = std::mem::take(&mut self.rows).into_iter().peekable();
        while rows.peek().is_some() {
            let group: Vec<_> = rows.by_ref().take(APPEND_ROWS_MAX).collect();
            if let Err(error) = self.outbox.request(Request::Append(group)) {
                reason = error.to_string();
                let (Refused::Full(request) | Refused::TooLarge(request) | Refused::Ended(request)) = error;
                if let Request::Append(rows) = request {
                    refused.extend(rows.into_iter().map(|row| Ticket(row.ticket)));
                }
            }
        }
        (!refused.is_empty()).then_some(Event::NotStored { tickets: refused, reason })
    }

    /// Whether requests still wait for room.
    pub(crate) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes what waits and closes. Blocks.
    pub(crate) fn close(mut self) {
        // Whatever the outbox does not take any more is delivered again by the next run.
        let _ = self.flush();
        self.outbox.close();
    }

    /// Forgets old commands once a day. Not soon after the start: until the clock is set, a command of a moment ago may
    /// look decades old.
    fn prune(&mut self, now_unix_ms: i64, uptime: Duration) {
        let due = self.pruned_at.is_none_or(|at| uptime.saturating_sub(at) > PRUNE_EVERY);
        if due && uptime > PRUNE_NOT_BEFORE {
            self.pruned_at = Some(uptime);
            let finished_before_unix_ms = now_unix_ms.saturating_sub(COMMANDS_KEPT_MS);
            self.waiting.push_back(Request::PruneCommands { finished_before_unix_ms });
        }
    }
}

/// What the outbox found at its opening, in the session's words. Reads the acknowledgements it had no room to name.
pub(crate) async fn restored(
    found: edgeplug_outbox::Restored,
    outbox: &Outbox,
    events: &mut mpsc::Receiver<OutboxEvent>,
) -> Restored {
    let mut acks = found.acks;
    let mut more = found.acks_more;
    while more {
        let after = acks.last().map_or(AckId(0), |ack| ack.id);
        let page = Request::LoadAcks { ticket: 0, after, rows_max: ACKS_PAGE, bytes_max: ACKS_PAGE_BYTES };
        if outbox.request(page).is_err() {
            break;
        }
        more = loop {
            match events.recv().await {
                Some(OutboxEvent::AcksLoaded { acks: page, more, .. }) => {
                    acks.extend(page);
                    break more;
                }
                // They stay in the ledger and are found at the next start.
                Some(OutboxEvent::LoadFailed { .. }) | None => break false,
                // The store may say first that it cannot write.
                Some(other) => drop(event(other)),
            }
        };
    }
    let restored_ack = |ack: StoredAck| RestoredAck {
        id: edgeplug_session::AckId(unsigned(ack.id.0)),
        body: ack.body,
        offline: ack.link_down,
    };
    let fact = |fact| found.facts.get(fact_name(fact)).cloned();
    Restored {
        rows: found.live.rows,
        acks: acks.into_iter().map(restored_ack).collect(),
        commands: found.unfinished.into_iter().map(|command| (command.key, command.body)).collect(),
        sync: fact(Fact::Sync),
        assignment: fact(Fact::Assignment),
        clock: fact(Fact::Clock),
        budget: fact(Fact::Budget),
        last_row: (found.last_row.0 > 0).then(|| edgeplug_session::RowId(unsigned(found.last_row.0))),
    }
}

/// An outbox event in the session's words, if it concerns the session.
pub(crate) fn event(event: OutboxEvent) -> Option<Event> {
    Some(match event {
        OutboxEvent::Committed { rows } => Event::Committed {
            rows: rows
                .into_iter()
                .map(|row| (Ticket(row.ticket), edgeplug_session::RowId(unsigned(row.id.0))))
                .collect(),
        },
        OutboxEvent::AppendFailed { tickets, reason } => {
            Event::NotStored { tickets: tickets.into_iter().map(Ticket).collect(), reason }
        }
        OutboxEvent::Loaded { ticket, rows, more, .. } => {
            let rows = rows
                .into_iter()
                .map(|row| LoadedRow {
                    id: edgeplug_session::RowId(unsigned(row.id.0)),
                    kind: row.kind,
                    offline: row.link_down,
                    created_unix_ms: row.created_unix_ms,
                    body: row.body,
                })
                .collect();
            Event::Loaded { ticket: Ticket(ticket), result: Ok(LoadedRows { rows, more }) }
        }
        OutboxEvent::LoadFailed { ticket, reason } => Event::Loaded { ticket: Ticket(ticket), result: Err(reason) },
        OutboxEvent::Recorded { ticket, outcome } => {
            let recorded = match outcome {
                RecordOutcome::New => Recorded::New,
                RecordOutcome::Seen { finished } => Recorded::Seen { finished },
            };
            Event::Recorded { ticket: Ticket(ticket), result: Ok(recorded) }
        }
        OutboxEvent::RecordFailed { ticket, reason } => Event::Recorded { ticket: Ticket(ticket), result: Err(reason) },
        OutboxEvent::Finished { ticket, outcome } => {
            let ack = match outcome {
                FinishOutcome::Done { ack } => ack.map(|ack| edgeplug_session::AckId(unsigned(ack.0))),
                FinishOutcome::AlreadyFinished | FinishOutcome::Unknown => {
                    tracing::error!(ticket, ?outcome, "a command was finished that was not open");
                    None
                }
            };
            Event::Finished { ticket: Ticket(ticket), result: Ok(ack) }
        }
        OutboxEvent::FinishFailed { ticket, reason } => Event::Finished { ticket: Ticket(ticket), result: Err(reason) },
        OutboxEvent::PutFailed { reason, .. } => {
            tracing::warn!(reason, "what the cloud said could not be kept for the next start");
            return None;
        }
        OutboxEvent::Degraded { store, reason } => {
            tracing::error!(?store, reason, "the store cannot write");
            return None;
        }
        OutboxEvent::Healed { store, damaged } => {
            tracing::warn!(?store, ?damaged, "the store can write again");
            return None;
        }
        OutboxEvent::Removed { store: edgeplug_outbox::Store::Telemetry, rows, .. } => Event::Removed { rows },
        OutboxEvent::Evicted { through, rows, .. } => {
            Event::Evicted { through: edgeplug_session::RowId(unsigned(through.0)), rows }
        }
        OutboxEvent::SetAside(damaged) => {
            tracing::error!(?damaged, "a damaged segment was set aside");
            return None;
        }
        OutboxEvent::Removed { .. } | OutboxEvent::Stored { .. } | OutboxEvent::AcksLoaded { .. } => return None,
    })
}

fn fact_name(fact: Fact) -> &'static str {
    match fact {
        Fact::Sync => "legacy-sync",
        Fact::Assignment => "dps-assignment",
        Fact::Clock => "clock",
        Fact::Budget => "budget",
    }
}

/// SQLite's integers are signed; ids start at 1 and grow by one, so nothing is ever cut off.
fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

fn unsigned(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}

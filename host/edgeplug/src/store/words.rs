//! Between the outbox's words and the session's. No decision is made here.

use edgeplug_outbox::{Damaged, Eviction, FinishOutcome, OutboxEvent, RecordOutcome, Request};
use edgeplug_session::Ticket;
use edgeplug_session::action::Fact;
use edgeplug_session::event::{Event, LoadedRow, LoadedRows, Recorded};

/// An outbox event in the session's words, if it concerns the session.
pub(super) fn event(event: OutboxEvent) -> Option<Event> {
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
        OutboxEvent::CommandNoted { ticket, result } => Event::Noted { ticket: Ticket(ticket), result },
        OutboxEvent::Finished { ticket, outcome } => {
            let ack = match outcome {
                // A commit that seemed to fail may have been written all the same: its acknowledgement waits there.
                FinishOutcome::Done { ack } | FinishOutcome::AlreadyFinished { ack } => {
                    ack.map(|ack| edgeplug_session::AckId(unsigned(ack.0)))
                }
                FinishOutcome::Unknown => {
                    tracing::error!(ticket, "a command was finished that was never recorded");
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
            tracing::error!(%store, reason, "the store cannot write");
            return None;
        }
        OutboxEvent::Healed { store, damaged } => {
            tracing::warn!(%store, "the store can write again");
            if let Some(damaged) = damaged {
                say_damaged(&damaged);
            }
            return None;
        }
        OutboxEvent::Removed { store: edgeplug_outbox::Store::Telemetry, rows, .. } => Event::Removed { rows },
        OutboxEvent::Evicted { through, rows, bytes, why } => {
            match why {
                Eviction::Space => tracing::warn!(
                    rows,
                    bytes,
                    through = through.0,
                    "the store is full: its oldest rows were given up undelivered; see outbox.available_space_mb"
                ),
                Eviction::Asked => {
                    tracing::warn!(rows, bytes, through = through.0, "rows were dropped as an operator asked");
                }
            }
            Event::Evicted { through: edgeplug_session::RowId(unsigned(through.0)), rows }
        }
        OutboxEvent::SetAside(damaged) => {
            say_damaged(&damaged);
            return None;
        }
        OutboxEvent::DropFailed { .. }
        | OutboxEvent::Removed { .. }
        | OutboxEvent::Stored { .. }
        | OutboxEvent::AcksLoaded { .. } => return None,
    })
}

/// The name under which the ledger keeps a fact.
pub(super) fn fact_name(fact: Fact) -> &'static str {
    match fact {
        // Before 0.2 it held the legacy reply.
        Fact::Sync => "legacy-sync",
        Fact::Assignment => "dps-assignment",
        Fact::Clock => "clock",
        Fact::Budget => "budget",
        Fact::Windows => "edge-windows",
        Fact::HardStop => "hard-stop",
        Fact::Twin => "twin",
    }
}

/// Tickets of facts: plugins' are even, the session's odd; 0 is nobody's.
pub(super) const PLUGIN_TICKET_STEP: u64 = 2;

/// A session's ticket among those of facts.
pub(super) fn session_ticket(ticket: Ticket) -> u64 {
    ticket.0.saturating_mul(2).saturating_add(1)
}

/// The session's ticket, if it is one.
pub(super) fn sessions(ticket: u64) -> Option<Ticket> {
    (ticket % 2 == 1).then_some(Ticket(ticket / 2))
}

/// SQLite's integers are signed; ids start at 1 and grow by one, so nothing is ever cut off.
pub(super) fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}

/// Every damaged file is said once, in one way.
pub(crate) fn say_damaged(damaged: &Damaged) {
    tracing::error!(
        store = %damaged.store,
        reason = damaged.reason,
        rows_lost = damaged.rows_lost,
        set_aside = %damaged.set_aside.display(),
        "a damaged store was set aside"
    );
}

/// The answer to a request that no store takes.
pub(super) fn refusal(request: Request, reason: &str) -> Option<Event> {
    let reason = reason.to_owned();
    Some(match request {
        Request::Append(rows) => {
            Event::NotStored { tickets: rows.into_iter().map(|row| Ticket(row.ticket)).collect(), reason }
        }
        Request::Load { ticket, .. } => Event::Loaded { ticket: Ticket(ticket), result: Err(reason) },
        Request::RecordCommand { ticket, .. } => Event::Recorded { ticket: Ticket(ticket), result: Err(reason) },
        Request::NoteCommand { ticket, .. } => Event::Noted { ticket: Ticket(ticket), result: Err(reason) },
        Request::FinishCommand { ticket, .. } => Event::Finished { ticket: Ticket(ticket), result: Err(reason) },
        Request::Remove(rows) => Event::Removed { rows: u64::try_from(rows.len()).unwrap_or(0) },
        Request::RemoveAcks(_)
        | Request::LoadAcks { .. }
        | Request::Put { .. }
        | Request::PruneCommands { .. }
        | Request::Drop { .. } => return None,
    })
}

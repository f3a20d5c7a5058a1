//! The session's side of the outbox: actions in, events out, nothing lost in between.
//!
//! The outbox's queue is bounded and may refuse for a moment. Rows that nobody was promised are then answered as not
//! stored; everything else waits here in order, and that is bounded too, because the session never has more
//! outstanding than it has commands and messages in flight. While there is no store at all, every request is answered
//! with the reason.

mod health;
mod kept;
mod opening;
mod words;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use edgeplug_outbox::{Ack, AckId, Eviction, Lane, NewRow, Outbox, OutboxEvent, Refused, Request, RowId};
use edgeplug_session::action::Fact;
use edgeplug_session::event::{Event, Restored};
use edgeplug_session::{Action, AskId};
use serde::Serialize;
use tokio::sync::oneshot;

pub(crate) use health::Health;
pub(crate) use kept::PluginState;
pub(crate) use opening::{Found, Opened, Opening, directory, open};

use words::{event, fact_name, refusal, say_damaged, session_ticket, sessions, signed};

/// Rows of one append, and their bytes: one group commit's worth. The outbox's queue takes four times as much.
const APPEND_ROWS_MAX: usize = 1_000;
const APPEND_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The kind under which every acknowledgement is stored; there is only one so far.
const ACK_KIND: u8 = 1;
/// How long finished commands are remembered, so that a late redelivery is known: the hub keeps a message for two days
/// at most (Azure IoT Hub, cloud-to-device time to live).
const COMMANDS_KEPT_MS: i64 = 2 * 24 * 60 * 60 * 1000;
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
const PRUNE_NOT_BEFORE: Duration = Duration::from_secs(60 * 60);
/// Operators who may wait for a drop at one time; it is done by hand.
const DROPS_MAX: usize = 4;

/// The outbox, once it is open, and what waits for it.
pub(crate) struct Store {
    outbox: Option<Outbox>,
    health: Health,
    /// Rows of this turn of the main loop, appended together.
    rows: Vec<NewRow>,
    /// Requests the outbox had no room for.
    waiting: VecDeque<Request>,
    /// What plugins keep.
    kept: kept::Kept,
    /// What the session last wanted kept: for a store that opens late, and for a ledger that has to be started afresh.
    facts: HashMap<Fact, Bytes>,
    /// The highest row id there is or was.
    last_row: RowId,
    /// Who waits for rows to be dropped, in the order they asked; nobody where the session wants it.
    drops: VecDeque<Option<oneshot::Sender<Result<Dropped, String>>>>,
    wipe: Wipe,
    /// Uptime when old commands were last forgotten.
    pruned_at: Option<Duration>,
}

/// Whether everything is to be given up, because the cloud stopped this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wipe {
    Not,
    Due,
    UnderWay,
    /// It was tried and failed.
    WhenHealed,
}

/// Which rows to give up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Through {
    /// All there are now.
    All,
    /// Up to this one.
    Row(RowId),
}

/// What was given up.
#[derive(Debug, Clone, Copy, Serialize, serde::Deserialize)]
pub(crate) struct Dropped {
    pub(crate) rows: u64,
    /// Of their bodies.
    pub(crate) bytes: u64,
}

/// `store` in `GET /v1/status`.
#[derive(Debug, Serialize)]
pub(crate) struct StoreStatus {
    #[serde(flatten)]
    health: Health,
    /// Since start; `None` while there is no store.
    written: Option<Written>,
}

#[derive(Debug, Serialize)]
struct Written {
    bytes: u64,
    rows: u64,
    commits: u64,
    bytes_per_row: Option<u64>,
}

/// Facts once more. Nobody waits for the answer.
fn again(facts: &HashMap<Fact, Bytes>) -> impl Iterator<Item = Request> {
    facts.iter().map(|(fact, value)| Request::Put {
        ticket: 0,
        name: fact_name(*fact).to_owned(),
        value: Some(value.clone()),
    })
}

/// How many of the first rows make one append; at least one.
fn group_len(rows: &[NewRow]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&NewRow| {
        bytes += row.body.len();
        bytes <= APPEND_BYTES_MAX
    };
    rows.iter().take(APPEND_ROWS_MAX).take_while(fits).count().max(1)
}

impl Store {
    /// No outbox yet.
    pub(crate) fn new() -> Self {
        Self {
            outbox: None,
            health: Health::default(),
            rows: Vec::new(),
            waiting: VecDeque::new(),
            kept: kept::Kept::default(),
            facts: HashMap::new(),
            last_row: RowId(0),
            drops: VecDeque::new(),
            wipe: Wipe::Not,
            pruned_at: None,
        }
    }

    /// It cannot be opened, for now.
    pub(crate) fn not_yet(&mut self, reason: &str) {
        tracing::error!(reason, "the store cannot be opened; trying again, and nothing is accepted meanwhile");
        self.health.degrade(reason);
    }

    /// What a session without a store still wanted is not for the store of the next one: it would overwrite what that holds.
    pub(crate) fn forget_requests(&mut self) {
        self.rows.clear();
        for request in std::mem::take(&mut self.waiting) {
            if let Request::Put { ticket, .. } = request {
                self.put_answered(ticket, Err("the daemon begins anew with its store; try again".to_owned()));
            }
        }
    }

    /// Takes the open outbox; the answer is what it held, and what was learnt without it.
    pub(crate) fn opened(&mut self, outbox: Outbox, found: Found) -> Restored {
        for damaged in &found.damaged {
            say_damaged(damaged);
            self.health.set_aside(damaged);
        }
        self.health.opened();
        self.last_row = found.last_row;
        self.kept.restore(found.facts);
        self.outbox = Some(outbox);
        // The others would overwrite what this store knows better.
        self.facts.retain(|fact, _| matches!(fact, Fact::Sync | Fact::Assignment));
        self.waiting.extend(again(&self.facts));
        let learnt = |fact, found: Option<Bytes>| self.facts.get(&fact).cloned().or(found);
        let restored = Restored {
            sync: learnt(Fact::Sync, found.restored.sync),
            assignment: learnt(Fact::Assignment, found.restored.assignment),
            ..found.restored
        };
        let held = [
            (Fact::Sync, &restored.sync),
            (Fact::Assignment, &restored.assignment),
            (Fact::Windows, &restored.windows),
            (Fact::HardStop, &restored.hard_stop),
            (Fact::Twin, &restored.twin),
        ];
        self.facts.extend(held.into_iter().filter_map(|(fact, value)| Some((fact, value.clone()?))));
        restored
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
            Action::Note { ticket, key, body } => Request::NoteCommand { ticket: ticket.0, key, body },
            Action::Finish { ticket, key, ack, offline, at_unix_ms } => {
                let ack = ack.map(|body| Ack { kind: ACK_KIND, link_down: offline, created_unix_ms: at_unix_ms, body });
                self.prune(at_unix_ms, uptime);
                Request::FinishCommand { ticket: ticket.0, key, finished_unix_ms: at_unix_ms, ack }
            }
            Action::RemoveAcks { acks } => {
                Request::RemoveAcks(acks.into_iter().map(|ack| AckId(signed(ack.0))).collect())
            }
            Action::Keep { fact, value } => {
                self.facts.insert(fact, value.clone());
                Request::Put { ticket: 0, name: fact_name(fact).to_owned(), value: Some(value) }
            }
            Action::KeepFor { ticket, fact, value } => {
                if fact == Fact::HardStop && value.is_empty() && self.wipe != Wipe::UnderWay {
                    // The stop is taken back, and with it what was not wiped yet.
                    self.wipe = Wipe::Not;
                }
                self.facts.insert(fact, value.clone());
                Request::Put { ticket: session_ticket(ticket), name: fact_name(fact).to_owned(), value: Some(value) }
            }
            Action::Wipe => {
                self.wipe = Wipe::Due;
                return None;
            }
            other => return Some(other),
        };
        self.waiting.push_back(request);
        None
    }

    /// Hands the outbox what it has room for. Returns one event about what was not taken; ask until there is none.
    pub(crate) fn flush(&mut self) -> Option<Event> {
        while let Some(request) = self.waiting.pop_front() {
            match self.request(request) {
                Ok(()) => {}
                Err((Refused::Full(request), _)) => {
                    self.waiting.push_front(request);
                    break;
                }
                Err((Refused::TooLarge(request) | Refused::Ended(request), reason)) => {
                    if let Request::Put { ticket, .. } = request {
                        if let Some(event) = self.put_answered(ticket, Err(reason)) {
                            return Some(event);
                        }
                    } else if let Some(event) = refusal(request, &reason) {
                        return Some(event);
                    }
                }
            }
        }
        while !self.rows.is_empty() {
            let len = group_len(&self.rows);
            let mut group = std::mem::take(&mut self.rows);
            if group.len() > len {
                self.rows = group.split_off(len);
            } else {
                // The next group will be about as large, and growing into it would cost more than its rows do.
                self.rows.reserve(group.len());
            }
            if let Err((Refused::Full(request) | Refused::TooLarge(request) | Refused::Ended(request), reason)) =
                self.request(Request::Append(group))
            {
                return refusal(request, &reason);
            }
        }
        // Behind every row, so that none escapes.
        if self.wipe == Wipe::Due && self.request(Request::Drop { through: RowId(i64::MAX) }).is_ok() {
            self.wipe = Wipe::UnderWay;
            self.drops.push_back(None);
        }
        None
    }

    /// Takes in what the outbox reports; the answer is for the session.
    pub(crate) fn on_event(&mut self, reported: OutboxEvent) -> Option<Event> {
        self.health.note(&reported);
        match &reported {
            OutboxEvent::Committed { rows } => {
                self.last_row = rows.last().map_or(self.last_row, |row| row.id.max(self.last_row));
            }
            OutboxEvent::Evicted { rows, bytes, why: Eviction::Asked, .. } => match self.drops.pop_front() {
                Some(Some(asker)) => {
                    // The asker may have gone.
                    let _ = asker.send(Ok(Dropped { rows: *rows, bytes: *bytes }));
                }
                Some(None) => self.wipe = Wipe::Not,
                None => {}
            },
            OutboxEvent::Stored { ticket } => return self.put_answered(*ticket, Ok(())),
            OutboxEvent::PutFailed { ticket, reason } if *ticket != 0 => {
                return self.put_answered(*ticket, Err(reason.clone()));
            }
            OutboxEvent::Healed { store: edgeplug_outbox::Store::Ledger, damaged: Some(_) } => {
                self.waiting.extend(self.kept.again());
                self.waiting.extend(again(&self.facts));
            }
            OutboxEvent::DropFailed { reason } => match self.drops.pop_front() {
                Some(Some(asker)) => {
                    // The asker may have gone.
                    let _ = asker.send(Err(reason.clone()));
                }
                Some(None) => {
                    tracing::error!(
                        reason,
                        "the store cannot be wiped as the hard stop wants it; trying again when it can write"
                    );
                    self.wipe = Wipe::WhenHealed;
                }
                None => {}
            },
            OutboxEvent::Healed { store: edgeplug_outbox::Store::Telemetry, .. } if self.wipe == Wipe::WhenHealed => {
                self.wipe = Wipe::Due;
            }
            _ => {}
        }
        event(reported)
    }

    /// The ledger's word on a fact that somebody waits for: the session, or a plugin.
    fn put_answered(&mut self, ticket: u64, result: Result<(), String>) -> Option<Event> {
        match sessions(ticket) {
            Some(ticket) => Some(Event::Kept { ticket, result }),
            None => {
                self.kept.answered(ticket, result);
                None
            }
        }
    }

    /// What plugins kept, as the ledger holds it.
    pub(crate) fn plugin_state(&self) -> PluginState {
        self.kept.by_plugin()
    }

    /// Keeps one key of a plugin, or forgets it; [`Self::next_kept`] answers.
    pub(crate) fn keep_state(&mut self, ask: AskId, plugin: &str, key: &str, value: Option<Bytes>) {
        self.waiting.extend(self.kept.keep(ask, plugin, key, value));
    }

    /// Whether what a plugin wanted to keep is on disk.
    pub(crate) fn next_kept(&mut self) -> Option<(AskId, Result<(), String>)> {
        self.kept.next_answer()
    }

    /// Gives rows up undelivered.
    pub(crate) fn drop_rows(&mut self, through: Through, asker: oneshot::Sender<Result<Dropped, String>>) {
        let through = match through {
            Through::All => self.last_row,
            Through::Row(row) => row.min(self.last_row),
        };
        let refusal = match self.outbox {
            None => self.health.words(),
            Some(_) if self.drops.len() >= DROPS_MAX => "others are dropping rows; ask again".to_owned(),
            Some(_) => {
                self.drops.push_back(Some(asker));
                self.waiting.push_back(Request::Drop { through });
                return;
            }
        };
        // The asker may have gone.
        let _ = asker.send(Err(refusal));
    }

    /// Whether requests still wait for room.
    pub(crate) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn status(&self) -> StoreStatus {
        let written = self.outbox.as_ref().map(|outbox| {
            let written = outbox.written();
            Written {
                bytes: written.bytes,
                rows: written.rows,
                commits: written.commits,
                bytes_per_row: written.bytes.checked_div(written.rows),
            }
        });
        StoreStatus { health: self.health.clone(), written }
    }

    /// Writes what waits and closes. Blocks.
    pub(crate) fn close(mut self) {
        // Whatever the outbox does not take any more is delivered again by the next run.
        let _ = self.flush();
        if let Some(outbox) = self.outbox {
            outbox.close();
        }
    }

    fn request(&mut self, request: Request) -> Result<(), (Refused, String)> {
        match &self.outbox {
            Some(outbox) => outbox.request(request).map_err(|refused| {
                let reason = refused.to_string();
                if !matches!(refused, Refused::Full(_)) {
                    tracing::error!(reason, "the store did not take a request");
                }
                (refused, reason)
            }),
            None => Err((Refused::Ended(request), self.health.words())),
        }
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

#[cfg(test)]
mod tests;

//! Opening the outbox, again and again where it may heal, while the daemon does everything else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_outbox::{AckId, OpenError, Outbox, OutboxEvent, OutboxOptions, Request, StoredAck};
use edgeplug_session::action::Fact;
use edgeplug_session::event::{Restored, RestoredAck};
use tokio::sync::mpsc;

use super::words::{fact_name, unsigned};
use crate::config::Config;
use crate::exit::{Exit, Problem, chain};

/// Acknowledgements read back at once at start.
const ACKS_PAGE: usize = 1_000;
const ACKS_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Events that are put by meanwhile. It takes a moment, in which a store that is asked for nothing else says a few: what
/// its upkeep gave up or set aside, and that it cannot write or can again.
const EARLIER_MAX: usize = 256;
/// Waits between tries: a disk that is full or read-only changes by somebody's hand, not by the second.
const RETRY: Duration = Duration::from_secs(5);

/// What became of opening it.
pub(crate) enum Opening {
    Opened(Box<Opened>),
    /// Not now, and why; it is being tried again. Said when the reason changes.
    NotYet(String),
    /// Not without somebody's hand.
    Never(Problem),
}

/// An open outbox and what it held.
pub(crate) struct Opened {
    pub(crate) outbox: Outbox,
    pub(crate) events: mpsc::Receiver<OutboxEvent>,
    /// What the outbox said while it was read back, in order; it comes before everything in `events`.
    pub(crate) earlier: Vec<OutboxEvent>,
    pub(crate) found: Found,
}

/// What an outbox held when it was opened.
pub(crate) struct Found {
    pub(crate) restored: Restored,
    /// Every fact of the ledger; those that plugins keep are among them.
    pub(crate) facts: BTreeMap<String, Bytes>,
    pub(crate) damaged: Vec<edgeplug_outbox::Damaged>,
    /// The highest row id there is or was.
    pub(crate) last_row: edgeplug_outbox::RowId,
}

/// Where the outbox of a state directory lies.
pub(crate) fn directory(config: &Config) -> PathBuf {
    config.state_dir.join("outbox")
}

/// Opens the outbox in the background; the last message is `Opened` or `Never`.
pub(crate) fn open(config: &Config) -> mpsc::Receiver<Opening> {
    let mut options = OutboxOptions::new(directory(config));
    options.limits = config.outbox.limits;
    options.durability = config.outbox.durability;
    // One message is on its way while the next try runs.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut said = String::new();
        loop {
            let options = options.clone();
            let opened = tokio::task::spawn_blocking(move || Outbox::open(options)).await;
            let opening = match opened {
                Ok(Ok((outbox, found, events))) => Opening::Opened(Box::new(read_back(outbox, found, events).await)),
                Ok(Err(error)) if error.may_heal() => {
                    let reason = chain(&error);
                    if reason == said {
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                    said.clone_from(&reason);
                    Opening::NotYet(reason)
                }
                Ok(Err(error)) => Opening::Never(Problem::new(exit_of(&error), chain(&error))),
                Err(error) => Opening::Never(Problem::new(Exit::Failed, format!("cannot open the store: {error}"))),
            };
            let again = matches!(opening, Opening::NotYet(_));
            if sender.send(opening).await.is_err() || !again {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    });
    receiver
}

fn exit_of(error: &OpenError) -> Exit {
    match error {
        OpenError::Locked { .. } => Exit::AlreadyRunning,
        OpenError::Newer { .. } => Exit::StoreNewer,
        OpenError::Limits { .. } => Exit::ConfigInvalid,
        _ => Exit::Failed,
    }
}

/// What the outbox found, in the session's words. Reads the acknowledgements it had no room to name.
async fn read_back(
    outbox: Outbox,
    found: edgeplug_outbox::Restored,
    mut events: mpsc::Receiver<OutboxEvent>,
) -> Opened {
    let mut acks = found.acks;
    let mut earlier = Vec::new();
    let mut more = found.acks_more;
    while more {
        let after = acks.last().map_or(AckId(0), |ack| ack.id);
        let page = Request::LoadAcks { ticket: 0, after, rows_max: ACKS_PAGE, bytes_max: ACKS_PAGE_BYTES };
        if outbox.request(page).is_err() {
            break;
        }
        more = loop {
            if earlier.len() >= EARLIER_MAX {
                tracing::warn!("the store has much to say; the other acknowledgements wait for the next start");
                break false;
            }
            match events.recv().await {
                Some(OutboxEvent::AcksLoaded { acks: page, more, .. }) => {
                    acks.extend(page);
                    break more;
                }
                // They stay in the ledger and are found at the next start.
                Some(OutboxEvent::LoadFailed { .. }) | None => break false,
                Some(other) => earlier.push(other),
            }
        };
    }
    let fact = |fact| -> Option<Bytes> { found.facts.get(fact_name(fact)).cloned() };
    let last_row = found.last_row;
    let restored = Restored {
        rows: found.live.rows,
        acks: acks.into_iter().map(restored_ack).collect(),
        commands: found.unfinished.into_iter().map(|command| (command.key, command.body)).collect(),
        sync: fact(Fact::Sync),
        assignment: fact(Fact::Assignment),
        clock: fact(Fact::Clock),
        budget: fact(Fact::Budget),
        windows: fact(Fact::Windows),
        hard_stop: fact(Fact::HardStop),
        twin: fact(Fact::Twin),
        last_row: (last_row.0 > 0).then(|| edgeplug_session::RowId(unsigned(last_row.0))),
    };
    Opened { outbox, events, earlier, found: Found { restored, facts: found.facts, damaged: found.damaged, last_row } }
}

fn restored_ack(ack: StoredAck) -> RestoredAck {
    RestoredAck { id: edgeplug_session::AckId(unsigned(ack.id.0)), body: ack.body, offline: ack.link_down }
}

#[cfg(test)]
mod tests;

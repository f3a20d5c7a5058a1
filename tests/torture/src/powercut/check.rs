//! One power cut: the image is opened by the real outbox and held against the promise.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use edgeplug_outbox::{Lane, Outbox, OutboxEvent, RecordOutcome, Request, Restored, RowId, StoredRow};
use tokio::sync::mpsc::Receiver;

use super::disk::Image;
use super::driver::{Profile, options};
use super::mark::{OUTBOX, body, ticket_of};
use super::promise::{Command, Promise};

/// Commands whose redelivery is tried, the newest: older ones lie as deep in the file as these soon will.
const REDELIVERED: usize = 24;

/// What one cut showed.
#[derive(Default)]
pub(super) struct Finding {
    pub(super) owed: u64,
    pub(super) found: u64,
    pub(super) lost: Vec<String>,
    /// Damage reported, rows that are not as they were given or come twice, rows out of order, totals that are wrong.
    pub(super) corrupt: Vec<String>,
    /// Rows and acknowledgements that were off the disk for good and are back.
    pub(super) back: u64,
}

/// Opens `image` below `scratch` and compares. The rows `evicting` may be missing: their eviction is under way.
pub(super) fn check(
    image: &Image,
    promise: &Promise,
    evicting: &BTreeSet<i64>,
    profile: Profile,
    scratch: &Path,
) -> anyhow::Result<Finding> {
    let mut finding = Finding::default();
    lay_out(image, scratch)?;
    let (outbox, restored, mut events) = match Outbox::open(options(&scratch.join(OUTBOX), profile)) {
        Ok(opened) => opened,
        Err(error) => {
            finding.corrupt.push(format!("does not open: {error}"));
            return Ok(finding);
        }
    };
    for damaged in &restored.damaged {
        finding.corrupt.push(format!("{} set aside: {}", damaged.set_aside.display(), damaged.reason));
    }
    let (mut found, mut tickets, mut evicted) = (BTreeMap::new(), HashSet::new(), false);
    for (lane, said) in [(Lane::Live, restored.live.rows), (Lane::Alarm, restored.alarm.rows)] {
        let Rows { rows, evicted: now } = all(&outbox, &mut events, lane, &mut finding)?;
        evicted |= now;
        if !rows.is_sorted_by(|one, other| one.id < other.id) {
            finding.corrupt.push(format!("rows of lane {lane:?} are out of order"));
        }
        if !evicted && said != rows.len() as u64 {
            finding.corrupt.push(format!("{said} rows of lane {lane:?} were counted, {} are there", rows.len()));
        }
        for row in rows {
            let id = row.id.0;
            match ticket_of(&row) {
                Some(ticket) if !tickets.insert(ticket) || found.insert(id, ticket).is_some() => {
                    finding.corrupt.push(format!("row {id}, ticket {ticket} is there twice"));
                }
                Some(_) => {}
                None => finding.corrupt.push(format!("row {id} is not as it was given")),
            }
        }
    }
    if restored.last_row.0 < promise.last_row {
        let (last, given_out) = (restored.last_row.0, promise.last_row);
        finding.corrupt.push(format!("ids go on after {last}, {given_out} was given out already"));
    }
    rows(&found, promise, evicting, &mut finding);
    ledger(&restored, promise, &mut finding);
    redeliver(&outbox, &mut events, promise, &mut finding)?;
    outbox.close();
    Ok(finding)
}

fn rows(found: &BTreeMap<i64, u64>, promise: &Promise, evicting: &BTreeSet<i64>, finding: &mut Finding) {
    for (id, ticket) in &promise.rows {
        match found.get(id) {
            Some(there) if there == ticket => finding.found += 1,
            Some(other) => finding.corrupt.push(format!("row {id} is {other}, not {ticket}")),
            None if evicting.contains(id) => continue,
            None => finding.lost.push(format!("row {id}")),
        }
        finding.owed += 1;
    }
    let back: Vec<_> = found.keys().filter(|id| promise.rows_removed.contains(id)).collect();
    finding.back = back.len() as u64;
    finding.corrupt.extend(back.first().map(|id| format!("row {id} was removed and is back")));
}

fn ledger(restored: &Restored, promise: &Promise, finding: &mut Finding) {
    let unfinished: BTreeSet<&str> = restored.unfinished.iter().map(|command| command.key.as_str()).collect();
    let acks: BTreeMap<i64, &[u8]> = restored.acks.iter().map(|ack| (ack.id.0, ack.body.as_ref())).collect();
    let answered: BTreeSet<&str> = restored.acks.iter().map(|ack| ack.key.as_str()).collect();
    for (key, state) in &promise.commands {
        let there = unfinished.contains(key.as_str());
        match state {
            Command::Recording => {}
            Command::Recorded if there => {}
            Command::Recorded => finding.lost.push(format!("{key} is not unfinished any more")),
            Command::Finishing if there || answered.contains(key.as_str()) => {}
            Command::Finishing => finding.lost.push(format!("{key} is neither unfinished nor answered")),
            Command::Finished if there => finding.corrupt.push(format!("{key} is unfinished again")),
            Command::Finished => {}
        }
    }
    for (id, key) in &promise.acks {
        finding.owed += 1;
        match acks.get(id) {
            Some(body) if *body == key.as_bytes() => finding.found += 1,
            Some(_) => finding.corrupt.push(format!("acknowledgement {id} holds other bytes")),
            None => finding.lost.push(format!("acknowledgement {id} of {key}")),
        }
    }
    if acks.len() != answered.len() {
        finding.corrupt.push("a command has two acknowledgements".to_owned());
    }
    let back: Vec<_> = acks.keys().filter(|id| promise.acks_removed.contains(id)).collect();
    finding.back += back.len() as u64;
    finding.corrupt.extend(back.first().map(|id| format!("acknowledgement {id} was removed and is back")));
    for (name, fact) in &promise.facts {
        let there = restored.facts.get(name).map(|value| value.as_ref());
        if !fact.values().any(|value| there == value.map(body).as_deref()) {
            finding.lost.push(format!("{name} has neither its last value nor one that was under way"));
        }
    }
}

/// Lets the hub send commands again: each must be known, as far as it came.
fn redeliver(
    outbox: &Outbox,
    events: &mut Receiver<OutboxEvent>,
    promise: &Promise,
    finding: &mut Finding,
) -> anyhow::Result<()> {
    // By the number in the key, which grows.
    let mut commands: Vec<_> = promise.commands.iter().filter(|(_, state)| **state != Command::Recording).collect();
    commands.sort_by_key(|(key, _)| (key.len(), key.as_str()));
    let newest = commands.split_off(commands.len().saturating_sub(REDELIVERED));
    for (ticket, (key, _)) in (0..).zip(&newest) {
        let again = Request::RecordCommand {
            ticket,
            key: (*key).clone(),
            body: Bytes::from_static(b"do"),
            received_unix_ms: 0,
        };
        outbox.request(again).map_err(|refused| anyhow::anyhow!("refused: {refused}"))?;
    }
    for (key, state) in newest {
        let outcome = match events.blocking_recv().context("the outbox ended")? {
            OutboxEvent::Recorded { outcome, .. } => outcome,
            other => bail!("the outbox said {other:?}"),
        };
        let known = match (outcome, state) {
            (RecordOutcome::New, _) => false,
            (RecordOutcome::Seen { finished: false }, Command::Finished) => false,
            (RecordOutcome::Seen { finished: true }, Command::Recorded) => false,
            (RecordOutcome::Seen { .. }, _) => true,
        };
        if !known {
            finding.lost.push(format!("{key} was {state:?} and is {outcome:?} when it comes again"));
        }
    }
    Ok(())
}

/// Every row of a lane, and whether some were given up meanwhile.
struct Rows {
    rows: Vec<StoredRow>,
    evicted: bool,
}

fn all(outbox: &Outbox, events: &mut Receiver<OutboxEvent>, lane: Lane, finding: &mut Finding) -> anyhow::Result<Rows> {
    let (mut rows, mut evicted): (Vec<StoredRow>, _) = (Vec::new(), false);
    loop {
        let after = rows.last().map_or(RowId(0), |row| row.id);
        let page = Request::Load { ticket: 0, lane, after, rows_max: 1_000, bytes_max: 4 << 20 };
        outbox.request(page).map_err(|refused| anyhow::anyhow!("refused: {refused}"))?;
        match events.blocking_recv().context("the outbox ended")? {
            OutboxEvent::Loaded { rows: page, more, .. } => {
                let page_is_empty = page.is_empty();
                rows.extend(page);
                if !more {
                    return Ok(Rows { rows, evicted });
                }
                if page_is_empty {
                    finding.corrupt.push(format!("lane {lane:?} says that there is more and gives nothing"));
                    return Ok(Rows { rows, evicted });
                }
            }
            // The limits hold at an opening as well.
            OutboxEvent::Evicted { .. } => evicted = true,
            OutboxEvent::SetAside(damaged) => finding.corrupt.push(format!("set aside while read: {}", damaged.reason)),
            OutboxEvent::LoadFailed { reason, .. } => {
                finding.corrupt.push(format!("cannot be read: {reason}"));
                return Ok(Rows { rows, evicted });
            }
            other => bail!("the outbox said {other:?}"),
        }
    }
}

/// Makes the directory hold this image and nothing else, but for the room kept back for a full disk, which is slow to take.
fn lay_out(image: &Image, scratch: &Path) -> anyhow::Result<()> {
    let telemetry = scratch.join(OUTBOX).join("telemetry");
    fs::create_dir_all(&telemetry)?;
    for directory in [scratch.join(OUTBOX), telemetry] {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file() && !entry.file_name().to_string_lossy().ends_with("reserve") {
                fs::remove_file(entry.path())?;
            }
        }
    }
    for (name, bytes) in image {
        fs::write(scratch.join(name), bytes)?;
    }
    Ok(())
}

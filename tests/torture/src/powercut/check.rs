//! One power cut: the image is opened by the real outbox and held against the promise.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use edgeplug_outbox::{Lane, Outbox, OutboxEvent, Request, Restored, RowId, StoredRow};
use tokio::sync::mpsc::Receiver;

use super::disk::Image;
use super::driver::{Profile, options};
use super::mark::{OUTBOX, body, ticket_of};
use super::promise::{Command, Promise};

/// What one cut showed.
#[derive(Default)]
pub(super) struct Finding {
    pub(super) owed: u64,
    pub(super) found: u64,
    pub(super) lost: Vec<String>,
    /// Damage reported, bytes that are nobody's, rows out of order.
    pub(super) corrupt: Vec<String>,
    /// Rows that were off the disk for good and are back.
    pub(super) back: u64,
}

/// Opens `image` below `scratch` and compares. Rows up to `evicting` may be missing: their eviction is next in the log.
pub(super) fn check(
    image: &Image,
    promise: &Promise,
    evicting: Option<i64>,
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
    let mut found = BTreeMap::new();
    for lane in [Lane::Live, Lane::Alarm] {
        let rows = all(&outbox, &mut events, lane, &mut finding)?;
        if !rows.is_sorted_by_key(|row| row.id) {
            finding.corrupt.push(format!("rows of lane {lane:?} are out of order"));
        }
        for row in rows {
            match ticket_of(&row.body) {
                Some(ticket) => drop(found.insert(row.id.0, ticket)),
                None => finding.corrupt.push(format!("row {} holds other bytes than it was given", row.id.0)),
            }
        }
    }
    rows(&found, promise, evicting, &mut finding);
    ledger(&restored, promise, &mut finding);
    outbox.close();
    Ok(finding)
}

fn rows(found: &BTreeMap<i64, u64>, promise: &Promise, evicting: Option<i64>, finding: &mut Finding) {
    for (id, ticket) in &promise.rows {
        match found.get(id) {
            Some(there) if there == ticket => finding.found += 1,
            Some(other) => finding.corrupt.push(format!("row {id} is {other}, not {ticket}")),
            None if evicting.is_some_and(|through| *id <= through) => continue,
            None => finding.lost.push(format!("row {id}")),
        }
        finding.owed += 1;
    }
    // A segment that was unlinked may come back whole; then rows of it do that were removed long before.
    finding.back = found.keys().filter(|id| promise.rows_removed.contains(id)).count() as u64;
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
    finding.back += acks.keys().filter(|id| promise.acks_removed.contains(id)).count() as u64;
    for (name, fact) in &promise.facts {
        let there = restored.facts.get(name).map(|value| value.as_ref());
        if !fact.values().any(|value| there == value.map(body).as_deref()) {
            finding.lost.push(format!("{name} has neither its last value nor one that was under way"));
        }
    }
}

/// Every row of a lane, page by page.
fn all(
    outbox: &Outbox,
    events: &mut Receiver<OutboxEvent>,
    lane: Lane,
    finding: &mut Finding,
) -> anyhow::Result<Vec<StoredRow>> {
    let mut rows: Vec<StoredRow> = Vec::new();
    loop {
        let after = rows.last().map_or(RowId(0), |row| row.id);
        let page = Request::Load { ticket: 0, lane, after, rows_max: 1_000, bytes_max: 4 << 20 };
        outbox.request(page).map_err(|refused| anyhow::anyhow!("refused: {refused}"))?;
        match events.blocking_recv().context("the outbox ended")? {
            OutboxEvent::Loaded { rows: page, more, .. } => {
                rows.extend(page);
                if !more {
                    return Ok(rows);
                }
            }
            // The limits hold at an opening as well.
            OutboxEvent::Evicted { .. } => {}
            OutboxEvent::SetAside(damaged) => finding.corrupt.push(format!("set aside while read: {}", damaged.reason)),
            OutboxEvent::LoadFailed { reason, .. } => {
                finding.corrupt.push(format!("cannot be read: {reason}"));
                return Ok(rows);
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

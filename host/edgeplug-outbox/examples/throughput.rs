//! Prints what the outbox does on this machine's disk: `cargo run --release -p edgeplug-outbox --example throughput -- DIR`.
//!
//! Appends and removes rows of 250 bytes in groups of 100 with at most 32 requests under way, then appends one row at a
//! time, each waiting for its commit. Last line: one JSON object, rows a second.

use std::{
    env,
    time::{Duration, Instant},
};

use bytes::Bytes;
use edgeplug_outbox::{Lane, NewRow, Outbox, OutboxEvent, OutboxOptions, Request, RowId};
use tokio::sync::mpsc::Receiver;

const GROUP: u64 = 100;
const GROUPS: u64 = 3_000;
const SINGLES: u64 = 1_000;
const UNDER_WAY_MAX: u64 = 32;

fn main() {
    let Some(directory) = env::args_os().nth(1) else {
        eprintln!("name an empty directory on the disk to be measured");
        std::process::exit(2);
    };
    let (outbox, _, mut events) = Outbox::open(OutboxOptions::new(directory)).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1);
    });
    let body = Bytes::from(vec![b'x'; 250]);
    let rows = |count: u64| {
        let row = |ticket| NewRow {
            ticket,
            lane: Lane::Live,
            kind: 0,
            link_down: false,
            created_unix_ms: 0,
            body: body.clone(),
        };
        Request::Append((0..count).map(row).collect())
    };

    let mut ids: Vec<RowId> = Vec::new();
    let started = Instant::now();
    for sent in 0..GROUPS {
        ask(&outbox, rows(GROUP));
        while (sent + 1) * GROUP - ids.len() as u64 > UNDER_WAY_MAX * GROUP {
            committed(&mut events, &mut ids);
        }
    }
    while (ids.len() as u64) < GROUPS * GROUP {
        committed(&mut events, &mut ids);
    }
    let appended = started.elapsed();

    let started = Instant::now();
    let mut under_way = 0;
    for group in ids.chunks(GROUP as usize) {
        ask(&outbox, Request::Remove(group.to_vec()));
        under_way += 1;
        while under_way > UNDER_WAY_MAX {
            under_way -= removed(&mut events);
        }
    }
    while under_way > 0 {
        under_way -= removed(&mut events);
    }
    let drained = started.elapsed();

    let started = Instant::now();
    for _ in 0..SINGLES {
        ids.clear();
        ask(&outbox, rows(1));
        committed(&mut events, &mut ids);
    }
    let singles = started.elapsed();
    outbox.close();
    println!(
        r#"{{"rows_per_second_grouped":{},"removals_per_second_grouped":{},"rows_per_second_single":{}}}"#,
        rate(GROUPS * GROUP, appended),
        rate(GROUPS * GROUP, drained),
        rate(SINGLES, singles)
    );
}

fn rate(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64()) as u64
}

fn ask(outbox: &Outbox, request: Request) {
    if let Err(error) = outbox.request(request) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn committed(events: &mut Receiver<OutboxEvent>, ids: &mut Vec<RowId>) {
    match events.blocking_recv() {
        Some(OutboxEvent::Committed { rows }) => ids.extend(rows.iter().map(|row| row.id)),
        other => failed(other),
    }
}

fn removed(events: &mut Receiver<OutboxEvent>) -> u64 {
    match events.blocking_recv() {
        Some(OutboxEvent::Removed { requests, .. }) => requests as u64,
        other => failed(other),
    }
}

fn failed(event: Option<OutboxEvent>) -> ! {
    eprintln!("the outbox could not go on: {event:?}");
    std::process::exit(1);
}

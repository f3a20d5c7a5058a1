//! Prints what the outbox does on this machine's disk:
//! `cargo run --release -p edgeplug-outbox --example throughput -- EMPTY-DIRECTORY [ROWS]`.
//!
//! Rows of 200 bytes, groups of 100, at most 32 requests under way:
//! - `outage`: append all, then read and remove all, as after an outage;
//! - `online`: append, and remove every row as soon as it is committed, as on a good link;
//! - `single`: append one row at a time, each waiting for its commit.
//!
//! Last line: one JSON object; rows a second, microseconds a row, bytes written for each row.

use std::{
    env,
    time::{Duration, Instant},
};

use bytes::Bytes;
use edgeplug_outbox::{Lane, NewRow, Outbox, OutboxEvent, OutboxOptions, Request, RowId, SpaceLimits};
use tokio::sync::mpsc::Receiver;

const GROUP: u64 = 100;
const ROWS_DEFAULT: u64 = 300_000;
const SINGLES: u64 = 1_000;
const UNDER_WAY_MAX: u64 = 32;
const PAGE_ROWS: usize = 500;
const BODY_BYTES: usize = 200;

fn main() {
    let mut arguments = env::args_os().skip(1);
    let Some(directory) = arguments.next() else {
        eprintln!("name an empty directory on the disk to be measured");
        std::process::exit(2);
    };
    let rows = arguments.next().and_then(|rows| rows.to_str()?.parse().ok()).unwrap_or(ROWS_DEFAULT);
    let mut options = OutboxOptions::new(directory);
    options.limits = SpaceLimits { bytes_max: 64 << 30, files_max: 256 };
    if let Some(wait_ms) = env::var("GROUP_WAIT_MS").ok().and_then(|wait| wait.parse().ok()) {
        options.group_wait = Duration::from_millis(wait_ms);
    }
    let (outbox, _, events) = Outbox::open(options).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1);
    });
    let mut run = Run { outbox, events, body: Bytes::from(vec![b'x'; BODY_BYTES]) };
    let (append, drain, outage_bytes) = run.outage(rows);
    let (online, online_bytes, rows_a_commit) = run.online(rows);
    let single = run.single();
    run.outbox.close();
    println!(
        "{{\"rows\":{rows},\"append_rows_per_s\":{},\"append_us\":{:.2},\"drain_rows_per_s\":{},\"drain_us\":{:.2},\
         \"outage_bytes_per_row\":{:.0},\"online_rows_per_s\":{},\"online_us\":{:.2},\"online_bytes_per_row\":{:.0},\
         \"online_rows_per_commit\":{:.0},\"single_rows_per_s\":{}}}",
        rate(rows, append),
        micros(rows, append),
        rate(rows, drain),
        micros(rows, drain),
        outage_bytes as f64 / rows as f64,
        rate(rows, online),
        micros(rows, online),
        online_bytes as f64 / rows as f64,
        rows_a_commit,
        rate(SINGLES, single),
    );
}

struct Run {
    outbox: Outbox,
    events: Receiver<OutboxEvent>,
    body: Bytes,
}

impl Run {
    fn outage(&mut self, rows: u64) -> (Duration, Duration, u64) {
        let before = self.outbox.written().bytes;
        let started = Instant::now();
        let (mut asked, mut committed) = (0, 0);
        while committed < rows {
            while asked < rows && asked - committed < UNDER_WAY_MAX * GROUP {
                self.append(GROUP);
                asked += GROUP;
            }
            match self.next() {
                OutboxEvent::Committed { rows } => committed += rows.len() as u64,
                other => failed(&other),
            }
        }
        let appended = started.elapsed();

        let started = Instant::now();
        let (mut after, mut removing, mut end) = (RowId(0), 0, false);
        self.load(after);
        while !end || removing > 0 {
            match self.next() {
                OutboxEvent::Loaded { rows, more, .. } => {
                    after = rows.last().map_or(after, |row| row.id);
                    end = !more;
                    if more {
                        self.load(after);
                    }
                    removing += 1;
                    self.ask(Request::Remove(rows.iter().map(|row| row.id).collect()));
                }
                OutboxEvent::Removed { requests, .. } => removing -= requests,
                other => failed(&other),
            }
        }
        (appended, started.elapsed(), self.outbox.written().bytes - before)
    }

    fn online(&mut self, rows: u64) -> (Duration, u64, f64) {
        let before = self.outbox.written();
        let started = Instant::now();
        let (mut asked, mut removed) = (0, 0);
        while removed < rows {
            while asked < rows && asked - removed < UNDER_WAY_MAX * GROUP {
                self.append(GROUP);
                asked += GROUP;
            }
            match self.next() {
                OutboxEvent::Committed { rows } => {
                    self.ask(Request::Remove(rows.iter().map(|row| row.id).collect()));
                }
                OutboxEvent::Removed { rows, .. } => removed += rows,
                other => failed(&other),
            }
        }
        let written = self.outbox.written();
        let commits = (written.commits - before.commits) as f64;
        (started.elapsed(), written.bytes - before.bytes, rows as f64 / commits)
    }

    fn single(&mut self) -> Duration {
        let started = Instant::now();
        for _ in 0..SINGLES {
            self.append(1);
            match self.next() {
                OutboxEvent::Committed { .. } => {}
                other => failed(&other),
            }
        }
        started.elapsed()
    }

    fn append(&self, count: u64) {
        let row = |ticket| NewRow {
            ticket,
            lane: Lane::Live,
            kind: 0,
            link_down: false,
            created_unix_ms: 1_700_000_000_000,
            body: self.body.clone(),
        };
        self.ask(Request::Append((0..count).map(row).collect()));
    }

    fn load(&self, after: RowId) {
        self.ask(Request::Load { ticket: 0, lane: Lane::Live, after, rows_max: PAGE_ROWS, bytes_max: 1 << 20 });
    }

    fn ask(&self, request: Request) {
        if let Err(error) = self.outbox.request(request) {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }

    fn next(&mut self) -> OutboxEvent {
        self.events.blocking_recv().unwrap_or_else(|| {
            eprintln!("the outbox has ended");
            std::process::exit(1);
        })
    }
}

fn rate(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64()) as u64
}

fn micros(count: u64, time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

fn failed(event: &OutboxEvent) -> ! {
    eprintln!("the outbox could not go on: {event:?}");
    std::process::exit(1);
}

//! `kill -9` at any instant is a legal shutdown: this test runs itself as a child, kills it and reads what is left.
//!
//! The child appends rows, notes and finishes commands, and prints what was reported to it. It is killed at random
//! moments, most of them inside a transaction, because its groups are larger than the page cache and spill into the log
//! before they commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    hash::{BuildHasher as _, RandomState},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use bytes::Bytes;
use edgeplug_outbox::{
    Ack, FinishOutcome, Lane, NewRow, OutboxEvent, OutboxOptions, Request, RowId, SpaceLimits, stats,
};

use crate::rig::{LEDGER, Rig, directory, look, row};

const CHILD: &str = "EDGEPLUG_OUTBOX_TEST_CHILD";
/// A command that every child goes on with and none ends.
const LONG: &str = "a long command";
const KILLS: u64 = 30;
/// Rows of one append and the bytes of a body: 3.2 MB a group, three times the page cache.
const ROWS: u64 = 800;
const BODY_BYTES: usize = 4_000;

/// Segments of a group and a half, so that many runs begin one; together far more than a run can write.
fn options(directory: &Path) -> OutboxOptions {
    let mut options = OutboxOptions::new(directory);
    options.limits = SpaceLimits { bytes_max: 1 << 30, files_max: 192 };
    options
}

/// Not a test of its own: the process that [`kill_9_loses_nothing_that_was_reported`] kills. Started by hand it does
/// nothing.
#[test]
fn child() {
    let Some(directory) = env::var_os(CHILD) else { return };
    let mut rig = Rig::open_with(options(Path::new(&directory)));
    // Tickets and keys go on above those of the killed child, so that nothing is printed twice.
    let mut ticket = rig.restored.last_row.0 as u64 * 10;
    let mut out = io::stdout().lock();
    rig.ask(Request::RecordCommand { ticket: 0, key: LONG.into(), body: Bytes::new(), received_unix_ms: 0 });
    // The test harness leaves its own line open.
    writeln!(out, "\nready").unwrap();
    let (mut rows_owed, mut ends_owed) = (0, 0);
    loop {
        let key = format!("command {ticket}");
        let rows: Vec<NewRow> = (ticket..ticket + ROWS).map(|ticket| row(ticket, body(ticket))).collect();
        ticket += ROWS;
        rig.ask(Request::RecordCommand { ticket: 0, key: key.clone(), body: Bytes::new(), received_unix_ms: 0 });
        rig.ask(Request::Append(rows));
        rig.ask(Request::NoteCommand { ticket, key: LONG.into(), body: Bytes::from(ticket.to_string()) });
        for answer in ["first", "second"] {
            let body = Bytes::from_static(answer.as_bytes());
            let ack = Some(Ack { kind: 0, link_down: false, created_unix_ms: 0, body });
            rig.ask(Request::FinishCommand { ticket, key: key.clone(), finished_unix_ms: 1, ack });
        }
        rows_owed += ROWS;
        ends_owed += 2;
        // One group stays under way, so that the owner thread always has a transaction to go on with.
        while rows_owed > ROWS || ends_owed > 2 {
            match rig.next() {
                OutboxEvent::Committed { rows } => {
                    for row in &rows {
                        writeln!(out, "row {} {}", row.ticket, row.id.0).unwrap();
                    }
                    rows_owed -= rows.len() as u64;
                }
                OutboxEvent::Finished { ticket, outcome } => {
                    if matches!(outcome, FinishOutcome::Done { .. }) {
                        writeln!(out, "done command {}", ticket - ROWS).unwrap();
                    }
                    ends_owed -= 1;
                }
                OutboxEvent::CommandNoted { ticket, result: Ok(()) } => writeln!(out, "noted {ticket}").unwrap(),
                OutboxEvent::Recorded { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn body(ticket: u64) -> Vec<u8> {
    ticket.to_le_bytes().repeat(BODY_BYTES / size_of::<u64>())
}

#[derive(Default)]
struct Printed {
    rows: BTreeMap<i64, u64>,
    done: BTreeSet<String>,
    /// The last step of [`LONG`].
    noted: u64,
}

#[test]
fn kill_9_loses_nothing_that_was_reported() {
    let directory = directory();
    let (mut reported, mut open_transactions, mut unreported_commits) = (0, 0, 0);
    let mut done = BTreeSet::new();
    let (mut given_out, mut segments_max, mut steps) = (0, 0, 0);
    for kill in 0..KILLS {
        let printed =
            run_and_kill(directory.path(), Duration::from_millis(5 + RandomState::new().hash_one(kill) % 200));
        reported += printed.rows.len();
        done.extend(printed.done);
        open_transactions += u32::from(fs::read_dir(directory.path().join("telemetry")).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            path.to_str().unwrap().ends_with(".db-wal") && ends_in_an_open_transaction(&path)
        }));

        let mut rig = Rig::open_with(options(directory.path()));
        assert_eq!(rig.restored.damaged, [], "kill {kill}");
        let segments = stats(directory.path()).unwrap().segments;
        segments_max = segments_max.max(segments.len());
        for file in segments.into_iter().map(|segment| segment.file).chain([directory.path().join(LEDGER)]) {
            let verdict: String =
                look(Path::new("/"), &file).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(verdict, "ok", "kill {kill}: {}", file.display());
        }
        let found: BTreeMap<i64, Bytes> = rig.all(Lane::Live).into_iter().map(|row| (row.id.0, row.body)).collect();
        for (id, ticket) in &printed.rows {
            assert!(*id > given_out, "kill {kill}: row id {id} was given out before");
            assert!(found.get(id).is_some_and(|found| *found == body(*ticket)), "kill {kill}: row {id} is lost");
        }
        assert!(printed.rows.values().is_sorted(), "kill {kill}: order");
        let tickets: Vec<u64> = found.values().map(|body| u64::from_le_bytes(body[..8].try_into().unwrap())).collect();
        assert!(tickets.windows(2).all(|pair| pair[0] + 1 == pair[1]), "kill {kill}: a row between others is missing");
        assert_eq!(rig.restored.live.rows, found.len() as u64, "kill {kill}: totals");
        unreported_commits += u32::from(found.len() > printed.rows.len());
        given_out = rig.restored.last_row.0;

        let acked: Vec<&String> = rig.restored.acks.iter().map(|ack| &ack.key).collect();
        let distinct: BTreeSet<&String> = acked.iter().copied().collect();
        assert_eq!(acked.len(), distinct.len(), "kill {kill}: a command has two acknowledgements");
        assert!(done.iter().all(|key| distinct.contains(key)), "kill {kill}: an acknowledgement is lost");
        assert!(!rig.restored.acks_more);

        let [long] = &rig.restored.unfinished.iter().filter(|command| command.key == LONG).collect::<Vec<_>>()[..]
        else {
            panic!("kill {kill}: the long command is lost");
        };
        let step: u64 = std::str::from_utf8(&long.body).unwrap().parse().unwrap_or(0);
        steps = steps.max(printed.noted);
        assert!(step >= steps, "kill {kill}: step {steps} was reported, the ledger knows {step}");

        rig.remove(found.keys().copied().map(RowId).collect());
        rig.outbox.close();
    }
    println!(
        "{KILLS} kills, {reported} rows reported, {} commands done, 0 lost; {open_transactions} kills left an open \
         transaction in the log, {unreported_commits} came between a commit and its report",
        done.len()
    );
    assert!(segments_max > 1, "no run reached a second segment");
    assert!(open_transactions > 0, "no kill hit an open transaction: the test shows nothing");
    assert!(reported > 0 && !done.is_empty() && steps > 0, "nothing was reported before any kill");
}

/// Lets a child run for a while from its first word, kills it and returns what it had said.
fn run_and_kill(directory: &Path, run: Duration) -> Printed {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line != "ready\n" {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the child ended before it was ready");
    }
    let reader = thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    thread::sleep(run);
    child.kill().unwrap();
    child.wait().unwrap();
    let text = reader.join().unwrap();
    let mut printed = Printed::default();
    // The last line may be torn.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        if let Some(row) = line.strip_prefix("row ") {
            let (ticket, id) = row.split_once(' ').unwrap();
            printed.rows.insert(id.parse().unwrap(), ticket.parse().unwrap());
        } else if let Some(step) = line.strip_prefix("noted ") {
            printed.noted = step.parse().unwrap();
        } else if let Some(key) = line.strip_prefix("done ") {
            printed.done.insert(key.to_owned());
        }
    }
    printed
}

/// Whether the log holds frames of its current run after the last frame that commits (SQLite file format, "WAL File
/// Format": a 32-byte header, frames of a 24-byte header and a page, the second number of a frame is not zero when it
/// commits, and frames of this run repeat the header's salts).
fn ends_in_an_open_transaction(log: &Path) -> bool {
    let Ok(log) = fs::read(log) else { return false };
    let Some(header) = log.get(..32) else { return false };
    let page_bytes = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
    log[32..]
        .chunks(24 + page_bytes)
        .take_while(|frame| frame.len() >= 24 && frame[8..16] == header[16..24])
        .last()
        .is_some_and(|frame| frame[4..8] == [0; 4])
}

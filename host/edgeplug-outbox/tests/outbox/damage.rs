//! Files that cannot be trusted.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
};

use bytes::Bytes;
use edgeplug_outbox::{Lane, OpenError, Outbox, OutboxEvent, OutboxOptions, Request, RowId, SpaceLimits, Store, stats};

use crate::rig::{LEDGER, Rig, TELEMETRY, directory, look, row, rows};

/// An outbox with rows and a fact, closed.
fn filled(directory: &Path) -> i64 {
    let mut rig = Rig::open(directory);
    let last = rig.append((0..500).map(|ticket| row(ticket, vec![3; 400])).collect()).last().unwrap().id;
    rig.ask(Request::Put { ticket: 1, name: "sync".into(), value: Some(Bytes::from_static(b"known")) });
    assert_eq!(rig.next(), OutboxEvent::Stored { ticket: 1 });
    rig.outbox.close();
    last.0
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

fn truncate(path: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_damaged_telemetry_store_is_set_aside_and_a_fresh_one_takes_over() {
    type Damage = fn(&Path);
    let ways: [(&str, Damage); 8] = [
        ("no database at all", |path| fs::write(path, vec![b'x'; 10_000]).unwrap()),
        ("a torn header", |path| overwrite(path, 0, &[0; 100])),
        ("a page of noise", |path| overwrite(path, 20 * 4_096, &[0xa5; 4_096])),
        ("cut short", |path| truncate(path, 30 * 4_096)),
        ("another program's tables", |path| {
            fs::remove_file(path).unwrap();
            rusqlite::Connection::open(path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        }),
        ("an id after which there is none", |path| {
            let hand = rusqlite::Connection::open(path).unwrap();
            hand.execute("UPDATE totals SET last_id = ?1", [i64::MAX]).unwrap();
        }),
        ("no totals", |path| {
            rusqlite::Connection::open(path).unwrap().execute_batch("DELETE FROM totals").unwrap();
        }),
        ("a value no release wrote", |path| {
            let hand = rusqlite::Connection::open(path).unwrap();
            hand.execute_batch("PRAGMA ignore_check_constraints = 1; UPDATE live SET kind = 4711 WHERE id = 7")
                .unwrap();
        }),
    ];
    for (way, damage) in ways {
        let directory = directory();
        let last = filled(directory.path());
        damage(&directory.path().join(TELEMETRY));
        let bytes = fs::metadata(directory.path().join(TELEMETRY)).unwrap().len();

        let mut rig = Rig::open(directory.path());
        let [damaged] = &rig.restored.damaged[..] else { panic!("{way}: {:?}", rig.restored.damaged) };
        assert_eq!(damaged.store, Store::Telemetry, "{way}");
        assert_eq!(damaged.set_aside, directory.path().join("telemetry/000001.db.damaged-1"), "{way}");
        assert!(!damaged.reason.is_empty(), "{way}");
        assert_eq!(fs::metadata(&damaged.set_aside).unwrap().len(), bytes, "{way}: nothing is deleted");
        assert_eq!(rig.restored.facts["sync"], "known", "{way}: the ledger is untouched");
        assert_eq!(rig.restored.live.rows, 0, "{way}");
        assert!(rig.append(rows(0..1))[0].id.0 > last, "{way}: ids are not given out again");
        rig.outbox.close();
        assert_eq!(stats(directory.path()).unwrap().bytes_set_aside, bytes, "{way}");

        let rig = Rig::open(directory.path());
        assert_eq!((rig.restored.damaged.len(), rig.restored.live.rows), (0, 1), "{way}: reported once");
    }
}

#[test]
fn a_second_damage_gets_its_own_number_and_takes_its_log_along() {
    let directory = directory();
    let path = directory.path().join(TELEMETRY);
    filled(directory.path());
    fs::write(&path, "no database, but long enough to be looked at as one").unwrap();
    let first = Rig::open(directory.path()).append(rows(0..1))[0].id;
    fs::write(&path, "broken again").unwrap();
    fs::write(directory.path().join("telemetry/000001.db-wal"), "its log").unwrap();
    let mut rig = Rig::open(directory.path());
    assert_eq!(rig.restored.damaged[0].set_aside, directory.path().join("telemetry/000001.db.damaged-2"));
    assert!(directory.path().join("telemetry/000001.db.damaged-1").exists());
    assert!(rig.append(rows(0..1))[0].id > first);
}

#[test]
fn setting_aside_that_was_interrupted_is_finished_at_the_next_start() {
    let directory = directory();
    filled(directory.path());
    let beside = |suffix: &str| directory.path().join(format!("{TELEMETRY}{suffix}"));
    fs::rename(beside(""), beside(".damaged-1")).unwrap();
    fs::write(beside("-wal"), "the log of the damaged file").unwrap();
    let rig = Rig::open(directory.path());
    assert_eq!(rig.restored.live.rows, 0);
    assert_eq!(fs::read(beside(".damaged-1-wal")).unwrap(), b"the log of the damaged file");
}

#[test]
fn a_damaged_ledger_is_set_aside_and_telemetry_goes_on() {
    let directory = directory();
    filled(directory.path());
    overwrite(&directory.path().join(LEDGER), 0, &[0xff; 4_096]);
    let mut rig = Rig::open(directory.path());
    let [damaged] = &rig.restored.damaged[..] else { panic!("{:?}", rig.restored.damaged) };
    assert_eq!(damaged.store, Store::Ledger);
    assert_eq!(damaged.set_aside, directory.path().join("ledger.db.damaged-1"));
    assert!(rig.restored.facts.is_empty());
    assert_eq!(rig.all(Lane::Live).len(), 500);
}

#[test]
fn a_store_of_a_later_release_is_refused_and_left_alone() {
    for file in [TELEMETRY, LEDGER] {
        let directory = directory();
        filled(directory.path());
        look(directory.path(), file).pragma_update(None, "user_version", 2).unwrap();
        let before = fs::read(directory.path().join(file)).unwrap();
        let error = Outbox::open(OutboxOptions::new(directory.path())).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
        assert!(!error.may_heal());
        assert!(
            error
                .to_string()
                .ends_with("has schema version 2, this release knows up to 1; install the later release again")
        );
        assert_eq!(fs::read(directory.path().join(file)).unwrap(), before);
    }
}

#[test]
fn an_empty_file_left_by_a_crash_while_it_was_made_is_no_damage() {
    let directory = directory();
    fs::create_dir(directory.path().join("telemetry")).unwrap();
    File::create(directory.path().join(TELEMETRY)).unwrap();
    File::create(directory.path().join(LEDGER)).unwrap();
    let mut rig = Rig::open(directory.path());
    assert_eq!(rig.restored.damaged, []);
    rig.append(rows(0..1));
}

#[test]
fn damage_met_while_running_is_set_aside_and_healed() {
    let directory = directory();
    let last = filled(directory.path());
    let mut rig = Rig::open(directory.path());
    // Twice the page cache, then noise over every page but the first.
    rig.append((0..1_000).map(|ticket| row(ticket, vec![3; 2_000])).collect());
    let mut rig = rig.restart(directory.path());
    let bytes = fs::metadata(directory.path().join(TELEMETRY)).unwrap().len();
    overwrite(&directory.path().join(TELEMETRY), 4_096, &vec![0xa5; bytes as usize - 4_096]);
    let mut after = RowId(0);
    loop {
        rig.ask(Request::Load { ticket: 1, lane: Lane::Live, after, rows_max: 100, bytes_max: 1 << 20 });
        match rig.next() {
            OutboxEvent::Loaded { rows, more: true, .. } => after = rows.last().unwrap().id,
            OutboxEvent::Degraded { store: Store::Telemetry, .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(rig.next(), OutboxEvent::LoadFailed { ticket: 1, .. }));
    match rig.next() {
        OutboxEvent::Healed { store: Store::Telemetry, damaged: Some(damaged) } => {
            assert_eq!(damaged.set_aside, directory.path().join("telemetry/000001.db.damaged-1"));
        }
        other => panic!("{other:?}"),
    }
    assert!(rig.append(rows(0..1))[0].id.0 > last);
}

/// An outbox of several segments, closed; and its rows.
fn several_segments(options: &OutboxOptions) -> Vec<RowId> {
    let mut rig = Rig::open_with(options.clone());
    let mut ids = Vec::new();
    while !options.directory.join("telemetry/000004.db").exists() {
        ids.extend(rig.append((0..20).map(|ticket| row(ticket, vec![3; 8_000])).collect()).iter().map(|row| row.id));
    }
    rig.outbox.close();
    ids
}

fn small_segments(directory: &Path) -> OutboxOptions {
    let mut options = OutboxOptions::new(directory);
    options.limits = SpaceLimits { bytes_max: 8 << 20, files_max: 6 };
    options
}

#[test]
fn a_damaged_segment_is_set_aside_and_the_others_go_on() {
    for number in 1..5 {
        let directory = directory();
        let options = small_segments(directory.path());
        let ids = several_segments(&options);
        let segments = stats(directory.path()).unwrap().segments;
        let broken = &segments[number - 1];
        overwrite(&broken.file, 20 * 4_096, &[0xa5; 8_192]);

        let mut rig = Rig::open_with(options.clone());
        let [damaged] = &rig.restored.damaged[..] else { panic!("{number}: {:?}", rig.restored.damaged) };
        assert_eq!(damaged.set_aside, beside(&broken.file, ".damaged-1"), "{number}");
        assert_eq!(damaged.rows_lost, Some(broken.live_rows), "{number}");
        let wanted: Vec<RowId> = ids
            .iter()
            .copied()
            .filter(|id| *id < broken.first_row.unwrap() || *id > broken.last_row.unwrap())
            .collect();
        assert_eq!(rig.restored.live.rows, wanted.len() as u64, "{number}");
        assert_eq!(rig.all(Lane::Live).iter().map(|row| row.id).collect::<Vec<_>>(), wanted, "{number}");
        assert!(rig.append(rows(0..1))[0].id > *ids.last().unwrap(), "{number}");
        let rig = rig.restart_with(options);
        assert_eq!((rig.restored.damaged.len(), rig.restored.live.rows), (0, wanted.len() as u64 + 1), "{number}");
    }
}

#[test]
fn a_segment_found_damaged_while_it_is_read_or_emptied_is_set_aside_and_the_rest_goes_on() {
    for emptied in [false, true] {
        let directory = directory();
        let options = small_segments(directory.path());
        let ids = several_segments(&options);
        let mut rig = Rig::open_with(options);
        let broken = stats(directory.path()).unwrap().segments.swap_remove(1);
        let bytes = fs::metadata(&broken.file).unwrap().len();
        overwrite(&broken.file, 4_096, &vec![0xa5; bytes as usize - 4_096]);
        let (first, last) = (broken.first_row.unwrap(), broken.last_row.unwrap());
        if emptied {
            rig.ask(Request::Remove(vec![first]));
        } else {
            let after = RowId(first.0 - 1);
            rig.ask(Request::Load { ticket: 1, lane: Lane::Live, after, rows_max: 10, bytes_max: 1 << 20 });
        }
        match rig.next() {
            OutboxEvent::SetAside(damaged) => {
                assert_eq!(damaged.set_aside, beside(&broken.file, ".damaged-1"));
                assert_eq!(damaged.rows_lost, Some(broken.live_rows));
            }
            other => panic!("{other:?}"),
        }
        match rig.next() {
            OutboxEvent::Loaded { rows, .. } => assert_eq!(rows[0].id.0, last.0 + 1, "what follows is read"),
            OutboxEvent::Removed { requests: 1, rows: 1, .. } => {}
            other => panic!("{other:?}"),
        }
        let wanted: Vec<RowId> = ids.iter().copied().filter(|id| *id < first || *id > last).collect();
        assert_eq!(rig.all(Lane::Live).iter().map(|row| row.id).collect::<Vec<_>>(), wanted);
        assert!(rig.append(rows(0..1))[0].id > *ids.last().unwrap(), "and nothing was degraded");
    }
}

#[test]
fn a_file_that_holds_more_at_a_time_than_any_release_wrote_is_set_aside_before_it_is_read() {
    const MIB: i64 = 1024 * 1024;
    for (file, hand) in [
        (TELEMETRY, "UPDATE live SET body = zeroblob(?1) WHERE id = 7"),
        (LEDGER, "UPDATE facts SET value = zeroblob(?1)"),
        (LEDGER, "INSERT INTO facts VALUES (hex(zeroblob(?1)), x'')"),
        (LEDGER, "INSERT INTO commands VALUES (1, 'key', 0, NULL, zeroblob(?1))"),
        (LEDGER, "INSERT INTO acks VALUES (1, 'key', 0, 0, 0, zeroblob(?1))"),
        (LEDGER, "INSERT INTO acks VALUES (1, hex(zeroblob(?1)), 0, 0, 0, x'')"),
    ] {
        let directory = directory();
        filled(directory.path());
        let too_large = if hand.contains("SET value") { 17 * MIB } else { 3 * MIB };
        look(directory.path(), file).execute(hand, [too_large]).unwrap();
        let rig = Rig::open(directory.path());
        let [damaged] = &rig.restored.damaged[..] else { panic!("{hand}: {:?}", rig.restored.damaged) };
        assert!(damaged.reason.contains("than any"), "{hand}: {damaged:?}");
        assert!(damaged.set_aside.exists());
    }
}

#[test]
fn a_row_larger_than_any_that_was_taken_is_met_where_it_is_read() {
    let directory = directory();
    let options = small_segments(directory.path());
    let ids = several_segments(&options);
    let mut rig = Rig::open_with(options);
    let segments = stats(directory.path()).unwrap().segments;
    look(directory.path(), "telemetry/000002.db")
        .execute("UPDATE live SET body = zeroblob(1100000) WHERE id = ?1", [segments[1].last_row.unwrap().0])
        .unwrap();
    let (mut found, mut set_aside) = (Vec::new(), None);
    loop {
        let after = found.last().copied().unwrap_or_default();
        rig.ask(Request::Load { ticket: 1, lane: Lane::Live, after, rows_max: 50, bytes_max: 1 << 20 });
        match rig.next() {
            OutboxEvent::SetAside(damaged) => set_aside = Some(damaged.set_aside),
            OutboxEvent::Loaded { rows, more, .. } => {
                found.extend(rows.iter().map(|row| row.id));
                if !more {
                    break;
                }
                continue;
            }
            other => panic!("{other:?}"),
        }
        // The answer to the load follows.
        match rig.next() {
            OutboxEvent::Loaded { rows, .. } => found.extend(rows.iter().map(|row| row.id)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(set_aside, Some(beside(&segments[1].file, ".damaged-1")));
    assert!(found.is_sorted() && found.last() == ids.last(), "what follows is read");
}

#[test]
fn a_segment_whose_totals_lie_is_not_deleted_while_it_holds_rows() {
    let directory = directory();
    let options = small_segments(directory.path());
    let ids = several_segments(&options);
    look(directory.path(), "telemetry/000001.db").execute("UPDATE totals SET live_rows = 1", []).unwrap();
    let mut rig = Rig::open_with(options);
    rig.remove(vec![ids[0]]);
    assert_eq!(rig.all(Lane::Live).iter().map(|row| row.id).collect::<Vec<_>>(), ids[1..]);
}

#[test]
fn totals_that_cannot_be_are_counted_again() {
    for hand in
        ["live_rows = 9223372036854775807", "live_bytes = 9223372036854775807", "alarm_rows = 9223372036854775807"]
    {
        let directory = directory();
        filled(directory.path());
        look(directory.path(), TELEMETRY).execute(&format!("UPDATE totals SET {hand}"), []).unwrap();
        let mut rig = Rig::open(directory.path());
        assert_eq!((rig.restored.live.rows, rig.restored.live.bytes), (500, 500 * 400), "{hand}");
        rig.append(rows(0..3));
        rig.outbox.close();
        assert_eq!(stats(directory.path()).unwrap().live_rows, 503, "{hand}");
    }
}

#[test]
fn an_older_segment_of_a_later_release_is_refused_and_left_alone() {
    let directory = directory();
    let options = small_segments(directory.path());
    several_segments(&options);
    look(directory.path(), "telemetry/000002.db").pragma_update(None, "user_version", 2).unwrap();
    let error = Outbox::open(options).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(directory.path().join("telemetry/000002.db").exists());
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    format!("{}{suffix}", path.display()).into()
}

use std::path::Path;

use rusqlite::Connection;

use super::{Check, Opening, Schema, open};
use crate::{
    error::OpenError,
    event::Store,
    outbox::Durability,
    telemetry::tables::{SCHEMA, Totals},
};

/// A file exactly as the first release made it.
const VERSION_1: &str = "
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA journal_mode = WAL;
    BEGIN;
    CREATE TABLE live (
        id INTEGER PRIMARY KEY,
        kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 255),
        link_down INTEGER NOT NULL CHECK (link_down IN (0, 1)),
        created_unix_ms INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE alarm (
        id INTEGER PRIMARY KEY,
        kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 255),
        link_down INTEGER NOT NULL CHECK (link_down IN (0, 1)),
        created_unix_ms INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE totals (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        last_id INTEGER NOT NULL CHECK (last_id >= 0),
        live_rows INTEGER NOT NULL CHECK (live_rows >= 0),
        live_bytes INTEGER NOT NULL CHECK (live_bytes >= 0),
        alarm_rows INTEGER NOT NULL CHECK (alarm_rows >= 0),
        alarm_bytes INTEGER NOT NULL CHECK (alarm_bytes >= 0)
    ) STRICT;
    CREATE TABLE probe (body BLOB NOT NULL) STRICT;
    INSERT INTO live VALUES (41, 1, 0, 1700000000000, x'7b7d'), (42, 1, 1, 1700000000001, x'7b7d');
    INSERT INTO totals VALUES (1, 42, 2, 4, 0, 0);
    PRAGMA user_version = 1;
    COMMIT;
";

/// A made-up later release.
const LATER: Schema = Schema {
    store: Store::Telemetry,
    create: "CREATE TABLE never (x)",
    seed: "INSERT INTO never VALUES (?1)",
    upgrades: &[
        "ALTER TABLE live ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
        "UPDATE live SET priority = id; CREATE TABLE notes (text TEXT) STRICT",
    ],
    probes: &["SELECT priority FROM live", "SELECT text FROM notes"],
    verify: |_, _| Ok(()),
    rows: "SELECT count(*) FROM live",
    cache_kib: 100,
};

const BROKEN: Schema = Schema {
    upgrades: &["ALTER TABLE live ADD COLUMN priority INTEGER", "ALTER TABLE nothing ADD x INTEGER"],
    ..LATER
};

const OPENING: Opening = Opening { check: Check::Full, durability: Durability::PowerLoss, given_out: 0 };

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn version_1(path: &Path) {
    Connection::open(path).unwrap().execute_batch(VERSION_1).unwrap();
}

#[test]
fn a_file_of_the_first_release_is_taken_up_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("000001.db");
    version_1(&path);
    let opened = open(&path, &SCHEMA, OPENING).unwrap();
    assert_eq!(opened.damaged, None);
    let totals = Totals::read(&opened.connection).unwrap();
    assert_eq!((totals.last_id, totals.rows(), totals.bytes()), (42, 2, 4));
}

#[test]
fn an_older_file_is_upgraded_step_by_step_and_keeps_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("000001.db");
    version_1(&path);
    for _ in 0..2 {
        let opened = open(&path, &LATER, OPENING).unwrap();
        assert_eq!(opened.damaged, None);
        assert_eq!(number(&opened.connection, "PRAGMA user_version"), 3);
        assert_eq!(number(&opened.connection, "SELECT sum(priority) FROM live"), 83);
    }
    let older = open(&path, &SCHEMA, OPENING).map(|_| ()).unwrap_err();
    assert!(matches!(older, OpenError::Newer { found: 3, known: 1, .. }), "{older}");
}

#[test]
fn an_upgrade_that_fails_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("000001.db");
    version_1(&path);
    // It is no damage of the disk, but SQL that does not fit the file: the file is kept, under another name.
    let refused = open(&path, &BROKEN, OPENING);
    let aside = directory.path().join("000001.db.damaged-1");
    assert!(refused.is_err() || aside.exists());
    let kept = Connection::open(&aside).unwrap();
    assert_eq!(number(&kept, "PRAGMA user_version"), 1);
    assert_eq!(number(&kept, "SELECT count(*) FROM live"), 2);
    assert_eq!(number(&kept, "SELECT count(*) FROM pragma_table_info('live') WHERE name = 'priority'"), 0);
}

#[test]
fn each_durability_is_what_sqlite_calls_it() {
    for (durability, synchronous) in [(Durability::PowerLoss, 2), (Durability::ProcessCrash, 1)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("000001.db");
        for _ in 0..2 {
            let opened = open(&path, &SCHEMA, Opening { durability, ..OPENING }).unwrap();
            assert_eq!(number(&opened.connection, "PRAGMA synchronous"), synchronous);
            assert_eq!(number(&opened.connection, "PRAGMA wal_autocheckpoint"), 0);
        }
    }
}

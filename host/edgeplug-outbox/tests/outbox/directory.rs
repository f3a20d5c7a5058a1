//! The directory: one process, private files, a look from outside.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use edgeplug_outbox::{OpenError, Outbox, OutboxOptions, Request, StatsError, stats};

use crate::rig::{LEDGER, Rig, TELEMETRY, directory, rows};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn everything_is_readable_by_the_owner_only() {
    let directory = directory();
    let outbox = directory.path().join("state/outbox");
    let mut rig = Rig::open(&outbox);
    rig.append(rows(0..3));
    assert_eq!(mode(&outbox), 0o700);
    assert_eq!(mode(&outbox.join("telemetry")), 0o700);
    for file in
        [TELEMETRY, LEDGER, "telemetry/000001.db-wal", "telemetry/000001.db-shm", "ledger.db-wal", "outbox.lock"]
    {
        assert_eq!(mode(&outbox.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_second_outbox_on_the_same_directory_is_refused_by_name_until_the_first_is_closed() {
    let directory = directory();
    let rig = Rig::open(directory.path());
    let error = Outbox::open(OutboxOptions::new(directory.path())).unwrap_err();
    assert!(matches!(&error, OpenError::Locked { holder: Some(pid), .. } if *pid == std::process::id()));
    assert!(!error.may_heal());
    assert_eq!(
        error.to_string(),
        format!(
            "outbox directory {} is in use by process {}; stop that process or name another directory",
            directory.path().display(),
            std::process::id()
        )
    );
    rig.restart(directory.path());
}

#[test]
fn dropping_the_outbox_frees_the_directory_and_keeps_what_was_queued() {
    let directory = directory();
    let rig = Rig::open(directory.path());
    rig.ask(Request::Append(rows(0..3)));
    drop(rig);
    assert_eq!(Rig::open(directory.path()).restored.live.rows, 3);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let directory = directory();
    let file = directory.path().join("a file");
    fs::write(&file, "").unwrap();
    let error = Outbox::open(OutboxOptions::new(file.join("outbox"))).unwrap_err();
    assert!(error.to_string().contains("a file"), "{error}");
}

#[test]
fn stats_can_be_read_beside_a_running_outbox_and_after_it() {
    let directory = directory();
    assert!(matches!(stats(directory.path()), Err(StatsError::Missing { .. })));
    let mut rig = Rig::open(directory.path());
    rig.append(rows(0..3));
    let running = stats(directory.path()).unwrap();
    assert_eq!((running.live_rows, running.live_bytes, running.alarm_rows), (3, 27, 0));
    let on_disk: u64 = ["", "-wal", "-shm"]
        .iter()
        .flat_map(|suffix| [TELEMETRY, LEDGER].map(|file| format!("{file}{suffix}")))
        .map(|file| fs::metadata(directory.path().join(file)).unwrap().len())
        .sum();
    assert_eq!(running.bytes_on_disk, on_disk);
    assert_eq!(running.bytes_kept_back, 12 * 1024 * 1024);
    rig.outbox.close();
    let closed = stats(directory.path()).unwrap();
    assert_eq!((closed.live_rows, closed.live_bytes), (3, 27));
    assert!(closed.bytes_on_disk < on_disk, "closing empties the logs");
    assert_eq!(stats(directory.path()).unwrap(), closed, "looking changes nothing");
}

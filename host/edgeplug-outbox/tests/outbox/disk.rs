//! Real disks that fail: full, read-only, with errors. Each test runs itself again as a child that may mount and limit.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use edgeplug_outbox::{Lane, OutboxEvent, OutboxOptions, Request, RowId, SpaceLimits, Store};

use crate::rig::{Rig, directory, row, rows};

const CHILD: &str = "EDGEPLUG_OUTBOX_TEST_DISK";
const MIB: usize = 1024 * 1024;

/// In a mount namespace of its own, on a file system in memory of so many MiB.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@""#;
/// Writing beyond a limit is an error then and not the end.
const WITH_LIMITS: &str = r#"trap '' XFSZ; exec "$@""#;

/// The directory to work in, in the child; in the parent, runs the child.
fn child(test: &str, script: &str) -> Option<PathBuf> {
    if let Some(at) = env::var_os(CHILD) {
        return Some(PathBuf::from(at));
    }
    let directory = directory();
    let may_mount = run(Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs"]).arg(directory.path()));
    let mut command = if script == ON_A_SMALL_DISK {
        if !may_mount.status.success() {
            let why = String::from_utf8_lossy(&may_mount.stderr);
            eprintln!("{test}: mounting is forbidden here ({}); the test with a page limit stands in", why.trim());
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    };
    command.arg(directory.path()).arg(env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let output = run(command.env(CHILD, directory.path()));
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    None
}

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|error| panic!("{program}: {error}; install the package util-linux"))
}

/// Appends until the store says that it cannot; what was committed is added to `kept`.
fn append_until_degraded(rig: &mut Rig, kept: &mut Vec<RowId>) -> String {
    for ticket in 0..100_000 {
        rig.ask(Request::Append(vec![row(ticket, vec![9; 10_000])]));
        match rig.next() {
            OutboxEvent::Committed { rows } => kept.extend(rows.iter().map(|row| row.id)),
            OutboxEvent::Degraded { store: Store::Telemetry, reason } => {
                let failed = OutboxEvent::AppendFailed { tickets: vec![ticket], reason: reason.clone() };
                assert_eq!(rig.next(), failed);
                return reason;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the disk never failed");
}

fn healed(rig: &mut Rig) {
    assert_eq!(rig.next(), OutboxEvent::Healed { store: Store::Telemetry, damaged: None });
}

fn ids(rig: &mut Rig) -> Vec<RowId> {
    rig.all(Lane::Live).iter().map(|row| row.id).collect()
}

/// The next event that is no change of health: a disk on the edge may be full, have a little room and be full again.
fn answer(rig: &mut Rig) -> OutboxEvent {
    loop {
        match rig.next() {
            OutboxEvent::Degraded { .. } | OutboxEvent::Healed { .. } => {}
            other => return other,
        }
    }
}

fn read(rig: &mut Rig) -> Vec<RowId> {
    let mut ids = Vec::new();
    loop {
        let after = ids.last().copied().unwrap_or_default();
        rig.ask(Request::Load { ticket: 9, lane: Lane::Live, after, rows_max: 100, bytes_max: MIB });
        match answer(rig) {
            OutboxEvent::Loaded { rows, more, .. } => {
                ids.extend(rows.iter().map(|row| row.id));
                if !more {
                    return ids;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn append_when_healed(rig: &mut Rig) -> Vec<RowId> {
    loop {
        rig.ask(Request::Append(rows(0..100)));
        match answer(rig) {
            OutboxEvent::Committed { rows } => return rows.iter().map(|row| row.id).collect(),
            OutboxEvent::AppendFailed { .. } => healed(rig),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_full_file_system_is_drained_and_heals() {
    let Some(at) = child("disk::a_full_file_system_is_drained_and_heals", ON_A_SMALL_DISK) else { return };
    for files_max in [1, 64] {
        let mut options = OutboxOptions::new(at.join(format!("outbox-{files_max}")));
        options.limits = SpaceLimits { bytes_max: 128 * MIB as u64, files_max };
        let mut rig = Rig::open_with(options.clone());
        let mut kept = Vec::new();
        let reason = append_until_degraded(&mut rig, &mut kept);
        assert!(reason.contains("full") || reason.contains("no room") || reason.contains("No space"), "{reason}");
        // What is there can be read and delivered, and that makes room again.
        assert_eq!(read(&mut rig), kept);
        let delivered: Vec<RowId> = kept.drain(..kept.len() * 3 / 4).collect();
        rig.ask(Request::Remove(delivered));
        assert!(matches!(answer(&mut rig), OutboxEvent::Removed { requests: 1, .. }));
        kept.extend(append_when_healed(&mut rig));
        let mut rig = rig.restart_with(options.clone());
        assert_eq!(ids(&mut rig), kept);
        rig.outbox.close();
        fs::remove_dir_all(&options.directory).unwrap();
    }
}

#[test]
fn a_disk_that_others_filled_heals_when_they_make_room() {
    let Some(at) = child("disk::a_disk_that_others_filled_heals_when_they_make_room", ON_A_SMALL_DISK) else { return };
    let mut rig = Rig::open(&at.join("outbox"));
    let mut kept = Vec::new();
    let ballast = at.join("ballast");
    let mut bytes = 24 * MIB;
    while bytes > 4_096 {
        let mut all = fs::read(&ballast).unwrap_or_default();
        all.resize(all.len() + bytes, 1);
        if fs::write(&ballast, &all).is_err() {
            all.truncate(all.len() - bytes);
            fs::write(&ballast, &all).unwrap();
            bytes /= 2;
        }
    }
    append_until_degraded(&mut rig, &mut kept);
    fs::remove_file(&ballast).unwrap();
    healed(&mut rig);
    kept.extend(rig.append(rows(0..100)).iter().map(|row| row.id));
    assert_eq!(ids(&mut rig), kept);
}

#[test]
fn a_directory_that_turned_read_only_degrades_the_next_segment_and_heals() {
    let test = "disk::a_directory_that_turned_read_only_degrades_the_next_segment_and_heals";
    let Some(at) = child(test, ON_A_SMALL_DISK) else { return };
    let mut options = OutboxOptions::new(at.join("outbox"));
    options.limits = SpaceLimits { bytes_max: 12 * MIB as u64, files_max: 12 };
    let mut rig = Rig::open_with(options.clone());
    let mut kept: Vec<RowId> = rig.append(rows(0..10)).iter().map(|row| row.id).collect();
    let telemetry = at.join("outbox/telemetry");
    mount(&["--bind"], &[&telemetry, &telemetry]);
    mount(&["-o", "remount,ro,bind"], &[&telemetry]);
    let reason = append_until_degraded(&mut rig, &mut kept);
    assert!(reason.contains("Read-only file system"), "{reason}");
    assert!(run(Command::new("umount").arg("-l").arg(&telemetry)).status.success());
    healed(&mut rig);
    kept.extend(rig.append(rows(0..100)).iter().map(|row| row.id));
    let mut rig = rig.restart_with(options);
    assert_eq!(ids(&mut rig), kept);
}

fn mount(options: &[&str], paths: &[&Path]) {
    let output = run(Command::new("mount").args(options).args(paths));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn write_errors_degrade_and_heal_without_loss() {
    let Some(at) = child("disk::write_errors_degrade_and_heal_without_loss", WITH_LIMITS) else { return };
    let mut rig = Rig::open(&at.join("outbox"));
    let mut kept: Vec<RowId> = rig.append(rows(0..10)).iter().map(|row| row.id).collect();
    file_bytes_max(&format!("{}:unlimited", 2 * MIB));
    let reason = append_until_degraded(&mut rig, &mut kept);
    assert!(reason.contains("disk I/O error"), "{reason}");
    file_bytes_max("unlimited:unlimited");
    healed(&mut rig);
    kept.extend(rig.append(rows(0..100)).iter().map(|row| row.id));
    assert_eq!(ids(&mut rig), kept);
    let mut rig = rig.restart(&at.join("outbox"));
    assert_eq!(ids(&mut rig), kept);
}

/// No file of this process may be written beyond it.
fn file_bytes_max(limits: &str) {
    let pid = std::process::id().to_string();
    let output = run(Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limits}")]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

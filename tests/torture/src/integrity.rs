//! What a kill left on the disk, looked at before the daemon repairs it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rusqlite::Connection;

/// A store's files after a kill.
pub(crate) struct Looked {
    /// SQLite's complaint, if it has one.
    pub(crate) damage: Option<String>,
    /// Frames in the log after the last one that commits: a transaction that was being written.
    pub(crate) frames_uncommitted: u64,
}

/// Every SQLite file below the outbox directory: the ledger and the segments.
pub(crate) fn stores(outbox: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut stores = Vec::new();
    for directory in [outbox.to_owned(), outbox.join("telemetry")] {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "db") {
                stores.push(path);
            }
        }
    }
    stores.sort();
    Ok(stores)
}

/// Files that the outbox set aside as damaged.
pub(crate) fn set_aside(outbox: &Path) -> Vec<PathBuf> {
    let entries = [outbox.to_owned(), outbox.join("telemetry")].into_iter().filter_map(|path| fs::read_dir(path).ok());
    let damaged = |path: &PathBuf| path.to_string_lossy().contains(".db.damaged-");
    let mut paths: Vec<_> = entries.flatten().filter_map(|entry| Some(entry.ok()?.path())).filter(damaged).collect();
    paths.sort();
    paths
}

/// Checks a copy, so that the daemon finds what the kill left.
pub(crate) fn look(store: &Path, scratch: &Path) -> anyhow::Result<Looked> {
    let copy = scratch.join("copy.db");
    let log = with_suffix(store, "-wal");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(with_suffix(&copy, suffix));
    }
    fs::copy(store, &copy).with_context(|| format!("cannot copy {}", store.display()))?;
    // Of a segment whose making the kill interrupted.
    let journal = with_suffix(store, "-journal");
    if journal.exists() {
        fs::copy(&journal, with_suffix(&copy, "-journal"))?;
    }
    let mut frames_uncommitted = 0;
    if log.exists() {
        fs::copy(&log, with_suffix(&copy, "-wal"))?;
        frames_uncommitted = uncommitted(&fs::read(&log)?);
    }
    let verdict = Connection::open(&copy)
        .and_then(|connection| connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)));
    let damage = match verdict {
        Ok(verdict) if verdict == "ok" => None,
        Ok(verdict) => Some(verdict),
        Err(error) => Some(error.to_string()),
    };
    Ok(Looked { damage, frames_uncommitted })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Frames of the log's current run after the last one that commits (SQLite file format, "WAL File Format": a header of 32
/// bytes; frames of a 24-byte header and a page, whose second number is not zero when they commit, and which repeat the
/// header's salts while they belong to this run).
fn uncommitted(log: &[u8]) -> u64 {
    let number =
        |bytes: &[u8], at: usize| bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let (Some(page_bytes), Some(salts)) = (number(log, 8), log.get(16..24)) else { return 0 };
    let frames = log.get(32..).unwrap_or_default().chunks(24 + page_bytes as usize);
    let ours = frames.take_while(|frame| frame.get(8..16) == Some(salts));
    ours.fold(0, |open, frame| if number(frame, 4) == Some(0) { open + 1 } else { 0 })
}

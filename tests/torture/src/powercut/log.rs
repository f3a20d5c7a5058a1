//! The disk's log as `slow_disk.c` writes it (`struct entry`), read back.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::mark::{FILE, Mark, OUTBOX};

/// Header of an entry: kind, bytes of the first part, inode, offset, bytes of the second part.
const HEADER_BYTES: usize = 32;

/// One thing that happened to the disk, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// A new file.
    Create {
        path: String,
        inode: u64,
    },
    Write {
        inode: u64,
        offset: u64,
        data: Vec<u8>,
    },
    Truncate {
        inode: u64,
        bytes: u64,
    },
    /// A file's data is on the disk.
    Sync {
        inode: u64,
    },
    /// A directory's names are on the disk.
    SyncDirectory {
        path: String,
    },
    Unlink {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    /// The program under test was told something.
    Mark(Mark),
}

/// Reads a whole log. Directories are made by whoever opens an image, and `-shm` files are no part of what survives.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Op>> {
    let bytes = std::fs::read(file).with_context(|| format!("the shim left no {}", file.display()))?;
    let mut rest = bytes.as_slice();
    let mut ops = Vec::new();
    // Inodes of files that are no part of an image.
    let mut marks = None;
    let mut left_out = std::collections::HashSet::new();
    while !rest.is_empty() {
        let (header, parts) = rest.split_at_checked(HEADER_BYTES).context("the log ends in a header")?;
        let word =
            |at: usize| header.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_ne_bytes);
        let half =
            |at: usize| header.get(at..at + 4).and_then(|half| half.try_into().ok()).map_or(0, u32::from_ne_bytes);
        let (first, parts) = parts.split_at_checked(half(4) as usize).context("the log ends in a path")?;
        let (second, parts) = parts.split_at_checked(usize::try_from(word(24))?).context("the log ends in data")?;
        rest = parts;
        let path = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (inode, offset) = (word(8), word(16));
        let op = match half(0) {
            1 if path(first) == FILE => {
                marks = Some(inode);
                continue;
            }
            1 if !belongs(&path(first)) => {
                left_out.insert(inode);
                continue;
            }
            1 => {
                left_out.remove(&inode);
                Op::Create { path: path(first), inode }
            }
            2 if marks == Some(inode) => Op::Mark(serde_json::from_slice(second).context("a torn mark")?),
            2..=4 if left_out.contains(&inode) => continue,
            2 => Op::Write { inode, offset, data: second.to_vec() },
            3 => Op::Truncate { inode, bytes: offset },
            4 => Op::Sync { inode },
            5 => Op::SyncDirectory { path: path(first) },
            6 if !belongs(&path(first)) => continue,
            6 => Op::Unlink { path: path(first) },
            7 => Op::Rename { from: path(first), to: path(second) },
            8 => continue,
            kind => bail!("the log has an entry of kind {kind}"),
        };
        ops.push(op);
    }
    Ok(ops)
}

fn belongs(path: &str) -> bool {
    path.starts_with(OUTBOX) && !path.ends_with("-shm") && !path.ends_with("reserve") && !path.ends_with(".lock")
}

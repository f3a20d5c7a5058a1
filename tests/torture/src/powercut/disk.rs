//! A disk that may lose whatever was not synced: all of it, none, the end, or any part, down to single sectors.

use std::collections::{BTreeMap, HashMap};

use super::log::Op;
use crate::random::Random;

/// What a disk writes as a whole.
pub(super) const SECTOR_BYTES: u64 = 512;

/// The state of the disk after some operations, as it is for certain and as it may be.
#[derive(Default)]
pub(super) struct Disk {
    /// By inode; a reused inode is a new file.
    current: HashMap<u64, FileId>,
    files: HashMap<FileId, File>,
    next_file: FileId,
    /// Names under a file system that keeps their order and writes them with any sync, as ext4 does.
    ordered: Names,
    /// Names that last only once their directory is synced, each for itself.
    strict: Names,
    /// Number of the next operation.
    now: u64,
}

type FileId = u64;

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    unsynced: Vec<(u64, Change)>,
}

#[derive(Clone)]
enum Change {
    Write { offset: u64, data: Vec<u8> },
    Truncate { bytes: u64 },
}

#[derive(Default)]
struct Names {
    synced: BTreeMap<String, FileId>,
    unsynced: Vec<(u64, NameChange)>,
}

#[derive(Clone)]
enum NameChange {
    Set(String, FileId),
    Remove(String),
    Move(String, String),
}

/// What the disk keeps of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survives {
    Nothing,
    Everything,
    /// Up to some moment, whose write is torn.
    Prefix,
    /// Any sectors of any writes.
    Any,
}

/// An image: names and contents.
pub(super) type Image = BTreeMap<String, Vec<u8>>;

impl Disk {
    /// The operation takes effect; of a write only the first `sectors` if given.
    pub(super) fn apply(&mut self, op: &Op, sectors: Option<u64>) {
        let at = self.now;
        self.now += 1;
        match op {
            Op::Create { path, inode } => {
                self.next_file += 1;
                self.current.insert(*inode, self.next_file);
                self.files.insert(self.next_file, File::default());
                self.name(at, &NameChange::Set(path.clone(), self.next_file));
            }
            Op::Write { inode, offset, data } => {
                let whole = data.len() as u64;
                let bytes = sectors.map_or(whole, |sectors| first_bytes(*offset, sectors).min(whole));
                let data = data.get(..usize::try_from(bytes).unwrap_or(usize::MAX)).unwrap_or(data).to_vec();
                self.change(*inode, at, Change::Write { offset: *offset, data });
            }
            Op::Truncate { inode, bytes } => self.change(*inode, at, Change::Truncate { bytes: *bytes }),
            Op::Sync { inode } => {
                if let Some(file) = self.current.get(inode).and_then(|id| self.files.get_mut(id)) {
                    for (_, change) in std::mem::take(&mut file.unsynced) {
                        change.apply(&mut file.synced, |_| true);
                    }
                }
                self.ordered.sync(|_| true);
            }
            Op::SyncDirectory { path } => {
                self.ordered.sync(|_| true);
                self.strict.sync(|name| name.rsplit_once('/').map_or("", |(parent, _)| parent) == path);
            }
            Op::Unlink { path } => self.name(at, &NameChange::Remove(path.clone())),
            Op::Rename { from, to } => self.name(at, &NameChange::Move(from.clone(), to.clone())),
            Op::Mark(_) => {}
        }
    }

    /// Looks at the disk with the first sectors of a write on it, which are then taken away again.
    pub(super) fn torn<T>(&mut self, write: Option<(&Op, u64)>, look: impl FnOnce(&Self) -> T) -> T {
        let Some((op @ Op::Write { inode, .. }, sectors)) = write else { return look(self) };
        self.apply(op, Some(sectors));
        let looked = look(self);
        if let Some(file) = self.current.get(inode).and_then(|id| self.files.get_mut(id)) {
            file.unsynced.pop();
        }
        self.now -= 1;
        looked
    }

    /// Whether a transaction log holds bytes that were not synced.
    pub(super) fn transaction_open(&self) -> bool {
        let mut logs = self.ordered.latest().into_iter().filter(|(name, _)| name.ends_with("-wal"));
        logs.any(|(_, id)| self.files.get(&id).is_some_and(|file| !file.unsynced.is_empty()))
    }

    /// What is found after the power came back.
    pub(super) fn image(&self, survives: Survives, strict_names: bool, random: &mut Random) -> Image {
        let until = if self.now == 0 { 0 } else { random.between(self.oldest_unsynced(), self.now) };
        let names = if strict_names { &self.strict } else { &self.ordered };
        let names = match (survives, strict_names) {
            (Survives::Nothing, _) => names.synced.clone(),
            (Survives::Everything, _) => names.latest(),
            (Survives::Prefix, _) | (Survives::Any, false) => names.with(|at| at < until),
            (Survives::Any, true) => names.with(|_| random.percent(50)),
        };
        let mut image = Image::new();
        for (name, id) in names {
            let Some(file) = self.files.get(&id) else { continue };
            let mut bytes = file.synced.clone();
            for (at, change) in &file.unsynced {
                match survives {
                    Survives::Nothing => {}
                    Survives::Everything => change.apply(&mut bytes, |_| true),
                    Survives::Prefix if *at < until => change.apply(&mut bytes, |_| true),
                    Survives::Prefix if *at == until => {
                        let torn = random.between(0, 8);
                        change.apply(&mut bytes, |sector| sector < torn);
                    }
                    Survives::Prefix => {}
                    Survives::Any if random.percent(50) => change.apply(&mut bytes, |_| true),
                    Survives::Any if random.percent(50) => change.apply(&mut bytes, |_| random.percent(50)),
                    Survives::Any => {}
                }
            }
            image.insert(name, bytes);
        }
        image
    }

    fn oldest_unsynced(&self) -> u64 {
        let of_files = self.files.values().filter_map(|file| file.unsynced.first().map(|(at, _)| *at));
        let of_names = self.ordered.unsynced.first().map(|(at, _)| *at);
        of_files.chain(of_names).min().unwrap_or(self.now)
    }

    fn change(&mut self, inode: u64, at: u64, change: Change) {
        if let Some(file) = self.current.get(&inode).and_then(|id| self.files.get_mut(id)) {
            file.unsynced.push((at, change));
        }
    }

    fn name(&mut self, at: u64, change: &NameChange) {
        self.ordered.unsynced.push((at, change.clone()));
        self.strict.unsynced.push((at, change.clone()));
    }
}

/// How many sectors a write may be cut after: those that begin inside it.
pub(super) fn sectors_inside(offset: u64, bytes: u64) -> u64 {
    (offset + bytes).div_ceil(SECTOR_BYTES).saturating_sub(offset / SECTOR_BYTES + 1)
}

/// Bytes of a write at `offset` that lie in its first `sectors` sectors.
fn first_bytes(offset: u64, sectors: u64) -> u64 {
    ((offset / SECTOR_BYTES + sectors) * SECTOR_BYTES).saturating_sub(offset)
}

impl Change {
    /// Applies the sectors of it that `survive`, counted from its first; a truncation is whole or not at all.
    fn apply(&self, bytes: &mut Vec<u8>, mut survives: impl FnMut(u64) -> bool) {
        match self {
            Self::Truncate { bytes: size } => {
                if survives(0) {
                    bytes.resize(usize::try_from(*size).unwrap_or(0), 0);
                }
            }
            Self::Write { offset, data } => {
                let mut from = 0;
                let mut sector = 0;
                while from < data.len() {
                    let end = usize::try_from(first_bytes(*offset, sector + 1)).unwrap_or(usize::MAX).min(data.len());
                    if survives(sector) {
                        write_at(
                            bytes,
                            usize::try_from(*offset).unwrap_or(0) + from,
                            data.get(from..end).unwrap_or_default(),
                        );
                    }
                    sector += 1;
                    from = end;
                }
            }
        }
    }
}

fn write_at(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    if let Some(place) = bytes.get_mut(at..at + data.len()) {
        place.copy_from_slice(data);
    }
}

impl Names {
    fn sync(&mut self, concerns: impl Fn(&str) -> bool) {
        let (synced, unsynced) =
            std::mem::take(&mut self.unsynced).into_iter().partition(|(_, change)| concerns(change.name()));
        self.unsynced = unsynced;
        let synced: Vec<(u64, NameChange)> = synced;
        for (_, change) in synced {
            change.apply(&mut self.synced);
        }
    }

    fn latest(&self) -> BTreeMap<String, FileId> {
        self.with(|_| true)
    }

    fn with(&self, mut survives: impl FnMut(u64) -> bool) -> BTreeMap<String, FileId> {
        let mut names = self.synced.clone();
        for (at, change) in &self.unsynced {
            if survives(*at) {
                change.apply(&mut names);
            }
        }
        names
    }
}

impl NameChange {
    fn name(&self) -> &str {
        match self {
            Self::Set(name, _) | Self::Remove(name) | Self::Move(name, _) => name,
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Set(name, id) => {
                names.insert(name.clone(), *id);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Move(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! A file while it is fetched: what of it is here, and the writing of the rest.
//!
//! What must stay true at any instant of a kill or a power cut: bytes are only ever resumed with the note under which
//! they were written (when a file begins anew, the old note goes before the bytes, and the new one is on disk before
//! the first of its bytes); after a power cut only what was synced is trusted; a file has its name only when all of it
//! is on disk.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;

use rustix::fs::{FlockOperation, flock};

use crate::directory::step;
use crate::failure::StageError;
use crate::hash::Sha256Digest;
use crate::job::Job;
use crate::marker;
use crate::note::Note;

/// How much a power cut can take of a download; little where every step is a test.
const SYNC_BYTES: u64 = if cfg!(test) { 256 } else { 8 << 20 };
/// How much is written between two looks at the room that is left.
const ROOM_BYTES: u64 = 4 << 20;

/// How much may lie in the staging directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) file_bytes_max: u64,
    pub(crate) update_bytes_max: u64,
    pub(crate) free_bytes_min: u64,
}

/// What is staged of one file.
#[derive(Debug)]
pub struct Part {
    job: Job,
    name: String,
    caps: Caps,
    offset: u64,
    note: Option<Note>,
    is_complete: bool,
}

/// A file under way. Dropped, it leaves a part that can be resumed.
#[derive(Debug)]
pub struct Writer {
    job: Job,
    name: String,
    caps: Caps,
    /// Locked as long as it is open: nobody else writes.
    file: File,
    note: Note,
    written: u64,
    /// How long the file may become beside the others.
    bytes_max: u64,
    room_checked: u64,
}

impl Part {
    pub(crate) fn find(job: Job, name: &str, caps: Caps) -> Result<Self, StageError> {
        let find = || {
            if let Some((_, note)) = job.complete(name)? {
                return Ok((note.total.unwrap_or(0), Some(note), true));
            }
            let note = job.note(name)?;
            let len = job.parts.size(name)?;
            let trusted = note.as_ref().map_or(0, |note| note.trusted(len));
            Ok((trusted, note.filter(|_| trusted > 0), false))
        };
        let (offset, note, is_complete) = find().map_err(StageError::disk(name))?;
        Ok(Self { job, name: name.to_owned(), caps, offset, note, is_complete })
    }

    /// Bytes that are here; from there the rest can be asked for, if there is a [`Self::validator`].
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What the server called the version of which a part is here, as it was given to [`Self::begin`].
    #[must_use]
    pub fn validator(&self) -> Option<&str> {
        self.note.as_ref()?.validator.as_deref()
    }

    /// Whether all of it is here; whether it is good is another question.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// An answer of the server begins at `offset`: 0 begins anew and throws away what is here, anything else goes on
    /// with it. `total` is the length of the whole file and `digest` its SHA-256, as far as they are told.
    pub fn begin(
        self,
        offset: u64,
        total: Option<u64>,
        validator: Option<String>,
        digest: Option<Sha256Digest>,
    ) -> Result<Writer, StageError> {
        let Self { job, name, caps, .. } = &self;
        let disk = StageError::disk(name);
        let bytes_max = self.bytes_max(total)?;
        let file = job.parts.open_to_write(name).map_err(disk)?;
        if flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StageError::Busy(name.clone()));
        }
        let note = Note::new(total, validator, digest);
        let (file, note) = if offset == 0 { self.anew(file, note) } else { self.again(file, note, offset) }?;
        let caps = *caps;
        let Self { job, name, .. } = self;
        let writer = Writer { job, name, caps, file, note, written: offset, bytes_max, room_checked: offset };
        writer.check_room()?;
        Ok(writer)
    }

    /// How long the file may become, if it may become as long as it says.
    fn bytes_max(&self, total: Option<u64>) -> Result<u64, StageError> {
        let others = self.job.bytes_of_others(&self.name).map_err(StageError::disk(&self.name))?;
        let bytes_max = self.caps.file_bytes_max.min(self.caps.update_bytes_max.saturating_sub(others));
        if total.is_some_and(|total| total > bytes_max) {
            return Err(too_large(&self.name, self.caps, total.unwrap_or(0)));
        }
        Ok(bytes_max)
    }

    fn anew(&self, file: File, note: Note) -> Result<(File, Note), StageError> {
        let begin = || {
            marker::remove(&self.job.files)?;
            self.job.forget(&self.name)?;
            self.job.files.remove(&self.name)?;
            step()?;
            file.set_len(0)?;
            step()?;
            file.sync_all()?;
            self.job.put_note(&self.name, &note)?;
            (&file).seek(SeekFrom::Start(0))?;
            Ok(())
        };
        begin().map_err(StageError::disk(&self.name))?;
        Ok((file, note))
    }

    fn again(&self, file: File, next: Note, offset: u64) -> Result<(File, Note), StageError> {
        let disk = StageError::disk(&self.name);
        let len = file.metadata().map_err(disk)?.len();
        let known = self.note.clone().filter(|_| !self.is_complete && offset <= self.offset && offset <= len);
        let Some(note) = known.and_then(|note| note.resumed(next)) else {
            self.job.discard(&self.name).map_err(disk)?;
            return Err(StageError::Another(self.name.clone()));
        };
        let resume = || {
            step()?;
            file.set_len(offset)?;
            // The bytes of another boot are trusted again under the new note, as far as they were synced then.
            step()?;
            file.sync_all()?;
            let note = Note { synced: offset, ..note };
            self.job.put_note(&self.name, &note)?;
            (&file).seek(SeekFrom::Start(offset))?;
            Ok(note)
        };
        let note = resume().map_err(disk)?;
        Ok((file, note))
    }
}

impl Writer {
    /// Bytes of the file that are here by now.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The next piece.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), StageError> {
        let written = self.written.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if let Some(total) = self.note.total.filter(|total| written > *total) {
            return Err(StageError::TooLong { name: self.name.clone(), total });
        }
        if written > self.bytes_max {
            return Err(too_large(&self.name, self.caps, written));
        }
        if written - self.room_checked >= ROOM_BYTES {
            self.check_room()?;
            self.room_checked = written;
        }
        let disk = StageError::disk(&self.name);
        step().and_then(|()| self.file.write_all(piece)).map_err(disk)?;
        self.written = written;
        if written - self.note.synced >= SYNC_BYTES {
            self.sync().map_err(StageError::disk(&self.name))?;
        }
        Ok(())
    }

    /// After the last piece: the file is on disk, whole, and has its name.
    pub fn finish(mut self) -> Result<(), StageError> {
        if let Some(total) = self.note.total.filter(|total| *total != self.written) {
            return Err(StageError::CutShort { name: self.name.clone(), got: self.written, total });
        }
        self.note.total = Some(self.written);
        let mut finish = || {
            self.sync()?;
            self.job.parts.rename(&self.name, &self.job.files, &self.name)?;
            self.job.files.sync()?;
            self.job.parts.sync()
        };
        finish().map_err(StageError::disk(&self.name))
    }

    fn sync(&mut self) -> io::Result<()> {
        step()?;
        self.file.sync_all()?;
        self.note.synced = self.written;
        self.job.put_note(&self.name, &self.note)
    }

    fn check_room(&self) -> Result<(), StageError> {
        let Caps { free_bytes_min, .. } = self.caps;
        let room = self.job.parts.room().map_err(StageError::disk(&self.name))?;
        let bytes = self.note.total.map_or(ROOM_BYTES, |total| total.saturating_sub(self.written));
        if room.saturating_sub(bytes) < free_bytes_min {
            return Err(StageError::NoRoom { name: self.name.clone(), bytes, free_bytes_min, room });
        }
        Ok(())
    }
}

fn too_large(name: &str, caps: Caps, bytes: u64) -> StageError {
    let (bytes_max, limit) = if bytes > caps.file_bytes_max {
        (caps.file_bytes_max, "file_mb_max")
    } else {
        (caps.update_bytes_max, "update_mb_max")
    };
    StageError::TooLarge { name: name.to_owned(), bytes_max, limit }
}

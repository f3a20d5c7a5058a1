//! The staging directory of one target: complete files under their names, parts and notes in hidden directories beside
//! them.

use std::fs::File;
use std::io;

use crate::directory::Directory;
use crate::failure::StageError;
use crate::name;
use crate::note::{NOTE_BYTES_MAX, Note};

const PARTS: &str = ".parts";
const NOTES: &str = ".notes";

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) files: Directory,
    pub(crate) parts: Directory,
    notes: Directory,
}

impl Job {
    /// Makes it if need be.
    pub(crate) fn make(root: &Directory, job: &str) -> Result<Self, StageError> {
        if !name::is_job(job) {
            return Err(StageError::Job(job.to_owned()));
        }
        let make = || Self::below(root.make_child(job)?);
        make().map_err(StageError::disk(job))
    }

    /// The one that is there.
    pub(crate) fn find(root: &Directory, job: &str) -> io::Result<Option<Self>> {
        if !name::is_job(job) {
            return Ok(None);
        }
        root.child(job)?.map(Self::below).transpose()
    }

    fn below(files: Directory) -> io::Result<Self> {
        let (parts, notes) = (files.make_child(PARTS)?, files.make_child(NOTES)?);
        Ok(Self { files, parts, notes })
    }

    /// What a crash left half written goes.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        self.files.sweep()?;
        self.notes.sweep()
    }

    /// Of this file, if it can be read.
    pub(crate) fn note(&self, name: &str) -> io::Result<Option<Note>> {
        let text = self.notes.read(name, NOTE_BYTES_MAX)?;
        Ok(text.and_then(|text| Note::parse(&text)))
    }

    pub(crate) fn put_note(&self, name: &str, note: &Note) -> io::Result<()> {
        self.notes.put(name, &note.text())
    }

    /// After this nothing that lies here of the file is believed.
    pub(crate) fn forget(&self, name: &str) -> io::Result<()> {
        self.notes.remove(name)?;
        self.notes.sync()
    }

    /// Throws away all of a file.
    pub(crate) fn discard(&self, name: &str) -> io::Result<()> {
        self.forget(name)?;
        self.parts.remove(name)?;
        self.files.remove(name)
    }

    /// A complete file: it has its name, and the length that was told.
    pub(crate) fn complete(&self, name: &str) -> io::Result<Option<(File, Note)>> {
        let Some(file) = self.files.open(name)? else { return Ok(None) };
        let len = file.metadata()?.len();
        Ok(self.note(name)?.filter(|note| note.total == Some(len)).map(|note| (file, note)))
    }

    /// Bytes staged of all files but this one.
    pub(crate) fn bytes_of_others(&self, name: &str) -> io::Result<u64> {
        let mut bytes: u64 = 0;
        for directory in [&self.files, &self.parts] {
            for other in directory.names()?.iter().filter(|other| *other != name && !other.starts_with('.')) {
                bytes = bytes.saturating_add(directory.size(other)?);
            }
        }
        Ok(bytes)
    }
}

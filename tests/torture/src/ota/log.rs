//! The daemon's log as it grows, line by line.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Lines told of a log when something did not happen.
const END: usize = 15;

pub(super) struct Log {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
    lines: Vec<String>,
}

impl Log {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, rest: Vec::new(), lines: Vec::new() }
    }

    /// Takes in what was added.
    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        let mut file = File::open(&self.path).context("the daemon's log")?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = std::mem::take(&mut self.rest);
        self.offset += file.read_to_end(&mut bytes)? as u64;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.rest = bytes.split_off(whole);
        self.lines.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
        Ok(())
    }

    /// How many lines there are by now.
    pub(super) fn mark(&mut self) -> anyhow::Result<usize> {
        self.look()?;
        Ok(self.lines.len())
    }

    pub(super) fn lines_since(&self, mark: usize) -> &[String] {
        self.lines.get(mark..).unwrap_or_default()
    }

    /// Lines with these words, as of the last look.
    pub(super) fn count_since(&self, mark: usize, words: &str) -> usize {
        self.lines_since(mark).iter().filter(|line| line.contains(words)).count()
    }

    pub(super) fn end(&self) -> String {
        self.lines_since(self.lines.len().saturating_sub(END)).join("\n")
    }
}

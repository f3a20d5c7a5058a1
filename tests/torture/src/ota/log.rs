//! All lines of the daemon's log.

use std::path::Path;

use crate::tail::Tail;

/// Lines told of a log when something did not happen.
const END: usize = 15;

pub(super) struct Log {
    tail: Tail,
    lines: Vec<String>,
}

impl Log {
    pub(super) fn new(path: &Path) -> Self {
        Self { tail: Tail::new(path), lines: Vec::new() }
    }

    /// Takes in what was added.
    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        self.lines.extend(self.tail.lines()?.lines().map(str::to_owned));
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

//! The daemon's log as it grows; and as the first witness: which readings a guest was told are accepted.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::witness::ReadingId;

/// Reads what was added to the log since the last look.
pub(crate) struct Tail {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
}

/// What new lines told.
#[derive(Default)]
pub(crate) struct News {
    pub(crate) accepted: Vec<ReadingId>,
    /// Lines at WARN and ERROR, as they are.
    pub(crate) warnings: Vec<String>,
}

impl Tail {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, rest: Vec::new() }
    }

    /// What the new lines tell of readings.
    pub(crate) fn news(&mut self) -> anyhow::Result<News> {
        let mut news = News::default();
        self.lines()?.lines().for_each(|line| news.read(line));
        Ok(news)
    }

    /// The whole lines that are new. One that a kill cut in two is none: its rest never comes, and the next run's first line
    /// follows it.
    pub(crate) fn lines(&mut self) -> anyhow::Result<String> {
        let mut file = File::open(&self.path).context("the daemon's log")?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = std::mem::take(&mut self.rest);
        self.offset += file.read_to_end(&mut bytes)? as u64;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.rest = bytes.split_off(whole);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl News {
    fn read(&mut self, line: &str) {
        // Most lines are these; only the message is needed of them.
        if let Some((_, rest)) = line.split_once("\"accepted run=") {
            let text = rest.split('"').next().unwrap_or_default();
            let field =
                |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            let run = text.split_whitespace().next().unwrap_or_default();
            let from = field("sequence").and_then(|from| from.parse().ok());
            let to = field("to").and_then(|to| to.parse().ok()).or(from);
            if let (Some(from), Some(to)) = (from, to) {
                self.accepted.extend((from..=to).filter_map(|number| ReadingId::new(run, number)));
            }
        } else if line.contains("\"WARN\"") || line.contains("\"ERROR\"") {
            let level = serde_json::from_str::<Value>(line)
                .ok()
                .and_then(|line| line.get("level")?.as_str().map(str::to_owned));
            if level.is_some() {
                self.warnings.push(line.to_owned());
            }
        }
    }
}

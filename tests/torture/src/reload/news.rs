//! What the daemon and the guest logged: when to stop waiting, and how far a guest had counted when it was stopped.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Reads what was appended since the last look.
pub(super) struct News {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    partial: String,
    refusals: u64,
    rollbacks: u64,
    stops: u64,
    last_stop: Option<Stop>,
}

/// A guest's last word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) count: i64,
}

impl News {
    pub(super) fn new(log: &Path) -> Self {
        let path = log.to_owned();
        Self { path, reader: None, partial: String::new(), refusals: 0, rollbacks: 0, stops: 0, last_stop: None }
    }

    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(BufReader::new(File::open(&self.path).context("the daemon's log")?)),
        };
        loop {
            if reader.read_line(&mut self.partial)? == 0 {
                return Ok(());
            }
            if !self.partial.ends_with('\n') {
                continue;
            }
            let line = std::mem::take(&mut self.partial);
            self.refusals += u64::from(line.contains("plugin file refused"));
            self.rollbacks += u64::from(line.contains("plugin rolled back"));
            if let Some((_, rest)) = line.split_once("stopped version=") {
                let count = rest.split_once("count=").map_or("", |(_, count)| count);
                let digits: String = count.chars().take_while(char::is_ascii_digit).collect();
                self.stops += 1;
                self.last_stop = Some(Stop { count: digits.parse().context("the guest's last word")? });
            }
        }
    }

    pub(super) fn refusals(&self) -> u64 {
        self.refusals
    }

    pub(super) fn rollbacks(&self) -> u64 {
        self.rollbacks
    }

    pub(super) fn stops(&self) -> u64 {
        self.stops
    }

    pub(super) fn last_stop(&self) -> Option<Stop> {
        self.last_stop
    }
}

//! The last lines of one plugin's log, for `plugin logs`. They outlive its instances and versions.
//!
//! What must stay true: every line has a number, also one that was dropped, so that a reader who comes back knows how
//! many it missed; and the whole is bounded in lines and in bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use edgeplug_protocol::time::Timestamp;
use serde::Serialize;

/// Lines kept for one plugin.
pub(crate) const LINES_MAX: usize = 1000;
/// Bytes of text kept for one plugin: a thousand lines of twice the usual length, and 64 MiB for the most plugins that
/// there can be.
const BYTES_MAX: usize = 256 << 10;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Counts the lines of this plugin since the daemon started, from 1.
    pub number: u64,
    /// By the clock of the machine.
    pub time: Timestamp,
    pub level: LogLevel,
    pub stream: LogStream,
    /// On one line, without control characters, at most 4 KiB.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogStream {
    /// `log.log` of the interface.
    Log,
    Stdout,
    Stderr,
    /// How an instance died: its trap, last words and backtrace.
    Panic,
    /// What the daemon says about the plugin: refusals, readings left out, starts that failed.
    Host,
}

/// Part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogPage {
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// Ask after this number to go on.
    pub next: u64,
    /// Lines after the number asked for that are not in `lines`: over the rate, fallen out of memory, or more than were
    /// asked for.
    pub dropped: u64,
}

/// The ring itself.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    last: u64,
    bytes: usize,
    held: VecDeque<LogLine>,
}

impl Tail {
    pub(crate) fn push(&self, time: Timestamp, level: LogLevel, stream: LogStream, text: String) {
        let mut lines = self.lock();
        lines.last += 1;
        lines.bytes += text.len();
        let number = lines.last;
        lines.held.push_back(LogLine { number, time, level, stream, text });
        while lines.held.len() > LINES_MAX || lines.bytes > BYTES_MAX {
            let Some(oldest) = lines.held.pop_front() else {
                break;
            };
            lines.bytes -= oldest.text.len();
        }
    }

    /// A line that was not kept at all.
    pub(crate) fn skip(&self) {
        self.lock().last += 1;
    }

    /// The newest `max` of the lines after number `after`.
    pub(crate) fn page(&self, after: u64, max: usize) -> LogPage {
        let lines = self.lock();
        // A number from before the daemon's last start; begin anew.
        let after = if after > lines.last { 0 } else { after };
        let wanted = lines.held.iter().filter(|line| line.number > after).count().min(max);
        let taken: Vec<_> = lines.held.iter().skip(lines.held.len() - wanted).cloned().collect();
        let dropped = (lines.last - after).saturating_sub(u64::try_from(wanted).unwrap_or(u64::MAX));
        LogPage { lines: taken, next: lines.last, dropped }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

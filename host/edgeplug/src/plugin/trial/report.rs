//! What a trial prints: one line for everything that happens, for people or as JSON, and the sum at the end.

use std::time::Duration;

use edgeplug_plugins::{LogLine, LogPage, LogStream};
use edgeplug_protocol::sample::Sample;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::print::say;
use crate::exit::Problem;
use crate::plugin::logs::unfolded;

#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    pub(super) sum: Sum,
}

/// What is said at the end.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sum {
    /// Calls made, and how many of them brought no good answer.
    pub(super) calls: u64,
    pub(super) failed_calls: u64,
    /// Readings returned or sent.
    pub(super) readings: u64,
    /// Readings that the daemon would not take either: malformed, too large, or too many.
    pub(super) rejected: u64,
    pub(super) log_lines: u64,
    /// What the daemon would have complained about, for instance readings left out.
    pub(super) complaints: u64,
    /// Wall time of the longest call, on this machine.
    pub(super) worst_call_ms: f64,
    pub(super) memory_bytes_max: u64,
    /// Commands and updates that were deferred and never ended.
    pub(super) open: Vec<String>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, sum: Sum::default() }
    }

    /// Something happened at a moment since the start. `details` is a JSON object.
    pub(super) fn tell(&self, at: Duration, event: &str, words: &str, details: Value) -> Result<(), Problem> {
        self.put(at, event, &one_line(words), details)
    }

    /// The same with words that may have several lines.
    fn put(&self, at: Duration, event: &str, words: &str, details: Value) -> Result<(), Problem> {
        if !self.json {
            return say(&format!("{:>10.3}  {event:10}  {words}", at.as_secs_f64()));
        }
        let mut line = serde_json::Map::from_iter([
            ("at_s".to_owned(), json!(at.as_secs_f64())),
            ("event".to_owned(), json!(event)),
        ]);
        if let Value::Object(details) = details {
            line.extend(details);
        }
        say(&Value::Object(line).to_string())
    }

    /// `event` says how the reading came: returned by `sample`, sent, or out of `transform`.
    pub(super) fn readings(&mut self, at: Duration, event: &str, samples: &[Sample]) -> Result<(), Problem> {
        for sample in samples {
            self.sum.readings += 1;
            let details = serde_json::to_value(sample).unwrap_or_default();
            self.tell(at, event, &reading(sample), details)?;
        }
        Ok(())
    }

    /// A call ended after this time.
    pub(super) fn took(&mut self, time: Duration) {
        // In microseconds; more digits are noise.
        let ms = (time.as_secs_f64() * 1e6).round() / 1e3;
        self.sum.worst_call_ms = self.sum.worst_call_ms.max(ms);
    }

    pub(super) fn log(&mut self, at: Duration, page: &LogPage) -> Result<(), Problem> {
        if page.dropped > 0 {
            let words = format!("{} lines were dropped", page.dropped);
            self.tell(at, "log", &words, json!({ "dropped": page.dropped }))?;
        }
        page.lines.iter().try_for_each(|line| self.log_line(at, line))
    }

    fn log_line(&mut self, at: Duration, line: &LogLine) -> Result<(), Problem> {
        if line.stream == LogStream::Host {
            self.sum.complaints += 1;
        } else {
            self.sum.log_lines += 1;
        }
        let level = json!(line.level);
        let stream = json!(line.stream);
        let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let words = match line.stream {
            LogStream::Log => format!("{}: {}", name(&level), line.text),
            LogStream::Panic => format!("panic: {}", line.text),
            _ => format!("{}: {}", name(&stream), line.text),
        };
        let words = one_line(&words);
        let words = if line.stream == LogStream::Panic { unfolded(&words) } else { words };
        self.put(at, "log", &words, json!({"level": level, "stream": stream, "text": line.text}))
    }

    pub(super) fn end(&self, at: Duration) -> Result<(), Problem> {
        let sum = &self.sum;
        let not_taken = if sum.rejected > 0 { format!(", {} not taken", sum.rejected) } else { String::new() };
        let mut words = format!(
            "{} calls, {} failed; {} readings{}; {} lines logged, {} complaints of the daemon; longest call {:.1} ms, \
             memory {} KiB",
            sum.calls,
            sum.failed_calls,
            sum.readings,
            not_taken,
            sum.log_lines,
            sum.complaints,
            sum.worst_call_ms,
            sum.memory_bytes_max.div_ceil(1024)
        );
        if !sum.open.is_empty() {
            words = format!("{words}; never ended: {}", sum.open.join(", "));
        }
        self.tell(at, "end", &words, serde_json::to_value(sum).unwrap_or_default())
    }
}

/// What a plugin says may neither look like lines of ours nor steer the terminal: control characters, and those that turn
/// the direction of writing, are shown escaped.
fn one_line(words: &str) -> String {
    let steers = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(words.len());
    for letter in words.chars() {
        if steers(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// `load=0.52 door="open" of cellar at 2026-11-23T12:00:00.000Z`
fn reading(sample: &Sample) -> String {
    let mut words: Vec<String> = sample.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
    words.extend(sample.device.as_ref().map(|device| format!("of {device}")));
    words.extend(sample.time.as_ref().map(|time| format!("at {}", time.as_str())));
    words.join(" ")
}

#[cfg(test)]
mod tests;

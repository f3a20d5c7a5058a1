//! The daemon's log, read as a witness. It is a plain file, so what was written before a `kill -9` stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use edgeplug_cloud::Recorder;
use serde_json::Value;

/// How often the file is looked at; there is no event for "somebody wrote a line".
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The daemon's stderr, all its runs one after the other.
#[derive(Debug, Clone)]
pub struct LogFile {
    path: PathBuf,
}

/// One line.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// Its fields as JSON.
    pub fields: Value,
}

/// Numbers that a guest logged as accepted, by the name of its run; guests without runs have the run "".
#[derive(Debug, Default)]
pub struct Accepted(BTreeMap<String, BTreeSet<i64>>);

impl LogFile {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every whole line so far. A last line that a kill cut in two is left out.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lines(&self) -> anyhow::Result<Vec<LogLine>> {
        let text = std::fs::read_to_string(&self.path).context("the daemon's log")?;
        let whole = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        Ok(whole.map(|fields| LogLine { fields }).collect())
    }

    /// Waits for a line with these words in its message; looks at lines from `skip` on.
    ///
    /// # Errors
    /// When none comes in time; the message holds the end of the log.
    pub async fn wait_for(&self, words: &str, skip: usize, timeout: Duration) -> anyhow::Result<LogLine> {
        let begun = Instant::now();
        loop {
            let lines = self.lines()?;
            if let Some(line) = lines.iter().skip(skip).find(|line| line.message().contains(words)) {
                return Ok(line.clone());
            }
            if begun.elapsed() > timeout {
                let from = lines.len().saturating_sub(15);
                let end: Vec<_> = lines.iter().skip(from).map(|line| line.fields.to_string()).collect();
                anyhow::bail!("no log line with {words:?} within {timeout:?}; the log ends:\n{}", end.join("\n"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What this guest logged as accepted.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn accepted(&self, plugin: &str) -> anyhow::Result<Accepted> {
        let mut accepted = Accepted::default();
        for line in self.lines()? {
            if line.text("plugin") == plugin
                && let Some(rest) = line.message().strip_prefix("accepted ")
            {
                accepted.note(rest);
            }
        }
        Ok(accepted)
    }
}

impl LogLine {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        self.text("message")
    }

    /// A field as text; "" when it is not there.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Accepted {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Whether none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Accepted numbers that never arrived, as `run/number`.
    #[must_use]
    pub fn missing_from(&self, recorder: &Recorder) -> Vec<String> {
        let arrived = arrived(recorder);
        let missing = |(run, numbers): (&String, &BTreeSet<i64>)| {
            let there = arrived.get(run);
            let gone = numbers.iter().filter(|number| !there.is_some_and(|there| there.contains(number)));
            gone.map(|number| format!("{run}/{number}")).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(missing).collect()
    }

    /// `run=R sequence=N to=M`, where `run` and `to` may be absent.
    fn note(&mut self, text: &str) {
        let field = |name: &str| {
            text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let Some(from) = field("sequence").and_then(|text| text.parse::<i64>().ok()) else { return };
        let to = field("to").and_then(|text| text.parse().ok()).unwrap_or(from);
        self.0.entry(field("run").unwrap_or_default()).or_default().extend(from..=to);
    }
}

/// What reports brought, by run.
fn arrived(recorder: &Recorder) -> BTreeMap<String, BTreeSet<i64>> {
    let mut arrived: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for values in recorder.samples().into_iter().map(|sample| sample.values) {
        let Some(number) = values.get("sequence").and_then(Value::as_i64) else { continue };
        let run = values.get("run").and_then(Value::as_str).unwrap_or_default();
        arrived.entry(run.to_owned()).or_default().insert(number);
    }
    arrived
}

//! `edgeplug plugin logs`: what a plugin of the running daemon printed, logged and died of.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::client::{self, AskError};
use crate::cli::print::say;
use crate::exit::{Exit, Problem};

/// How often a follower asks. The daemon keeps the last thousand lines, and lets a plugin have 250 a second.
const POLL: Duration = Duration::from_millis(500);
/// Lines shown when nothing else is asked for.
pub(crate) const TAIL_DEFAULT: usize = 100;

/// What was typed.
#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) plugin: String,
    pub(crate) socket: PathBuf,
    pub(crate) follow: bool,
    /// At most so many of the lines there are.
    pub(crate) tail: usize,
    pub(crate) json: bool,
}

/// What the daemon answers; the lines as they are, for `--json`.
#[derive(Debug, Deserialize)]
struct Page {
    lines: Vec<Value>,
    next: u64,
    dropped: u64,
}

impl Logs {
    pub(crate) async fn run(self) -> Result<(), Problem> {
        let mut page = self.page(0).await?;
        // What was before the last lines was not asked for.
        page.dropped = 0;
        page.lines.drain(..page.lines.len().saturating_sub(self.tail));
        loop {
            self.show(&page)?;
            if !self.follow {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
            page = self.page(page.next).await?;
        }
    }

    async fn page(&self, after: u64) -> Result<Page, Problem> {
        let path = format!("/v1/plugins/{}/logs?after={after}", client::segment(&self.plugin));
        let answer = client::get(&self.socket, &path).await.map_err(|error| match error {
            AskError::NoDaemon(_) => Problem::no_daemon(&self.socket, &error),
            other => Problem::new(Exit::Failed, other.to_string()),
        })?;
        serde_json::from_value(answer)
            .map_err(|error| Problem::new(Exit::Failed, format!("the daemon's answer is of another version: {error}")))
    }

    fn show(&self, page: &Page) -> Result<(), Problem> {
        match page.dropped {
            0 => (),
            dropped if self.json => say(&json!({ "dropped": dropped }).to_string())?,
            dropped => say(&format!("({dropped} lines were dropped)"))?,
        }
        for line in &page.lines {
            say(&if self.json { line.to_string() } else { words(line) })?;
        }
        Ok(())
    }
}

fn words(line: &Value) -> String {
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    let said = match text("stream") {
        "log" => text("text").to_owned(),
        "panic" => format!("panic: {}", unfolded(text("text"))),
        stream => format!("{stream}: {}", text("text")),
    };
    format!("{} {:5} {said}", text("time"), text("level"))
}

/// How an instance died is one long line for programs; for people its parts, which are frames for the most part.
pub(super) fn unfolded(death: &str) -> String {
    death.replace("; ", "\n    ")
}

#[cfg(test)]
mod tests;

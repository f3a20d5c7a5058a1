//! `outbox stats`, `export` and `drop`: a look at what waits for the cloud, a copy of it, and giving it up.
//!
//! Looking and copying read the files, beside a running daemon or without one. Giving up is the daemon's business while
//! one runs, and ours otherwise.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufWriter, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeplug_outbox::{Lane, OpenError, RowId, StatsError, StoredRow};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::api::DropRequest;
use crate::api::client::{self, AskError};
use crate::cli::print::say;
use crate::config::Config;
use crate::exit::{Exit, Problem, chain};
use crate::store::{Dropped, directory};

/// How often the number of rows on a terminal changes.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Where an export goes.
pub(crate) struct Output<'a> {
    /// `None`: standard output.
    pub(crate) file: Option<&'a Path>,
    /// Write over a file that is there.
    pub(crate) force: bool,
}

/// Which rows to drop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    All,
    Through(i64),
}

/// One line of an export.
#[derive(Serialize)]
struct Line<'a> {
    id: i64,
    lane: &'static str,
    kind: u8,
    link_down: bool,
    created_unix_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// Prints what the outbox holds.
pub(crate) fn stats(config: &Config, as_json: bool) -> Result<(), Problem> {
    let stats = edgeplug_outbox::stats(&directory(config)).map_err(|error| unreadable(&error))?;
    if as_json {
        let segments: Vec<_> = stats
            .segments
            .iter()
            .map(|segment| {
                json!({
                    "number": segment.number,
                    "file": segment.file,
                    "live_rows": segment.live_rows,
                    "live_bytes": segment.live_bytes,
                    "alarm_rows": segment.alarm_rows,
                    "alarm_bytes": segment.alarm_bytes,
                    "first_row": segment.first_row.map(|row| row.0),
                    "last_row": segment.last_row.map(|row| row.0),
                    "oldest_unix_ms": segment.oldest_unix_ms,
                    "bytes_on_disk": segment.bytes_on_disk,
                })
            })
            .collect();
        let all = json!({
            "live_rows": stats.live_rows,
            "live_bytes": stats.live_bytes,
            "alarm_rows": stats.alarm_rows,
            "alarm_bytes": stats.alarm_bytes,
            "acks": stats.acks,
            "commands_unfinished": stats.commands_unfinished,
            "commands_finished": stats.commands_finished,
            "facts": stats.facts,
            "bytes_on_disk": stats.bytes_on_disk,
            "bytes_max": config.outbox.limits.bytes_max,
            "bytes_kept_back": stats.bytes_kept_back,
            "bytes_set_aside": stats.bytes_set_aside,
            "segments": segments,
        });
        return say(&format!("{all:#}"));
    }
    let mut text = format!(
        "rows      {} live ({} bytes), {} alarm ({} bytes)\ncommands  {} unfinished, {} finished; {} acknowledgements wait\n\
         disk      {} bytes of {}; {} kept back for a full disk, {} in damaged files set aside",
        stats.live_rows,
        stats.live_bytes,
        stats.alarm_rows,
        stats.alarm_bytes,
        stats.commands_unfinished,
        stats.commands_finished,
        stats.acks,
        stats.bytes_on_disk,
        config.outbox.limits.bytes_max,
        stats.bytes_kept_back,
        stats.bytes_set_aside,
    );
    for segment in &stats.segments {
        let rows = segment.live_rows + segment.alarm_rows;
        let range = match (segment.first_row, segment.last_row) {
            (Some(first), Some(last)) => format!("{rows} rows, ids {} to {}", first.0, last.0),
            _ => "empty".to_owned(),
        };
        text.push_str(&format!("\nsegment   {:06}: {range}, {} bytes on disk", segment.number, segment.bytes_on_disk));
    }
    say(&text)
}

/// Copies every row out, one JSON object a line, in the order of their ids. They stay where they are.
pub(crate) fn export(config: &Config, output: &Output<'_>) -> Result<(), Problem> {
    let mut sink: BufWriter<Box<dyn Write>> = BufWriter::new(match output.file {
        None => Box::new(io::stdout().lock()),
        Some(path) => Box::new(create(path, output.force)?),
    });
    let mut progress = Progress::new();
    let mut failed = None;
    let exported = edgeplug_outbox::export(&directory(config), &[Lane::Live, Lane::Alarm], |row| {
        progress.one_more();
        match write_line(&mut sink, &row) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    progress.end();
    let rows = exported.map_err(|error| unreadable(&error))?;
    match failed.map_or_else(|| sink.flush(), Err) {
        Ok(()) => {
            if let Some(path) = output.file {
                eprintln!("{rows} rows in {}", path.display());
            }
            Ok(())
        }
        // `head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Problem::new(Exit::Failed, format!("cannot write the export: {error}"))),
    }
}

/// Gives rows up undelivered, after asking.
pub(crate) async fn drop_rows(config: &Config, which: Which, yes: bool, as_json: bool) -> Result<(), Problem> {
    if !yes {
        confirm(config, which)?;
    }
    let request = match which {
        Which::All => DropRequest { through: None, all: true },
        Which::Through(row) => DropRequest { through: Some(row), all: false },
    };
    let dropped = match client::post(&config.socket, "/v1/outbox/drop", &request).await {
        Ok(answer) => serde_json::from_value(answer)
            .map_err(|error| Problem::new(Exit::Failed, format!("the daemon's answer makes no sense: {error}")))?,
        Err(AskError::NoDaemon(_)) => drop_offline(config, which)?,
        Err(error) => return Err(Problem::new(Exit::Failed, error.to_string())),
    };
    let Dropped { rows, bytes } = dropped;
    if as_json {
        return say(&format!("{:#}", json!({ "rows": rows, "bytes": bytes })));
    }
    say(&format!("{rows} rows ({bytes} bytes) were dropped; the cloud never gets them"))
}

fn drop_offline(config: &Config, which: Which) -> Result<Dropped, Problem> {
    let directory = directory(config);
    // Opening would make an empty one.
    edgeplug_outbox::stats(&directory).map_err(|error| unreadable(&error))?;
    let through = match which {
        Which::All => RowId(i64::MAX),
        Which::Through(row) => RowId(row),
    };
    let dropped = edgeplug_outbox::drop_rows(&directory, through).map_err(|error| match error {
        OpenError::Locked { .. } => {
            let text = format!("{}, but nobody answers on {}", chain(&error), config.socket.display());
            Problem::new(Exit::NoDaemon, text)
        }
        other => Problem::new(Exit::OutboxUnreadable, chain(&other)),
    })?;
    keep_owner(&directory)
        .map_err(|error| Problem::new(Exit::Failed, format!("cannot restore the outbox's owner: {error}")))?;
    Ok(Dropped { rows: dropped.rows, bytes: dropped.bytes })
}

/// What root wrote in the daemon's directory must stay the daemon's.
fn keep_owner(directory: &Path) -> io::Result<()> {
    let owner = std::fs::metadata(directory)?;
    for inside in [directory.to_owned(), directory.join("telemetry")] {
        for entry in std::fs::read_dir(inside)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if (metadata.uid(), metadata.gid()) != (owner.uid(), owner.gid()) {
                std::os::unix::fs::lchown(entry.path(), Some(owner.uid()), Some(owner.gid()))?;
            }
        }
    }
    Ok(())
}

fn confirm(config: &Config, which: Which) -> Result<(), Problem> {
    let refused = |text: &str| Problem::new(Exit::NotConfirmed, text);
    if !io::stdin().is_terminal() {
        return Err(refused("nothing was dropped: there is nobody to ask; say --yes to drop without asking"));
    }
    let stats = edgeplug_outbox::stats(&directory(config)).map_err(|error| unreadable(&error))?;
    let rows = stats.live_rows + stats.alarm_rows;
    match which {
        Which::All => eprint!("All {rows} rows are given up; the cloud never gets them. Type yes to go on: "),
        Which::Through(row) => {
            eprint!("Of {rows} rows, those up to {row} are given up; the cloud never gets them. Type yes to go on: ");
        }
    }
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(refused("nothing was dropped")),
    }
}

fn create(path: &Path, force: bool) -> Result<File, Problem> {
    let mut options = OpenOptions::new();
    // Readings are for whoever asked for them.
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let text = format!("{} is there already; choose another name or say --force", path.display());
            Problem::new(Exit::OutputExists, text)
        }
        _ => Problem::new(Exit::Failed, format!("cannot create {}: {error}", path.display())),
    })
}

fn write_line(sink: &mut impl Write, row: &StoredRow) -> io::Result<()> {
    // A body over several lines would be several lines here.
    let one_line = !row.body.contains(&b'\n') && !row.body.contains(&b'\r');
    let body = serde_json::from_slice::<&RawValue>(&row.body).ok().filter(|_| one_line);
    let line = Line {
        id: row.id.0,
        lane: match row.lane {
            Lane::Live => "live",
            Lane::Alarm => "alarm",
        },
        kind: row.kind,
        link_down: row.link_down,
        created_unix_ms: row.created_unix_ms,
        body,
        body_base64: body.is_none().then(|| STANDARD.encode(&row.body)),
    };
    serde_json::to_writer(&mut *sink, &line).map_err(io::Error::from)?;
    sink.write_all(b"\n")
}

fn unreadable(error: &StatsError) -> Problem {
    Problem::new(Exit::OutboxUnreadable, chain(error))
}

/// The number of rows so far, on a terminal.
struct Progress {
    rows: u64,
    said_at: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { rows: 0, said_at: io::stderr().is_terminal().then(Instant::now) }
    }

    fn one_more(&mut self) {
        self.rows += 1;
        if let Some(at) = &mut self.said_at
            && at.elapsed() >= PROGRESS_EVERY
        {
            *at = Instant::now();
            eprint!("\r{} rows", self.rows);
        }
    }

    fn end(&self) {
        if self.said_at.is_some() && self.rows > 0 {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests;

//! The program that runs on the recorded disk: an outbox, kept busy with everything the daemon ever asks of it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use edgeplug_outbox::{
    Ack, AckId, Eviction, FinishOutcome, Lane, Outbox, OutboxEvent, OutboxOptions, RecordOutcome, Request, RowId,
    SpaceLimits,
};
use tokio::sync::mpsc::Receiver;

use super::mark::{FILE, Mark, OUTBOX, body, row};
use crate::random::Random;

/// Names of facts; few, so that they are overwritten often.
const FACTS: u64 = 3;
/// Commands kept unfinished at most; the outbox takes 256.
const COMMANDS_OPEN_MAX: usize = 20;

/// What the store is made to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub enum Profile {
    /// Room for everything: one segment, checkpoints.
    Roomy,
    /// Small segments: roll-over and eviction all the time.
    Tight,
    /// One small file: eviction row by row.
    OneFile,
}

impl Profile {
    pub(super) fn limits(self) -> SpaceLimits {
        match self {
            Self::Roomy => SpaceLimits::default(),
            Self::Tight => SpaceLimits { bytes_max: 4 * 1024 * 1024, files_max: 4 },
            Self::OneFile => SpaceLimits { bytes_max: 2 * 1024 * 1024, files_max: 1 },
        }
    }
}

pub(super) fn options(directory: &Path, profile: Profile) -> OutboxOptions {
    let mut options = OutboxOptions::new(directory);
    options.limits = profile.limits();
    options
}

/// Runs so many steps below `directory` and closes in order.
///
/// # Errors
/// When the outbox does what it must not.
pub fn run(directory: &Path, profile: Profile, seed: u64, steps: u64) -> anyhow::Result<()> {
    let mut driver = Driver::open(directory, profile, seed)?;
    for _ in 0..steps {
        driver.step()?;
    }
    driver.outbox.close();
    Ok(())
}

struct Driver {
    directory: PathBuf,
    profile: Profile,
    random: Random,
    marks: File,
    outbox: Outbox,
    events: Receiver<OutboxEvent>,
    next: u64,
    /// Rows on the disk, oldest first.
    rows: VecDeque<i64>,
    commands: Vec<String>,
    /// Keys by the ticket of their request.
    asked: BTreeMap<u64, String>,
    /// Values by the ticket of their request.
    putting: BTreeMap<u64, (String, u64)>,
    acks: Vec<i64>,
    /// What was asked and not answered.
    owed: Owed,
}

#[derive(Default)]
struct Owed {
    answers: usize,
    rows: usize,
    removals: usize,
    removing: Vec<i64>,
    ack_removals: usize,
    removing_acks: Vec<i64>,
}

impl Driver {
    fn open(directory: &Path, profile: Profile, seed: u64) -> anyhow::Result<Self> {
        let marks = OpenOptions::new().create(true).append(true).open(directory.join(FILE))?;
        let (outbox, _, events) = Outbox::open(options(&directory.join(OUTBOX), profile))?;
        Ok(Self {
            directory: directory.to_owned(),
            profile,
            random: Random::new(seed),
            marks,
            outbox,
            events,
            next: 1,
            rows: VecDeque::new(),
            commands: Vec::new(),
            asked: BTreeMap::new(),
            putting: BTreeMap::new(),
            acks: Vec::new(),
            owed: Owed::default(),
        })
    }

    /// A few requests, so that they share a transaction, and all their answers.
    fn step(&mut self) -> anyhow::Result<()> {
        self.mark(&Mark::Step)?;
        if self.random.percent(1) {
            return self.reopen();
        }
        for _ in 0..self.random.between(1, 5) {
            match self.random.between(0, 99) {
                0..45 => self.append()?,
                45..62 => self.remove()?,
                62..66 => self.load()?,
                66..78 => self.record()?,
                78..88 => self.finish()?,
                88..93 => self.remove_acks()?,
                93 => self.drop_oldest()?,
                _ => self.put()?,
            }
        }
        while self.owed.answers + self.owed.rows + self.owed.removals + self.owed.ack_removals > 0 {
            let event = self.events.blocking_recv().context("the outbox ended")?;
            self.answered(event)?;
        }
        Ok(())
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        let fresh = |driver: &Self| options(&driver.directory.join(OUTBOX), driver.profile);
        let scratch = tempfile::tempdir()?;
        // The handle must be given up before the directory can be opened again.
        let (stand_in, _, _) = Outbox::open(OutboxOptions::new(scratch.path()))?;
        std::mem::replace(&mut self.outbox, stand_in).close();
        let (outbox, restored, events) = Outbox::open(fresh(self))?;
        ensure!(restored.damaged.is_empty(), "damaged after closing in order: {:?}", restored.damaged);
        self.outbox = outbox;
        self.events = events;
        Ok(())
    }

    fn append(&mut self) -> anyhow::Result<()> {
        let count = self.random.between(1, 20);
        let rows: Vec<_> = (0..count).map(|_| row(self.ticket())).collect();
        self.owed.rows += rows.len();
        self.ask(Request::Append(rows))
    }

    /// Mostly the oldest, as the daemon does; now and then any.
    fn remove(&mut self) -> anyhow::Result<()> {
        let count = usize::try_from(self.random.between(1, 30))?.min(self.rows.len());
        // Kept back where room is small, so that there is something to evict.
        if count == 0 || (self.profile != Profile::Roomy && self.random.percent(75)) {
            return Ok(());
        }
        let from = if self.random.percent(25) {
            usize::try_from(self.random.between(0, (self.rows.len() - count) as u64))?
        } else {
            0
        };
        let ids: Vec<i64> = self.rows.drain(from..from + count).collect();
        self.mark(&Mark::Removing(ids.clone()))?;
        self.owed.removals += 1;
        self.owed.removing.extend(&ids);
        self.ask(Request::Remove(ids.into_iter().map(RowId).collect()))
    }

    /// As an operator does, who gives up what waits too long.
    fn drop_oldest(&mut self) -> anyhow::Result<()> {
        let count = usize::try_from(self.random.between(0, self.rows.len() as u64 / 4))?;
        let Some(through) = self.rows.drain(..count).max() else { return Ok(()) };
        self.rows.retain(|row| *row > through);
        self.mark(&Mark::Dropping(through))?;
        self.owed.answers += 1;
        self.ask(Request::Drop { through: RowId(through) })
    }

    fn load(&mut self) -> anyhow::Result<()> {
        self.owed.answers += 1;
        let ticket = self.ticket();
        self.ask(Request::Load { ticket, lane: Lane::Live, after: RowId(0), rows_max: 50, bytes_max: 1 << 16 })
    }

    fn record(&mut self) -> anyhow::Result<()> {
        if self.commands.len() + self.asked.len() >= COMMANDS_OPEN_MAX {
            return Ok(());
        }
        let ticket = self.ticket();
        let key = format!("command {ticket}");
        self.mark(&Mark::Recording(key.clone()))?;
        self.owed.answers += 1;
        self.asked.insert(ticket, key.clone());
        self.ask(Request::RecordCommand { ticket, key, body: Bytes::from_static(b"do"), received_unix_ms: 0 })
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let Some(key) = self.commands.pop() else { return Ok(()) };
        let ticket = self.ticket();
        self.mark(&Mark::Finishing(key.clone()))?;
        self.owed.answers += 1;
        self.asked.insert(ticket, key.clone());
        let ack = Ack { kind: 1, link_down: false, created_unix_ms: 0, body: Bytes::from(key.clone()) };
        self.ask(Request::FinishCommand { ticket, key, finished_unix_ms: 1, ack: Some(ack) })
    }

    fn remove_acks(&mut self) -> anyhow::Result<()> {
        let ids = std::mem::take(&mut self.acks);
        if ids.is_empty() {
            return Ok(());
        }
        self.mark(&Mark::RemovingAcks(ids.clone()))?;
        self.owed.ack_removals += 1;
        self.owed.removing_acks.extend(&ids);
        self.ask(Request::RemoveAcks(ids.into_iter().map(AckId).collect()))
    }

    fn put(&mut self) -> anyhow::Result<()> {
        let ticket = self.ticket();
        let name = format!("fact {}", self.random.between(1, FACTS));
        self.mark(&Mark::Putting(name.clone(), ticket))?;
        self.owed.answers += 1;
        self.putting.insert(ticket, (name.clone(), ticket));
        self.ask(Request::Put { ticket, name, value: Some(Bytes::from(body(ticket))) })
    }

    fn answered(&mut self, event: OutboxEvent) -> anyhow::Result<()> {
        match event {
            OutboxEvent::Committed { rows } => {
                self.owed.rows -= rows.len();
                self.rows.extend(rows.iter().map(|row| row.id.0));
                self.mark(&Mark::Committed(rows.iter().map(|row| (row.ticket, row.id.0)).collect()))?;
            }
            OutboxEvent::Evicted { through, why: Eviction::Space, .. } => {
                self.rows.retain(|row| *row > through.0);
                self.mark(&Mark::Evicted(through.0))?;
            }
            OutboxEvent::Evicted { through, why: Eviction::Asked, .. } => {
                self.owed.answers -= 1;
                self.mark(&Mark::Dropped(through.0))?;
            }
            OutboxEvent::Removed { store: edgeplug_outbox::Store::Telemetry, requests, .. } => {
                self.owed.removals -= requests;
                if self.owed.removals == 0 {
                    let removed = std::mem::take(&mut self.owed.removing);
                    self.mark(&Mark::Removed(removed))?;
                }
            }
            OutboxEvent::Removed { requests, .. } => {
                self.owed.ack_removals -= requests;
                if self.owed.ack_removals == 0 {
                    let removed = std::mem::take(&mut self.owed.removing_acks);
                    self.mark(&Mark::RemovedAcks(removed))?;
                }
            }
            OutboxEvent::Loaded { .. } => self.owed.answers -= 1,
            OutboxEvent::Recorded { ticket, outcome: RecordOutcome::New } => {
                self.owed.answers -= 1;
                let key = self.asked.remove(&ticket).context("a record nobody asked for")?;
                self.mark(&Mark::Recorded(key.clone()))?;
                self.commands.push(key);
            }
            OutboxEvent::Finished { ticket, outcome: FinishOutcome::Done { ack: Some(ack) } } => {
                self.owed.answers -= 1;
                let key = self.asked.remove(&ticket).context("an end nobody asked for")?;
                self.mark(&Mark::Finished(key, ack.0))?;
                self.acks.push(ack.0);
            }
            OutboxEvent::Stored { ticket } => {
                self.owed.answers -= 1;
                let (name, value) = self.putting.remove(&ticket).context("a fact nobody asked for")?;
                self.mark(&Mark::Put(name, value))?;
            }
            other => bail!("the outbox said {other:?}"),
        }
        Ok(())
    }

    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn ask(&self, request: Request) -> anyhow::Result<()> {
        self.outbox.request(request).map_err(|refused| anyhow::anyhow!("refused: {refused}"))
    }

    /// One write, so that the disk's log has it whole.
    fn mark(&mut self, mark: &Mark) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(mark)?;
        line.push(b'\n');
        self.marks.write_all(&line)?;
        Ok(())
    }
}

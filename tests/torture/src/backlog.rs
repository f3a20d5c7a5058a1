//! A day without a link, then a link: ten plugins at a reading a second wrote 864,000 rows; they drain in order while live
//! readings stay fresh.
//!
//! The rows are put into the store as the daemon would have put them: encoded with the template that the cloud gave it, marked
//! as stored while the link was down. The live readings come from the real daemon.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use edgeplug_e2e::World;
use edgeplug_outbox::{Lane, NewRow, Outbox, OutboxEvent, OutboxOptions, Request};
use edgeplug_protocol::definition::{Definition, Rounding};
use edgeplug_protocol::legacy::Sdk;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::telemetry;
use edgeplug_protocol::template::Template;
use edgeplug_protocol::time::Timestamp;
use serde_json::Value;

use crate::drain::{self, Station};
use crate::load;
use crate::witness::{Arrival, ReadingId};
use crate::{Mode, Verdict};

const PLUGINS: usize = 10;
const INTERVAL_MS: u64 = 1_000;
/// A live reading must not be older than this when it arrives, ninety-nine times in a hundred.
const LIVE_AGE_P99_MS_MAX: i64 = 2_000;
const WINDOW: u64 = 256;
/// The daemon's own number for a body that is ready to be sent.
const KIND_MESSAGE: u8 = 1;
/// Rows of one append, and appends under way.
const GROUP: usize = 1_000;
const GROUPS_UNDER_WAY: usize = 8;
/// Room for a day: a row takes about 350 bytes.
const SPACE_MB: u64 = 4_096;
const START_MAX: Duration = Duration::from_secs(30);
/// Live readings that must have come while the backlog drained, so that their age means something.
const LIVE_MIN: usize = 30;
/// How often progress is said.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rows of the backlog; a day of ten plugins at a reading a second is 864,000.
    pub rows: u64,
    /// Messages of the backlog a second (`uplink.backlog_per_s`).
    pub per_s: u32,
    /// Longest time for all of it.
    pub limit: Duration,
    /// Where the device's disk lies.
    pub disk: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// When something is not built or the store cannot be filled; a broken promise is no error but in the verdict.
pub async fn run(options: &Options) -> anyhow::Result<Verdict> {
    let tables = format!(
        "[outbox]\navailable_space_mb = {SPACE_MB}\n[uplink]\nwindow = {WINDOW}\nbacklog_per_s = {}\n",
        options.per_s
    );
    let world = World::new(load::world(options.disk.clone(), &tables, Vec::new())).await?;
    let mut station = Station::new(&world);
    learn_template(&world).await?;
    let begun = Instant::now();
    let (outbox, rows) = (world.state_directory().join("outbox"), options.rows);
    let written = tokio::task::spawn_blocking(move || fill(&outbox, rows)).await??;
    station.witness.accept(written);
    println!("backlog: {rows} rows in {:.1} s, {}", begun.elapsed().as_secs_f64(), world.directory().display());

    let plugins = load::names(PLUGINS);
    load::drop_plugins(&world, &plugins, INTERVAL_MS)?;
    let edgeplug = world.start()?;
    let hub = world.cloud.hub();
    hub.wait_connected(&world.hub_device_id(), START_MAX).await?;
    let begun = Instant::now();
    let mut judge = Judge::default();
    let mut said = Instant::now();
    while judge.backlog < options.rows && begun.elapsed() < options.limit {
        tokio::time::sleep(Duration::from_millis(100)).await;
        judge.take(station.look(&world, 0)?);
        if said.elapsed() > SAY_EVERY {
            said = Instant::now();
            println!("{:>7} of {} rows, {} live", judge.backlog, options.rows, judge.ages.len());
        }
    }
    let drained = begun.elapsed();
    load::remove_plugins(&world, &plugins)?;
    let mut verdict = Verdict { cycles: 1, window: WINDOW, ..Verdict::new(Mode::Backlog) };
    drain::finish(&world, edgeplug, &mut station, 0, START_MAX, &mut verdict).await?;
    station.tell(&mut verdict);
    judge.tell(&mut verdict);
    verdict.say("backlog_rows", options.rows);
    verdict.say("drain_seconds", (drained.as_secs_f64() * 10.0).round() / 10.0);
    verdict.say("rows_per_s", (options.rows as f64 / drained.as_secs_f64()).round() as u64);
    verdict.say("messages", station.witness.messages());
    verdict.judge();
    Ok(verdict)
}

/// What the names of backlog readings begin with; live ones are named by [`load::names`].
const BACKLOG: &str = "day";

#[derive(Default)]
struct Judge {
    /// Different rows of the backlog that arrived.
    backlog: u64,
    unmarked: u64,
    marked_live: u64,
    /// Of live readings that arrived while the backlog drained.
    ages: Vec<i64>,
}

impl Judge {
    fn take(&mut self, arrivals: Vec<Arrival>) {
        for arrival in arrivals {
            if arrival.id.plugin.starts_with(BACKLOG) {
                self.backlog += 1;
                self.unmarked += u64::from(!arrival.offline);
            } else if arrival.offline {
                // Taken before the link was up: backlog as well.
                self.marked_live += 1;
            } else {
                self.ages.push(arrival.age_ms);
            }
        }
    }

    fn tell(mut self, verdict: &mut Verdict) {
        self.ages.sort_unstable();
        let at = |share: f64| {
            let index = (self.ages.len().saturating_sub(1) as f64 * share).round() as usize;
            self.ages.get(index).copied().unwrap_or(i64::MAX)
        };
        let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
        if p99 >= LIVE_AGE_P99_MS_MAX {
            verdict
                .complain(format!("live readings were {p99} ms old at p99, below {LIVE_AGE_P99_MS_MAX} is promised"));
        }
        if self.ages.len() < LIVE_MIN {
            verdict.complain(format!(
                "only {} live readings came while the backlog drained; fewer rows a second would show more",
                self.ages.len()
            ));
        }
        if self.unmarked > 0 {
            verdict.complain(format!("{} rows of the backlog came without the offline mark", self.unmarked));
        }
        verdict.say("live_readings", self.ages.len());
        verdict.say("live_before_link", self.marked_live);
        verdict.say("live_age_p50_ms", p50);
        verdict.say("live_age_p99_ms", p99);
        verdict.say("live_age_max_ms", max);
    }
}

/// Lets the daemon sync once, so that the template lies in its ledger.
async fn learn_template(world: &World) -> anyhow::Result<()> {
    let edgeplug = world.start()?;
    world.cloud.hub().wait_connected(&world.hub_device_id(), START_MAX).await?;
    ensure!(edgeplug.terminate().await?.success(), "the daemon did not end in order");
    Ok(())
}

/// The template as the daemon kept it.
fn template(facts: &std::collections::BTreeMap<String, Bytes>) -> anyhow::Result<Template> {
    let kept = facts.values().find_map(|fact| serde_json::from_slice::<Definition>(fact).ok());
    Ok(kept.context("the daemon kept nothing that the cloud said")?.template(&Rounding::new()))
}

/// Writes the backlog as the daemon would have, the oldest a day ago.
fn fill(directory: &Path, rows: u64) -> anyhow::Result<Vec<ReadingId>> {
    let mut options = OutboxOptions::new(directory);
    options.limits.bytes_max = SPACE_MB * 1024 * 1024;
    let (outbox, restored, mut events) = Outbox::open(options)?;
    let template = template(&restored.facts)?;
    let sdk = Sdk::new("M_PYTHON", "poc");
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let plugins = PLUGINS as u64;
    let mut ids = Vec::with_capacity(usize::try_from(rows)?);
    let (mut group, mut owed) = (Vec::with_capacity(GROUP), 0);
    for row in 0..rows {
        let (plugin, number) = (row % plugins, i64::try_from(row / plugins)?);
        let taken_ms = now_ms - i64::try_from((rows - row) * 1_000 / plugins)?;
        let run = format!("{BACKLOG}{plugin}-1");
        let body = encode(&template, &sdk, &run, number, taken_ms)?;
        ids.extend(ReadingId::new(&run, number));
        group.push(NewRow {
            ticket: row,
            lane: Lane::Live,
            kind: KIND_MESSAGE,
            link_down: true,
            created_unix_ms: taken_ms,
            body,
        });
        if group.len() == GROUP || row + 1 == rows {
            owed += group.len();
            outbox
                .request(Request::Append(std::mem::take(&mut group)))
                .map_err(|refused| anyhow::anyhow!("{refused}"))?;
        }
        while owed > GROUP * GROUPS_UNDER_WAY || (row + 1 == rows && owed > 0) {
            match events.blocking_recv().context("the outbox ended")? {
                OutboxEvent::Committed { rows } => owed -= rows.len(),
                other => anyhow::bail!("the outbox said {other:?}"),
            }
        }
    }
    outbox.close();
    Ok(ids)
}

fn encode(template: &Template, sdk: &Sdk, run: &str, number: i64, taken_ms: i64) -> anyhow::Result<Bytes> {
    let at = Timestamp::from_unix_ms(taken_ms);
    let values = vec![("run".to_owned(), Value::from(run)), ("sequence".to_owned(), Value::from(number))];
    let sample = Sample { device: None, time: Some(at.clone()), values };
    let encoded = telemetry::encode(template, sdk, &[sample], &at);
    Ok(Bytes::from(encoded.report.context("the template has no place for the readings")?))
}

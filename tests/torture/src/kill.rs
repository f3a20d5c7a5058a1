//! `kill -9` at a random moment under load, a thousand times.
//!
//! The daemon runs on the watched disk, the hub acknowledges late, commands flow. After each kill the files are checked as
//! they lie, then the daemon starts again on them. At the end everything drains and is counted.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use edgeplug_e2e::World;

use crate::drain::{self, Station};
use crate::integrity;
use crate::load;
use crate::random::Random;
use crate::shim::{self, Shim};
use crate::{Mode, Verdict};

/// How long a start may take until readings flow.
const START_MAX: Duration = Duration::from_secs(30);
/// How long the last run may take to send what is left.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// What was kept in memory only is not worth a long wait.
const DRAIN_OF_NONE_MAX: Duration = Duration::from_secs(3);
/// Messages of a run before the clock of its kill begins: load is flowing then.
const FLOWING: usize = 3;
/// When to kill, after load flows.
const KILL_MS: (u64, u64) = (5, 500);
/// How late the hub acknowledges.
const PUBACK_MS: (u64, u64) = (30, 100);
/// Sending plugins and the pause of each: with the group commit behind every reading they make 200 readings a second and more.
const PLUGINS: usize = 12;
const INTERVAL_MS: u64 = 20;
/// `uplink.window`
const WINDOW: u64 = 256;
/// How often progress is said.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Kills.
    pub cycles: u64,
    /// Of everything random.
    pub seed: u64,
    /// Where the device's disk lies.
    pub disk: Option<PathBuf>,
    /// How much longer a sync takes; 0 is the disk as it is.
    pub sync_ms: u64,
    /// Least rate of accepted readings while load flows; slower machines and unoptimised programs say so but do not fail.
    pub rate_min: u64,
    /// Open transactions that must be hit, of a thousand kills.
    pub hits_min_of_1000: u64,
    /// `outbox.durability`; with `none` readings must be lost, or this mode proves nothing.
    pub durability: &'static str,
}

/// Runs it.
///
/// # Errors
/// When something is not built or the daemon does not start; a broken promise is no error but in the verdict.
pub async fn run(options: &Options) -> anyhow::Result<Verdict> {
    let mut run = Run::start(options).await?;
    let mut said = Instant::now();
    for cycle in 1..=options.cycles {
        run.cycle(cycle).await.with_context(|| format!("cycle {cycle}"))?;
        if said.elapsed() > SAY_EVERY {
            said = Instant::now();
            println!("{}", run.progress(cycle));
        }
    }
    run.drain().await?;
    run.finish()
}

struct Run<'a> {
    options: &'a Options,
    world: World,
    random: Random,
    plugins: Vec<String>,
    station: Station,
    verdict: Verdict,
    state_file: PathBuf,
    scratch: tempfile::TempDir,
    hits_uncommitted: u64,
    hits_unsynced_commit: u64,
    hits_of_ledger: u64,
    /// While load flowed: time, and readings accepted.
    flowed: Duration,
    accepted_flowing: u64,
    set_aside: BTreeSet<PathBuf>,
    begun: Instant,
}

impl<'a> Run<'a> {
    async fn start(options: &'a Options) -> anyhow::Result<Self> {
        let shim = Shim::build()?;
        let scratch = tempfile::tempdir()?;
        let state_file = scratch.path().join("disk.state");
        let mut world =
            World::new(load::world(options.disk.clone(), &tables(false, options.durability), Vec::new())).await?;
        world.set_environment(shim.watch(&world.state_directory(), &state_file, options.sync_ms));
        let plugins = load::names(PLUGINS);
        load::drop_plugins(&world, &plugins, INTERVAL_MS)?;
        println!("kill: seed {}, {} cycles, {}", options.seed, options.cycles, world.directory().display());
        Ok(Self {
            options,
            random: Random::new(options.seed),
            plugins,
            station: Station::new(&world),
            world,
            verdict: Verdict { window: WINDOW, ..Verdict::new(Mode::Kill) },
            state_file,
            scratch,
            hits_uncommitted: 0,
            hits_unsynced_commit: 0,
            hits_of_ledger: 0,
            flowed: Duration::ZERO,
            accepted_flowing: 0,
            set_aside: BTreeSet::new(),
            begun: Instant::now(),
        })
    }

    async fn cycle(&mut self, cycle: u64) -> anyhow::Result<()> {
        // What waits for a batch in memory is what a kill takes with it.
        let batched = self.options.durability == "none" || self.random.percent(25);
        self.world.set_tables(&tables(batched, self.options.durability))?;
        let edgeplug = self.world.start()?;
        let hub = self.world.cloud.hub();
        let device = self.world.hub_device_id();
        hub.delay_pubacks(self.random.between(PUBACK_MS.0, PUBACK_MS.1));
        hub.wait_connected(&device, START_MAX).await?;
        let flowing = |records: &[edgeplug_cloud::Record]| records.len() >= FLOWING;
        self.world.cloud.recorder().wait_for(flowing, START_MAX).await?;

        self.station.look_at_log()?;
        let accepted_before = self.station.witness.accepted();
        let begun = Instant::now();
        let wait = Duration::from_millis(self.random.between(KILL_MS.0, KILL_MS.1));
        // In the middle, so that the kill may hit any step of a command.
        let before_command = wait.mul_f64(self.random.between(0, 100) as f64 / 100.0);
        tokio::time::sleep(before_command).await;
        for part in ["a", "b"] {
            self.station.command(&self.world, &format!("ack-{cycle}{part}"));
        }
        tokio::time::sleep(wait.saturating_sub(begun.elapsed())).await;
        edgeplug.kill().await?;
        let flowed = begun.elapsed();
        self.world.cloud.hub().wait_disconnected(&device, START_MAX).await?;
        self.judge_disk()?;
        self.station.look(&self.world, cycle)?;
        self.station.forget(&self.world);
        self.flowed += flowed;
        self.accepted_flowing += self.station.witness.accepted() - accepted_before;
        self.verdict.cycles = cycle;
        Ok(())
    }

    /// What the kill hit, and whether SQLite can read all of it.
    fn judge_disk(&mut self) -> anyhow::Result<()> {
        let outbox = self.world.state_directory().join("outbox");
        let unsynced: Vec<String> = shim::read_state(&self.state_file)?
            .into_iter()
            .filter(|file| file.path.ends_with("-wal") && file.unsynced_bytes > 0)
            .map(|file| file.path)
            .collect();
        let mut open = false;
        for store in integrity::stores(&outbox)? {
            let looked = integrity::look(&store, self.scratch.path())?;
            if let Some(damage) = looked.damage {
                self.verdict.corrupt += 1;
                self.verdict.complain(format!("{}: {damage}", store.display()));
            }
            let name = store.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !unsynced.iter().any(|path| path.ends_with(&format!("{name}-wal"))) {
                continue;
            }
            open = true;
            if looked.frames_uncommitted > 0 {
                self.hits_uncommitted += 1;
            } else {
                self.hits_unsynced_commit += 1;
            }
            self.hits_of_ledger += u64::from(name == "ledger.db");
        }
        self.verdict.hit_open_transaction += u64::from(open);
        for path in integrity::set_aside(&outbox) {
            if self.set_aside.insert(path.clone()) {
                self.verdict.corrupt += 1;
                self.verdict.complain(format!("the daemon set {} aside", path.display()));
            }
        }
        Ok(())
    }

    /// The last run, which is not killed: no new readings, no late acknowledgements.
    async fn drain(&mut self) -> anyhow::Result<()> {
        let limit = if self.options.durability == "none" { DRAIN_OF_NONE_MAX } else { DRAIN_MAX };
        load::remove_plugins(&self.world, &self.plugins)?;
        self.world.set_tables(&tables(true, self.options.durability))?;
        self.world.cloud.hub().delay_pubacks(0);
        let edgeplug = self.world.start()?;
        drain::finish(&self.world, edgeplug, &mut self.station, self.options.cycles + 1, limit, &mut self.verdict)
            .await?;
        self.judge_disk()
    }

    fn progress(&self, cycle: u64) -> String {
        format!(
            "{cycle:>5} kills, {} accepted, {} arrived, {} hit an open transaction, {:.2} s a cycle",
            self.station.witness.accepted(),
            self.station.witness.arrived(),
            self.verdict.hit_open_transaction,
            self.begun.elapsed().as_secs_f64() / cycle as f64
        )
    }

    fn finish(mut self) -> anyhow::Result<Verdict> {
        let verdict = &mut self.verdict;
        self.station.tell(verdict);
        let rate = (self.accepted_flowing as f64 / self.flowed.as_secs_f64().max(0.001)).round() as u64;
        if rate < self.options.rate_min {
            verdict.complain(format!("only {rate} readings a second flowed; {} are wanted", self.options.rate_min));
        }
        if verdict.hit_open_transaction * 1000 <= self.options.hits_min_of_1000 * verdict.cycles {
            verdict.complain("too few kills hit an open transaction; raise SYNC_MS");
        }
        // Of each plugin the reading whose word the kill cut off, and one line of the log that it cut in two.
        let (unclaimed, most) = (self.station.witness.unclaimed(), verdict.cycles * (PLUGINS as u64 + 1));
        if unclaimed > most {
            verdict
                .complain(format!("{unclaimed} readings arrived that no guest called accepted; the log is not whole"));
        }
        verdict.judge();
        verdict.say("unclaimed", unclaimed);
        verdict.say("seed", self.options.seed);
        verdict.say("messages", self.station.witness.messages());
        verdict.say("commands", self.station.commands.len());
        verdict.say("accepted_per_s", rate);
        verdict.say("hit_uncommitted_frames", self.hits_uncommitted);
        verdict.say("hit_unsynced_commit", self.hits_unsynced_commit);
        verdict.say("hit_ledger", self.hits_of_ledger);
        verdict.say("sync_ms", self.options.sync_ms);
        verdict.say("seconds", self.begun.elapsed().as_secs());
        Ok(self.verdict)
    }
}

/// Batches in some runs, one message a row in the others; the backlog as fast as the window lets it.
fn tables(batched: bool, durability: &str) -> String {
    let bytes = if batched { 4096 } else { 0 };
    format!(
        "[outbox]\ndurability = \"{durability}\"\n[uplink]\nwindow = {WINDOW}\nbacklog_per_s = 5000\n\
         [uplink.batch]\nbytes = {bytes}\ndelay_ms = 100\n"
    )
}

//! A hostile network and a hub with bad days: a script of faults per seed, then calm, and everything must arrive.
//!
//! Faults of the network come from the relay (cuts inside packets, black holes, delay, a trickle, outages), faults of MQTT from
//! the hub (late, reordered, doubled and missing PUBACKs, forgotten sessions, refused connects, kicks, expired tokens). In a
//! third of the seeds the daemon is killed in the middle, in a quarter the disk fails for a while (EIO).

mod script;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use edgeplug_e2e::World;
use edgeplug_test_support::chaos_relay::{ChaosRelay, Script};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::drain::{self, Station};
use crate::load;
use crate::random::Random;
use crate::shim::Shim;
use crate::{Mode, Verdict};
use script::HubScript;

/// How long faults come.
const SCRIPT: Duration = Duration::from_millis(4_000);
/// After the last fault everything must be at rest within this: twice the longest wait for a connect, the longest patience
/// with a silent link and the time to send what gathered, with room for a loaded machine.
const REST_MAX: Duration = Duration::from_secs(30);
const PLUGINS: usize = 4;
const INTERVAL_MS: u64 = 40;
const WINDOW: u64 = 256;
/// Messages that must have come before the first fault: load is flowing then.
const FLOWING: usize = 3;
/// How often progress is said.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many seeds, from the first on.
    pub seeds: u64,
    /// The first one.
    pub seed: u64,
    /// Worlds at one time.
    pub jobs: usize,
    /// Where the devices' disks lie.
    pub disk: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// When something is not built; a broken promise is no error but in the verdict.
pub async fn run(options: &Options) -> anyhow::Result<Verdict> {
    let begun = Instant::now();
    println!("chaos: seeds {} to {}", options.seed, options.seed + options.seeds.saturating_sub(1));
    let tools =
        Arc::new(Tools { shim: Shim::build()?, compiled: load::Compiled::make().await?, disk: options.disk.clone() });
    let room = Arc::new(Semaphore::new(options.jobs));
    let mut worlds = JoinSet::new();
    for seed in options.seed..options.seed + options.seeds {
        let (room, tools) = (Arc::clone(&room), Arc::clone(&tools));
        worlds.spawn(async move {
            let _permit = room.acquire().await?;
            one_seed(seed, &tools).await.with_context(|| format!("seed {seed}"))
        });
    }
    let mut verdict = Verdict { window: WINDOW, ..Verdict::new(Mode::Chaos) };
    let (mut faults, mut kills, mut slowest, mut said) = (0, 0, Duration::ZERO, Instant::now());
    let mut broken_seeds = Vec::new();
    while let Some(world) = worlds.join_next().await {
        let one = world??;
        verdict.cycles += 1;
        faults += one.faults;
        kills += u64::from(one.killed);
        slowest = slowest.max(one.rest);
        if !one.verdict.holds() {
            broken_seeds.push(one.seed);
        }
        let seed = one.seed;
        merge(&mut verdict, one.verdict, seed);
        if said.elapsed() > SAY_EVERY {
            said = Instant::now();
            println!(
                "{:>5} seeds, {faults} faults, {} accepted, broken: {broken_seeds:?}",
                verdict.cycles, verdict.accepted
            );
        }
    }
    verdict.judge();
    verdict.say("seed", options.seed);
    verdict.say("faults", faults);
    verdict.say("kills", kills);
    verdict.say("rest_ms_max", slowest.as_millis() as u64);
    verdict.say("broken_seeds", broken_seeds);
    verdict.say("seconds", begun.elapsed().as_secs());
    Ok(verdict)
}

/// What all worlds share.
struct Tools {
    shim: Shim,
    compiled: load::Compiled,
    disk: Option<PathBuf>,
}

struct One {
    seed: u64,
    verdict: Verdict,
    faults: u64,
    killed: bool,
    /// From the last fault until everything was at rest.
    rest: Duration,
}

async fn one_seed(seed: u64, tools: &Tools) -> anyhow::Result<One> {
    let mut random = Random::new(seed);
    let mut world = World::new(load::world(tools.disk.clone(), &tables(&mut random), Vec::new())).await?;
    world.write_config("token_life_s = 5")?;
    let failing = world.directory().join("disk-fails");
    world.set_environment(tools.shim.failing(&world.state_directory(), &failing));
    let hub = world.cloud.hub().clone();
    let relay = ChaosRelay::start(hub.address().context("the hub listens")?).await?;
    hub.tell_devices(Some(relay.port()));
    let plugins = load::names(PLUGINS);
    tools.compiled.give(&world)?;
    load::drop_plugins(&world, &plugins, INTERVAL_MS)?;
    let mut station = Station::new(&world);
    let mut edgeplug = world.start()?;
    hub.wait_connected(&world.hub_device_id(), REST_MAX).await?;
    world.cloud.recorder().wait_for(|records| records.len() >= FLOWING, REST_MAX).await?;

    let network = Script::from_seed(seed, SCRIPT);
    let mqtt = HubScript::from_seed(random.number(), SCRIPT);
    let kill_at = random.percent(33).then(|| SCRIPT.mul_f64(random.between(10, 90) as f64 / 100.0));
    let disk_at = random.percent(25).then(|| SCRIPT.mul_f64(random.between(10, 80) as f64 / 100.0));
    let disk_time = Duration::from_millis(random.between(20, 600));
    let faults = (network.steps.len() + mqtt.len()) as u64 + u64::from(disk_at.is_some());
    let begun = tokio::time::Instant::now();
    let chaos = relay.chaos();
    let device = world.hub_device_id();
    let player = tokio::spawn(async move {
        tokio::join!(chaos.play(&network), mqtt.play(&hub, &device), fail_disk(&failing, disk_at, disk_time)).2
    });
    let mut cycle = 0;
    for number in 0..4 {
        station.command(&world, &format!("c{number}"));
        let next = begun + SCRIPT.mul_f64(f64::from(number + 1) / 4.0);
        if let Some(kill_at) = kill_at.map(|at| begun + at).filter(|at| cycle == 0 && *at < next) {
            tokio::time::sleep_until(kill_at).await;
            edgeplug.kill().await?;
            station.look(&world, cycle)?;
            cycle += 1;
            edgeplug = world.start()?;
        }
        tokio::time::sleep_until(next).await;
    }
    player.await??;

    let calm = Instant::now();
    load::remove_plugins(&world, &plugins)?;
    let mut verdict = Verdict::new(Mode::Chaos);
    drain::finish(&world, edgeplug, &mut station, cycle, REST_MAX, &mut verdict).await?;
    let rest = calm.elapsed();
    station.tell(&mut verdict);
    // What one crash may send twice is promised per connection; here connections were lost just before it as well.
    verdict.duplicates_per_crash_max = 0;
    verdict.judge();
    if !verdict.holds() {
        keep_log(&world, seed);
    }
    Ok(One { seed, verdict, faults, killed: kill_at.is_some(), rest })
}

/// Writes and syncs of the daemon fail from `at` on for `time`.
async fn fail_disk(failing: &Path, at: Option<Duration>, time: Duration) -> anyhow::Result<()> {
    let Some(at) = at else { return Ok(()) };
    tokio::time::sleep(at).await;
    std::fs::write(failing, "")?;
    tokio::time::sleep(time).await;
    std::fs::remove_file(failing)?;
    Ok(())
}

/// What a broken seed needs to be understood outlives its world.
fn keep_log(world: &World, seed: u64) {
    let to = std::env::temp_dir().join(format!("edgeplug-chaos-{seed}.log"));
    match std::fs::copy(world.log().path(), &to) {
        Ok(_) => println!("seed {seed}: the daemon's log is in {}", to.display()),
        Err(error) => println!("seed {seed}: the daemon's log could not be kept: {error}"),
    }
}

fn merge(all: &mut Verdict, one: Verdict, seed: u64) {
    all.accepted += one.accepted;
    all.delivered += one.delivered;
    all.lost += one.lost;
    all.duplicates += one.duplicates;
    all.corrupt += one.corrupt;
    all.wedged += one.wedged;
    all.double_acks += one.double_acks;
    all.order_violations += one.order_violations;
    for complaint in one.complaints {
        all.complain(format!("seed {seed}: {complaint}"));
    }
}

/// Short patience everywhere, because faults come every few hundred milliseconds; batches in half of the seeds.
fn tables(random: &mut Random) -> String {
    let bytes = if random.percent(50) { 4096 } else { 0 };
    let backlog_per_s = random.between(100, 2_000);
    format!(
        "[uplink]\nwindow = {WINDOW}\nbacklog_per_s = {backlog_per_s}\npuback_timeout_s = 2\n\
         [uplink.batch]\nbytes = {bytes}\ndelay_ms = 100\n[link]\nkeep_alive_s = 2\nretry_max_s = 1\n"
    )
}

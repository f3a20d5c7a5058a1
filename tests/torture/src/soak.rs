//! Load and outages for a long time, compressed: ten seconds up, five down, while memory, files, threads and logs are watched.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use edgeplug_e2e::{Edgeplug, World};
use edgeplug_test_support::chaos_relay::ChaosRelay;

use crate::drain::{self, Station};
use crate::load;
use crate::process::{self, Sample};
use crate::{Mode, Verdict};

const UP: Duration = Duration::from_secs(10);
const DOWN: Duration = Duration::from_secs(5);
/// Ten plugins at ten a second each.
const PLUGINS: usize = 10;
const INTERVAL_MS: u64 = 100;
const WINDOW: u64 = 256;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How often progress is said.
const SAY_EVERY: Duration = Duration::from_secs(15);
/// How long what is left may take at the end.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Growth of resident memory between the second and the last quarter, in MiB: caches and the allocator's habits.
const RSS_GROWTH_MB_MAX: f64 = 6.0;
/// Files of the store and its segments, sockets, inotify, epoll: a few dozen, whatever happened.
const FDS_MAX: u64 = 80;
/// Two workers, the store, the ticker, the watcher and what the runtime starts for blocking calls.
const THREADS_MAX: u64 = 40;
/// Two logs at their limit (8 MiB) and a group.
const WAL_BYTES_MAX: u64 = 24 * 1024 * 1024;

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long.
    pub time: Duration,
    /// Where the device's disk lies.
    pub disk: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// When something is not built or the daemon ends; a broken promise is no error but in the verdict.
pub async fn run(options: &Options) -> anyhow::Result<Verdict> {
    let begun = Instant::now();
    let world = World::new(load::world(options.disk.clone(), &tables(), Vec::new())).await?;
    let relay = ChaosRelay::start(world.cloud.hub().address().context("the hub listens")?).await?;
    world.cloud.hub().tell_devices(Some(relay.port()));
    let plugins = load::names(PLUGINS);
    load::drop_plugins(&world, &plugins, INTERVAL_MS)?;
    let mut station = Station::new(&world);
    let edgeplug = world.start()?;
    world.cloud.hub().wait_connected(&world.hub_device_id(), Duration::from_secs(30)).await?;
    println!("soak: {:?}, {}", options.time, world.directory().display());

    let mut samples = Vec::new();
    let (mut outages, mut said) = (0, Instant::now());
    while begun.elapsed() < options.time {
        watch(&world, &edgeplug, UP, begun, &mut samples).await?;
        outages += 1;
        station.command(&world, &format!("soak-{outages}"));
        // An outage that ends in silence and one that ends with a word take turns.
        if outages % 2 == 0 {
            relay.chaos().black_hole(true);
        } else {
            relay.chaos().refuse(true);
            relay.chaos().cut();
        }
        watch(&world, &edgeplug, DOWN, begun, &mut samples).await?;
        relay.chaos().calm();
        station.look(&world, 0)?;
        if said.elapsed() > SAY_EVERY {
            said = Instant::now();
            let last = samples.last().copied().unwrap_or_default();
            println!(
                "{:>5.0} s, {outages} outages, {} accepted, {} arrived, {last:?}",
                begun.elapsed().as_secs_f64(),
                station.witness.accepted(),
                station.witness.arrived()
            );
        }
    }
    load::remove_plugins(&world, &plugins)?;
    let mut verdict = Verdict { cycles: outages, window: WINDOW, ..Verdict::new(Mode::Soak) };
    drain::finish(&world, edgeplug, &mut station, 0, DRAIN_MAX, &mut verdict).await?;
    station.tell(&mut verdict);
    judge(&samples, &mut verdict);
    // A plugin that is taken away may not get to say its last word.
    let unclaimed = station.witness.unclaimed();
    if unclaimed > PLUGINS as u64 {
        verdict.complain(format!("{unclaimed} readings arrived that no guest called accepted; the log is not whole"));
    }
    verdict.judge();
    Ok(verdict)
}

async fn watch(
    world: &World,
    edgeplug: &Edgeplug,
    time: Duration,
    begun: Instant,
    samples: &mut Vec<Sample>,
) -> anyhow::Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        tokio::time::sleep(SAMPLE_EVERY.min(time)).await;
        let pid = edgeplug.pid().context("the daemon has ended")?;
        samples.push(process::sample(pid, &world.state_directory().join("outbox"), begun.elapsed().as_secs_f64())?);
    }
    Ok(())
}

fn judge(samples: &[Sample], verdict: &mut Verdict) {
    let quarter = samples.len() / 4;
    let part = |from: usize, to: usize| samples.get(from..to).unwrap_or_default();
    let (start, end) = (part(quarter, 2 * quarter), part(3 * quarter, samples.len()));
    let (rss_start, rss_end) = (process::rss_median_mb(start), process::rss_median_mb(end));
    let most = |of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or(0);
    let (fds, threads, wal) =
        (most(|sample| sample.fds), most(|sample| sample.threads), most(|sample| sample.wal_bytes));
    if rss_end - rss_start > RSS_GROWTH_MB_MAX {
        verdict.complain(format!("resident memory grew from {rss_start:.1} to {rss_end:.1} MiB"));
    }
    for (what, found, bound) in
        [("file descriptors", fds, FDS_MAX), ("threads", threads, THREADS_MAX), ("bytes of logs", wal, WAL_BYTES_MAX)]
    {
        if found > bound {
            verdict.complain(format!("{found} {what}, {bound} are the bound"));
        }
    }
    let tenth = |value: f64| (value * 10.0).round() / 10.0;
    verdict.say("rss_mb_start", tenth(rss_start));
    verdict.say("rss_mb_end", tenth(rss_end));
    verdict.say("rss_mb_per_h", tenth(process::rss_slope_mb_per_h(part(quarter, samples.len()))));
    verdict.say("fds_max", fds);
    verdict.say("threads_max", threads);
    verdict.say("wal_bytes_max", wal);
    verdict.say("samples", samples.len());
}

/// Short patience, so that an outage of seconds is one.
fn tables() -> String {
    format!(
        "[uplink]\nwindow = {WINDOW}\nbacklog_per_s = 200\npuback_timeout_s = 3\n[uplink.batch]\nbytes = 4096\ndelay_ms = 200\n\
         [link]\nkeep_alive_s = 2\nretry_max_s = 1\n"
    )
}

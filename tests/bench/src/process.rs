//! The daemon as a process: its size, its start, its memory.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use edgeplug_e2e::{Edgeplug, World, sensors};
use edgeplug_test_support::programs::program;

use crate::figures::median;

pub(crate) const STARTS: usize = 7;
const LONG: Duration = Duration::from_secs(60);
pub(crate) struct Starts {
    pub(crate) reading_ms: f64,
    pub(crate) connected_ms: f64,
}

pub(crate) struct Memory {
    pub(crate) rss_mb: f64,
    pub(crate) anonymous_mb: f64,
}

pub(crate) fn daemon_bytes() -> anyhow::Result<u64> {
    Ok(std::fs::metadata(program("edgeplug")?)?.len())
}

/// Provisioned and compiled once, then started again and again.
pub(crate) async fn starts() -> anyhow::Result<Starts> {
    let world = demo_world().await?;
    let (mut readings, mut connects) = (Vec::new(), Vec::new());
    for number in 0..=STARTS {
        let so_far = world.cloud.recorder().len();
        let begun = Instant::now();
        let edgeplug = world.start()?;
        world.cloud.hub().wait_connections(&world.hub_device_id(), number + 1, LONG).await?;
        let connected = begun.elapsed();
        world.cloud.recorder().wait_for(|records| records.len() > so_far, LONG).await?;
        // The first start provisions and compiles; it warms the others up.
        if number > 0 {
            readings.push(begun.elapsed().as_secs_f64() * 1e3);
            connects.push(connected.as_secs_f64() * 1e3);
        }
        edgeplug.terminate().await?;
    }
    Ok(Starts { reading_ms: median(readings), connected_ms: median(connects) })
}

pub(crate) async fn memory_after_a_minute() -> anyhow::Result<Memory> {
    let world = demo_world().await?;
    let edgeplug = world.start()?;
    world.cloud.recorder().wait_for(|records| !records.is_empty(), LONG).await?;
    // The first start also compiled; what a device carries for months is a start from the cache.
    edgeplug.terminate().await?;
    let edgeplug = world.start()?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let memory = memory_of(&edgeplug)?;
    edgeplug.terminate().await?;
    Ok(memory)
}

async fn demo_world() -> anyhow::Result<World> {
    let world = World::new(sensors::system_sensors(&[])).await?;
    world.drop_plugin(sensors::first_build(&sensors::manifest(1000)))?;
    Ok(world)
}

fn memory_of(edgeplug: &Edgeplug) -> anyhow::Result<Memory> {
    let pid = edgeplug.pid().context("the daemon has ended")?;
    Ok(Memory { rss_mb: status_mb(pid, "VmRSS")?, anonymous_mb: status_mb(pid, "RssAnon")? })
}

/// A figure of `/proc/PID/status` that the kernel gives in KiB, in MiB.
pub(crate) fn status_mb(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line in /proc/PID/status")?;
    let kilobytes: f64 = line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024.0)
}

//! `kill -9` at every step of a firmware update, downloads that are cut at random offsets, and everything a server, a
//! portal, a disk or a file can do wrong.
//!
//! Two devices, one in each protocol, take turns at the cycles and run side by side. In a cycle an update comes: for the device
//! itself (an installer script), for its child (the guest `flasher`), for a plugin (versions of the guest `reload`), or for
//! several of them. Its download is killed and gone on with at random offsets, then the daemon is killed at the step the
//! cycle is about ([`Point`]), and then the next [`Fault`] comes. Judged is by [`Judge`](judge::Judge).
//!
//! What must stay true: every update has its end within two minutes, whatever is killed; nothing is decided by the daemon's word.
//! Its log only tells when to kill.

mod device;
mod fault;
mod judge;
mod log;
mod point;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use edgeplug_cloud::Dialect;
use serde::Serialize;

use device::Device;
use fault::Fault;
use point::Point;

const SAY_EVERY: Duration = Duration::from_secs(15);
const COMPLAINTS_MAX: usize = 20;

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Cycles of both devices.
    pub cycles: u64,
    /// Kills in the middle of a download, spread over all cycles.
    pub resumes: u64,
    /// Of everything random.
    pub seed: u64,
    /// Where the devices' disks lie.
    pub disk: Option<PathBuf>,
}

/// The last line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Updates with a kill of their own; as many with a fault.
    pub cycles: u64,
    /// Ends that the cloud was not told, or told wrong.
    pub missing_acks: u64,
    /// Ends that it was told more than once, or of nothing it had asked.
    pub double_acks: u64,
    /// Files with other bytes than were sent, or that must not be handed over, or "done" without a file.
    pub bad_files_handed_over: u64,
    /// Jobs and files in the staging directories when all is over.
    pub staging_leftovers: u64,
    /// Broken promises in words.
    #[serde(skip)]
    pub complaints: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        let counted = self.missing_acks + self.double_acks + self.bad_files_handed_over + self.staging_leftovers;
        counted == 0 && self.complaints.is_empty()
    }

    fn complain(&mut self, complaint: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint);
        }
    }
}

/// One JSON object on one line.
impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

/// Runs it.
///
/// # Errors
/// When something is not built, a daemon ends by itself, or an update has no end in time; a broken promise is no error but in
/// the verdict.
pub async fn run(options: &Options) -> anyhow::Result<Verdict> {
    println!("ota: seed {}, {} cycles, {} resumes", options.seed, options.cycles, options.resumes);
    let (legacy, v21) = tokio::try_join!(device(options, Dialect::Legacy, 0), device(options, Dialect::V21, 1))?;
    let mut verdict = Verdict { cycles: options.cycles, ..Verdict::default() };
    let resumes = legacy.resumes + v21.resumes;
    println!("{} kills, {resumes} downloads gone on with", legacy.kills + v21.kills);
    if resumes < options.resumes {
        verdict.complain(format!("only {resumes} downloads were gone on with; {} are wanted", options.resumes));
    }
    legacy.finish(&mut verdict).await?;
    v21.finish(&mut verdict).await?;
    Ok(verdict)
}

/// Lets a device do every second cycle, until it is stuck.
async fn device(options: &Options, dialect: Dialect, first: u64) -> anyhow::Result<Device> {
    let mut device = Device::new(dialect, options.seed.wrapping_add(first), options.disk.clone()).await?;
    let mut said = Instant::now();
    for cycle in (first..options.cycles).step_by(2) {
        if let Err(error) = turn(&mut device, cycle, options).await {
            device.stuck = Some(format!("{dialect:?}, cycle {cycle}: {error:#}"));
            break;
        }
        if said.elapsed() > SAY_EVERY {
            said = Instant::now();
            println!("{dialect:?}: cycle {cycle}, {} kills, {} resumes", device.kills, device.resumes);
        }
    }
    Ok(device)
}

/// One cycle.
async fn turn(device: &mut Device, cycle: u64, options: &Options) -> anyhow::Result<()> {
    // The devices take turns, so each point and each fault comes to both.
    let point = *circle(&Point::ALL, cycle / 2).context("there are points")?;
    // One point in eight has none.
    let all = options.resumes * 8 / 7 + 1;
    let resumes = all * (cycle + 1) / options.cycles - all * cycle / options.cycles;
    point::update(device, point, resumes).await.with_context(|| format!("{point:?}"))?;
    for fault in faults(cycle, options.cycles) {
        fault::meet(device, fault).await.with_context(|| format!("{fault:?}"))?;
    }
    Ok(())
}

/// Each fault once in a short run; in a long one each in turn, in both protocols.
fn faults(cycle: u64, cycles: u64) -> Vec<Fault> {
    let count = Fault::ALL.len() as u64;
    if cycles >= 2 * count {
        return circle(&Fault::ALL, cycle / 2).copied().into_iter().collect();
    }
    (count * cycle / cycles..count * (cycle + 1) / cycles)
        .filter_map(|place| circle(&Fault::ALL, place).copied())
        .collect()
}

fn circle<T>(all: &[T], place: u64) -> Option<&T> {
    all.iter().cycle().nth(usize::try_from(place).ok()? % all.len())
}

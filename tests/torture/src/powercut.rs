//! The power goes: between any two operations of the store on its disk, and inside any write, at every sector.
//!
//! First the real outbox is kept busy on a recorded disk ([`driver`]). Then the log is walked: at each cut point the disk is
//! what was synced, and of the rest nothing, everything, a prefix or any sectors, with the names of files ordered as on ext4
//! or each for itself. Every such disk is opened by the real outbox and held against what the driver had been told before.
//!
//! What this cannot see: a disk that lies about a completed sync, and damage to sectors at rest.

mod check;
mod disk;
pub mod driver;
mod log;
mod mark;
mod promise;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::random::Random;
use crate::shim::Shim;
use crate::{Mode, Verdict};
use disk::{Disk, Survives, sectors_inside};
use driver::Profile;
use log::Op;
use mark::Mark;
use promise::Promise;

const PROFILES: [Profile; 3] = [Profile::Roomy, Profile::Tight, Profile::OneFile];
/// How often progress is said.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// Steps after which a small room must be full.
const STEPS_TO_EVICT: u64 = 400;
/// Complaints kept of each kind.
const KEPT: usize = 5;

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Cut points, over all profiles.
    pub cuts: u64,
    /// Steps of the driver on each profile's disk.
    pub steps: u64,
    /// Of everything random.
    pub seed: u64,
    /// This program, which is run again as the driver.
    pub program: PathBuf,
    /// Disks examined at one time.
    pub threads: u64,
    /// Anything but an honest disk must lose rows, or this mode proves nothing.
    pub disk: Honesty,
}

/// What the modelled disk makes of the operations that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honesty {
    /// It does as it was told.
    Honest,
    /// A completed sync counts for nothing.
    LiesAboutSyncs,
    /// Segments are gone long before the store unlinks them.
    LosesSegments,
}

impl Honesty {
    fn treat(self, ops: &mut Vec<Op>) {
        match self {
            Self::Honest => {}
            Self::LiesAboutSyncs => ops.retain(|op| !matches!(op, Op::Sync { .. })),
            Self::LosesSegments => {
                let is_lost = |op: &Op| matches!(op, Op::Unlink { path } if path.ends_with(".db"));
                let lost: Vec<_> = ops.iter().enumerate().filter(|(_, op)| is_lost(op)).map(|(at, _)| at).collect();
                for at in lost {
                    let op = ops.remove(at);
                    ops.insert(at.saturating_sub(TOO_EARLY), op);
                }
            }
        }
    }
}

/// Operations by which a segment is gone too early: a few steps of the driver.
const TOO_EARLY: usize = 300;

/// Runs it.
///
/// # Errors
/// When the shim cannot be built or the driver fails; a broken promise is no error but in the verdict.
pub fn run(options: &Options) -> anyhow::Result<Verdict> {
    let begun = Instant::now();
    let shim = Shim::build()?;
    let mut verdict = Verdict::new(Mode::Powercut);
    let mut totals = Totals::default();
    println!("powercut: seed {}, {} cut points", options.seed, options.cuts);
    for profile in PROFILES {
        let mut ops = record(&shim, profile, options)?;
        options.disk.treat(&mut ops);
        let evictions = ops.iter().filter(|op| matches!(op, Op::Mark(Mark::Evicted(_)))).count();
        let accepted: usize =
            ops.iter().map(|op| if let Op::Mark(Mark::Committed(rows)) = op { rows.len() } else { 0 }).sum();
        println!("{profile:?}: {} operations, {accepted} rows accepted, {evictions} evictions", ops.len());
        ensure!(
            profile == Profile::Roomy || evictions > 0 || options.steps < STEPS_TO_EVICT,
            "nothing was evicted; more steps are needed"
        );
        totals.add(walk(&ops, profile, options, options.cuts.div_ceil(PROFILES.len() as u64))?);
        totals.evictions += evictions as u64;
    }
    verdict.cycles = totals.cuts;
    verdict.accepted = totals.owed;
    verdict.delivered = totals.found;
    verdict.lost = totals.lost;
    verdict.corrupt = totals.corrupt;
    verdict.hit_open_transaction = totals.open;
    for complaint in totals.complaints {
        verdict.complain(complaint);
    }
    if verdict.cycles < options.cuts {
        verdict.complain(format!("only {} cut points were looked at", verdict.cycles));
    }
    if totals.open * 10 < totals.cuts {
        verdict.complain("fewer than a tenth of the cuts hit an open transaction");
    }
    verdict.judge();
    verdict.say("seed", options.seed);
    verdict.say("cut_points", totals.cuts);
    verdict.say("cut_points_possible", totals.possible);
    verdict.say("evictions", totals.evictions);
    verdict.say("removed_and_back", totals.back);
    verdict.say("seconds", begun.elapsed().as_secs());
    Ok(verdict)
}

#[derive(Default)]
struct Totals {
    cuts: u64,
    possible: u64,
    owed: u64,
    found: u64,
    lost: u64,
    corrupt: u64,
    open: u64,
    back: u64,
    evictions: u64,
    complaints: Vec<String>,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.possible += other.possible;
        self.owed += other.owed;
        self.found += other.found;
        self.lost += other.lost;
        self.corrupt += other.corrupt;
        self.open += other.open;
        self.back += other.back;
        self.complaints.extend(other.complaints.into_iter().take(KEPT));
    }
}

/// Runs the driver on a recorded disk.
fn record(shim: &Shim, profile: Profile, options: &Options) -> anyhow::Result<Vec<Op>> {
    let directory = scratch()?;
    let disk = directory.path().canonicalize()?.join("disk");
    std::fs::create_dir(&disk)?;
    let log = directory.path().join("disk.log");
    let name = format!("{profile:?}").to_lowercase();
    let output = Command::new(&options.program)
        .args([
            "driver",
            "--profile",
            &name,
            "--seed",
            &options.seed.to_string(),
            "--steps",
            &options.steps.to_string(),
        ])
        .arg(&disk)
        .envs(shim.record(&disk, &log))
        .output()
        .with_context(|| format!("cannot run {}", options.program.display()))?;
    ensure!(output.status.success(), "the driver failed: {}", String::from_utf8_lossy(&output.stderr));
    log::read(&log)
}

/// In memory where there is such a place: images are made and thrown away by the thousand.
fn scratch() -> anyhow::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(directory) = tempfile::tempdir_in(memory)
    {
        return Ok(directory);
    }
    Ok(tempfile::tempdir()?)
}

/// After operation `op`, or inside it after so many sectors.
#[derive(Clone, Copy)]
struct Point {
    op: usize,
    sectors: Option<u64>,
}

fn points(ops: &[Op]) -> Vec<Point> {
    let mut points = Vec::new();
    for (op, operation) in ops.iter().enumerate() {
        if let Op::Write { offset, data, .. } = operation {
            let inside = sectors_inside(*offset, data.len() as u64);
            points.extend((1..=inside).map(|sectors| Point { op, sectors: Some(sectors) }));
        }
        if !matches!(operation, Op::Mark(_)) {
            points.push(Point { op, sectors: None });
        }
    }
    points
}

/// Half of the cuts evenly over all points, half over those near a change of names or sizes: segments come and go there, which
/// is rare and delicate. Points come again, with another fate, if more are wanted than there are.
fn choose(ops: &[Op], cuts: u64) -> Vec<Point> {
    let all = points(ops);
    let delicate = |op: usize| {
        let near = ops.get(op.saturating_sub(NEAR)..(op + NEAR).min(ops.len())).unwrap_or_default();
        near.iter().any(|op| matches!(op, Op::Create { .. } | Op::Unlink { .. } | Op::Rename { .. }))
    };
    let hot: Vec<Point> = all.iter().filter(|point| delicate(point.op)).copied().collect();
    let spread = |from: &[Point], count: u64| {
        let pick = |cut| from.get(usize::try_from(cut * from.len() as u64 / count.max(1)).ok()?).copied();
        (0..count).filter_map(pick).collect::<Vec<_>>()
    };
    let mut chosen = spread(&hot, cuts / 2);
    chosen.extend(spread(&all, cuts - chosen.len() as u64));
    chosen.sort_by_key(|point| (point.op, point.sectors.unwrap_or(u64::MAX)));
    chosen
}

/// Operations before and after such a change.
const NEAR: usize = 25;

fn walk(ops: &[Op], profile: Profile, options: &Options, cuts: u64) -> anyhow::Result<Totals> {
    let possible = points(ops).len() as u64;
    let points = choose(ops, cuts);
    ensure!(!points.is_empty(), "the driver wrote nothing");
    let done = AtomicU64::new(0);
    let parts = std::thread::scope(|scope| {
        let part = |thread| {
            let (points, done) = (&points, &done);
            scope.spawn(move || walk_part(ops, points, profile, options, thread, done))
        };
        let threads: Vec<_> = (0..options.threads).map(part).collect();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a checker panicked"))));
        joined.collect::<anyhow::Result<Vec<_>>>()
    })?;
    let mut totals = Totals { possible, ..Totals::default() };
    parts.into_iter().for_each(|part| totals.add(part));
    Ok(totals)
}

fn walk_part(
    ops: &[Op],
    points: &[Point],
    profile: Profile,
    options: &Options,
    thread: u64,
    done: &AtomicU64,
) -> anyhow::Result<Totals> {
    let scratch = scratch()?;
    let mut totals = Totals::default();
    let (mut disk, mut promise) = (Disk::default(), Promise::new(profile == Profile::OneFile));
    let mut applied = 0;
    let mut said = Instant::now();
    let numbered = (0_u64..).zip(points.iter().copied());
    for (cut, point) in numbered.skip(usize::try_from(thread)?).step_by(usize::try_from(options.threads)?) {
        while applied < point.op + usize::from(point.sectors.is_none()) {
            if let Some(op) = ops.get(applied) {
                disk.apply(op, None);
                promise.note(op);
            }
            applied += 1;
        }
        let mut random = Random::new(options.seed ^ (cut << 1));
        let fates = [Survives::Nothing, Survives::Everything, Survives::Prefix, Survives::Any];
        let survives = random.pick(&fates).copied().unwrap_or(Survives::Any);
        let strict_names = random.percent(50);
        let torn = ops.get(point.op).zip(point.sectors);
        let image = disk.torn(torn, |disk| {
            totals.open += u64::from(disk.transaction_open());
            disk.image(survives, strict_names, &mut random)
        });
        let evicting = promise.evicting(ops.iter().skip(applied));
        let finding = check::check(&image, &promise, &evicting, profile, scratch.path())?;
        totals.cuts += 1;
        totals.owed += finding.owed;
        totals.found += finding.found;
        totals.lost += finding.lost.len() as u64;
        totals.corrupt += finding.corrupt.len() as u64;
        totals.back += finding.back;
        for words in finding.lost.iter().take(1).chain(finding.corrupt.iter().take(1)) {
            if totals.complaints.len() < KEPT {
                totals.complaints.push(format!(
                    "{profile:?}, cut {cut} after operation {applied}{}, {survives:?} survives, names {}: {words}",
                    point.sectors.map_or(String::new(), |sectors| format!(" and {sectors} sectors")),
                    if strict_names { "strict" } else { "ordered" }
                ));
            }
        }
        let all = done.fetch_add(1, Ordering::Relaxed) + 1;
        if thread == 0 && said.elapsed() > SAY_EVERY {
            said = Instant::now();
            println!("{all:>6} of {} cuts, {} lost, {} corrupt", points.len(), totals.lost, totals.corrupt);
        }
    }
    Ok(totals)
}

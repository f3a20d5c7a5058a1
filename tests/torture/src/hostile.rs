//! Components that try to get through, `tests/fixtures/hostile-*`: `make torture-hostile`.
//!
//! A *wall* is one way through, tried by one component. Each is tried in a run of its own: the plugins adapter in a
//! child process ([`host`]), driven as the daemon drives it, with a neighbour that is asked a hundred times a second,
//! first alone, then beside the attacker; so quiet and attack take turns all through the run, and what else the machine
//! does hits both.
//!
//! Why the adapter and not the whole daemon: every export can be called at once and without a cloud that has to be
//! talked into it, and a run takes two seconds, so that there can be many. What only the session decides (whose
//! acknowledgement it is, what a filter may do to order) is its own tests' business.
//!
//! What must stay true: the judge is another process than the judged, and believes in what it can see from there
//! (canaries, a socket, files, `/proc`) before it believes in a report; an attack that proves nothing (it never ran,
//! nobody refused it) is a breach like one that got through; a fixture without a wall does not compile.
//!
//! Deliberately absent: attacks by who may write into the plugin directory, the cache or the configuration. They are the
//! operator.

mod fixture;
mod host;
mod judge;
mod latency;
mod run;
mod stage;
mod task;
mod verdict;
mod wall;
mod walls;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use edgeplug_test_support::programs;

pub use fixture::Fixture;
pub use host::run as host;
pub use verdict::Verdict;

use judge::{Judgement, judge};
use latency::Latencies;
use run::Shared;
use stage::Stage;
use wall::Wall;

/// The neighbour under attack may take this much longer than alone.
const P99_RATIO_MAX: f64 = 2.0;
/// Calls in a hundred that one attack may push beyond twice the usual 99th percentile. One in a hundred is usual; more
/// than a few are this attack's doing, which the ratio over all attacks could hide.
const SLOW_PERCENT_MAX: usize = 5;
/// Times that an attack which slowed the neighbour is tried again: what the machine did by itself is not there every time,
/// what the attack did is.
const SLOW_RETRIES: usize = 2;
/// What the compiler may take of a bomb. Its own limits would make the run wait for minutes.
const COMPILER_LIMITS: &str = "--cpu-s 8 --memory-mb 512";

/// A run.
#[derive(Clone, Debug)]
pub struct Options {
    /// This program, whose hidden mode is the daemon's side.
    pub program: PathBuf,
    pub which: Which,
    /// How long the neighbour is measured alone, and how long an attack lasts, each time.
    pub alone_ms: u64,
    pub attack_ms: u64,
    /// Whether the neighbour's latency counts. It means little in a program that is not optimised.
    pub judge_latency: bool,
}

/// Which walls are tried.
#[derive(Clone, Debug)]
pub enum Which {
    All,
    /// One of each kind.
    Short,
    /// Those whose name holds this.
    Named(String),
    /// Walls with a hole, every one of which has to be found breached.
    Open,
}

impl Which {
    fn walls(&self) -> Vec<Wall> {
        match self {
            Self::All => walls::all(),
            Self::Short => walls::all().into_iter().filter(|wall| wall.is_short).collect(),
            Self::Named(name) => walls::all().into_iter().filter(|wall| wall.name.contains(name.as_str())).collect(),
            Self::Open => walls::open::walls(),
        }
    }
}

/// Tries every wall; prints a line for each.
///
/// # Errors
/// When something is missing that has to be built, or a stage cannot be set.
pub fn run(options: &Options) -> anyhow::Result<Verdict> {
    let work = tempfile::tempdir()?;
    let shared = Shared {
        program: options.program.clone(),
        compiler: limited_compiler(work.path())?,
        cache: work.path().join("cache"),
        resolver: resolver(work.path())?,
        alone_ms: options.alone_ms,
        attack_ms: options.attack_ms,
    };
    let mut tried = Vec::new();
    for wall in options.which.walls() {
        let outcome = attempt(&wall, &shared)?;
        let Attempt { judgement, attack_us, .. } = &outcome;
        let p99_us = Latencies::from(&attack_us[..]).percentile(99);
        let stands = if judgement.breaches.is_empty() { "stands" } else { "BREACHED" };
        let (name, word, fixture) = (wall.name, format!("{:?}", wall.word), wall.fixture.name());
        println!("{stands:8} {name:34} {word:15} {fixture:22} {}; neighbour p99 {p99_us} us", judgement.seen);
        for breach in &judgement.breaches {
            println!("         {breach}");
        }
        tried.push((wall, outcome));
    }
    ensure!(!tried.is_empty(), "no wall has this name");
    if options.judge_latency {
        let usual_us = usual_us(&tried);
        for (wall, outcome) in &mut tried {
            for _ in 0..SLOW_RETRIES {
                let slow = outcome.slow_percent(usual_us);
                if slow <= SLOW_PERCENT_MAX {
                    break;
                }
                println!(
                    "again    {:34} {slow} % of the neighbour's calls took longer than twice {usual_us} us",
                    wall.name
                );
                *outcome = attempt(wall, &shared)?;
            }
        }
    }
    Ok(verdict(options, &mut tried))
}

/// One wall, tried.
struct Attempt {
    judgement: Judgement,
    alone_us: Vec<u32>,
    attack_us: Vec<u32>,
}

impl Attempt {
    /// Calls of the neighbour, of a hundred, that took more than twice as long as the slowest usually do.
    fn slow_percent(&self, usual_us: u32) -> usize {
        Latencies::from(&self.attack_us[..]).percent_above(2 * usual_us)
    }
}

/// The neighbour's 99th percentile while it was alone.
fn usual_us(tried: &[(Wall, Attempt)]) -> u32 {
    let mut alone = Latencies::default();
    for (_, attempt) in tried {
        alone.add(&attempt.alone_us);
    }
    alone.percentile(99).max(1)
}

fn attempt(wall: &Wall, shared: &Shared) -> anyhow::Result<Attempt> {
    let stage = Stage::set(wall, &shared.cache).with_context(|| format!("the stage of {}", wall.name))?;
    let (mut judgement, report) = match run::run(wall, &stage, shared) {
        Ok(seen) => (judge(wall, &stage, &seen), seen.report),
        Err(error) => {
            let breaches = vec![format!("{error:#}")];
            (Judgement { seen: "no report".to_owned(), breaches, is_quarantined: false }, Default::default())
        }
    };
    // Windows of a second may begin in the middle of one, and every instance begins with a fresh one.
    let seconds = (report.attack_ms + report.stop_ms).div_ceil(1000) + 1 + u64::from(report.ups);
    judgement.breaches.splice(0..0, stage.inspect(wall, seconds)?);
    Ok(Attempt { judgement, alone_us: report.alone_us, attack_us: report.attack_us })
}

fn verdict(options: &Options, tried: &mut [(Wall, Attempt)]) -> Verdict {
    let (mut alone, mut attack) = (Latencies::default(), Latencies::default());
    for (_, attempt) in tried.iter() {
        alone.add(&attempt.alone_us);
        attack.add(&attempt.attack_us);
    }
    let usual_us = usual_us(tried);
    let ratio = f64::from(attack.percentile(99)) / f64::from(usual_us);
    println!(
        "neighbour: alone p50 {} us, p99 {usual_us} us; under attack p50 {} us, p99 {} us",
        alone.percentile(50),
        attack.percentile(50),
        attack.percentile(99)
    );
    let mut complaints = Vec::new();
    for (wall, attempt) in tried.iter_mut() {
        let slow = attempt.slow_percent(usual_us);
        let judgement = &mut attempt.judgement;
        if options.judge_latency && slow > SLOW_PERCENT_MAX {
            judgement.breaches.push(format!("{slow} % of the neighbour's calls took longer than {} us", 2 * usual_us));
        }
        complaints.extend(judgement.breaches.first().map(|breach| format!("{}: {breach}", wall.name)));
    }
    let breached = complaints.len();
    if options.judge_latency && ratio >= P99_RATIO_MAX {
        complaints.push(format!("the neighbour's p99 was {ratio:.2} times what it was alone"));
    }
    Verdict {
        walls: tried.len(),
        breached,
        neighbour_p99_ratio: (ratio * 100.0).round() / 100.0,
        quarantined: tried.iter().filter(|(_, attempt)| attempt.judgement.is_quarantined).count(),
        complaints,
    }
}

/// The compiler as it is, with its limits turned down.
fn limited_compiler(directory: &Path) -> anyhow::Result<PathBuf> {
    let program = programs::program("edgeplug-compiler")?;
    let script = directory.join("compiler");
    fs::write(&script, format!("#!/bin/sh\nexec '{}' \"$@\" {COMPILER_LIMITS}\n", program.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
    Ok(script)
}

/// Built with the C compiler of the machine, as the watched disk is.
fn resolver(directory: &Path) -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/hostile/names.c");
    let library = directory.join("names.so");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(&compiler)
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .output()
        .with_context(|| format!("cannot run {}; install it: apt-get install gcc libc6-dev", compiler.display()))?;
    ensure!(output.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
    Ok(library)
}

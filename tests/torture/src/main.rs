//! `edgeplug-torture MODE`: what `make torture` runs. The last line is the verdict as JSON; the status is 0 only if every
//! promise was kept.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use edgeplug_torture::powercut::Honesty;
use edgeplug_torture::powercut::driver::{self, Profile};
use edgeplug_torture::random::Random;
use edgeplug_torture::{Verdict, backlog, chaos, hostile, kill, ota, powercut, reload, soak};

#[derive(Parser)]
#[command(about = "Puts the promise that nothing is lost to the test")]
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Kill the daemon under load again and again
    Kill {
        #[arg(long, default_value_t = 100)]
        cycles: u64,
        #[arg(long)]
        seed: Option<u64>,
        /// Directory on the disk to be tested
        #[arg(long)]
        dir: Option<PathBuf>,
        /// How much longer each sync takes; 0 is the disk as it is
        #[arg(long, default_value_t = 10)]
        sync_ms: u64,
    },
    /// Cut the power between any two writes of the store
    Powercut {
        #[arg(long, default_value_t = 12_000)]
        cuts: u64,
        #[arg(long, default_value_t = 600)]
        steps: u64,
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Faults of network and hub, from as many seeds
    Chaos {
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// The first seed
        #[arg(long)]
        seed: Option<u64>,
        /// Worlds at one time
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Load and outages for a long time
    Soak {
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// A day's backlog beside live readings
    Backlog {
        /// 86,400 seconds of ten plugins
        #[arg(long, default_value_t = 864_000)]
        rows: u64,
        /// `uplink.backlog_per_s`
        #[arg(long, default_value_t = 2_000)]
        per_s: u32,
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Thousands of new versions of a plugin, some of them bad
    Reload {
        #[arg(long, default_value_t = 10_000)]
        reloads: u64,
        #[arg(long)]
        seed: Option<u64>,
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Firmware updates, killed at every step, cut at random offsets, and with everything that can go wrong
    Ota {
        #[arg(long, default_value_t = 100)]
        cycles: u64,
        /// Downloads that are killed and gone on with
        #[arg(long, default_value_t = 500)]
        resumes: u64,
        #[arg(long)]
        seed: Option<u64>,
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Components that try to get through
    Hostile {
        /// Only walls whose name holds this
        #[arg(long)]
        only: Option<String>,
        /// How long the neighbour is measured alone before each attack
        #[arg(long, default_value_t = 600)]
        alone_ms: u64,
        /// How long each attack lasts
        #[arg(long, default_value_t = 1_000)]
        attack_ms: u64,
    },
    /// The plugins under attack; run by `hostile`
    #[command(hide = true)]
    HostileHost { task: PathBuf },
    /// The store under recorded load; run by `powercut`
    #[command(hide = true)]
    Driver {
        #[arg(long)]
        profile: Profile,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        steps: u64,
        directory: PathBuf,
    },
}

/// A day's backlog that takes longer is not drained but stuck.
const BACKLOG_MAX: Duration = Duration::from_secs(30 * 60);

/// How a mode ended.
struct Found {
    /// Broken promises.
    complaints: Vec<String>,
    /// One JSON object.
    line: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().mode).await {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(Found { complaints, line })) => {
            for complaint in &complaints {
                println!("BROKEN: {complaint}");
            }
            println!("{line}");
            if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(mode: Mode) -> anyhow::Result<Option<Found>> {
    let verdict = match mode {
        Mode::Driver { profile, seed, steps, directory } => {
            tokio::task::spawn_blocking(move || driver::run(&directory, profile, seed, steps)).await??;
            return Ok(None);
        }
        Mode::Reload { reloads, seed, dir } => {
            let options = reload::Options { reloads, seed: seeded(seed), disk: dir, judge_figures: true };
            let verdict = reload::run(&options).await?;
            return Ok(Some(Found { line: verdict.to_string(), complaints: verdict.complaints }));
        }
        Mode::Ota { cycles, resumes, seed, dir } => {
            let verdict = ota::run(&ota::Options { cycles, resumes, seed: seeded(seed), disk: dir }).await?;
            return Ok(Some(Found { line: verdict.to_string(), complaints: verdict.complaints }));
        }
        Mode::Hostile { only, alone_ms, attack_ms } => {
            let program = std::env::current_exe()?;
            let which = only.map_or(hostile::Which::All, hostile::Which::Named);
            let options = hostile::Options { program, which, alone_ms, attack_ms, judge_latency: true };
            let verdict = tokio::task::spawn_blocking(move || hostile::run(&options)).await??;
            return Ok(Some(Found { line: verdict.to_string(), complaints: verdict.complaints }));
        }
        Mode::HostileHost { task } => {
            tokio::task::spawn_blocking(move || hostile::host(&task)).await??;
            return Ok(None);
        }
        Mode::Kill { cycles, seed, dir, sync_ms } => {
            let options = kill::Options {
                cycles,
                seed: seeded(seed),
                disk: dir,
                sync_ms,
                rate_min: 200,
                hits_min_of_1000: 100,
                durability: "power-loss",
            };
            kill::run(&options).await?
        }
        Mode::Powercut { cuts, steps, seed } => {
            let program = std::env::current_exe()?;
            let options =
                powercut::Options { cuts, steps, seed: seeded(seed), program, threads: 2, disk: Honesty::Honest };
            tokio::task::spawn_blocking(move || powercut::run(&options)).await??
        }
        Mode::Chaos { seeds, seed, jobs, dir } => {
            chaos::run(&chaos::Options { seeds, seed: seed.unwrap_or(1), jobs, disk: dir }).await?
        }
        Mode::Soak { minutes, dir } => {
            soak::run(&soak::Options { time: Duration::from_secs_f64(minutes * 60.0), disk: dir }).await?
        }
        Mode::Backlog { rows, per_s, dir } => {
            backlog::run(&backlog::Options { rows, per_s, limit: BACKLOG_MAX, disk: dir }).await?
        }
    };
    Ok(Some(Found::of(verdict)))
}

impl Found {
    fn of(verdict: Verdict) -> Self {
        Self { line: verdict.to_string(), complaints: verdict.complaints }
    }
}

fn seeded(seed: Option<u64>) -> u64 {
    seed.unwrap_or_else(Random::any_seed)
}

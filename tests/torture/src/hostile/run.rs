//! One attack: the daemon's side as a child, watched from outside while it lasts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::stage::Stage;
use super::task::{ATTACK, ATTACKER, Report, Task, Until};
use super::wall::{Ends, Wall};

/// How often the child's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A child that takes longer hangs.
const CHILD_MAX: Duration = Duration::from_secs(150);

/// What all attacks of a run share.
pub(super) struct Shared {
    /// This program.
    pub(super) program: PathBuf,
    pub(super) compiler: PathBuf,
    pub(super) cache: PathBuf,
    /// The preloaded resolver.
    pub(super) resolver: PathBuf,
    pub(super) alone_ms: u64,
    pub(super) attack_ms: u64,
}

/// What the machine says of the child.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Footprint {
    /// Most resident memory before and after the attacker came, in KiB.
    pub(super) rss_kb_alone: u64,
    pub(super) rss_kb: u64,
    pub(super) threads: u64,
    pub(super) descriptors: u64,
    pub(super) virtual_kb: u64,
}

/// How it went.
pub(super) struct Seen {
    pub(super) footprint: Footprint,
    pub(super) report: Report,
}

/// Runs the daemon's side on a stage.
pub(super) fn run(wall: &Wall, stage: &Stage, shared: &Shared) -> anyhow::Result<Seen> {
    let mut policy = BTreeMap::from([(ATTACKER.to_owned(), stage.filled(&wall.allows))]);
    policy.retain(|_, table| !table.is_empty());
    let task = Task {
        stage: stage.root().to_owned(),
        cache: shared.cache.clone(),
        compiler: shared.compiler.clone(),
        policy,
        errand: wall.errand,
        until: match wall.ends {
            Ends::Quarantined => Until::Quarantined,
            Ends::Contained if !wall.words.is_empty() => Until::Said(wall.words.to_owned()),
            _ => Until::Nothing,
        },
        alone_ms: shared.alone_ms,
        attack_ms: shared.attack_ms,
    };
    let file = stage.root().join("task.json");
    fs::write(&file, serde_json::to_vec(&task)?)?;
    let mut child = Command::new(&shared.program)
        .arg("hostile-host")
        .arg(&file)
        .env("LD_PRELOAD", &shared.resolver)
        .env("HOSTILE_NAMES", stage.root().join("names"))
        // What a guest must not see.
        .env("HOSTILE_SECRET", stage.canary())
        .stdin(File::open(stage.root().join("secret/canary"))?)
        .stdout(Stdio::piped())
        .stderr(File::create(stage.root().join("log"))?)
        .spawn()?;
    let seen = watch(&mut child);
    // It has ended, or nobody waits for it any longer.
    let _ = child.kill();
    let status = child.wait()?;
    let (report, footprint) = seen?;
    match report {
        Some(report) if status.success() => Ok(Seen { footprint, report }),
        _ => bail!("the daemon's side ended with {status}: {}", last_words(&stage.root().join("log"))),
    }
}

fn watch(child: &mut Child) -> anyhow::Result<(Option<Report>, Footprint)> {
    let process = child.id();
    let stdout = BufReader::new(child.stdout.take().context("no pipe")?);
    let is_attack = Arc::new(AtomicBool::new(false));
    let reader = {
        let is_attack = Arc::clone(&is_attack);
        std::thread::spawn(move || {
            let mut report = None;
            for line in stdout.lines().map_while(Result::ok) {
                if line == ATTACK {
                    is_attack.store(true, Ordering::Relaxed);
                } else {
                    report = serde_json::from_str(&line).ok();
                }
            }
            report
        })
    };
    let mut footprint = Footprint::default();
    let mut looks = CHILD_MAX.as_millis() / LOOK_EVERY.as_millis();
    while child.try_wait()?.is_none() {
        if let Some(look) = look(process) {
            if is_attack.load(Ordering::Relaxed) {
                footprint.rss_kb = footprint.rss_kb.max(look.rss_kb);
            } else {
                footprint.rss_kb_alone = footprint.rss_kb_alone.max(look.rss_kb);
            }
            footprint.threads = footprint.threads.max(look.threads);
            footprint.descriptors = footprint.descriptors.max(look.descriptors);
            footprint.virtual_kb = footprint.virtual_kb.max(look.virtual_kb);
        }
        looks -= 1;
        if looks == 0 {
            bail!("the daemon's side hangs");
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok((reader.join().unwrap_or_default(), footprint))
}

/// None once it has ended.
fn look(process: u32) -> Option<Footprint> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Footprint {
        rss_kb_alone: 0,
        // The most there ever was, so that nothing is missed between two looks.
        rss_kb: field("VmHWM:")?,
        threads: field("Threads:")?,
        descriptors: fs::read_dir(format!("/proc/{process}/fd")).ok()?.count() as u64,
        virtual_kb: field("VmSize:")?,
    })
}

fn last_words(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

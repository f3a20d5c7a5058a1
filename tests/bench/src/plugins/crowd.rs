//! One to a hundred different plugins, each number in a process of its own: memory is only comparable so.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use edgeplug_test_support::versions::Versions;
use serde_json::{Value, json};

use crate::figures::median;
use crate::guest::Supervised;
use crate::process::status_mb;

/// In the environment of such a process: where the plugins and the cache lie.
pub(crate) const CHILD: &str = "EDGEPLUG_BENCH_CROWD";

/// Calls of each plugin, in turn.
const ROUNDS: u64 = 200;

/// What a crowd costs.
pub(super) struct Row {
    pub(super) plugins: usize,
    pub(super) rss_mb: f64,
    pub(super) anonymous_mb: f64,
    pub(super) virtual_mb: f64,
    pub(super) call_us: f64,
    pub(super) call_us_p99: f64,
    /// From an empty process to all up, divided by their number.
    pub(super) up_ms: f64,
}

impl Row {
    pub(super) fn json(&self) -> Value {
        json!({
            "plugins": self.plugins, "rss_mb": self.rss_mb, "anonymous_mb": self.anonymous_mb, "virtual_mb": self.virtual_mb,
            "call_us": self.call_us, "call_us_p99": self.call_us_p99, "up_ms": self.up_ms,
        })
    }

    fn read(line: &str) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(line)?;
        let figure =
            |name: &str| value.get(name).and_then(Value::as_f64).with_context(|| format!("no {name} in {line}"));
        Ok(Self {
            plugins: figure("plugins")? as usize,
            rss_mb: figure("rss_mb")?,
            anonymous_mb: figure("anonymous_mb")?,
            virtual_mb: figure("virtual_mb")?,
            call_us: figure("call_us")?,
            call_us_p99: figure("call_us_p99")?,
            up_ms: figure("up_ms")?,
        })
    }
}

/// One row for each number. All share a cache, which the largest crowd fills first.
pub(super) fn measure(versions: &Versions, crowds: &[usize]) -> anyhow::Result<Vec<Row>> {
    let scratch = crate::scratch()?;
    let most = crowds.iter().max().copied().unwrap_or(1);
    run(versions, scratch.path(), most)?;
    crowds.iter().map(|crowd| run(versions, scratch.path(), *crowd)).collect()
}

fn run(versions: &Versions, scratch: &Path, plugins: usize) -> anyhow::Result<Row> {
    let directory = scratch.join("plugins");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory)?;
    for number in 0..plugins {
        let component = versions.version(u32::try_from(number)? + 1, 'G');
        std::fs::write(directory.join(format!("plugin-{number}.wasm")), component)?;
    }
    let child = Command::new(std::env::current_exe()?).env(CHILD, scratch).output()?;
    ensure!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let output = String::from_utf8(child.stdout)?;
    Row::read(output.lines().last().context("the child said nothing")?)
}

/// In the process of its own: prints a row.
pub(crate) async fn child(scratch: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut crowd = Supervised::found(scratch).await?;
    let plugins = crowd.names.len();
    let up_ms = begun.elapsed().as_secs_f64() * 1e3 / plugins as f64;
    let mut calls = Vec::new();
    for round in 0..ROUNDS {
        for name in crowd.names.clone() {
            let begun = Instant::now();
            crowd.plugins.sample(&name, round)?;
            crowd.answered().await?;
            calls.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    calls.sort_by(f64::total_cmp);
    let p99 = calls.get(calls.len() * 99 / 100).copied().unwrap_or_default();
    let memory = |name| status_mb(std::process::id(), name);
    let row = Row {
        plugins,
        rss_mb: memory("VmRSS")?,
        anonymous_mb: memory("RssAnon")?,
        virtual_mb: memory("VmSize")?,
        call_us: median(calls),
        call_us_p99: p99,
        up_ms,
    };
    println!("{}", row.json());
    Ok(())
}

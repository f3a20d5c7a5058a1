//! What one component costs, through the daemon's own code: the release compiler in a process of its own, and the plugin
//! runtime with its cache of native code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use edgeplug_plugins::{DeviceInfo, Limits, PluginEvent, Trial, TrialOptions};
use edgeplug_test_support::programs::program;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use wasmtime::component::Component;

use crate::figures::median;
use crate::process::status_mb;

const COMPILES: usize = 3;
pub(crate) const STARTS: usize = 31;
pub(crate) const CALLS: u32 = 2_000;
/// Until the next event: the first compilation of the largest guest, with room for a busy machine.
const EVENT_TIME_MAX: Duration = Duration::from_secs(180);
const STOP_TIME_MAX: Duration = Duration::from_secs(5);
/// Between two looks at the compiler's memory.
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(crate) struct Cost {
    pub(crate) component_bytes: u64,
    pub(crate) native_bytes: u64,
    pub(crate) compile_ms: f64,
    pub(crate) compile_peak_mb: f64,
    pub(crate) load_us: f64,
    pub(crate) start_us: f64,
    pub(crate) up_us: f64,
    pub(crate) first_sample_us: f64,
    pub(crate) sample_us: f64,
    pub(crate) memory_bytes: u64,
}

impl Cost {
    pub(crate) fn json(&self) -> Value {
        json!({
            "component_bytes": self.component_bytes, "native_bytes": self.native_bytes,
            "compile_ms": tenths(self.compile_ms), "compile_peak_mb": tenths(self.compile_peak_mb),
            "load_us": tenths(self.load_us), "start_us": tenths(self.start_us), "up_us": tenths(self.up_us),
            "first_sample_us": tenths(self.first_sample_us), "sample_us": tenths(self.sample_us),
            "memory_bytes": self.memory_bytes,
        })
    }
}

fn tenths(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

pub(crate) async fn measure(component: &Path) -> anyhow::Result<Cost> {
    let scratch = crate::scratch()?;
    let cache = scratch.path().join("cache");
    // Fills the cache, and says so where the component does not run.
    Running::begin(component, &cache, &Limits::default())?.up().await?;
    let artefact = artefact(&cache)?;

    let compiles = (0..COMPILES).map(|_| compile(component));
    let (times, peaks): (Vec<_>, Vec<_>) = compiles.collect::<anyhow::Result<Vec<_>>>()?.into_iter().unzip();
    let engine = edgeplug_engine::engine(edgeplug_engine::EngineKind::Native)?;
    let loads = (0..STARTS).map(|_| load(&engine, &artefact)).collect::<anyhow::Result<_>>()?;

    let (mut ups, mut starts, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        // An instance without memory fails where the other one begins to live: what lies between is the start.
        let no_memory = Limits { memory_mb: 0, ..Limits::default() };
        let loaded_us = Running::begin(component, &cache, &no_memory)?.not_started().await?;
        let mut running = Running::begin(component, &cache, &Limits::default())?;
        let up_us = running.up().await?;
        ups.push(up_us);
        starts.push(up_us - loaded_us);
        firsts.push(running.samples(1).await?);
        running.stop().await;
    }

    let mut running = Running::begin(component, &cache, &Limits::default())?;
    running.up().await?;
    running.samples(1).await?;
    let sample_us = running.samples(CALLS).await?;
    let status = running.trial.plugins().list().pop().context("the plugin has no status")?;
    running.stop().await;
    Ok(Cost {
        component_bytes: std::fs::metadata(component)?.len(),
        native_bytes: std::fs::metadata(&artefact)?.len(),
        compile_ms: median(times),
        compile_peak_mb: median(peaks),
        load_us: median(loads),
        start_us: median(starts),
        up_us: median(ups),
        first_sample_us: median(firsts),
        sample_us,
        memory_bytes: status.memory_bytes_max,
    })
}

/// The plugin in the daemon's runtime.
struct Running {
    trial: Trial,
    events: mpsc::Receiver<PluginEvent>,
    begun: Instant,
}

impl Running {
    fn begin(component: &Path, cache: &Path, limits: &Limits) -> anyhow::Result<Self> {
        let (trial, events) = Trial::start(TrialOptions {
            component: component.to_owned(),
            manifest: None,
            config: BTreeMap::new(),
            root: None,
            allow_network: false,
            compiler: program("edgeplug-compiler")?,
            cache_directory: cache.to_owned(),
            device: DeviceInfo::default(),
            limits: limits.clone(),
            virtual_clock: false,
            faults: BTreeSet::new(),
            span: Duration::ZERO,
        })?;
        // Engine, linker and threads are there; the plugin's own task has just begun.
        Ok(Self { trial, events, begun: Instant::now() })
    }

    /// Microseconds until it could be called.
    async fn up(&mut self) -> anyhow::Result<f64> {
        match self.event().await? {
            PluginEvent::Up { .. } => Ok(self.begun.elapsed().as_secs_f64() * 1e6),
            PluginEvent::Refused { reason, .. } => bail!("the plugin was refused: {reason}"),
            other => bail!("the plugin began with {other:?}"),
        }
    }

    /// Microseconds until it was loaded and could not be started.
    async fn not_started(&mut self) -> anyhow::Result<f64> {
        match self.event().await? {
            PluginEvent::Refused { reason, .. } if reason.contains("does not start") => {
                Ok(self.begun.elapsed().as_secs_f64() * 1e6)
            }
            other => bail!("a plugin without memory began with {other:?}"),
        }
    }

    /// Microseconds that one call took, one after another.
    async fn samples(&mut self, calls: u32) -> anyhow::Result<f64> {
        let begun = Instant::now();
        for call in 0..calls {
            self.trial.plugins().sample(self.trial.plugin(), u64::from(call))?;
            match self.event().await? {
                PluginEvent::Sampled { result, .. } => ensure!(result?.len() == 1, "not one reading"),
                other => bail!("`sample` was answered with {other:?}"),
            }
        }
        Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(calls))
    }

    async fn event(&mut self) -> anyhow::Result<PluginEvent> {
        let event = tokio::time::timeout(EVENT_TIME_MAX, self.events.recv()).await;
        event.context("the plugin says nothing")?.context("the plugin ended")
    }

    async fn stop(self) {
        self.trial.stop(STOP_TIME_MAX).await;
    }
}

/// Milliseconds and the most memory in MiB of one run of the compiler program.
fn compile(component: &Path) -> anyhow::Result<(f64, f64)> {
    let begun = Instant::now();
    let compiler = Command::new(program("edgeplug-compiler")?)
        .env_clear()
        .current_dir("/")
        .stdin(File::open(component)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let pid = compiler.id();
    // What has ended has no memory any more, so the look ends with it.
    let watch = std::thread::spawn(move || {
        let mut peak = 0.0;
        while let Ok(now) = status_mb(pid, "VmHWM") {
            peak = now;
            std::thread::sleep(LOOK_EVERY);
        }
        peak
    });
    let status = compiler.wait_with_output()?.status;
    let ms = begun.elapsed().as_secs_f64() * 1e3;
    ensure!(status.success(), "the compiler ended with {status}");
    let peak = watch.join().map_err(|_| anyhow::anyhow!("the look at the compiler's memory failed"))?;
    Ok((ms, peak))
}

/// The only native code in a cache of one plugin.
fn artefact(cache: &Path) -> anyhow::Result<PathBuf> {
    let paths = std::fs::read_dir(cache)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    let native = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "cwasm");
    paths.into_iter().find(native).context("there is no native code in the cache")
}

/// Microseconds until native code is mapped and ready to be linked.
#[expect(unsafe_code, reason = "loading a precompiled component has no safe form")]
fn load(engine: &wasmtime::Engine, artefact: &Path) -> anyhow::Result<f64> {
    let begun = Instant::now();
    // SAFETY: the cache is our own directory, and our own compiler, built for this engine, filled it just now.
    let component = unsafe { Component::deserialize_file(engine, artefact) }?;
    let us = begun.elapsed().as_secs_f64() * 1e6;
    drop(component);
    Ok(us)
}

//! What the plugin runtime adds to a call: deadline, limits, conversion of the readings, the hop between tasks.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use edgeplug_plugins::{DeviceInfo, Limits, PluginEvent, Plugins, PluginsOptions, Policy};
use edgeplug_test_support::programs::{guest, program};
use tokio::sync::mpsc;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

pub(crate) const ROUNDS: usize = 9;
pub(crate) const CALLS: u32 = 5_000;
const PLUGIN: &str = "ten-readings";

mod guest_world {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "edgeplug:plugin/sensor-plugin",
        exports: { default: async },
    });
}

pub(crate) struct Calls {
    pub(crate) bare_us: f64,
    pub(crate) plugins_us: f64,
    pub(crate) hop_us: f64,
}

impl Calls {
    pub(crate) fn ratio(&self) -> f64 {
        self.plugins_us / self.bare_us
    }
}

/// The three in turn, round by round, so that noise hits them alike.
pub(crate) async fn measure() -> anyhow::Result<Calls> {
    let mut bare = Bare::new().await?;
    let mut runtime = Runtime::new().await?;
    let (mut bare_us, mut plugins_us, mut hop_us) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare_us.push(bare.round().await?);
        plugins_us.push(runtime.round().await?);
        hop_us.push(hops().await?);
    }
    Ok(Calls { bare_us: median(bare_us), plugins_us: median(plugins_us), hop_us: median(hop_us) })
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// wasmtime and nothing else: the same artefact, the same engine, no host behind the imports.
struct Bare {
    store: Store<()>,
    plugin: guest_world::SensorPlugin,
}

impl Bare {
    async fn new() -> anyhow::Result<Self> {
        let engine = edgeplug_engine::engine()?;
        let component = load(&engine, &compile(&guest(PLUGIN)?)?)?;
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component)?;
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let plugin = guest_world::SensorPlugin::instantiate_async(&mut store, &component, &linker).await?;
        Ok(Self { store, plugin })
    }

    async fn round(&mut self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        for _ in 0..CALLS {
            self.store.set_epoch_deadline(1);
            let answer = self.plugin.edgeplug_plugin_sensor().call_sample(&mut self.store).await?;
            let samples = answer.map_err(|reason| anyhow::anyhow!("the guest answered: {reason}"))?;
            ensure!(samples.first().is_some_and(|sample| sample.values.len() == 10), "not ten readings");
        }
        Ok(per_call_us(begun))
    }
}

/// The whole path that the daemon uses.
struct Runtime {
    plugins: Plugins,
    events: mpsc::Receiver<PluginEvent>,
    _directory: tempfile::TempDir,
}

impl Runtime {
    async fn new() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let plugins = directory.path().join("plugins");
        std::fs::create_dir(&plugins)?;
        std::fs::copy(guest(PLUGIN)?, plugins.join(format!("{PLUGIN}.wasm")))?;
        let (plugins, mut events) = Plugins::start(PluginsOptions {
            directory: plugins,
            cache_directory: directory.path().join("cache"),
            compiler: program("edgeplug-compiler")?,
            policy: Policy::default(),
            device: DeviceInfo::default(),
            private_directories: Vec::new(),
            limits: Limits::default(),
        })?;
        loop {
            match tokio::time::timeout(Duration::from_secs(60), events.recv()).await?.context("the plugins ended")? {
                PluginEvent::Up { .. } => break,
                PluginEvent::Refused { reason, .. } => bail!("the guest was refused: {reason}"),
                _ => {}
            }
        }
        Ok(Self { plugins, events, _directory: directory })
    }

    async fn round(&mut self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        for call in 0..CALLS {
            self.plugins.sample(PLUGIN, u64::from(call))?;
            loop {
                match self.events.recv().await.context("the plugins ended")? {
                    PluginEvent::Sampled { result, .. } => {
                        let samples = result?;
                        ensure!(samples.first().is_some_and(|sample| sample.values.len() == 10), "not ten readings");
                        break;
                    }
                    _ => continue,
                }
            }
        }
        Ok(per_call_us(begun))
    }
}

/// There and back between two tasks through two channels: what no runtime with a task per plugin can avoid.
async fn hops() -> anyhow::Result<f64> {
    let (there, mut asked) = mpsc::channel::<u32>(1);
    let (answer, mut back) = mpsc::channel::<u32>(1);
    let echo = tokio::spawn(async move {
        while let Some(number) = asked.recv().await {
            if answer.send(number).await.is_err() {
                break;
            }
        }
    });
    let begun = Instant::now();
    for number in 0..CALLS {
        there.send(number).await?;
        back.recv().await.context("the other task ended")?;
    }
    let us = per_call_us(begun);
    drop(there);
    echo.await?;
    Ok(us)
}

fn per_call_us(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
}

fn compile(component: &Path) -> anyhow::Result<Vec<u8>> {
    let compiler = Command::new(program("edgeplug-compiler")?)
        .stdin(Stdio::from(std::fs::File::open(component)?))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?
        .wait_with_output()?;
    ensure!(compiler.status.success(), "the compiler ended with {}", compiler.status);
    Ok(compiler.stdout)
}

#[expect(unsafe_code, reason = "loading a precompiled component has no safe form")]
fn load(engine: &Engine, artefact: &[u8]) -> anyhow::Result<Component> {
    // SAFETY: the bytes come straight from our own compiler, built for this engine.
    Ok(unsafe { Component::deserialize(engine, artefact) }?)
}

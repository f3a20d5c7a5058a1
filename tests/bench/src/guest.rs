//! The guest of all measurements, `ten-readings`: alone under wasmtime, and through the whole plugin runtime.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use edgeplug_plugins::{DeviceInfo, EngineKind, Limits, PluginEvent, Plugins, PluginsOptions, Policy};
use edgeplug_protocol::sample::Sample;
use edgeplug_test_support::programs::{guest, program};
use tokio::sync::mpsc;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use crate::figures::median;

const PLUGIN: &str = "ten-readings";
pub(crate) const READINGS: usize = 10;
const INSTANTIATIONS: usize = 200;

mod world {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "edgeplug:plugin/sensor-plugin",
        exports: { default: async },
    });
}

use world::edgeplug::plugin::types::{Sample as WireSample, Value as WireValue};

/// wasmtime and nothing else: the same artefact, the same engine, no host behind the imports.
pub(crate) struct Instance {
    store: Store<()>,
    plugin: world::SensorPlugin,
}

impl Instance {
    pub(crate) async fn new(kind: EngineKind) -> anyhow::Result<Self> {
        let engine = edgeplug_engine::engine(kind)?;
        let component = load(&engine, &compile(&guest(PLUGIN)?, kind)?)?;
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component)?;
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let plugin = world::SensorPlugin::instantiate_async(&mut store, &component, &linker).await?;
        Ok(Self { store, plugin })
    }

    /// Microseconds of one instantiation of what is linked and mapped already, the middle one of many.
    pub(crate) async fn instantiate_us() -> anyhow::Result<f64> {
        let engine = edgeplug_engine::engine(EngineKind::Native)?;
        let component = load(&engine, &compile(&guest(PLUGIN)?, EngineKind::Native)?)?;
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component)?;
        let linked = linker.instantiate_pre(&component)?;
        let mut times = Vec::new();
        for _ in 0..INSTANTIATIONS {
            let begun = Instant::now();
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(1);
            linked.instantiate_async(&mut store).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        Ok(median(times))
    }

    /// One call, its readings as they cross the border.
    pub(crate) async fn call(&mut self) -> anyhow::Result<Vec<WireSample>> {
        self.store.set_epoch_deadline(1);
        let answer = self.plugin.edgeplug_plugin_sensor().call_sample(&mut self.store).await?;
        let samples = answer.map_err(|reason| anyhow::anyhow!("the guest answered: {reason}"))?;
        ensure!(samples.first().is_some_and(|sample| sample.values.len() == READINGS), "not ten readings");
        Ok(samples)
    }

    /// One call, its readings as the session takes them.
    pub(crate) async fn sample(&mut self) -> anyhow::Result<Vec<Sample>> {
        self.call().await?.into_iter().map(converted).collect()
    }
}

/// Numbers only: what the guest sends.
fn converted(sample: WireSample) -> anyhow::Result<Sample> {
    let values = sample.values.into_iter().map(|(name, value)| match value {
        WireValue::Number(number) => Ok((name, number.into())),
        other => bail!("the guest sent {other:?}"),
    });
    Ok(Sample { device: None, time: None, values: values.collect::<anyhow::Result<_>>()? })
}

/// The whole plugin runtime of the daemon with some copies of the guest.
pub(crate) struct Supervised {
    pub(crate) plugins: Plugins,
    pub(crate) events: mpsc::Receiver<PluginEvent>,
    pub(crate) names: Vec<String>,
    _directory: Option<tempfile::TempDir>,
}

impl Supervised {
    pub(crate) async fn start(copies: usize) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let plugins = directory.path().join("plugins");
        std::fs::create_dir(&plugins)?;
        for number in 0..copies {
            std::fs::copy(guest(PLUGIN)?, plugins.join(format!("{PLUGIN}-{number}.wasm")))?;
        }
        let found = Self::found(directory.path()).await?;
        Ok(Self { _directory: Some(directory), ..found })
    }

    /// With whatever lies in `plugins` of this directory, and a cache beside it.
    pub(crate) async fn found(directory: &Path) -> anyhow::Result<Self> {
        let files = std::fs::read_dir(directory.join("plugins"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut names: Vec<_> =
            files.iter().filter_map(|file| Some(file.file_stem()?.to_string_lossy().into_owned())).collect();
        names.sort();
        let (plugins, mut events) = Plugins::start(PluginsOptions {
            directory: directory.join("plugins"),
            ota_directory: None,
            cache_directory: directory.join("cache"),
            cache_images: Vec::new(),
            shelf_directory: directory.join("shelf"),
            engine: EngineKind::Native,
            signature: edgeplug_plugins::SignaturePolicy::default(),
            compiler: program("edgeplug-compiler")?,
            policy: Policy::default(),
            device: DeviceInfo::default(),
            private_directories: Vec::new(),
            limits: Limits::default(),
        })?;
        let mut up = 0;
        while up < names.len() {
            match tokio::time::timeout(Duration::from_secs(60), events.recv()).await?.context("the plugins ended")? {
                PluginEvent::Up { .. } => up += 1,
                PluginEvent::Refused { reason, .. } => bail!("the guest was refused: {reason}"),
                _ => {}
            }
        }
        Ok(Self { plugins, events, names, _directory: None })
    }

    /// The next answer of any guest.
    pub(crate) async fn answered(&mut self) -> anyhow::Result<(String, Vec<Sample>)> {
        loop {
            if let PluginEvent::Sampled { plugin, result, .. } =
                self.events.recv().await.context("the plugins ended")?
            {
                return Ok((plugin, result?));
            }
        }
    }

    /// The next answer of `ten-readings`: which plugin, what it read.
    pub(crate) async fn sampled(&mut self) -> anyhow::Result<(String, Vec<Sample>)> {
        let (plugin, samples) = self.answered().await?;
        ensure!(samples.first().is_some_and(|sample| sample.values.len() == READINGS), "not ten readings");
        Ok((plugin, samples))
    }
}

fn compile(component: &Path, kind: EngineKind) -> anyhow::Result<Vec<u8>> {
    let compiler = Command::new(program("edgeplug-compiler")?)
        .args(["--engine", &kind.to_string()])
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

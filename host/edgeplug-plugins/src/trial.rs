//! Runs one component file without a daemon, a directory or a cloud, through the same code as the daemon does: for
//! `edgeplug plugin try` and for tests of plugins.
//!
//! What must stay true: what works here works in the daemon. The differences are those of [`TrialOptions`] and that the
//! plugin gets every right its manifest asks for, the network only on request; they are listed in [`Trial::grants`].
//!
//! Whoever runs it plays the daemon: it calls by [`Trial::plugins`] and answers [`PluginEvent::Offered`] and
//! [`PluginEvent::Asked`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edgeplug_protocol::sample::INTERVAL_MIN;
use edgeplug_protocol::time::Timestamp;
use edgeplug_signature::Provenance;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::directory::{DirectoryGrant, DirectoryRequest};
use crate::event::PluginEvent;
use crate::faults::Faults;
use crate::loader::{Fitting, Loader, NotLoaded, Unfit};
use crate::manifest::Manifest;
use crate::options::{DeviceInfo, Limits, PluginsOptions};
use crate::policy::{PluginPolicy, Policy};
use crate::resolver::Resolver;
use crate::scan::{Candidate, ManifestFailure, check_name, read_manifest};
use crate::shelf::Shelves;
use crate::slot::{Slot, Slots};
use crate::status::Straggler;
use crate::task::{Cargo, Current, Delivery, Ending, Newcomer, Seat, Task};
use crate::voice::cleaned;
use crate::{Built, Plugins, StartError};

/// Everything a trial needs.
#[derive(Clone, Debug)]
pub struct TrialOptions {
    /// The `.wasm` file. The plugin is named after it.
    pub component: PathBuf,
    /// Its manifest; without one the `.toml` file of the same name beside the component, if there is one.
    pub manifest: Option<PathBuf>,
    /// Put over the manifest's `[config]`.
    pub config: BTreeMap<String, String>,
    /// A directory that stands for `/` in everything the plugin reads: a tree of files as some machine has them.
    pub root: Option<PathBuf>,
    /// Whether the plugin may use the network as far as its manifest asks. What it does there is no trial.
    pub allow_network: bool,
    /// The program `edgeplug-compiler`.
    pub compiler: PathBuf,
    /// Where compiled artefacts are kept (0700).
    pub cache_directory: PathBuf,
    pub device: DeviceInfo,
    pub limits: Limits,
    /// The guest's clocks stand still but for [`Trial::advance`] and its own sleeps, which pass at once and count against
    /// its deadline as real ones do.
    pub virtual_clock: bool,
    pub faults: BTreeSet<Fault>,
    /// How long the trial is meant to go on by the guest's clock; [`Fault::ClockJump`] needs to know.
    pub span: Duration,
}

/// What a trial may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Every second read of a file or of hardware answers `other("Input/output error (os error 5)")`.
    Eio,
    /// Every number in a file that is read is replaced by `nan`.
    Nan,
    /// The wall clock is ten years ahead from half of the span on, and back from three quarters on. The monotonic clock
    /// knows nothing of it.
    ClockJump,
}

/// Why a trial cannot be started. What is wrong with the component is a [`PluginEvent::Refused`] instead.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0} cannot be the name of a plugin: {1}")]
    Name(String, String),
    #[error("manifest {path}: {reason}", path = .path.display())]
    Manifest { path: PathBuf, reason: String },
}

/// One plugin on trial. Dropping it cuts the plugin off; [`Trial::stop`] ends it well.
pub struct Trial {
    plugins: Plugins,
    plugin: String,
    interval: Duration,
    grants: Vec<String>,
    clock: Clock,
}

impl Trial {
    /// Begins to load the component, on the tokio runtime of the caller. The first event is [`PluginEvent::Up`] or
    /// [`PluginEvent::Refused`]; after a refusal of the file nothing more comes. The receiver must be drained.
    ///
    /// The plugin's state is empty and its connection down until the caller says otherwise
    /// ([`Plugins::restore_state`], [`Plugins::connection_changed`]).
    pub fn start(options: TrialOptions) -> Result<(Self, mpsc::Receiver<PluginEvent>), TrialError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let TrialOptions { component, manifest, config, root, compiler, cache_directory, device, limits, .. } = options;
        let plugin = component.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        check_name(&plugin).map_err(|reason| TrialError::Name(cleaned(&plugin), reason))?;
        let path = manifest.clone().unwrap_or_else(|| component.with_extension("toml"));
        let candidate = Candidate::at(&component, &path);
        let mut manifest = read(&path, manifest.is_some(), &limits)?;
        manifest.config.extend(config);
        let broken = |fault| options.faults.contains(&fault);
        let clock = Clock::new(options.virtual_clock, broken(Fault::ClockJump).then_some(options.span));
        let faults = Faults::new(broken(Fault::Eio), broken(Fault::Nan));
        let options = PluginsOptions {
            directory: PathBuf::new(),
            ota_directory: None,
            cache_directory,
            cache_images: Vec::new(),
            shelf_directory: PathBuf::new(),
            engine: crate::EngineKind::Native,
            signature: crate::SignaturePolicy::default(),
            compiler,
            policy: everything_asked(&plugin, &manifest, options.allow_network),
            device,
            private_directories: Vec::new(),
            limits,
        };
        let built = Plugins::build(options, clock.clone(), faults, Resolver::system(), root)?;
        let Built { plugins, receiver, loader, shutting_down, .. } = built;
        plugins.restore_state(BTreeMap::new());
        let grants = loader.grants(&plugin, &candidate, &manifest);
        let interval = manifest.interval.max(INTERVAL_MIN);
        let run = Run { plugin: plugin.clone(), candidate, manifest, loader, slots: plugins.slots.clone() };
        let plugins = plugins.kept_by(runtime.spawn(run.run(shutting_down)));
        Ok((Self { plugins, plugin, interval, grants, clock }, receiver))
    }

    /// To call the plugin and to answer it.
    #[must_use]
    pub fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// Its name.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// How often `sample` is called: as its manifest wants, and not more often than the daemon does.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// What it may touch because its manifest asks for it, one sentence each; in the daemon the operator must allow it.
    #[must_use]
    pub fn grants(&self) -> &[String] {
        &self.grants
    }

    /// Moves the guest's clocks on, when they are virtual.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Time since the start by the guest's clock, its own sleeps included.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The guest's wall clock: what a sample without a time of its own was measured at.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets the plugin finish its call and its `lifecycle.stop`; see [`Plugins::stop`].
    pub async fn stop(&self, deadline: Duration) -> Vec<Straggler> {
        self.plugins.stop(deadline).await
    }
}

fn read(path: &Path, must_be_there: bool, limits: &Limits) -> Result<Manifest, TrialError> {
    let failed = |reason: String| TrialError::Manifest { path: path.to_owned(), reason };
    match read_manifest(path) {
        Ok(text) => Manifest::parse(&text, limits).map_err(|reason| failed(cleaned(&reason))),
        Err(ManifestFailure::Missing) if !must_be_there => Ok(Manifest::absent(limits)),
        Err(ManifestFailure::Missing) => Err(failed("there is no such file".to_owned())),
        Err(ManifestFailure::Refused(reason)) => Err(failed(reason)),
        Err(ManifestFailure::Io(error)) => Err(failed(error.to_string())),
    }
}

/// A policy that allows exactly what the manifest asks for, but perhaps for the network.
fn everything_asked(plugin: &str, manifest: &Manifest, allow_network: bool) -> Policy {
    let directory = |asked: &DirectoryRequest| DirectoryGrant { path: asked.path.clone(), write: asked.write };
    let granted = PluginPolicy {
        files: manifest.files.clone(),
        directories: manifest.directories.iter().map(directory).collect(),
        network: if allow_network { manifest.network.clone() } else { Vec::new() },
        environment: manifest.environment.clone(),
        memory_mb: Some(manifest.memory_mb),
        deadline_ms: u64::try_from(manifest.deadline.as_millis()).ok(),
        state_kb: Some(manifest.state_kb),
        cpu_percent: Some(manifest.cpu_percent),
        allow_disconnect: Some(manifest.disconnect),
        ..PluginPolicy::default()
    };
    let source = if allow_network { "the trial" } else { "the trial without --allow-network" };
    Policy { source: source.to_owned(), plugins: BTreeMap::from([(plugin.to_owned(), granted)]) }
}

/// What the keeper does for a directory, for one file that does not change.
struct Run {
    plugin: String,
    candidate: Candidate,
    manifest: Manifest,
    loader: Arc<Loader>,
    slots: Slots,
}

impl Run {
    async fn run(self, mut shutdown: watch::Receiver<Option<Instant>>) -> Vec<Straggler> {
        // A trial leaves nothing behind.
        let shelf = Shelves::Nowhere(None).shelf(&self.plugin, Handle::current());
        let (slot, calls) = Slot::new(&self.plugin, Arc::clone(&shelf));
        self.slots.insert(&self.plugin, Arc::clone(&slot));
        let (deliveries, delivered) = mpsc::channel(1);
        let (ending, ended) = watch::channel(None);
        let (_, orders) = mpsc::channel(1);
        let slot_of_task = Arc::clone(&slot);
        let plugin = self.plugin.clone();
        let seat = Seat { plugin, slot: slot_of_task, calls, deliveries: delivered, orders, ending: ended, shelf };
        let task = Task::new(seat, &self.loader.surroundings, self.loader.limits.clone());
        // Ends with us, however we end.
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run());
        let mut stopping = shutdown.clone();
        tokio::select! {
            biased;
            _ = stopping.wait_for(Option::is_some) => {}
            () = self.load(&slot, deliveries) => {}
        }
        let deadline = shutdown.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
        ending.send_replace(Some(Ending::Shutdown));
        let ended = tokio::time::timeout_at(deadline.unwrap_or_else(Instant::now), tasks.join_next()).await;
        if ended.is_ok() { Vec::new() } else { vec![Straggler { plugin: self.plugin }] }
    }

    async fn load(&self, slot: &Slot, deliveries: mpsc::Sender<Delivery>) {
        let (file, reason, sha256) = match self.fit().await {
            Ok(fitting) => {
                let started = fitting.blueprint.start().await;
                let newcomer = Newcomer { current: Current::new(fitting), started, trial: None, standby: None };
                let (done, verdict) = oneshot::channel();
                let cargo = Cargo::New(Box::new(newcomer));
                let delivery = Delivery { cargo, file: self.candidate.component.clone(), done };
                let _ = deliveries.send(delivery).await;
                let _ = verdict.await;
                return;
            }
            Err(NotLoaded::Refused { file, reason, sha256 }) => (file, reason, sha256),
            Err(NotLoaded::Later { file, reason }) => (file, reason, None),
            Err(NotLoaded::Unsettled) => {
                let reason = "it is missing, or changed while it was read; try again".to_owned();
                (self.candidate.component.clone(), reason, None)
            }
        };
        slot.refuse(&reason);
        let refused = PluginEvent::Refused { plugin: self.plugin.clone(), file, reason, sha256 };
        let _ = self.loader.surroundings.events.send(refused).await;
    }

    async fn fit(&self) -> Result<Fitting, NotLoaded> {
        let file = self.candidate.component.clone();
        let found = self.loader.find_component(&self.candidate, None, self.manifest.clone()).await?;
        let sha256 = Some(found.version.sha256.clone());
        let fitting = self.loader.fit(&self.plugin, &self.candidate, found, Provenance::default()).await;
        fitting.map_err(|unfit| match unfit {
            Unfit::Component(reason) => NotLoaded::Refused { file, reason, sha256 },
            Unfit::Machine(reason) => NotLoaded::Later { file, reason },
        })
    }
}

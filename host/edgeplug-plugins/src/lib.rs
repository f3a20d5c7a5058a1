//! Components in directories become supervised tasks that one can call.
//!
//! The daemon drops nothing in here but calls and gets nothing out but events: [`Plugins`] is the handle, the receiver
//! of [`PluginEvent`] the other half. Inside, `keeper` decides which version of which file runs, `adopt` takes it the way
//! from its files (`loader`) to its `task`, which owns one plugin's living instance and judges new versions (`probation`),
//! `shelf` remembers the last good one, `instance` enters it under a deadline, `host` answers what it calls. Without a
//! directory there are [`Trial`], one file through the same code, and [`inspect`], a look from outside.
//!
//! A version that takes the place of another one comes as [`PluginEvent::Up`] with [`Change::Replaced`]. It is then
//! [`PluginEvent::Confirmed`], once that is on disk, or [`PluginEvent::RolledBack`], which [`Change::RolledBack`] follows.
//! Operators come in by [`Plugins::operate`], updates over the air as files of a second directory (`scan`), after which
//! [`Plugins::trust`] says what becomes of them.
//!
//! What must stay true:
//! * A plugin that loops, allocates, traps or floods delays neither another plugin nor the caller: every call has a
//!   deadline, every store a memory cap, every queue a bound, and no method of [`Plugins`] but `stop`, `operate` and `trust`
//!   waits.
//! * A right needs both the manifest that asks and the policy that allows (`rights`).
//! * A bad file never disturbs the version that runs (`adopt`, `task`), and a bad version gives way to the one before it,
//!   also after the daemon was killed at any moment (`shelf`).
//! * Native code is loaded only from our own cache (`artefact`, the only `unsafe`).
//!
//! Deliberately absent: a code generator. Compiling is the business of `edgeplug-compiler`, a child process.
//!
//! It costs one task per plugin, one thread for ticks (asleep while no guest computes), one per directory for its events,
//! and for calls that compute for long one each and one for what they wait for (`lane`).

mod adopt;
mod artefact;
mod ask;
mod backoff;
mod backtrace;
mod bindings;
mod body;
mod cache;
mod call;
mod clock;
mod compiler;
mod convert;
mod deadline;
mod desk;
mod directory;
mod endpoint;
mod environment;
mod event;
mod faults;
mod figures;
mod files;
mod host;
mod image;
mod inflow;
mod inspect;
mod instance;
mod json;
mod keeper;
mod kept;
mod lane;
mod loader;
mod manifest;
mod meter;
mod network;
mod operate;
mod options;
mod pace;
mod pattern;
mod pending;
mod policy;
mod ports;
mod probation;
mod question;
mod repeats;
mod resolver;
mod rights;
mod scan;
mod scope;
mod shelf;
mod slot;
mod standing;
mod status;
mod tail;
mod task;
mod ticker;
mod trial;
mod voice;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::model::DeviceModel;
use edgeplug_protocol::sample::Sample;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch as watched};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use ask::{Answer, Ask, AskId, Ending, FinishFailure, TwinDocument, TwinFailure};
pub use cache::CacheError;
pub use call::{CallFailure, Command, Connection, DesiredChange, NotReady, Reply, Update};
pub use directory::{DirectoryGrant, DirectoryRequest};
pub use edgeplug_engine::{EngineKind, Exports, Form, Inspection};
pub use edgeplug_signature::{KeyError, SignatureMode, SignaturePolicy, SigningKey};
pub use endpoint::{Endpoint, NotAnEndpoint, Protocol};
pub use environment::{NotAVariable, Variable};
pub use event::{Change, OfferId, PluginEvent, SampleOutcome};
pub use figures::{Bucket, Calls, Figures, Latency};
pub use image::{ImageArtefact, ImageError, compile_for_image};
pub use inspect::{InspectError, inspect};
pub use lane::Lane;
pub use operate::{NotOperated, Operation};
pub use options::{DeviceInfo, Limits, PluginsOptions, Probation};
pub use pattern::{NotAPattern, Pattern};
pub use policy::{PluginPolicy, Policy};
pub use resolver::Resolver;
pub use scope::{CommandScope, FirmwareScope};
pub use status::{Origin, PluginState, PluginStatus, ProbationStatus, SetAside, Source, Straggler, Trust};
pub use tail::{LogLevel, LogLine, LogPage, LogStream};
pub use trial::{Fault, Trial, TrialError, TrialOptions};

use crate::cache::Cache;
use crate::clock::Clock;
use crate::compiler::Compiler;
use crate::desk::Desks;
use crate::faults::Faults;
use crate::host::Surroundings;
use crate::keeper::Keeper;
use crate::kept::Kept;
use crate::lane::Lanes;
use crate::loader::Loader;
use crate::operate::{OPERATIONS_MAX, Operating};
use crate::pending::Pending;
use crate::question::{QUESTIONS_MAX, Question};
use crate::scan::Places;
use crate::slot::{Call, Slots};
use crate::watch::Hints;

/// Events waiting for the daemon. When it is full the plugins wait, which is what should happen to them.
const EVENTS_MAX: usize = 1024;

/// How long a thread may take to let go of a call that was cut off: a tick, and a machine that has little time for it.
const CUT_OFF_MAX: Duration = Duration::from_millis(200);

/// Why the plugins cannot be started at all. Whatever is wrong with one plugin is an event instead.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("plugins need a tokio runtime to run in")]
    NoRuntime,
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("cannot set up the WebAssembly engine: {0}")]
    Engine(String),
    #[error("cannot start the threads that plugins run on")]
    Threads(#[source] io::Error),
}

/// The handle. Dropping it cuts all plugins off; [`Plugins::stop`] ends them well.
pub struct Plugins {
    slots: Slots,
    offers: Pending<Vec<SampleOutcome>>,
    asks: Pending<Answer>,
    kept: Kept,
    desks: Desks,
    lanes: Lanes,
    connection: watched::Sender<Connection>,
    model: watched::Sender<Option<Arc<DeviceModel>>>,
    hints: Arc<Hints>,
    operations: mpsc::Sender<Operating>,
    questions: mpsc::Sender<Question>,
    shutdown: watched::Sender<Option<Instant>>,
    /// Taken by the first `stop`.
    keeper: Mutex<Option<JoinHandle<Vec<Straggler>>>>,
}

/// Everything but the task that decides what runs.
struct Built {
    plugins: Plugins,
    receiver: mpsc::Receiver<PluginEvent>,
    loader: Arc<Loader>,
    operations: mpsc::Receiver<Operating>,
    questions: mpsc::Receiver<Question>,
    shutting_down: watched::Receiver<Option<Instant>>,
}

impl Plugins {
    /// Starts looking at the directories, on the tokio runtime of the caller. The receiver must be drained for as long as
    /// the plugins run; its capacity is bounded and plugins wait for room.
    pub fn start(options: PluginsOptions) -> Result<(Self, mpsc::Receiver<PluginEvent>), StartError> {
        Self::start_with_resolver(options, Resolver::system())
    }

    /// [`Self::start`], with somebody else to say where the names lead that plugins look up.
    pub fn start_with_resolver(
        options: PluginsOptions,
        resolver: Resolver,
    ) -> Result<(Self, mpsc::Receiver<PluginEvent>), StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let places = Places { operator: options.directory.clone(), ota: options.ota_directory.clone() };
        let shelves = options.shelf_directory.clone();
        let limits = options.limits.clone();
        let Built { plugins, receiver, loader, operations, questions, shutting_down } =
            Self::build(options, Clock::system(), Faults::default(), resolver, None)?;
        let keeper = Keeper {
            places,
            shelves,
            limits,
            events: loader.surroundings.events.clone(),
            loader,
            slots: plugins.slots.clone(),
            hints: Arc::clone(&plugins.hints),
            operations,
            questions,
            shutdown: shutting_down,
        };
        Ok((plugins.kept_by(runtime.spawn(keeper.run())), receiver))
    }

    /// `root` stands for `/` in what plugins read.
    fn build(
        options: PluginsOptions,
        clock: Clock,
        faults: Faults,
        resolver: Resolver,
        root: Option<PathBuf>,
    ) -> Result<Built, StartError> {
        let cache = Cache::open(&options.cache_directory, options.cache_images, options.engine)?;
        let engine_failed = |error: wasmtime::Error| StartError::Engine(format!("{error:#}"));
        let engine = edgeplug_engine::engine(options.engine).map_err(engine_failed)?;
        let linker = host::linker(&engine, &clock).map_err(engine_failed)?;
        let lanes = Lanes::start(&engine).map_err(StartError::Threads)?;
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let (shutdown, shutting_down) = watched::channel(None);
        let (operate, operations) = mpsc::channel(OPERATIONS_MAX);
        let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
        let (connection, connection_now) = watched::channel(Connection::Disconnected("not connected yet".to_owned()));
        let (model, model_now) = watched::channel(None);
        let PluginsOptions { directory, ota_directory, cache_directory, shelf_directory, .. } = options;
        let PluginsOptions { compiler, policy, device, mut private_directories, limits, .. } = options;
        let ours = [directory, cache_directory, shelf_directory];
        // A trial has no directory and no shelf.
        let ours = ours.into_iter().chain(ota_directory);
        private_directories.extend(ours.filter(|directory| !directory.as_os_str().is_empty()));
        // Not the events: they end with the last plugin, whether or not the handle lives.
        let plugins = Self {
            slots: Slots::default(),
            offers: Pending::default(),
            asks: Pending::default(),
            kept: Kept::new(),
            desks: Desks::new(clock.clone()),
            lanes: lanes.clone(),
            connection,
            model,
            hints: Arc::default(),
            operations: operate,
            questions: ask,
            shutdown,
            keeper: Mutex::default(),
        };
        let surroundings = Surroundings {
            device,
            connection: connection_now,
            model: model_now,
            offers: plugins.offers.clone(),
            asks: plugins.asks.clone(),
            kept: plugins.kept.clone(),
            desks: plugins.desks.clone(),
            events,
            clock,
            faults,
            resolver,
        };
        let compiler = Compiler {
            program: compiler,
            engine: options.engine,
            portable: false,
            wall_max: limits.compile_wall,
            artefact_bytes_max: limits.artefact_bytes,
        };
        let loader = Loader {
            engine,
            linker,
            lanes,
            cache: Arc::new(cache),
            compiler,
            policy,
            signature: options.signature,
            private_directories,
            root,
            limits,
            surroundings,
            compiling: Loader::semaphore(),
        };
        Ok(Built { plugins, receiver, loader: Arc::new(loader), operations, questions, shutting_down })
    }

    fn kept_by(self, keeper: JoinHandle<Vec<Straggler>>) -> Self {
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        self
    }

    /// Asks a plugin for readings; [`PluginEvent::Sampled`] with the same number answers. Never waits.
    pub fn sample(&self, plugin: &str, call: u64) -> Result<(), NotReady> {
        self.slots.submit(plugin, Call::Sample { call })
    }

    /// Hands a plugin a command; [`PluginEvent::Replied`] with the same number answers. Never waits.
    pub fn command(&self, plugin: &str, call: u64, command: Command) -> Result<(), NotReady> {
        self.slots.submit(plugin, Call::Command { call, command })
    }

    /// Tells a plugin what the cloud wants of the twin; [`PluginEvent::DesiredHandled`] with the same number answers.
    /// Never waits.
    pub fn desired_changed(&self, plugin: &str, call: u64, change: DesiredChange) -> Result<(), NotReady> {
        self.slots.submit(plugin, Call::Desired { call, change })
    }

    /// Hands a plugin a firmware file; [`PluginEvent::Updated`] with the same number answers. The plugin may read the file
    /// until it answered, and when it deferred until it told the end. Never waits.
    pub fn update(&self, plugin: &str, call: u64, update: Update) -> Result<(), NotReady> {
        self.slots.submit(plugin, Call::Update { call, update })
    }

    /// An update that the plugin deferred has its end without the plugin: it may read the file no longer.
    pub fn update_ended(&self, plugin: &str, id: &str) {
        self.desks.end_update(plugin, id);
    }

    /// Has a plugin filter samples; [`PluginEvent::Transformed`] with the same number answers. Never waits.
    pub fn transform(&self, plugin: &str, call: u64, samples: Vec<Sample>) -> Result<(), NotReady> {
        self.slots.submit(plugin, Call::Transform { call, samples })
    }

    /// Tells a plugin what became of the samples it offered, one outcome per sample in their order.
    pub fn answer_offer(&self, offer: OfferId, outcomes: Vec<SampleOutcome>) {
        self.offers.answer(offer.0, outcomes);
    }

    /// Answers a [`PluginEvent::Asked`]. [`Ask::KeepState`] wants its answer even when the plugin is gone meanwhile: what
    /// plugins read is what was answered to be on disk.
    pub fn answer(&self, ask: AskId, answer: Answer) {
        self.kept.end(ask, &answer);
        self.asks.answer(ask.0, answer);
    }

    /// What `device.connected` answers from now on, and what plugins that export `connection-events` are told. A plugin
    /// that is slow hears the latest only.
    pub fn connection_changed(&self, connection: Connection) {
        self.connection.send_if_modified(|now| {
            let is_new = *now != connection;
            *now = connection;
            is_new
        });
    }

    /// What `device.template` answers from now on.
    pub fn template_changed(&self, model: Option<Arc<DeviceModel>>) {
        self.model.send_replace(model);
    }

    /// What plugins kept (`state`), by plugin and key. Until this or [`Plugins::state_unavailable`] is called, who asks for
    /// it waits a while.
    pub fn restore_state(&self, kept: BTreeMap<String, BTreeMap<String, Bytes>>) {
        self.kept.restore(kept);
    }

    /// What plugins kept cannot be read or written for now.
    pub fn state_unavailable(&self, reason: String) {
        self.kept.unavailable(reason);
    }

    /// The newest `max` lines after line number `after` of what the plugin and the daemon said about it; none when there
    /// is no such plugin and was none lately.
    #[must_use]
    pub fn log_tail(&self, plugin: &str, after: u64, max: usize) -> Option<LogPage> {
        self.desks.log_tail(plugin, after, max)
    }

    /// Every plugin with what is known about it, by name.
    #[must_use]
    pub fn list(&self) -> Vec<PluginStatus> {
        let mut plugins = self.slots.list();
        for status in &mut plugins {
            status.figures = self.desks.open(&status.plugin).figures();
        }
        plugins
    }

    /// Restarts a plugin, switches it off or on; answers with what was done, in words. Waits until it is done, for a plugin
    /// in the middle of a call until that ends.
    pub async fn operate(&self, plugin: &str, operation: Operation) -> Result<String, NotOperated> {
        let (done, answer) = oneshot::channel();
        let operating = Operating { plugin: plugin.to_owned(), operation, done };
        self.operations.try_send(operating).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotOperated::Busy,
            mpsc::error::TrySendError::Closed(_) => NotOperated::Stopping,
        })?;
        answer.await.unwrap_or(Err(NotOperated::Stopping))
    }

    /// What became of this component (its hash), which was just put into a directory as `plugin`.wasm. Looks at the
    /// directories, and answers once what lies there is judged: settled, read, compiled and started, or not taken. That may
    /// take minutes, or as long as somebody goes on writing the file.
    ///
    /// After [`Trust::OnProbation`] comes [`PluginEvent::Confirmed`] or [`PluginEvent::RolledBack`] with its hash: under this
    /// name, or, where manifests of others name the component, under each of theirs; the answer is about all of them.
    pub async fn trust(&self, plugin: &str, sha256: &str) -> Trust {
        let (done, answer) = oneshot::channel();
        let question = Question { plugin: plugin.to_owned(), sha256: sha256.to_owned(), done };
        if self.questions.send(question).await.is_err() {
            return Trust::Unknown;
        }
        answer.await.unwrap_or(Trust::Unknown)
    }

    /// Looks at the directory now instead of within the next seconds.
    pub fn rescan(&self) {
        self.hints.hint();
    }

    /// Lets every plugin finish its call and its `lifecycle.stop`, and cuts off what has not ended by the deadline.
    ///
    /// Plugins may still send readings meanwhile: whoever wants them goes on receiving and answering offers while this
    /// runs. A second call finds nothing to stop.
    pub async fn stop(&self, deadline: Duration) -> Vec<Straggler> {
        self.shutdown.send_replace(Some(Instant::now() + deadline));
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stragglers = match keeper {
            Some(keeper) => keeper.await.unwrap_or_default(),
            None => Vec::new(),
        };
        if !self.lanes.are_empty(CUT_OFF_MAX).await {
            tracing::warn!("a plugin that was cut off still holds its thread");
        }
        stragglers
    }
}

impl Drop for Plugins {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }
}

//! Components in a directory become supervised tasks that one can call.
//!
//! The daemon drops nothing in here but calls and gets nothing out but events: [`Plugins`] is the handle, the receiver
//! of [`PluginEvent`] the other half. Inside, `keeper` decides which version of which file runs, `loader` turns files
//! into instances, `task` owns one plugin's living instance, `instance` enters it under a deadline, `host` answers what
//! it calls.
//!
//! What must stay true:
//! * A plugin that loops, allocates, traps or floods delays neither another plugin nor the caller: every call has a
//!   deadline, every store a memory cap, every queue a bound, and no method of [`Plugins`] but `stop` waits.
//! * A right needs both the manifest that asks and the policy that allows (`rights`).
//! * A bad file never disturbs the version that runs (`loader`, `task`).
//! * Native code is loaded only from our own cache (`artefact`, the only `unsafe`).
//!
//! Deliberately absent: a code generator. Compiling is the business of `edgeplug-compiler`, a child process.
//!
//! It costs one task per plugin, one thread for ticks (asleep while no guest runs) and one for directory events.

mod artefact;
mod backoff;
mod bindings;
mod cache;
mod compiler;
mod convert;
mod deadline;
mod event;
mod files;
mod host;
mod instance;
mod keeper;
mod loader;
mod manifest;
mod meter;
mod offers;
mod options;
mod pattern;
mod policy;
mod rights;
mod scan;
mod slot;
mod task;
mod ticker;
mod voice;
mod watch;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch as watched};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use cache::CacheError;
pub use event::{
    CallFailure, Change, Command, CommandOutcome, Exports, NotReady, OfferId, PluginEvent, PluginState, PluginStatus,
    SampleOutcome, Straggler,
};
pub use options::{DeviceInfo, Limits, PluginsOptions};
pub use pattern::{NotAPattern, Pattern};
pub use policy::{PluginPolicy, Policy};

use crate::cache::Cache;
use crate::compiler::Compiler;
use crate::host::Surroundings;
use crate::keeper::Keeper;
use crate::loader::Loader;
use crate::offers::Offers;
use crate::slot::{Call, Slots};
use crate::ticker::Ticker;

/// Events waiting for the daemon. When it is full the plugins wait, which is what should happen to them.
const EVENTS_MAX: usize = 1024;

/// Why the plugins cannot be started at all. Whatever is wrong with one plugin is an event instead.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("plugins need a tokio runtime to run in")]
    NoRuntime,
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("cannot set up the WebAssembly engine: {0}")]
    Engine(String),
    #[error("cannot start the plugin clock")]
    Ticker(#[source] io::Error),
}

/// The handle. Dropping it cuts all plugins off; [`Plugins::stop`] ends them well.
pub struct Plugins {
    slots: Slots,
    offers: Offers,
    connected: Arc<AtomicBool>,
    hint: Arc<Notify>,
    shutdown: watched::Sender<Option<Instant>>,
    /// Taken by the first `stop`.
    keeper: Mutex<Option<JoinHandle<Vec<Straggler>>>>,
}

impl Plugins {
    /// Starts looking at the directory, on the tokio runtime of the caller. The receiver must be drained for as long as
    /// the plugins run; its capacity is bounded and plugins wait for room.
    pub fn start(options: PluginsOptions) -> Result<(Self, mpsc::Receiver<PluginEvent>), StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let cache = Cache::open(&options.cache_directory)?;
        let engine_failed = |error: wasmtime::Error| StartError::Engine(format!("{error:#}"));
        let engine = edgeplug_engine::engine().map_err(engine_failed)?;
        let linker = host::linker(&engine).map_err(engine_failed)?;
        let ticker = Ticker::start(&engine).map_err(StartError::Ticker)?;
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let (shutdown, shutting_down) = watched::channel(None);
        let (slots, offers) = (Slots::default(), Offers::default());
        let connected = Arc::new(AtomicBool::new(false));
        let hint = Arc::new(Notify::new());
        let PluginsOptions { directory, cache_directory, compiler, policy, device, mut private_directories, limits } =
            options;
        private_directories.push(cache_directory);
        let surroundings =
            Surroundings { device, connected: Arc::clone(&connected), offers: offers.clone(), events: events.clone() };
        let compiler =
            Compiler { program: compiler, wall_max: limits.compile_wall, artefact_bytes_max: limits.artefact_bytes };
        let loader = Loader {
            engine,
            linker,
            ticker,
            cache: Arc::new(cache),
            compiler,
            policy,
            private_directories,
            limits: limits.clone(),
            surroundings,
            compiling: Loader::semaphore(),
        };
        let keeper = Keeper {
            directory,
            limits,
            loader: Arc::new(loader),
            slots: slots.clone(),
            events,
            hint: Arc::clone(&hint),
            shutdown: shutting_down,
        };
        let keeper = Mutex::new(Some(runtime.spawn(keeper.run())));
        Ok((Self { slots, offers, connected, hint, shutdown, keeper }, receiver))
    }

    /// Asks a plugin for readings; [`PluginEvent::Sampled`] with the same number answers. Never waits.
    pub fn sample(&self, plugin: &str, call: u64) -> Result<(), NotReady> {
        self.slots.submit(plugin, Call::Sample { call })
    }

    /// Hands a plugin a command; [`PluginEvent::Replied`] with the same number answers. Never waits.
    pub fn command(&self, plugin: &str, call: u64, command: Command) -> Result<(), NotReady> {
        self.slots.submit(plugin, Call::Command { call, command })
    }

    /// Tells a plugin what became of the samples it offered, one outcome per sample in their order.
    pub fn answer_offer(&self, offer: OfferId, outcomes: Vec<SampleOutcome>) {
        self.offers.answer(offer, outcomes);
    }

    /// What `device.connected` answers from now on.
    pub fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    /// Every plugin with what is known about it, by name.
    #[must_use]
    pub fn list(&self) -> Vec<PluginStatus> {
        self.slots.list()
    }

    /// Looks at the directory now instead of within the next seconds.
    pub fn rescan(&self) {
        self.hint.notify_one();
    }

    /// Lets every plugin finish its call and its `lifecycle.stop`, and cuts off what has not ended by the deadline.
    ///
    /// Plugins may still send readings meanwhile: whoever wants them goes on receiving and answering offers while this
    /// runs. A second call finds nothing to stop.
    pub async fn stop(&self, deadline: Duration) -> Vec<Straggler> {
        self.shutdown.send_replace(Some(Instant::now() + deadline));
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        match keeper {
            Some(keeper) => keeper.await.unwrap_or_default(),
            None => Vec::new(),
        }
    }
}

impl Drop for Plugins {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }
}

//! The host side of every import: what happens when a guest calls. This file holds what all interfaces need; each larger
//! one has a file of its own below `host/`.
//!
//! All interfaces are always linked, and WASI with what was granted of it (without a grant no files, network, environment
//! or arguments), so that every component loads; a call without the right for it is refused with a sentence. Where WASI
//! knows nothing but error codes the sentence is in the plugin's log.

mod acks;
mod clocks;
mod device;
mod files;
mod filesystem;
mod firmware_file;
mod hardware;
mod sockets;
mod state;
mod telemetry;
mod twin;
mod wasi;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edgeplug_protocol::model::DeviceModel;
use tokio::sync::{mpsc, watch};
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::ask::{Answer, Ask, AskId};
use crate::bindings::hardware::Hardware;
use crate::bindings::imports::Imports;
use crate::bindings::{config, log, types};
use crate::cache::Lease;
use crate::call::Connection;
use crate::clock::Clock;
use crate::deadline::{Deadline, WAITS_MAX, Waiting};
use crate::desk::{Desk, Desks};
use crate::event::{PluginEvent, SampleOutcome};
use crate::faults::Faults;
use crate::kept::Kept;
use crate::meter::Meter;
use crate::network::Network;
use crate::options::DeviceInfo;
use crate::pace::Pace;
use crate::pending::Pending;
use crate::repeats::Repeats;
use crate::resolver::Resolver;
use crate::rights::Rights;
use crate::tail::{LogLevel, LogStream};
use crate::voice::Voice;

/// How long a guest waits for room among the daemon's events. The daemon takes them within milliseconds or is in trouble.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(30);

/// What every instance of one version of a plugin shares.
pub(crate) struct Guest {
    pub(crate) plugin: String,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) rights: Rights,
    /// What it may keep.
    pub(crate) state_bytes_max: usize,
    /// Shared by all versions.
    pub(crate) desk: Arc<Desk>,
    pub(crate) surroundings: Surroundings,
    /// Refusals that were said. A new version is told anew, as its rights may be others.
    pub(crate) refusals: Mutex<Repeats>,
    /// Its native code stays in the cache while it runs.
    pub(crate) _artefact: Lease,
}

/// What all plugins share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) device: DeviceInfo,
    pub(crate) connection: watch::Receiver<Connection>,
    /// What the cloud last said about the device.
    pub(crate) model: watch::Receiver<Option<Arc<DeviceModel>>>,
    pub(crate) offers: Pending<Vec<SampleOutcome>>,
    pub(crate) asks: Pending<Answer>,
    pub(crate) kept: Kept,
    pub(crate) desks: Desks,
    pub(crate) events: mpsc::Sender<PluginEvent>,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) resolver: Resolver,
}

/// The data of one store: one instance from its start to its end.
pub(crate) struct State {
    guest: Arc<Guest>,
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) meter: Meter,
    pub(crate) voice: Voice,
    network: Arc<Network>,
    /// What was granted and could not be had, in sentences.
    pub(crate) problems: Vec<String>,
    /// Of what nobody waits for.
    pace: Pace,
    /// Of the call under way.
    pub(crate) deadline: Deadline,
}

/// A linker with everything in it; one serves all plugins. With a clock that is moved by hand sleeping guests do not
/// wait.
pub(crate) fn linker(engine: &Engine, clock: &Clock) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Imports::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut State| state)?;
    Hardware::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut State| state)?;
    filesystem::replace(&mut linker)?;
    sockets::replace(&mut linker)?;
    if clock.is_virtual() {
        clocks::replace(&mut linker)?;
    }
    Ok(linker)
}

impl Guest {
    fn asked(&self, ask: AskId, request: Ask) -> PluginEvent {
        PluginEvent::Asked { plugin: self.plugin.clone(), ask, request }
    }

    /// Says why something is not done that the guest has no right to.
    pub(crate) fn refuse(&self, voice: &Voice, reason: &str) {
        self.desk.book.refused();
        self.complain(voice, reason);
    }

    /// Says what is wrong with what the guest does or gives; not at each try, as most plugins try again with every reading.
    pub(crate) fn complain(&self, voice: &Voice, reason: &str) {
        let now = self.surroundings.clock.elapsed();
        let words = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).say(reason, now);
        if let Some(words) = words {
            voice.say(LogLevel::Warn, LogStream::Host, &words);
        }
    }

    /// Hands an event to the daemon, with patience while it has no room.
    async fn tell(&self, event: PluginEvent) -> Result<(), String> {
        match tokio::time::timeout(ROOM_WAIT_MAX, self.surroundings.events.reserve()).await {
            Ok(Ok(room)) => {
                room.send(event);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err("the daemon takes nothing at the moment".to_owned()),
        }
    }
}

impl State {
    /// Opens what was granted, off the runtime.
    pub(crate) async fn new(guest: Arc<Guest>, memory_mb: u32) -> Self {
        let voice = Voice::new(&guest.plugin, Arc::clone(&guest.desk));
        let network = Arc::new(Network::new(&guest, &voice));
        let (wasi, problems) = wasi::context(&guest, &voice, &network).await;
        for problem in &problems {
            guest.complain(&voice, problem);
        }
        let deadline = Deadline::start(Duration::ZERO);
        let (table, meter, pace) = (ResourceTable::new(), Meter::new(memory_mb), acks::pace());
        Self { guest, wasi, table, meter, voice, network, problems, pace, deadline }
    }

    /// Asks the daemon and waits for its answer; the error says in words why there is none.
    async fn ask(&mut self, request: Ask) -> wasmtime::Result<Result<Answer, String>> {
        let _waiting = self.wait()?;
        let mut question = self.guest.surroundings.asks.open();
        Ok(match self.guest.tell(self.guest.asked(AskId(question.number), request)).await {
            Ok(()) => (&mut question.answer).await.map_err(|_| "the daemon stops".to_owned()),
            Err(reason) => Err(reason),
        })
    }

    /// Says why something is not done that the guest has no right to.
    pub(crate) fn refuse(&self, reason: &str) {
        self.guest.refuse(&self.voice, reason);
    }

    /// Says what is wrong with what the guest gives.
    pub(crate) fn complain(&self, reason: &str) {
        self.guest.complain(&self.voice, reason);
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.guest.desk
    }

    /// The guest waits for us from here on; one that does so without end is trapped.
    fn wait(&self) -> wasmtime::Result<Waiting> {
        self.deadline.wait().ok_or_else(|| {
            wasmtime::Error::msg(format!("it called host functions that wait more than {WAITS_MAX} times in one call"))
        })
    }
}

/// An answer to something else than was asked is a mistake of the daemon.
fn another_answer(answer: &Answer) -> String {
    tracing::error!(?answer, "a plugin's question got the answer to another one; please report this");
    "the daemon gave the answer to another question".to_owned()
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for State {}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.voice.say(level, LogStream::Log, &message);
    }
}

impl config::Host for State {
    fn get(&mut self, key: String) -> Option<String> {
        self.guest.config.get(&key).cloned()
    }

    fn all(&mut self) -> Vec<(String, String)> {
        self.guest.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

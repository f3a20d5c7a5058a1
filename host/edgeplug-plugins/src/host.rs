//! The host side of every import: what happens when a guest calls.
//!
//! All interfaces are always linked, and WASI with an empty context (no files, network, environment or arguments), so
//! that every component loads; a call without the right for it is refused with a sentence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::{config, device, files, imports, log, telemetry, types};
use crate::cache::Lease;
use crate::convert;
use crate::deadline::{Deadline, WAITS_MAX, Waiting};
use crate::event::{PluginEvent, SampleOutcome};
use crate::files::FileError;
use crate::meter::Meter;
use crate::offers::Offers;
use crate::options::DeviceInfo;
use crate::rights::Rights;
use crate::voice::{Level, Stream, Voice};

/// How long a guest waits for room among the daemon's events. The daemon takes them within milliseconds or is in trouble.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(30);

/// Random bytes a guest may draw at once; keys are far shorter.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// What every instance of one version of a plugin shares.
pub(crate) struct Guest {
    pub(crate) plugin: String,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) rights: Rights,
    pub(crate) surroundings: Surroundings,
    /// Its native code stays in the cache while it runs.
    pub(crate) _artefact: Lease,
}

/// What all plugins share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) device: DeviceInfo,
    pub(crate) connected: Arc<AtomicBool>,
    pub(crate) offers: Offers,
    pub(crate) events: mpsc::Sender<PluginEvent>,
}

/// The data of one store: one instance from its start to its end.
pub(crate) struct State {
    guest: Arc<Guest>,
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) meter: Meter,
    pub(crate) voice: Voice,
    /// Of the call under way.
    pub(crate) deadline: Deadline,
}

/// A linker with everything in it; one serves all plugins.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    imports::Imports::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut State| state)?;
    Ok(linker)
}

impl State {
    pub(crate) fn new(guest: Arc<Guest>, memory_mb: u32) -> Self {
        let voice = Voice::new(&guest.plugin);
        let wasi = WasiCtx::builder()
            .stdout(voice.stream(Stream::Output))
            .stderr(voice.stream(Stream::Error))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES_MAX)
            .build();
        let deadline = Deadline::start(Duration::ZERO);
        Self { guest, wasi, table: ResourceTable::new(), meter: Meter::new(memory_mb), voice, deadline }
    }
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
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.voice.say(level, &message);
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

impl device::Host for State {
    fn info(&mut self) -> device::Identity {
        device::Identity { unique_id: self.guest.surroundings.device.unique_id.clone() }
    }

    fn connected(&mut self) -> bool {
        self.guest.surroundings.connected.load(Ordering::Relaxed)
    }
}

impl telemetry::Host for State {
    async fn send(&mut self, samples: Vec<types::Sample>) -> wasmtime::Result<Vec<telemetry::Outcome>> {
        if let Err(reason) = convert::check_list(&samples) {
            return Ok(vec![telemetry::Outcome::Rejected(reason); samples.len()]);
        }
        let (taken, refused): (Vec<_>, Vec<_>) = samples
            .into_iter()
            .map(|sample| match convert::sample(sample) {
                Ok(sample) => (Some(sample), None),
                Err(reason) => (None, Some(reason)),
            })
            .unzip();
        let taken: Vec<_> = taken.into_iter().flatten().collect();
        let mut answers = if taken.is_empty() { Vec::new() } else { self.offer(taken).await? }.into_iter();
        let outcomes = refused.into_iter().map(|refused| match refused {
            Some(reason) => telemetry::Outcome::Rejected(reason),
            None => match answers.next() {
                Some(SampleOutcome::Accepted) => telemetry::Outcome::Accepted,
                Some(SampleOutcome::Rejected(reason)) => telemetry::Outcome::Rejected(reason),
                None => telemetry::Outcome::Rejected("the store did not confirm it".to_owned()),
            },
        });
        Ok(outcomes.collect())
    }
}

impl State {
    /// Hands samples to the daemon and waits for their fate. Once they are handed over only the daemon knows it, so
    /// there is no giving up but by the end of the whole call, which promises nothing.
    async fn offer(&mut self, samples: Vec<edgeplug_protocol::sample::Sample>) -> wasmtime::Result<Vec<SampleOutcome>> {
        let _waiting = self.wait()?;
        let surroundings = &self.guest.surroundings;
        let count = samples.len();
        let mut offer = surroundings.offers.open();
        let offered = PluginEvent::Offered { plugin: self.guest.plugin.clone(), offer: offer.id, samples };
        let Ok(Ok(room)) = tokio::time::timeout(ROOM_WAIT_MAX, surroundings.events.reserve()).await else {
            return Ok(vec![SampleOutcome::Rejected("the daemon takes nothing at the moment".to_owned()); count]);
        };
        room.send(offered);
        Ok((&mut offer.answer).await.unwrap_or_default())
    }
}

impl files::Host for State {
    async fn read(&mut self, path: String) -> wasmtime::Result<Result<Vec<u8>, files::Error>> {
        self.blocking(move |rights| crate::files::read(rights, &path)).await
    }

    async fn find(&mut self, pattern: String) -> wasmtime::Result<Result<Vec<String>, files::Error>> {
        self.blocking(move |rights| crate::files::find(rights, &pattern)).await
    }
}

impl State {
    /// A sensor file may take its driver a second to read; that must not hold up the executor, nor count as the
    /// guest's own time.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Rights) -> Result<T, FileError> + Send + 'static,
    ) -> wasmtime::Result<Result<T, files::Error>> {
        let _waiting = self.wait()?;
        let guest = Arc::clone(&self.guest);
        Ok(match tokio::task::spawn_blocking(move || work(&guest.rights)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(FileError::Denied(reason))) => {
                self.voice.say(Level::Warn, &reason);
                Err(files::Error::Denied(reason))
            }
            Ok(Err(FileError::NotFound)) => Err(files::Error::NotFound),
            Ok(Err(FileError::TooLarge(limit))) => Err(files::Error::TooLarge(limit)),
            Ok(Err(FileError::Other(reason))) => Err(files::Error::Other(reason)),
            Err(error) => Err(files::Error::Other(error.to_string())),
        })
    }

    /// The guest waits for us from here on; one that does so without end is trapped.
    fn wait(&self) -> wasmtime::Result<Waiting> {
        self.deadline.wait().ok_or_else(|| {
            wasmtime::Error::msg(format!("it called `telemetry` and `files` more than {WAITS_MAX} times in one call"))
        })
    }
}

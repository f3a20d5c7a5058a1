//! One version of a plugin, ready to be instantiated, and one living instance of it.
//!
//! What must stay true: every way into the guest goes through a deadline and keeps the ticker running meanwhile; after
//! a trap or an overrun the instance is dead and is never entered again; every text of a guest (answers, errors, traps
//! with the names of its functions) leaves as one line of bounded length, because it ends up in logs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::backtrace;
use crate::bindings::{commands, connection_events, firmware, twin_events, types};
use crate::call::{CallFailure, Command, Connection, DesiredChange, Reply, Update};
use crate::convert::{self, to_guest};
use crate::deadline::Deadline;
use crate::host::{Guest, State};
use crate::ports::{Indices, Ports};
use crate::status::Exports;
use crate::ticker::Ticker;
use crate::voice::{cleaned, told};

/// Bytes a guest may move to the host in one call; bounds what a list of overlapping strings can blow up to.
const TRANSFER_BYTES_MAX: usize = 16 << 20;
/// Handles to host resources (streams, pollables) one instance may hold.
const HANDLES_MAX: usize = 1000;
/// Setting up may take longer than a call: at least this.
const START_DEADLINE_MIN: Duration = Duration::from_secs(5);
/// Bytes of state handed from one version to the next (`wit/exports.wit`, `lifecycle`).
const SAVED_BYTES_MAX: usize = 1 << 20;

/// A component that was loaded, linked and found to fit.
pub(crate) struct Blueprint {
    pub(crate) exports: Exports,
    engine: Engine,
    ticker: Ticker,
    pre: InstancePre<State>,
    indices: Indices,
    guest: Arc<Guest>,
    memory_mb: u32,
    deadline: Duration,
}

/// One instance with its memory.
pub(crate) struct Instance {
    store: Store<State>,
    ticker: Ticker,
    ports: Ports,
    deadline: Duration,
    dead: bool,
}

impl Blueprint {
    /// Links the component, or says what does not fit.
    pub(crate) fn new(
        linker: &Linker<State>,
        ticker: &Ticker,
        component: &Component,
        guest: Guest,
        memory_mb: u32,
        deadline: Duration,
    ) -> Result<Self, String> {
        // `inspect` has looked before and explains better; what still fails here is for whoever reports it.
        let pre = linker.instantiate_pre(component).map_err(|error| format!("it does not link: {error:#}"))?;
        let indices = Indices::find(&pre);
        let exports = indices.exports();
        Ok(Self {
            exports,
            engine: linker.engine().clone(),
            ticker: ticker.clone(),
            pre,
            indices,
            guest: Arc::new(guest),
            memory_mb,
            deadline,
        })
    }

    /// Instantiates and runs `lifecycle.start`.
    pub(crate) async fn start(&self) -> Result<Instance, CallFailure> {
        let mut store = Store::new(&self.engine, State::new(Arc::clone(&self.guest), self.memory_mb));
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(TRANSFER_BYTES_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        store.epoch_deadline_callback(|store| {
            let goes_on = store.data().deadline.charge_tick();
            Ok(if goes_on { UpdateDeadline::Yield(1) } else { UpdateDeadline::Interrupt })
        });
        let mut instance = Instance {
            store,
            ticker: self.ticker.clone(),
            ports: Ports::default(),
            deadline: self.deadline,
            dead: false,
        };
        let call = instance.begin(instance.start_deadline());
        let made = race(&call, self.pre.instantiate_async(&mut instance.store)).await;
        let made = instance.judge(made)?;
        let loaded = |error: wasmtime::Error| CallFailure::Trapped(cleaned(&format!("{error:#}")));
        instance.ports = self.indices.load(&mut instance.store, &made).map_err(loaded)?;
        let call = instance.begin(instance.start_deadline());
        if let Some(lifecycle) = &instance.ports.lifecycle {
            let started = race(&call, lifecycle.edgeplug_plugin_lifecycle().call_start(&mut instance.store)).await;
            instance.judge(started)?.map_err(said)?;
        }
        Ok(instance)
    }
}

impl Instance {
    /// Calls `sensor.sample`. What the guest returns is checked sample by sample; a bad one is logged and left out.
    pub(crate) async fn sample(&mut self) -> Result<Vec<Sample>, CallFailure> {
        let call = self.begin(self.deadline);
        let port = self.ports.sensor.as_ref().ok_or(CallFailure::Gone)?;
        let result = race(&call, port.edgeplug_plugin_sensor().call_sample(&mut self.store)).await;
        let samples = self.judge(result)?.map_err(said)?;
        convert::check_list(&samples).map_err(CallFailure::Error)?;
        let state = self.store.data();
        let checked = samples.into_iter().filter_map(|sample| {
            convert::sample(sample).inspect_err(|reason| state.refuse(&format!("a sample was left out: {reason}"))).ok()
        });
        Ok(checked.collect())
    }

    /// Calls `commands.handle`.
    pub(crate) async fn command(&mut self, command: Command) -> Result<Reply, CallFailure> {
        let call = self.begin(self.deadline);
        let port = self.ports.commands.as_ref().ok_or(CallFailure::Gone)?;
        let Command { id, text, device } = command;
        let command = commands::exports::edgeplug::plugin::commands::Command { id, text, device };
        let result = race(&call, port.edgeplug_plugin_commands().call_handle(&mut self.store, &command)).await;
        self.judge(result)?.map(reply).map_err(said)
    }

    /// Calls `twin-events.desired-changed`.
    pub(crate) async fn desired_changed(&mut self, change: DesiredChange) -> Result<(), CallFailure> {
        let call = self.begin(self.deadline);
        let port = self.ports.twin_events.as_ref().ok_or(CallFailure::Gone)?;
        let DesiredChange { version, complete, desired } = change;
        let change = twin_events::exports::edgeplug::plugin::twin_events::Change { version, complete, desired };
        let result = race(&call, port.edgeplug_plugin_twin_events().call_desired_changed(&mut self.store, &change));
        let result = result.await;
        self.judge(result)?.map_err(said)
    }

    /// Calls `connection-events.changed`.
    pub(crate) async fn connection_changed(&mut self, connection: Connection) -> Result<(), CallFailure> {
        use connection_events::exports::edgeplug::plugin::connection_events::Connection as Wire;
        let call = self.begin(self.deadline);
        let port = self.ports.connection_events.as_ref().ok_or(CallFailure::Gone)?;
        let connection = match connection {
            Connection::Connected => Wire::Connected,
            Connection::Disconnected(reason) => Wire::Disconnected(reason),
        };
        let result = race(&call, port.edgeplug_plugin_connection_events().call_changed(&mut self.store, &connection));
        let result = result.await;
        self.judge(result)
    }

    /// Calls `firmware.update`. The file is readable from here on; the caller says when no longer.
    pub(crate) async fn update(&mut self, update: Update) -> Result<Reply, CallFailure> {
        let call = self.begin(self.deadline);
        let port = self.ports.firmware.as_ref().ok_or(CallFailure::Gone)?;
        let Update { id, device, name, version, size, sha256, file: _ } = update;
        let request =
            firmware::exports::edgeplug::plugin::firmware::Request { id, device, name, version, size, sha256 };
        let result = race(&call, port.edgeplug_plugin_firmware().call_update(&mut self.store, &request)).await;
        self.judge(result)?.map(reply).map_err(said)
    }

    /// Calls `transform.process`. One bad sample is an error of all, so that nothing is lost by a transformation. A moment
    /// that the guest left as it was keeps the text it came with.
    pub(crate) async fn transform(&mut self, samples: Vec<Sample>) -> Result<Vec<Sample>, CallFailure> {
        let wire = samples.iter().map(to_guest::sample).collect::<Result<Vec<_>, _>>().map_err(CallFailure::Error)?;
        let call = self.begin(self.deadline);
        let port = self.ports.transform.as_ref().ok_or(CallFailure::Gone)?;
        let result = race(&call, port.edgeplug_plugin_transform().call_process(&mut self.store, &wire)).await;
        let processed = self.judge(result)?.map_err(said)?;
        convert::check_list(&processed).map_err(CallFailure::Error)?;
        let given: HashMap<_, _> =
            samples.iter().flat_map(|sample| &sample.time).map(|time| (time.unix_ms(), time)).collect();
        processed
            .into_iter()
            .map(|sample| {
                let mut sample = convert::sample(sample).map_err(CallFailure::Error)?;
                if let Some(time) = &mut sample.time
                    && let Some(as_given) = given.get(&time.unix_ms())
                {
                    time.clone_from(as_given);
                }
                Ok(sample)
            })
            .collect()
    }

    /// Calls `lifecycle.save-state`, if there is one; an empty list is nothing.
    pub(crate) async fn save_state(&mut self) -> Result<Vec<u8>, CallFailure> {
        let call = self.begin(self.deadline);
        let Some(port) = &self.ports.lifecycle else {
            return Ok(Vec::new());
        };
        let result = race(&call, port.edgeplug_plugin_lifecycle().call_save_state(&mut self.store)).await;
        let saved = self.judge(result)?.map_err(said)?;
        if saved.len() > SAVED_BYTES_MAX {
            let message = format!("{} bytes of state; at most {SAVED_BYTES_MAX} are handed over", saved.len());
            return Err(CallFailure::Error(message));
        }
        Ok(saved)
    }

    /// Calls `lifecycle.restore-state`.
    pub(crate) async fn restore_state(&mut self, saved: Vec<u8>) -> Result<(), CallFailure> {
        let call = self.begin(self.deadline);
        let port = self.ports.lifecycle.as_ref().ok_or(CallFailure::Gone)?;
        let result = race(&call, port.edgeplug_plugin_lifecycle().call_restore_state(&mut self.store, &saved)).await;
        self.judge(result)?.map_err(said)
    }

    /// Calls `lifecycle.stop`, if there is one and the instance lives.
    pub(crate) async fn stop(mut self) -> Result<(), CallFailure> {
        let Some(lifecycle) = self.ports.lifecycle.take().filter(|_| !self.dead) else {
            return Ok(());
        };
        let call = self.begin(self.deadline);
        let result = race(&call, lifecycle.edgeplug_plugin_lifecycle().call_stop(&mut self.store)).await;
        self.judge(result)
    }

    /// After a trap or an overrun there is no way back in.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    pub(crate) fn has_lifecycle(&self) -> bool {
        self.ports.lifecycle.is_some()
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.store.data().meter.memory_bytes()
    }

    fn start_deadline(&self) -> Duration {
        self.deadline.max(START_DEADLINE_MIN)
    }

    /// Opens a call: its deadline runs and the ticker ticks until the answer is dropped.
    fn begin(&mut self, limit: Duration) -> UnderWay {
        let deadline = Deadline::start(limit);
        self.store.data_mut().deadline = deadline.clone();
        self.store.set_epoch_deadline(1);
        UnderWay { deadline, _ticking: self.ticker.run() }
    }

    /// Tells traps from overruns, in words, and marks the instance dead after either.
    fn judge<T>(&mut self, result: Option<wasmtime::Result<T>>) -> Result<T, CallFailure> {
        let failure = match result {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) if error.downcast_ref::<Trap>() != Some(&Trap::Interrupt) => {
                CallFailure::Trapped(self.explained(&error))
            }
            Some(Err(_)) | None => CallFailure::TimedOut,
        };
        self.dead = true;
        self.store.data().voice.died(&failure.to_string());
        Err(failure)
    }

    fn explained(&self, error: &wasmtime::Error) -> String {
        let state = self.store.data();
        let mut text = error.root_cause().to_string();
        if state.meter.refused() {
            text.push_str(
                "; it had wanted more memory than `limits.memory_mb` of its manifest asks for and the operator allows",
            );
        }
        let last_words = state.voice.last_words();
        if !last_words.is_empty() {
            text.push_str("; it said: ");
            text.push_str(&last_words);
        }
        if let Some(trace) = error.downcast_ref::<WasmBacktrace>() {
            for line in backtrace::lines(&trace.to_string()) {
                text.push_str("; ");
                text.push_str(&line);
            }
        }
        cleaned(&text)
    }
}

struct UnderWay {
    deadline: Deadline,
    _ticking: crate::ticker::Running,
}

fn reply(reply: types::Reply) -> Reply {
    match reply {
        types::Reply::Done(message) => Reply::Done(told(&message)),
        types::Reply::Failed(message) => Reply::Failed(told(&message)),
        types::Reply::Deferred => Reply::Deferred,
    }
}

fn said(error: String) -> CallFailure {
    CallFailure::Error(cleaned(&error))
}

/// None when the deadline passed first; the guest's stack is unwound by dropping its future then.
async fn race<T>(call: &UnderWay, guest: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        answer = guest => Some(answer),
        () = call.deadline.passed() => None,
    }
}

//! One version of a plugin, ready to be instantiated, and one living instance of it.
//!
//! What must stay true: every way into the guest goes through a deadline and keeps the ticker running meanwhile; after
//! a trap or an overrun the instance is dead and is never entered again; every text of a guest (answers, errors, traps
//! with the names of its functions) leaves as one line of bounded length, because it ends up in logs.

use std::sync::Arc;
use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::bindings::commands::{ExportsCommands, ExportsCommandsIndices, exports::edgeplug::plugin::commands as wire};
use crate::bindings::lifecycle::{ExportsLifecycle, ExportsLifecycleIndices};
use crate::bindings::sensor::{ExportsSensor, ExportsSensorIndices};
use crate::convert;
use crate::deadline::Deadline;
use crate::event::{CallFailure, Command, CommandOutcome, Exports};
use crate::host::{Guest, State};
use crate::ticker::Ticker;
use crate::voice::{Level, cleaned};

/// Bytes a guest may move to the host in one call; bounds what a list of overlapping strings can blow up to.
const TRANSFER_BYTES_MAX: usize = 16 << 20;
/// Handles to host resources (streams, pollables) one instance may hold.
const HANDLES_MAX: usize = 1000;
/// Setting up may take longer than a call: at least this.
const START_DEADLINE_MIN: Duration = Duration::from_secs(5);
/// Lines of a guest's backtrace that go into a message.
const FRAME_LINES_MAX: usize = 8;

/// A component that was loaded, linked and found to fit.
pub(crate) struct Blueprint {
    pub(crate) exports: Exports,
    engine: Engine,
    ticker: Ticker,
    pre: InstancePre<State>,
    sensor: Option<ExportsSensorIndices>,
    commands: Option<ExportsCommandsIndices>,
    lifecycle: Option<ExportsLifecycleIndices>,
    guest: Arc<Guest>,
    memory_mb: u32,
    deadline: Duration,
}

/// One instance with its memory.
pub(crate) struct Instance {
    store: Store<State>,
    ticker: Ticker,
    sensor: Option<ExportsSensor>,
    commands: Option<ExportsCommands>,
    lifecycle: Option<ExportsLifecycle>,
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
        let pre = linker.instantiate_pre(component).map_err(|error| {
            format!(
                "it asks for something this daemon does not offer ({error:#}); this daemon offers edgeplug:plugin@0.1.0 \
                 and WASI 0.2"
            )
        })?;
        let sensor = ExportsSensorIndices::new(&pre);
        let commands = ExportsCommandsIndices::new(&pre);
        let lifecycle = ExportsLifecycleIndices::new(&pre);
        if let (Err(sensor), Err(_), Err(_)) = (&sensor, &commands, &lifecycle) {
            return Err(format!(
                "it exports none of edgeplug:plugin/sensor@0.1.0, /commands and /lifecycle in a form that fits \
                 ({sensor:#}); build it against this daemon's `wit` directory"
            ));
        }
        let (sensor, commands, lifecycle) = (sensor.ok(), commands.ok(), lifecycle.ok());
        let exports =
            Exports { sensor: sensor.is_some(), commands: commands.is_some(), lifecycle: lifecycle.is_some() };
        Ok(Self {
            exports,
            engine: linker.engine().clone(),
            ticker: ticker.clone(),
            pre,
            sensor,
            commands,
            lifecycle,
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
            sensor: None,
            commands: None,
            lifecycle: None,
            deadline: self.deadline,
            dead: false,
        };
        let call = instance.begin(instance.start_deadline());
        let made = race(&call, self.pre.instantiate_async(&mut instance.store)).await;
        let made = instance.judge(made)?;
        let loaded = |error: wasmtime::Error| CallFailure::Trapped(cleaned(&format!("{error:#}")));
        if let Some(indices) = &self.sensor {
            instance.sensor = Some(indices.load(&mut instance.store, &made).map_err(loaded)?);
        }
        if let Some(indices) = &self.commands {
            instance.commands = Some(indices.load(&mut instance.store, &made).map_err(loaded)?);
        }
        if let Some(indices) = &self.lifecycle {
            let lifecycle = indices.load(&mut instance.store, &made).map_err(loaded)?;
            let call = instance.begin(instance.start_deadline());
            let started = race(&call, lifecycle.edgeplug_plugin_lifecycle().call_start(&mut instance.store)).await;
            instance.judge(started)?.map_err(|error| CallFailure::Error(cleaned(&error)))?;
            instance.lifecycle = Some(lifecycle);
        }
        Ok(instance)
    }
}

impl Instance {
    /// Calls `sensor.sample`. What the guest returns is checked sample by sample; a bad one is logged and left out.
    pub(crate) async fn sample(&mut self) -> Result<Vec<Sample>, CallFailure> {
        let call = self.begin(self.deadline);
        let sensor = self.sensor.as_ref().ok_or(CallFailure::Gone)?;
        let result = race(&call, sensor.edgeplug_plugin_sensor().call_sample(&mut self.store)).await;
        let samples = self.judge(result)?.map_err(|error| CallFailure::Error(cleaned(&error)))?;
        convert::check_list(&samples).map_err(CallFailure::Error)?;
        let voice = &self.store.data().voice;
        let checked = samples.into_iter().filter_map(|sample| {
            convert::sample(sample)
                .inspect_err(|reason| voice.say(Level::Warn, &format!("a sample was left out: {reason}")))
                .ok()
        });
        Ok(checked.collect())
    }

    /// Calls `commands.handle`.
    pub(crate) async fn command(&mut self, command: Command) -> Result<CommandOutcome, CallFailure> {
        let call = self.begin(self.deadline);
        let commands = self.commands.as_ref().ok_or(CallFailure::Gone)?;
        let command = wire::Command { text: command.text, device: command.device };
        let result = race(&call, commands.edgeplug_plugin_commands().call_handle(&mut self.store, &command)).await;
        match self.judge(result)? {
            Ok(wire::Reply::Done(message)) => Ok(CommandOutcome::Done(cleaned(&message))),
            Ok(wire::Reply::Failed(message)) => Ok(CommandOutcome::Failed(cleaned(&message))),
            Err(error) => Err(CallFailure::Error(cleaned(&error))),
        }
    }

    /// Calls `lifecycle.stop`, if there is one and the instance lives.
    pub(crate) async fn stop(mut self) -> Result<(), CallFailure> {
        let Some(lifecycle) = self.lifecycle.take().filter(|_| !self.dead) else {
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
        match result {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => {
                self.dead = true;
                if error.downcast_ref::<Trap>() != Some(&Trap::Interrupt) {
                    return Err(CallFailure::Trapped(self.explained(&error)));
                }
            }
            None => self.dead = true,
        }
        Err(CallFailure::TimedOut)
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
            // The first line is a heading; each further one a frame or its source line.
            for frame in trace.to_string().lines().skip(1).take(FRAME_LINES_MAX) {
                text.push_str("; ");
                text.push_str(frame.trim());
            }
        }
        cleaned(&text)
    }
}

struct UnderWay {
    deadline: Deadline,
    _ticking: crate::ticker::Running,
}

/// None when the deadline passed first; the guest's stack is unwound by dropping its future then.
async fn race<T>(call: &UnderWay, guest: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        answer = guest => Some(answer),
        () = call.deadline.passed() => None,
    }
}

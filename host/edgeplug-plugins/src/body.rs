//! The inside of one instance: its store and the functions it exports. A call takes it along to whichever thread it is
//! made on, so nothing here may be borrowed from elsewhere.
//!
//! What must stay true: every way into the guest goes through a deadline; after a trap or an overrun the instance is dead
//! and is never entered again; every text of a guest (answers, errors, traps with the names of its functions) leaves as
//! one line of bounded length, because it ends up in logs.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use edgeplug_protocol::sample::Sample;
use wasmtime::component::InstancePre;
use wasmtime::{CallHook, Engine, Store, UpdateDeadline, WasmBacktrace};

use crate::backtrace;
use crate::bindings::{commands, connection_events, firmware, twin_events, types};
use crate::call::{CallFailure, Command, Connection, DesiredChange, Reply, Update};
use crate::convert::{self, to_guest};
use crate::deadline::Deadline;
use crate::figures::sample_len;
use crate::host::{Guest, State};
use crate::ports::{Indices, Ports};
use crate::voice::{cleaned, told};

/// Bytes a guest may move to the host at once, as the host holds them; bounds what a list of overlapping strings can blow
/// up to. The largest honest ones are a megabyte of saved state, and as much for the smallest readings of a full message.
const TRANSFER_BYTES_MAX: usize = 2 << 20;
/// Handles to host resources (streams, pollables) one instance may hold.
const HANDLES_MAX: usize = 1000;
/// Bytes of state handed from one version to the next (`wit/exports.wit`, `lifecycle`).
const SAVED_BYTES_MAX: usize = 1 << 20;

/// Samples that each call of `sensor.sample` may bring whatever came before, and their largest length in bytes. The host
/// sets that pace; beyond them what is returned counts like what is sent (`inflow`).
const ASKED_FOR: u32 = 10;
const ASKED_FOR_LEN: usize = 512;

pub(crate) struct Body {
    store: Store<State>,
    ports: Ports,
    /// Of the call under way.
    deadline: Deadline,
    dead: bool,
}

impl Body {
    pub(crate) async fn new(engine: &Engine, guest: Arc<Guest>, memory_mb: u32) -> Self {
        let mut store = Store::new(engine, State::new(guest, memory_mb).await);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(TRANSFER_BYTES_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        store.call_hook(|mut store, hook| match hook {
            CallHook::CallingHost => store.data_mut().meter.count_host_call(),
            CallHook::CallingWasm | CallHook::ReturningFromWasm | CallHook::ReturningFromHost => Ok(()),
        });
        store.epoch_deadline_callback(|store| {
            store.data().deadline.interrupt();
            Ok(UpdateDeadline::Yield(1))
        });
        let deadline = store.data().deadline.clone();
        Self { store, ports: Ports::default(), deadline, dead: false }
    }

    /// Opens a call: its deadline runs from here.
    pub(crate) fn begin(&mut self, limit: Duration) -> Deadline {
        self.deadline = Deadline::start(limit);
        let state = self.store.data_mut();
        state.deadline = self.deadline.clone();
        state.meter.begin_call();
        state.clock().call_begins(&self.deadline);
        self.store.set_epoch_deadline(1);
        self.deadline.clone()
    }

    pub(crate) async fn instantiate(
        &mut self,
        component: &InstancePre<State>,
        indices: &Indices,
    ) -> Result<(), CallFailure> {
        let made = race(&self.deadline, component.instantiate_async(&mut self.store)).await;
        let made = self.judge(made)?;
        let loaded = |error: wasmtime::Error| CallFailure::Trapped(cleaned(&format!("{error:#}")));
        self.ports = indices.load(&mut self.store, &made).map_err(loaded)?;
        Ok(())
    }

    /// Calls `lifecycle.start`, if there is one.
    pub(crate) async fn start(&mut self) -> Result<(), CallFailure> {
        let Some(port) = &self.ports.lifecycle else {
            return Ok(());
        };
        let started = race(&self.deadline, port.edgeplug_plugin_lifecycle().call_start(&mut self.store)).await;
        self.judge(started)?.map_err(said)
    }

    /// Calls `sensor.sample`. What the guest returns is checked sample by sample; a bad one is logged and left out.
    pub(crate) async fn sample(&mut self) -> Result<Vec<Sample>, CallFailure> {
        let port = self.ports.sensor.as_ref().ok_or(CallFailure::Gone)?;
        let result = race(&self.deadline, port.edgeplug_plugin_sensor().call_sample(&mut self.store)).await;
        let samples = self.judge(result)?.map_err(said)?;
        let state = self.store.data();
        if let Err(reason) = convert::check_list(&samples) {
            state.desk().book.rejected(samples.len());
            return Err(CallFailure::Error(reason));
        }
        let mut asked_for = ASKED_FOR;
        let checked = samples.into_iter().filter_map(|sample| {
            let left_out = |reason: &String| {
                state.desk().book.rejected(1);
                state.complain(&format!("a sample was left out: {reason}"));
            };
            let taken = convert::sample(sample).and_then(|sample| {
                if asked_for > 0 && sample_len(&sample) <= ASKED_FOR_LEN {
                    asked_for -= 1;
                } else {
                    state.desk().admit(&sample)?;
                }
                Ok(sample)
            });
            taken.inspect_err(left_out).ok()
        });
        let checked: Vec<_> = checked.collect();
        state.desk().book.took(&checked);
        Ok(checked)
    }

    /// Calls `commands.handle`.
    pub(crate) async fn command(&mut self, command: Command) -> Result<Reply, CallFailure> {
        let port = self.ports.commands.as_ref().ok_or(CallFailure::Gone)?;
        let Command { id, text, device } = command;
        let command = commands::exports::edgeplug::plugin::commands::Command { id, text, device };
        let call = port.edgeplug_plugin_commands().call_handle(&mut self.store, &command);
        let result = race(&self.deadline, call).await;
        self.judge(result)?.map(reply).map_err(said)
    }

    /// Calls `twin-events.desired-changed`.
    pub(crate) async fn desired_changed(&mut self, change: DesiredChange) -> Result<(), CallFailure> {
        let port = self.ports.twin_events.as_ref().ok_or(CallFailure::Gone)?;
        let DesiredChange { version, complete, desired } = change;
        let change = twin_events::exports::edgeplug::plugin::twin_events::Change { version, complete, desired };
        let call = port.edgeplug_plugin_twin_events().call_desired_changed(&mut self.store, &change);
        let result = race(&self.deadline, call).await;
        self.judge(result)?.map_err(said)
    }

    /// Calls `connection-events.changed`.
    pub(crate) async fn connection_changed(&mut self, connection: Connection) -> Result<(), CallFailure> {
        use connection_events::exports::edgeplug::plugin::connection_events::Connection as Wire;
        let port = self.ports.connection_events.as_ref().ok_or(CallFailure::Gone)?;
        let connection = match connection {
            Connection::Connected => Wire::Connected,
            Connection::Disconnected(reason) => Wire::Disconnected(reason),
        };
        let call = port.edgeplug_plugin_connection_events().call_changed(&mut self.store, &connection);
        let result = race(&self.deadline, call).await;
        self.judge(result)
    }

    /// Calls `firmware.update`.
    pub(crate) async fn update(&mut self, update: Update) -> Result<Reply, CallFailure> {
        let port = self.ports.firmware.as_ref().ok_or(CallFailure::Gone)?;
        let Update { id, device, name, version, size, sha256, file: _ } = update;
        let request =
            firmware::exports::edgeplug::plugin::firmware::Request { id, device, name, version, size, sha256 };
        let call = port.edgeplug_plugin_firmware().call_update(&mut self.store, &request);
        let result = race(&self.deadline, call).await;
        self.judge(result)?.map(reply).map_err(said)
    }

    /// Calls `transform.process`. A time that the guest left as it was keeps the text it came with.
    pub(crate) async fn transform(&mut self, samples: Vec<Sample>) -> Result<Vec<Sample>, CallFailure> {
        let wire = samples.iter().map(to_guest::sample).collect::<Result<Vec<_>, _>>().map_err(CallFailure::Error)?;
        let port = self.ports.transform.as_ref().ok_or(CallFailure::Gone)?;
        let call = port.edgeplug_plugin_transform().call_process(&mut self.store, &wire);
        let result = race(&self.deadline, call).await;
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
        let Some(port) = &self.ports.lifecycle else {
            return Ok(Vec::new());
        };
        let call = port.edgeplug_plugin_lifecycle().call_save_state(&mut self.store);
        let result = race(&self.deadline, call).await;
        let saved = self.judge(result)?.map_err(said)?;
        if saved.len() > SAVED_BYTES_MAX {
            let message = format!("{} bytes of state; at most {SAVED_BYTES_MAX} are handed over", saved.len());
            return Err(CallFailure::Error(message));
        }
        Ok(saved)
    }

    /// Calls `lifecycle.restore-state`.
    pub(crate) async fn restore_state(&mut self, saved: Vec<u8>) -> Result<(), CallFailure> {
        let port = self.ports.lifecycle.as_ref().ok_or(CallFailure::Gone)?;
        let call = port.edgeplug_plugin_lifecycle().call_restore_state(&mut self.store, &saved);
        let result = race(&self.deadline, call).await;
        self.judge(result)?.map_err(said)
    }

    /// Calls `lifecycle.stop`, if there is one.
    pub(crate) async fn stop(&mut self) -> Result<(), CallFailure> {
        let Some(port) = &self.ports.lifecycle else {
            return Ok(());
        };
        let result = race(&self.deadline, port.edgeplug_plugin_lifecycle().call_stop(&mut self.store)).await;
        self.judge(result)
    }

    /// After a trap or an overrun there is no way back in.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// What was granted and could not be had, in sentences.
    pub(crate) fn problems(&self) -> &[String] {
        &self.store.data().problems
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.store.data().meter.memory_bytes()
    }

    /// Tells traps from overruns, in words, and marks the instance dead after either.
    fn judge<T>(&mut self, result: Option<wasmtime::Result<T>>) -> Result<T, CallFailure> {
        let failure = match result {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => CallFailure::Trapped(self.explained(&error)),
            None => CallFailure::TimedOut,
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
async fn race<T>(deadline: &Deadline, guest: impl Future<Output = T>) -> Option<T> {
    let mut guest = pin!(guest);
    let mut passed = pin!(deadline.passed());
    let either = poll_fn(|context| {
        if let Poll::Ready(answer) = guest.as_mut().poll(context) {
            return Poll::Ready(Some(answer));
        }
        // A guest that computes is back at once. That costs no timer, which a runtime that ends would not have any more.
        if deadline.interrupts() {
            return if deadline.has_passed() { Poll::Ready(None) } else { Poll::Pending };
        }
        passed.as_mut().poll(context).map(|()| None)
    });
    either.await
}

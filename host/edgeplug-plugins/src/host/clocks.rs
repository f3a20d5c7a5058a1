//! `wasi:clocks/monotonic-clock` of a trial with a clock that is moved by hand: who sleeps moves it, and wakes at once.

use std::time::Duration;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::clock::{Clock, MONOTONIC_START};
use crate::host::State;

/// Puts it in the place of the real one.
pub(super) fn replace(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut State| state)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl State {
    pub(crate) fn clock(&self) -> &Clock {
        &self.guest.surroundings.clock
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        Ok(self.clock().monotonic_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: monotonic_clock::Instant) -> wasmtime::Result<Resource<DynPollable>> {
        let clock = self.clock().clone();
        let until = Duration::from_nanos(when).saturating_sub(MONOTONIC_START);
        let sleep = self.table.push(Sleep { clock, until })?;
        subscribe(&mut self.table, sleep)
    }

    fn subscribe_duration(&mut self, length: monotonic_clock::Duration) -> wasmtime::Result<Resource<DynPollable>> {
        let until = self.clock().monotonic_ns().saturating_add(length);
        self.subscribe_instant(until)
    }
}

struct Sleep {
    clock: Clock,
    until: Duration,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        self.clock.sleep_until(self.until).await;
    }
}

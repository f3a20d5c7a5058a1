//! The clock that interrupts guests, running only while a guest computes.
//!
//! A thread of its own, because guests may occupy every worker of the async executor at once, and only a tick makes
//! them yield. While no guest computes (none is called, or all that are wait for the host) it sleeps on a condition
//! variable: an idle daemon has no wake-ups from here.
//!
//! It costs a guest's call two atomic counts, and a wake-up when it was asleep.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::Engine;

/// Length of a guest's time slice: what a neighbour may have to wait for one that begins to compute.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Cloning shares the clock; it ends with the last clone.
#[derive(Clone)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    /// Tells the thread to end, by its drop.
    _alive: Arc<Alive>,
}

struct Shared {
    /// Guests that compute.
    running: AtomicUsize,
    /// The thread waits, or is about to: whoever begins to compute must wake it.
    asleep: AtomicBool,
    ended: Mutex<bool>,
    changed: Condvar,
}

struct Alive(Arc<Shared>);

/// A guest computes; the clock runs while any of these lives.
pub(crate) struct Running<'a>(&'a Shared);

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> io::Result<Self> {
        let engine = engine.clone();
        Self::with(move || engine.increment_epoch())
    }

    fn with(tick: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            ended: Mutex::new(false),
            changed: Condvar::new(),
        });
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("plugin-ticks".to_owned()).spawn(move || thread.run(tick))?;
        Ok(Self { _alive: Arc::new(Alive(Arc::clone(&shared))), shared })
    }

    /// Keeps the clock running until the guard is dropped.
    pub(crate) fn run(&self) -> Running<'_> {
        let shared = &*self.shared;
        // One of the two sees the other: we that it sleeps, or it that we run.
        if shared.running.fetch_add(1, Ordering::SeqCst) == 0 && shared.asleep.load(Ordering::SeqCst) {
            drop(shared.lock());
            shared.changed.notify_one();
        }
        Running(shared)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.lock() = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn run(&self, tick: impl Fn()) {
        while self.someone_runs() {
            std::thread::sleep(TICK);
            tick();
        }
    }

    /// Waits for it; false when there is nobody left to wait for.
    fn someone_runs(&self) -> bool {
        if self.running.load(Ordering::SeqCst) > 0 {
            return !*self.lock();
        }
        let mut ended = self.lock();
        self.asleep.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) == 0 && !*ended {
            ended = self.changed.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.store(false, Ordering::SeqCst);
        !*ended
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

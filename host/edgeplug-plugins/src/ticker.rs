//! The clock that interrupts guests, running only while a guest runs.
//!
//! A thread of its own, because guests may occupy every worker of the async executor at once, and only a tick makes
//! them yield. With no call under way it sleeps on a condition variable: an idle daemon has no wake-ups from here.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::Engine;

/// Length of a guest's time slice: what a neighbour may have to wait for one that loops.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Cloning shares the clock; it ends with the last clone.
#[derive(Clone)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    /// Tells the thread to end, by its drop.
    _alive: Arc<Alive>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Calls under way.
    running: usize,
    ended: bool,
}

struct Alive(Arc<Shared>);

/// One call under way; the clock runs while any of these lives.
pub(crate) struct Running(Arc<Shared>);

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let engine = engine.clone();
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("plugin-ticks".to_owned()).spawn(move || tick(&thread, &engine))?;
        Ok(Self { _alive: Arc::new(Alive(Arc::clone(&shared))), shared })
    }

    /// Keeps the clock running until the guard is dropped.
    pub(crate) fn run(&self) -> Running {
        let mut state = lock(&self.shared);
        state.running += 1;
        if state.running == 1 {
            self.shared.changed.notify_one();
        }
        Running(Arc::clone(&self.shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.0).running -= 1;
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        lock(&self.0).ended = true;
        self.0.changed.notify_one();
    }
}

fn tick(shared: &Shared, engine: &Engine) {
    loop {
        let mut state = lock(shared);
        while state.running == 0 && !state.ended {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended {
            return;
        }
        drop(state);
        std::thread::sleep(TICK);
        engine.increment_epoch();
    }
}

/// The counters are whole whatever a panicking holder did.
fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

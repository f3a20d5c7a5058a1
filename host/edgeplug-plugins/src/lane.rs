//! On which thread a guest computes.
//!
//! Every call begins as a future on the daemon's workers (the fast lane), where a call of microseconds belongs. A call
//! that computes longer is carried to a thread of its own (the slow lane) and its result back, by [`Ride`]; whoever
//! awaits the call sees nothing of it. The calls of a plugin that was slow lately begin there, and those of one that used
//! more than its share on such a thread that runs only when nobody else wants the processor (the idle lane).
//!
//! What must stay true: no call holds a worker for longer than two ticks; a call is polled by one thread at a time; a call
//! that nobody awaits any more is dropped where it is, within a tick; a panic in a call goes on where it is awaited; what
//! a call uses is charged to its deadline and to its plugin's share. Timers and sockets of a call work on every lane, as
//! its thread is inside a runtime; no thread of the daemon's own is ever born on one of these.
//!
//! Deliberately absent: a pool. A thread that fell to the idle lane cannot leave it again, and to begin a thread costs
//! little beside a call that is worth one. And a way back before the call ends: a call that computed once will do so
//! again.
//!
//! It costs a call that stays one allocation, and the process a thread that sleeps while no such call waits for anything.
//! A thread of the idle lane that is stopped while it holds a lock (of a log, of a queue) makes others wait for it, where
//! other programs leave the machine no time at all.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{oneshot, watch};
use wasmtime::Engine;

use crate::deadline::Deadline;
use crate::desk::Desk;
use crate::standing::{BRIEF, SHORT};
use crate::ticker::Ticker;

/// More than there are plugins (`scan`), and a few that start and stop; the others stay on the workers.
const THREADS_MAX: usize = 300;
/// Threads for the blocking work of calls that have a thread of their own.
const BLOCKING_THREADS_MAX: usize = 64;
/// The guest has a stack of its own; this one holds the futures around it.
const STACK_BYTES: usize = 512 << 10;
/// How nice a thread of the slow lane is: ten such together get as much as one worker that is always busy, which no worker
/// is; and whoever waits for a worker gets it at once.
const SLOW_NICE: i32 = 10;
/// How nice a thread is where the system does not let it be idle.
const IDLE_NICE: i32 = 19;

/// Where a plugin's calls begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// On the daemon's own workers.
    #[default]
    Fast,
    /// On a thread of their own, because its calls compute for long.
    Slow,
    /// The same, when nobody else wants the processor: it used more than its share, or its last call overran its deadline.
    Idle,
}

/// What all calls share. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Lanes {
    ticker: Ticker,
    threads: Arc<watch::Sender<usize>>,
    drivers: Arc<Drivers>,
}

/// Timers, sockets and blocking work of calls that are on threads of their own. Not the daemon's: whoever needs a thread
/// for blocking work makes one like itself, and an idle one would go on to serve everybody.
struct Drivers(Option<Runtime>);

/// A call under way.
pub(crate) struct Ride<T>(Place<T>);

enum Place<T> {
    Here(Load<T>),
    Away(oneshot::Receiver<Arrival<T>>),
    Over,
}

/// A call, and what is known about how it goes.
struct Load<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
    lanes: Lanes,
    desk: Arc<Desk>,
    deadline: Deadline,
    /// Where it wants to be.
    lane: Lane,
    /// There was no thread for it.
    stays: bool,
    is_exact: bool,
    /// For how long it held the thread it is on.
    held: Duration,
    spent: Spent,
}

/// Processor time of one call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) cpu: Duration,
    /// The part of it that the plugin's standing does not know of yet.
    pub(crate) uncharged: Duration,
}

struct Arrival<T> {
    result: thread::Result<T>,
    spent: Spent,
}

/// Counts a thread from before its beginning to its end.
struct Thread(Arc<watch::Sender<usize>>);

impl Lanes {
    /// Starts the clock for the guests of this engine, and what they need beside it.
    pub(crate) fn start(engine: &Engine) -> io::Result<Self> {
        let drivers = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("plugin-io")
            .enable_all()
            .build()?;
        let drivers = Arc::new(Drivers(Some(drivers)));
        Ok(Self { ticker: Ticker::start(engine)?, threads: Arc::default(), drivers })
    }

    /// Makes a call, from this lane and with the exact clock or not. Awaited inside the runtime, it brings the answer and
    /// what it cost.
    pub(crate) fn ride<T>(
        &self,
        (lane, is_exact): (Lane, bool),
        desk: &Arc<Desk>,
        deadline: &Deadline,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Ride<T> {
        Ride(Place::Here(Load {
            future: Box::pin(call),
            lanes: self.clone(),
            desk: Arc::clone(desk),
            deadline: deadline.clone(),
            lane,
            stays: false,
            is_exact,
            held: Duration::ZERO,
            spent: Spent::default(),
        }))
    }

    /// Waits for every thread to be done with its call; false when that takes too long.
    pub(crate) async fn are_empty(&self, patience: Duration) -> bool {
        let mut threads = self.threads.subscribe();
        tokio::time::timeout(patience, threads.wait_for(|threads| *threads == 0)).await.is_ok()
    }

    fn count_thread(&self) -> Option<Thread> {
        let counted = self.threads.send_if_modified(|threads| {
            let has_room = *threads < THREADS_MAX;
            *threads += usize::from(has_room);
            has_room
        });
        counted.then(|| Thread(Arc::clone(&self.threads)))
    }
}

impl<T: Send + 'static> Future for Ride<T> {
    type Output = (T, Spent);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut self.0, Place::Over) {
                Place::Here(load) if load.wants_to_leave() => {
                    self.0 = depart(load).map_or_else(Place::Here, Place::Away);
                }
                Place::Here(mut load) => {
                    if let Poll::Ready(answer) = load.poll(context) {
                        return Poll::Ready((answer, load.spent));
                    }
                    let leaves = load.wants_to_leave();
                    self.0 = Place::Here(load);
                    if !leaves {
                        return Poll::Pending;
                    }
                }
                Place::Away(mut receiver) => {
                    let Poll::Ready(arrived) = Pin::new(&mut receiver).poll(context) else {
                        self.0 = Place::Away(receiver);
                        return Poll::Pending;
                    };
                    match arrived {
                        Ok(Arrival { result: Ok(answer), spent }) => return Poll::Ready((answer, spent)),
                        Ok(Arrival { result: Err(panic), .. }) => resume_unwind(panic),
                        // Only a panic while it was dropped leaves nothing behind.
                        Err(_) => resume_unwind(Box::new("the thread of a plugin's call ended without a word")),
                    }
                }
                Place::Over => return Poll::Pending,
            }
        }
    }
}

impl<T> Load<T> {
    fn wants_to_leave(&self) -> bool {
        self.lane != Lane::Fast && !self.stays
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<T> {
        let running = self.lanes.ticker.run();
        let (wall, cpu) = (Instant::now(), self.is_exact.then(thread_cpu));
        let polled = self.future.as_mut().poll(context);
        let wall = wall.elapsed();
        drop(running);
        let exact = cpu.map(|before| thread_cpu().saturating_sub(before));
        // A share is not taken away for what may have been an interruption; a deadline has room for one.
        let cpu = exact.unwrap_or(wall.min(BRIEF));
        self.spent.cpu += cpu;
        self.spent.uncharged += cpu;
        let interrupted = self.deadline.charge(exact.unwrap_or(wall));
        // By the wall clock: it matters for how long the worker was held.
        self.held += wall;
        if interrupted && self.held >= SHORT {
            self.lane = self.lane.max(Lane::Slow);
        }
        polled
    }

    fn stay(mut self, error: &io::Error) -> Self {
        tracing::warn!(%error, "no thread for a plugin that computes for long; it holds up others");
        self.stays = true;
        self.is_exact = true;
        self
    }
}

/// Carries a call to a thread of its own. When there is none it stays, which is said.
fn depart<T: Send + 'static>(mut load: Load<T>) -> Result<oneshot::Receiver<Arrival<T>>, Load<T>> {
    let (Some(runtime), Some(thread)) = (load.lanes.drivers.handle(), load.lanes.count_thread()) else {
        let error = io::Error::other(format!("{THREADS_MAX} of them are busy"));
        return Err(load.stay(&error));
    };
    load.is_exact = true;
    let (sender, receiver) = oneshot::channel();
    // What a thread that cannot begin is given is lost.
    let cargo = Arc::new(Mutex::new(Some(load)));
    let taken = Arc::clone(&cargo);
    let take = |cargo: &Mutex<Option<Load<T>>>| cargo.lock().unwrap_or_else(PoisonError::into_inner).take();
    let spawned = thread::Builder::new().name("plugin-lane".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        let _thread = thread;
        if let Some(load) = take(&taken) {
            drive(load, sender, &runtime);
        }
    });
    match spawned {
        Ok(_) => Ok(receiver),
        Err(error) => match take(&cargo) {
            Some(load) => Err(load.stay(&error)),
            None => Ok(receiver),
        },
    }
}

/// What a thread does: polls a call to its end, or until nobody awaits it.
fn drive<T: Send + 'static>(mut load: Load<T>, mut sender: oneshot::Sender<Arrival<T>>, runtime: &Handle) {
    let mut is_idle = load.lane == Lane::Idle;
    if is_idle {
        become_idle();
    } else {
        // Where a sandbox forbids it, it is like any other thread.
        let _ = rustix::process::nice(SLOW_NICE);
    }
    let result = runtime.block_on(poll_fn(|context| {
        if sender.poll_closed(context).is_ready() {
            return Poll::Ready(None);
        }
        let polled = catch_unwind(AssertUnwindSafe(|| load.poll(context)));
        let is_over = load.desk.standing.charge(std::mem::take(&mut load.spent.uncharged));
        if is_over && !is_idle {
            is_idle = true;
            become_idle();
        }
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(Some(Ok(answer))),
            Err(panic) => Poll::Ready(Some(Err(panic))),
        }
    }));
    let spent = load.spent;
    // Whatever the call still holds is gone before anybody hears of its end. Inside the runtime, as its timers want.
    let inside = runtime.enter();
    drop(load);
    drop(inside);
    if let Some(result) = result {
        // Whoever awaited it may have gone at this moment.
        let _ = sender.send(Arrival { result, spent });
    }
}

/// For the rest of this thread's life it runs only when nobody else wants to.
fn become_idle() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).is_err() {
        // A sandbox may forbid the one and allow the other; without either it is like any other thread.
        let _ = rustix::process::nice(IDLE_NICE);
    }
}

fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

impl Drivers {
    /// None while they end.
    fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Drivers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Whoever drops it may be a task, which must not wait.
            runtime.shutdown_background();
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.send_modify(|threads| *threads -= 1);
    }
}

#[cfg(test)]
mod tests;

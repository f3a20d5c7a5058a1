//! One version of a plugin, ready to be instantiated, and one living instance of it as the rest of the house sees it.
//!
//! What must stay true: every call goes the same way, [`Instance::enter`]: under a deadline, on the lane that the plugin
//! deserves (`lane`), counted (`figures`). A call that nobody awaits any more takes its instance with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgeplug_engine::Exports;
use edgeplug_protocol::sample::Sample;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::body::Body;
use crate::call::{CallFailure, Command, Connection, DesiredChange, Reply, Update};
use crate::figures::{Called, Export, Outcome};
use crate::host::{Guest, State};
use crate::lane::{Lane, Lanes};
use crate::ports::Indices;
use crate::standing::Used;
use crate::tail::{LogLevel, LogStream};

/// Setting up may take longer than a call: at least this.
const START_DEADLINE_MIN: Duration = Duration::from_secs(5);

/// What part of its deadline a call must have computed to be called an overrun: one that slept, or that a busy machine gave
/// hardly any time, is none.
const COMPUTED: u32 = 8;

/// A component that was loaded, linked and found to fit.
pub(crate) struct Blueprint {
    pub(crate) exports: Exports,
    engine: Engine,
    lanes: Lanes,
    component: Arc<(InstancePre<State>, Indices)>,
    guest: Arc<Guest>,
    caps: Caps,
}

/// What one instance may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) memory_mb: u32,
    /// Time to compute in one call.
    pub(crate) deadline: Duration,
    /// Share of one core over all calls.
    pub(crate) cpu_percent: u32,
}

/// One instance with its memory.
pub(crate) struct Instance {
    /// None while a call has it, and after a trap or an overrun.
    body: Option<Box<Body>>,
    lanes: Lanes,
    guest: Arc<Guest>,
    deadline: Duration,
    has_lifecycle: bool,
    memory_bytes: u64,
}

impl Blueprint {
    /// Links the component, or says what does not fit.
    pub(crate) fn new(
        linker: &Linker<State>,
        lanes: &Lanes,
        component: &Component,
        guest: Guest,
        caps: Caps,
    ) -> Result<Self, String> {
        // `inspect` has looked before and explains better; what still fails here is for whoever reports it.
        let pre = linker.instantiate_pre(component).map_err(|error| format!("it does not link: {error:#}"))?;
        let indices = Indices::find(&pre);
        Ok(Self {
            exports: indices.exports(),
            engine: linker.engine().clone(),
            lanes: lanes.clone(),
            component: Arc::new((pre, indices)),
            guest: Arc::new(guest),
            caps,
        })
    }

    /// Instantiates and runs `lifecycle.start`.
    pub(crate) async fn start(&self) -> Result<Instance, CallFailure> {
        let Caps { memory_mb, deadline, cpu_percent } = self.caps;
        self.guest.desk.standing.allow(cpu_percent);
        let body = Body::new(&self.engine, Arc::clone(&self.guest), memory_mb).await;
        let mut instance = Instance {
            body: Some(Box::new(body)),
            lanes: self.lanes.clone(),
            guest: Arc::clone(&self.guest),
            deadline,
            has_lifecycle: self.exports.lifecycle,
            memory_bytes: 0,
        };
        let component = Arc::clone(&self.component);
        let made = instance.enter(Export::Instantiate, |mut body| async move {
            (body.instantiate(&component.0, &component.1).await, body)
        });
        made.await?;
        if instance.has_lifecycle {
            instance.enter(Export::Start, |mut body| async move { (body.start().await, body) }).await?;
        }
        self.guest.desk.book.started();
        Ok(instance)
    }
}

impl Instance {
    /// Calls `sensor.sample`. What the guest returns is checked sample by sample; a bad one is logged and left out.
    pub(crate) async fn sample(&mut self) -> Result<Vec<Sample>, CallFailure> {
        self.enter(Export::Sample, |mut body| async move { (body.sample().await, body) }).await
    }

    /// Calls `commands.handle`.
    pub(crate) async fn command(&mut self, command: Command) -> Result<Reply, CallFailure> {
        self.enter(Export::Handle, |mut body| async move { (body.command(command).await, body) }).await
    }

    /// Calls `twin-events.desired-changed`.
    pub(crate) async fn desired_changed(&mut self, change: DesiredChange) -> Result<(), CallFailure> {
        let call = |mut body: Box<Body>| async move { (body.desired_changed(change).await, body) };
        self.enter(Export::DesiredChanged, call).await
    }

    /// Calls `connection-events.changed`.
    pub(crate) async fn connection_changed(&mut self, connection: Connection) -> Result<(), CallFailure> {
        let call = |mut body: Box<Body>| async move { (body.connection_changed(connection).await, body) };
        self.enter(Export::ConnectionChanged, call).await
    }

    /// Calls `firmware.update`. The file is readable from here on; the caller says when no longer.
    pub(crate) async fn update(&mut self, update: Update) -> Result<Reply, CallFailure> {
        self.enter(Export::Update, |mut body| async move { (body.update(update).await, body) }).await
    }

    /// Calls `transform.process`. What the guest returns is checked like what it sends, and taken as a whole or not at all;
    /// a time that the guest left as it was keeps the text it came with.
    pub(crate) async fn transform(&mut self, samples: Vec<Sample>) -> Result<Vec<Sample>, CallFailure> {
        self.enter(Export::Process, |mut body| async move { (body.transform(samples).await, body) }).await
    }

    /// Calls `lifecycle.save-state`, if there is one; an empty list is nothing.
    pub(crate) async fn save_state(&mut self) -> Result<Vec<u8>, CallFailure> {
        if !self.has_lifecycle {
            return Ok(Vec::new());
        }
        self.enter(Export::SaveState, |mut body| async move { (body.save_state().await, body) }).await
    }

    /// Calls `lifecycle.restore-state`.
    pub(crate) async fn restore_state(&mut self, saved: Vec<u8>) -> Result<(), CallFailure> {
        self.enter(Export::RestoreState, |mut body| async move { (body.restore_state(saved).await, body) }).await
    }

    /// Calls `lifecycle.stop`, if there is one and the instance lives.
    pub(crate) async fn stop(mut self) -> Result<(), CallFailure> {
        if !self.has_lifecycle || self.is_dead() {
            return Ok(());
        }
        self.enter(Export::Stop, |mut body| async move { (body.stop().await, body) }).await
    }

    /// After a trap or an overrun there is no way back in.
    pub(crate) fn is_dead(&self) -> bool {
        self.body.is_none()
    }

    pub(crate) fn has_lifecycle(&self) -> bool {
        self.has_lifecycle
    }

    /// What was granted and could not be had, in sentences.
    pub(crate) fn problems(&self) -> &[String] {
        self.body.as_ref().map_or(&[], |body| body.problems())
    }

    /// Linear memory after the last call; what a dead one had.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    async fn enter<T, Call>(&mut self, export: Export, call: impl FnOnce(Box<Body>) -> Call) -> Result<T, CallFailure>
    where
        T: Send + 'static,
        Call: Future<Output = (Result<T, CallFailure>, Box<Body>)> + Send + 'static,
    {
        let mut body = self.body.take().ok_or(CallFailure::Gone)?;
        let begun = Instant::now();
        let deadline = body.begin(if export.sets_up() { self.deadline.max(START_DEADLINE_MIN) } else { self.deadline });
        let desk = Arc::clone(&self.guest.desk);
        let (lane, is_exact) = desk.standing.begin();
        // Setting up is long by nature.
        let lane = lane.max(if export.sets_up() { Lane::Slow } else { Lane::Fast });
        let call = call(body);
        let ride = self.lanes.ride((lane, is_exact), &desk, &deadline, async move {
            let (answer, body) = call.await;
            let memory_bytes = body.memory_bytes();
            // To take down its memory is the work of whoever made the call.
            let body = Some(body).filter(|body| !body.is_dead() && export != Export::Stop);
            (answer, body, memory_bytes)
        });
        let ((answer, body, memory_bytes), spent) = ride.await;
        self.memory_bytes = memory_bytes;
        let outcome = Outcome::of(&answer);
        desk.book.called(&Called {
            export,
            outcome,
            wall: begun.elapsed(),
            cpu: spent.cpu,
            waits: deadline.waits(),
            memory_bytes,
            is_left: body.is_some(),
        });
        self.body = body;
        let used = Used {
            uncharged: spent.uncharged,
            cpu: spent.cpu,
            overran: outcome == Outcome::Timeout && spent.cpu >= self.deadline / COMPUTED,
            is_usual: !export.sets_up(),
        };
        if let Some(words) = desk.standing.ended(used) {
            tracing::warn!(plugin = self.guest.plugin, "plugin computes too much: {words}");
            desk.note(LogLevel::Warn, LogStream::Host, words);
        }
        answer
    }
}

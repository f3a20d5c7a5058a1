//! One plugin's task: owns the living instance, serves calls one by one (`calls`), switches to a new version between two
//! of them (`swap`), starts again or goes back after a fault (`faults`), watches a new version until it is trusted
//! (`trust`), and does what an operator says (`orders`).
//!
//! What must stay true: the instance is entered from here alone; a new version takes over only once it has started and
//! taken what the old one hands over; a version that does neither disturbs nothing that runs; the last good version is
//! kept at hand until its successor is trusted; nothing here waits for the disk while calls can be served; the task's
//! events come in the order of [`PluginEvent`].

mod calls;
mod faults;
mod orders;
mod swap;
mod trust;

use std::path::PathBuf;
use std::sync::Arc;

use edgeplug_signature::Provenance;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::call::{CallFailure, Connection};
use crate::clock::Clock;
use crate::desk::Desk;
use crate::event::PluginEvent;
use crate::host::Surroundings;
use crate::instance::{Blueprint, Instance};
use crate::loader::{Fitting, Found, Version};
use crate::options::Limits;
use crate::probation::Proof;
use crate::repeats::Repeats;
use crate::shelf::{Shelf, Trial, VersionId};
use crate::slot::{Call, Slot};
use crate::status::{Origin, PluginState};
use crate::tail::{LogLevel, LogStream};
use crate::voice::cleaned;
pub(crate) use orders::Order;

/// Something to run, on its way to the task.
pub(crate) struct Delivery {
    pub(crate) cargo: Cargo,
    /// What to name in a refusal.
    pub(crate) file: PathBuf,
    /// Told once it is clear what becomes of it.
    pub(crate) done: oneshot::Sender<Verdict>,
}

pub(crate) enum Cargo {
    /// What lies in the directory.
    New(Box<Newcomer>),
    /// The last good version, because what lies there is of no use.
    Kept(Box<Standby>),
}

/// A version that was started beside the one that runs.
pub(crate) struct Newcomer {
    pub(crate) current: Current,
    /// The instance, or why it did not start.
    pub(crate) started: Result<Instance, CallFailure>,
    /// Its probation so far; none for a version that is trusted.
    pub(crate) trial: Option<Trial>,
    /// What to go back to, where it is not what runs.
    pub(crate) standby: Option<Standby>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This is the version now, even if it has yet to start.
    Adopted,
    /// It does not start, or nothing shall; what was before goes on, or is tried again.
    PutAside,
}

/// A version that can be started again and again.
pub(crate) struct Current {
    pub(crate) id: VersionId,
    version: Version,
    pub(crate) papers: Papers,
    grants: Vec<String>,
    blueprint: Blueprint,
}

/// What came with a version, for the shelf.
pub(crate) struct Papers {
    pub(crate) manifest: Option<String>,
    pub(crate) file_name: String,
    pub(crate) signature: Option<String>,
    pub(crate) provenance: Provenance,
    pub(crate) origin: Origin,
}

/// The last good version, while its successor is on probation.
pub(crate) struct Standby {
    pub(crate) current: Current,
    /// What it saved when it was replaced.
    pub(crate) state: Option<Arc<Vec<u8>>>,
}

/// Why a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Removed,
    Shutdown,
}

/// What connects a task with the others.
pub(crate) struct Seat {
    pub(crate) plugin: String,
    pub(crate) slot: Arc<Slot>,
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) deliveries: mpsc::Receiver<Delivery>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) ending: watch::Receiver<Option<Ending>>,
    pub(crate) shelf: Arc<Shelf>,
}

pub(crate) struct Task {
    seat: Seat,
    desk: Arc<Desk>,
    /// The plugin is told the latest, never a queue.
    connection: watch::Receiver<Connection>,
    events: mpsc::Sender<PluginEvent>,
    limits: Limits,
    current: Option<Current>,
    instance: Option<Instance>,
    /// What the next instance is given, when the one it should come from is gone.
    inheritance: Option<Arc<Vec<u8>>>,
    /// When to start again; set while there is a version but no instance.
    restart_at: Option<Instant>,
    /// Of the current version, until it is trusted.
    proof: Option<Proof>,
    /// What to go back to until then.
    standby: Option<Standby>,
    /// What is being written to the shelf, with the hash of a version whose confirmation is to be told then.
    writing: JoinSet<Option<String>>,
    /// Whether the last `Up` was not followed by a `Down` for good.
    was_up: bool,
    /// Errors of the version that runs, as far as its log has them.
    errors: Repeats,
    ailment: Option<Ailment>,
    clock: Clock,
    /// Old instances saying good-bye.
    leaving: JoinSet<()>,
}

/// A problem that came of a call.
struct Ailment {
    /// The call that was answered with an error; none after a fault, which stays.
    error_of: Option<&'static str>,
    words: String,
}

impl Ailment {
    /// Whether it is what the status shows.
    fn is(&self, problem: &Option<String>) -> bool {
        problem.as_ref() == Some(&self.words)
    }
}

impl Current {
    pub(crate) fn new(fitting: Fitting) -> Self {
        let Fitting { found, provenance, grants, blueprint } = fitting;
        let Found { id, version, file_name, manifest, signature, origin, .. } = found;
        let papers = Papers { manifest, file_name, signature, provenance, origin };
        Self { id, version, papers, grants, blueprint }
    }
}

impl Task {
    pub(crate) fn new(seat: Seat, surroundings: &Surroundings, limits: Limits) -> Self {
        Self {
            desk: surroundings.desks.open(&seat.plugin),
            seat,
            connection: surroundings.connection.clone(),
            events: surroundings.events.clone(),
            limits,
            current: None,
            instance: None,
            inheritance: None,
            restart_at: None,
            proof: None,
            standby: None,
            writing: JoinSet::new(),
            was_up: false,
            errors: Repeats::default(),
            ailment: None,
            clock: surroundings.clock.clone(),
            leaving: JoinSet::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let now = Instant::now();
            let restart_at = self.restart_at.unwrap_or(now);
            let weigh_at = self.proof.as_ref().filter(|_| self.instance.is_some()).map(|proof| proof.next_look(now));
            tokio::select! {
                biased;
                () = ended(&mut self.seat.ending) => break,
                Some(order) = self.seat.orders.recv() => self.obey(order).await,
                Some(delivery) = self.seat.deliveries.recv() => self.take(delivery).await,
                Some(written) = self.writing.join_next() => self.written(written).await,
                () = tokio::time::sleep_until(restart_at), if self.restart_at.is_some() => self.restart().await,
                () = tokio::time::sleep_until(weigh_at.unwrap_or(now)), if weigh_at.is_some() => self.weigh(),
                Ok(()) = self.connection.changed(), if self.watches_connection() => self.tell_connection().await,
                Some(call) = self.seat.calls.recv(), if self.instance.is_some() => self.serve(call).await,
                Some(_) = self.leaving.join_next() => {}
            }
        }
        self.end().await;
    }

    /// What runs from now on, or waits to.
    fn set_current(&mut self, current: Option<Current>) -> Option<Current> {
        self.seat.slot.set_running(current.as_ref().map(|current| current.version.clone()));
        std::mem::replace(&mut self.current, current)
    }

    /// Has an instance say good-bye off the path of the next call; bounded by its own deadline.
    fn dismiss(&mut self, instance: Instance) {
        let plugin = self.seat.plugin.clone();
        self.leaving.spawn(async move { say_goodbye(&plugin, instance).await });
    }

    async fn end(mut self) {
        // A keeper that went without a word wished nothing to be forgotten.
        let ending = self.seat.ending.borrow().unwrap_or(Ending::Shutdown);
        self.seat.slot.status().state = PluginState::Refused;
        self.drain().await;
        if let Some(instance) = self.instance.take() {
            say_goodbye(&self.seat.plugin, instance).await;
        }
        while self.leaving.join_next().await.is_some() {}
        match ending {
            Ending::Shutdown => self.note_end().await,
            Ending::Removed => self.seat.shelf.close().await,
        }
        if !self.was_up {
            return;
        }
        let reason = match ending {
            Ending::Shutdown => "the daemon stops",
            Ending::Removed => "its file was removed",
        };
        let down = PluginEvent::Down { plugin: self.seat.plugin.clone(), reason: reason.to_owned(), gone: true };
        match ending {
            // Whoever stops the daemon may no longer listen.
            Ending::Shutdown => drop(self.events.try_send(down)),
            Ending::Removed => self.emit(down).await,
        }
    }

    /// For the plugin's own log; whoever gets the event or the status says it elsewhere.
    fn note(&self, message: &str) {
        self.desk.note(LogLevel::Warn, LogStream::Host, cleaned(message));
    }

    /// A receiver that is gone is no reason to stop serving: the daemon is about to end.
    async fn emit(&mut self, event: PluginEvent) {
        let _ = self.events.send(event).await;
    }
}

async fn ended(ending: &mut watch::Receiver<Option<Ending>>) {
    // An error means that the keeper is gone, which is an ending too.
    let _ = ending.wait_for(Option::is_some).await;
}

async fn say_goodbye(plugin: &str, instance: Instance) {
    if let Err(failure) = instance.stop().await {
        tracing::warn!(plugin, %failure, "plugin did not stop well");
    }
}

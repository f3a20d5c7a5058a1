//! The outside of one plugin: where calls are put in, and what is known about it.
//!
//! What must stay true: a call is taken only while the plugin is up, under the same lock that takes it down, so that
//! every call taken is either answered or drained.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edgeplug_protocol::sample::Sample;
use edgeplug_signature::Provenance;
use tokio::sync::mpsc;

use crate::call::{Command, DesiredChange, NotReady, Update};
use crate::figures::Figures;
use crate::loader::Version;
use crate::scope::CommandScope;
use crate::shelf::Shelf;
use crate::status::{Origin, PluginState, PluginStatus, SetAside};
use edgeplug_engine::Exports;

/// Calls waiting for one plugin. The session has one call of each kind and a few commands outstanding per plugin.
pub(crate) const CALLS_MAX: usize = 16;

pub(crate) enum Call {
    Sample { call: u64 },
    Command { call: u64, command: Command },
    Desired { call: u64, change: DesiredChange },
    Update { call: u64, update: Update },
    Transform { call: u64, samples: Vec<Sample> },
}

pub(crate) struct Slot {
    calls: mpsc::Sender<Call>,
    status: Mutex<PluginStatus>,
    /// What its task runs, or waits to run again.
    running: Mutex<Option<Version>>,
    /// What should be known of the version as long as nothing is worse, and of its instance.
    remarks: Mutex<[Option<String>; 2]>,
    shelf: Arc<Shelf>,
}

/// All plugins by name. Cloning shares the list.
#[derive(Clone, Default)]
pub(crate) struct Slots(Arc<Mutex<BTreeMap<String, Arc<Slot>>>>);

impl Slot {
    pub(crate) fn new(plugin: &str, shelf: Arc<Shelf>) -> (Arc<Self>, mpsc::Receiver<Call>) {
        let (calls, receiver) = mpsc::channel(CALLS_MAX);
        let status = PluginStatus {
            plugin: plugin.to_owned(),
            state: PluginState::Loading,
            sha256: String::new(),
            origin: None,
            version: None,
            signed_by: None,
            exports: Exports::default(),
            interval_ms: 0,
            grants: Vec::new(),
            commands: CommandScope::default(),
            firmware: None,
            calls: 0,
            errors: 0,
            faults: 0,
            restarts: 0,
            swaps: 0,
            rollbacks: 0,
            strikes: 0,
            memory_bytes_max: 0,
            problem: None,
            figures: Figures::default(),
            probation: None,
            set_aside: None,
        };
        let slot =
            Self { calls, status: Mutex::new(status), running: Mutex::default(), remarks: Mutex::default(), shelf };
        (Arc::new(slot), receiver)
    }

    pub(crate) fn running(&self) -> Option<Version> {
        locked(&self.running).clone()
    }

    pub(crate) fn set_running(&self, version: Option<Version>) {
        *locked(&self.running) = version;
    }

    /// Whose the version is that runs.
    pub(crate) fn certify(&self, provenance: &Provenance) {
        let mut status = self.status();
        status.version = provenance.version.map(|version| version.to_string());
        status.signed_by.clone_from(&provenance.key_id);
        let [of_version, _] = &mut *locked(&self.remarks);
        of_version.clone_from(&provenance.words);
    }

    /// Where the files of the version that runs lie now.
    pub(crate) fn locate(&self, origin: Origin) {
        self.status().origin = Some(origin);
    }

    /// What its instance could not have.
    pub(crate) fn remark(&self, problems: &[String]) {
        let [_, of_instance] = &mut *locked(&self.remarks);
        *of_instance = (!problems.is_empty()).then(|| problems.join("; "));
    }

    /// Puts a call in, without ever waiting.
    pub(crate) fn submit(&self, call: Call) -> Result<(), NotReady> {
        let status = self.status();
        let plugin = &status.plugin;
        if status.state != PluginState::Running {
            return Err(NotReady::Down(plugin.clone()));
        }
        let (export, exported) = match call {
            Call::Sample { .. } => ("sensor", status.exports.sensor),
            Call::Command { .. } => ("commands", status.exports.commands),
            Call::Desired { .. } => ("twin-events", status.exports.twin_events),
            Call::Update { .. } => ("firmware", status.exports.firmware),
            Call::Transform { .. } => ("transform", status.exports.transform),
        };
        if !exported {
            return Err(NotReady::NotExported { plugin: plugin.clone(), export });
        }
        self.calls.try_send(call).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotReady::Busy(plugin.clone()),
            mpsc::error::TrySendError::Closed(_) => NotReady::Down(plugin.clone()),
        })
    }

    /// The files are again those of the version that runs; whatever was refused in between is no problem any more.
    pub(crate) fn forget_refusal(&self) {
        let mut status = self.status();
        status.set_aside = None;
        if status.state == PluginState::Running {
            status.problem = None;
        }
    }

    /// What lies there failed before; answers whether that was known.
    pub(crate) fn set_aside(&self, set_aside: SetAside) -> bool {
        let mut status = self.status();
        let was_known = status.set_aside.as_ref() == Some(&set_aside);
        status.set_aside = Some(set_aside);
        was_known
    }

    /// It shall not run.
    pub(crate) fn rest(&self, state: PluginState, problem: Option<String>) {
        let mut status = self.status();
        status.state = state;
        status.problem = problem;
    }

    /// New files of a plugin that never ran are looked at.
    pub(crate) fn begin_loading(&self) {
        let mut status = self.status();
        if status.state == PluginState::Refused {
            status.state = PluginState::Loading;
        }
    }

    /// Files were not taken; what runs goes on.
    pub(crate) fn refuse(&self, reason: &str) {
        self.status().problem = Some(reason.to_owned());
        self.end_loading();
    }

    /// Nothing came of it that was not known.
    pub(crate) fn end_loading(&self) {
        let mut status = self.status();
        if status.state == PluginState::Loading {
            status.state = PluginState::Refused;
        }
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, PluginStatus> {
        locked(&self.status)
    }

    fn known(&self) -> PluginStatus {
        let mut status = self.status().clone();
        let remarks = locked(&self.remarks).iter().flatten().next().cloned();
        status.problem = status.problem.or(remarks).or_else(|| self.shelf.problem());
        status
    }
}

impl Slots {
    pub(crate) fn insert(&self, plugin: &str, slot: Arc<Slot>) {
        self.lock().insert(plugin.to_owned(), slot);
    }

    pub(crate) fn remove(&self, plugin: &str) {
        self.lock().remove(plugin);
    }

    pub(crate) fn submit(&self, plugin: &str, call: Call) -> Result<(), NotReady> {
        let slot = self.lock().get(plugin).cloned();
        slot.ok_or_else(|| NotReady::Unknown(plugin.to_owned()))?.submit(call)
    }

    pub(crate) fn list(&self) -> Vec<PluginStatus> {
        self.lock().values().map(|slot| slot.known()).collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Slot>>> {
        locked(&self.0)
    }
}

fn locked<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The rig's staging directories, installer, plugin directory and firmware plugins. It keeps watch over what must stay true of
//! hand-overs: only verified files, and nothing after the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{LATENCY, Rig};
use crate::action::{FetchFile, FirmwareUpdate};
use crate::commands::job;
use crate::event::*;
use crate::{Action, CallId, Ticket};

/// How a fetch ends, if it does.
pub(crate) type Fetch = Option<Result<Vec<VerifiedFile>, FetchFailure>>;
/// What becomes of a component, if anything, and when.
pub(crate) type Fate = Option<(Duration, Event)>;

/// What it does and what it saw.
pub(crate) struct OtaRig {
    /// How fetches end, by the number of the fetch; `None` leaves it open.
    pub(crate) fetch: fn(&[FetchFile], usize) -> Fetch,
    pub(crate) fetch_delay: Duration,
    /// How plugins answer to a file.
    pub(crate) update: fn(&FirmwareUpdate) -> Option<Result<Reply, CallFailure>>,
    pub(crate) install: fn(u32) -> Option<Result<Installation, String>>,
    pub(crate) confirm: fn() -> Option<Result<String, String>>,
    pub(crate) deploy: fn(&str) -> Option<Result<Deployment, String>>,
    /// What becomes of a component, and when.
    pub(crate) verdict: fn(Deployment) -> Fate,
    /// Verified files by job; survives a crash.
    pub(crate) staged: BTreeMap<String, Vec<VerifiedFile>>,
    /// Whatever was done, in words.
    pub(crate) log: Vec<String>,
    pub(crate) fetches: Vec<Vec<FetchFile>>,
    pub(crate) updates: Vec<(String, FirmwareUpdate)>,
    pub(crate) kept: Option<BTreeSet<String>>,
    last_fetch: Option<Ticket>,
    last_call: Option<CallId>,
}

impl Default for OtaRig {
    fn default() -> Self {
        Self {
            fetch: |files, _| Some(Ok(verified(files))),
            fetch_delay: LATENCY,
            update: |update| Some(Ok(Reply::Done(format!("flashed {}", update.name)))),
            install: |_| Some(Ok(Installation::Done("installed it".into()))),
            confirm: || Some(Ok("runs".into())),
            deploy: |name| Some(Ok(deployment(name))),
            verdict: |Deployment { plugin, sha256 }| {
                Some((Duration::from_secs(60), Event::PluginConfirmed { plugin, sha256 }))
            },
            staged: BTreeMap::new(),
            log: Vec::new(),
            fetches: Vec::new(),
            updates: Vec::new(),
            kept: None,
            last_fetch: None,
            last_call: None,
        }
    }
}

/// What a good fetch gives.
pub(crate) fn verified(files: &[FetchFile]) -> Vec<VerifiedFile> {
    let payload = files.iter().filter(|file| !file.name.ends_with(".minisig") && !file.name.ends_with(".sha256"));
    payload
        .map(|file| VerifiedFile { name: file.name.clone(), size: 7, sha256: "00".repeat(32), warning: None })
        .collect()
}

pub(crate) fn deployment(name: &str) -> Deployment {
    let (plugin, _) = name.rsplit_once('.').unwrap();
    Deployment { plugin: plugin.into(), sha256: "ab".repeat(32) }
}

pub(crate) fn fetch_failure(kind: FetchFailureKind, text: &str) -> FetchFailure {
    FetchFailure { kind, text: text.into(), retry_after: None }
}

impl Rig {
    /// A plugin that takes the firmware of these devices; of all, if there are none.
    pub(crate) fn firmware_up(&mut self, plugin: &str, devices: &[&str]) {
        let devices = devices.iter().map(|device| (*device).to_owned()).collect();
        self.handle(Event::PluginUp(PluginUp {
            plugin: plugin.into(),
            interval: None,
            commands: None,
            firmware: Some(FirmwareScope { devices }),
        }));
    }

    /// Of the hand-over of this id.
    pub(crate) fn updates_of(&self, id: &str) -> usize {
        self.ota.updates.iter().filter(|(_, update)| update.id == id).count()
    }

    /// Of the fetch begun last.
    pub(crate) fn fetching(&self) -> Ticket {
        self.ota.last_fetch.unwrap()
    }

    /// Of the hand-over to a plugin begun last.
    pub(crate) fn updating(&self) -> CallId {
        self.ota.last_call.unwrap()
    }

    /// After all that a turn brought.
    pub(super) fn watch_fetches(&self) {
        let fetches = || self.coming.values().any(|event| matches!(event, Event::Fetched { .. }));
        assert!(self.session.world.stopped.is_none() || !fetches(), "files are fetched for a device that was stopped");
    }

    fn may_hand_over(&self, job: &str, names: &[String]) {
        let staged = self.ota.staged.get(job).unwrap_or_else(|| panic!("{names:?} was not fetched"));
        for name in names {
            assert!(staged.iter().any(|file| file.name == *name), "{name} was not verified");
        }
        self.is_unfinished(job);
    }

    fn is_unfinished(&self, of: &str) {
        let mut rows = self.disk.commands.iter().filter(|(key, _)| job(key) == of);
        let (key, (_, finished)) = rows.next().expect("what is done is in the ledger");
        assert!(!finished, "{key} has its end already");
    }

    /// Carries out what is about updates.
    pub(super) fn carry_out_update(&mut self, action: Action) -> Option<Action> {
        match action {
            Action::Fetch { ticket, job, files } => {
                assert!(!files.is_empty());
                self.is_unfinished(&job);
                self.ota.log.push("fetch".into());
                self.ota.last_fetch = Some(ticket);
                self.ota.fetches.push(files.clone());
                if let Some(result) = (self.ota.fetch)(&files, self.ota.fetches.len()) {
                    if let Ok(files) = &result {
                        self.ota.staged.insert(job, files.clone());
                    }
                    self.later(self.ota.fetch_delay, Event::Fetched { ticket, result });
                }
            }
            Action::CancelFetch { ticket: cancelled } => {
                self.ota.log.push("cancel".into());
                self.coming.retain(|_, event| !matches!(event, Event::Fetched { ticket, .. } if *ticket == cancelled));
            }
            Action::Update { plugin, call, update } => {
                self.may_hand_over(&update.job, std::slice::from_ref(&update.name));
                self.ota.log.push(format!("update {} {}", update.id, update.name));
                self.ota.last_call = Some(call);
                if let Some(result) = (self.ota.update)(&update) {
                    self.later(LATENCY, Event::Replied { plugin: plugin.clone(), call, result });
                }
                self.ota.updates.push((plugin, update));
            }
            Action::UpdateEnded { id, .. } => self.ota.log.push(format!("ended {id}")),
            Action::Install { ticket, job, names, attempt, .. } => {
                self.may_hand_over(&job, &names);
                self.ota.log.push(format!("install {} {attempt}", names.join(" ")));
                if let Some(result) = (self.ota.install)(attempt) {
                    self.later(LATENCY, Event::Installed { ticket, result });
                }
            }
            Action::ConfirmInstall { ticket, job, .. } => {
                self.is_unfinished(&job);
                self.ota.log.push("confirm".into());
                if let Some(result) = (self.ota.confirm)() {
                    self.later(LATENCY, Event::InstallConfirmed { ticket, result });
                }
            }
            Action::Deploy { ticket, job, name } => {
                self.may_hand_over(&job, std::slice::from_ref(&name));
                self.ota.log.push(format!("deploy {name}"));
                if let Some(result) = (self.ota.deploy)(&name) {
                    if let Ok(deployment) = &result
                        && let Some((wait, event)) = (self.ota.verdict)(deployment.clone())
                    {
                        self.later(LATENCY + wait, event);
                    }
                    self.later(LATENCY, Event::Deployed { ticket, result });
                }
            }
            Action::Withdraw { plugin, .. } => self.ota.log.push(format!("withdraw {plugin}")),
            Action::DiscardJob { job: discarded } => {
                let mut rows = self.disk.commands.iter();
                assert!(rows.all(|(key, (_, finished))| *finished || job(key) != discarded), "discarded too soon");
                self.ota.staged.remove(&discarded);
            }
            Action::KeepJobs { jobs } => {
                let jobs: BTreeSet<_> = jobs.into_iter().collect();
                self.ota.staged.retain(|job, _| jobs.contains(job));
                self.ota.kept = Some(jobs);
            }
            other => return Some(other),
        }
        None
    }
}

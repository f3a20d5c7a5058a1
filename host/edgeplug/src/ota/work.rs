//! The task that does the work, in the order asked.
//!
//! What may take minutes has a task of its own: one fetch at a time, and one installation or confirmation. So a file on
//! its way to a plugin waits for neither, and the session, which gives up what gets no answer, is told in time.
//!
//! What must stay true: nothing is done to a job's directory while a fetch of that job still writes there.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use edgeplug_firmware::{DigestPolicy, Firmware, FirmwareOptions, Installer};
use edgeplug_link::HttpClient;
use edgeplug_plugins::Update;
use edgeplug_session::action::{FetchFile, FirmwareUpdate};
use edgeplug_session::event::{CallFailure, Event};
use edgeplug_session::{CallId, Ticket};
use tokio::sync::{mpsc, oneshot};

use super::fetch::{Fetching, Progress, Stop};
use super::handover::{self, Unit};
use super::lane::Lane;
use super::{Told, words};
use crate::config::{InstalledBy, OtaConfig};
use crate::exit::chain;

/// Waits between tries to open the directory: a disk that is full or read-only changes by somebody's hand.
const RETRY: Duration = Duration::from_secs(5);

/// A disk that hangs must not keep the daemon from starting.
const BEGIN_MAX: Duration = Duration::from_secs(5);

/// Something to do, and whom to tell.
pub(super) struct Asked {
    pub(super) work: Work,
    pub(super) tell: mpsc::Sender<Told>,
}

/// The session's actions, as they wait for the disk.
pub(super) enum Work {
    Fetch { ticket: Ticket, job: String, files: Vec<FetchFile>, cancelled: oneshot::Receiver<()> },
    Update { plugin: String, call: CallId, update: FirmwareUpdate },
    Install { ticket: Ticket, job: String, names: Vec<String>, version: String, attempt: u32 },
    Confirm { ticket: Ticket, job: String, version: String },
    Deploy { ticket: Ticket, job: String, name: String },
    Withdraw { plugin: String, sha256: String },
    Discard { job: String },
    Keep { jobs: Vec<String> },
}

pub(super) struct Worker {
    config: OtaConfig,
    fetches: Lane,
    installations: Lane,
    /// Once its directory could be opened.
    firmware: Option<Firmware>,
    /// Why it could not be, as said last.
    said: Option<String>,
}

impl Worker {
    pub(super) fn new(config: OtaConfig, http: HttpClient) -> Self {
        let (unit, settings) = (unit(&config), config.clone());
        let fetches =
            Lane::start(move |firmware, work, tell| fetch(firmware, http.clone(), settings.clone(), work, tell));
        let installations = Lane::start(move |firmware, work, tell| install(firmware, unit.clone(), work, tell));
        Self { config, fetches, installations, firmware: None, said: None }
    }

    /// Opens the directory if it can be: what cannot be opened was said, and is tried again when there is work.
    pub(super) async fn begin(&mut self) {
        let _ = tokio::time::timeout(BEGIN_MAX, self.open()).await;
    }

    /// Until nobody asks any more.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Asked>) {
        while let Some(Asked { work, tell }) = asked.recv().await {
            let told = match self.open_for(&work).await {
                Ok(firmware) => self.work(firmware, work, &tell).await,
                Err(reason) => words::failed(work, &reason).map(Told::Event),
            };
            if let Some(told) = told {
                // A session that ended meanwhile is told nothing.
                let _ = tell.send(told).await;
            }
        }
    }

    /// A fetch is tried again by the session, and what is to be thrown away is at the next start. To everything else
    /// "not now" would be an answer for good, so that waits.
    async fn open_for(&mut self, work: &Work) -> Result<Firmware, String> {
        let waits = !matches!(work, Work::Fetch { .. } | Work::Discard { .. } | Work::Keep { .. });
        loop {
            match self.open().await {
                Err(_) if waits => tokio::time::sleep(RETRY).await,
                opened => return opened,
            }
        }
    }

    async fn open(&mut self) -> Result<Firmware, String> {
        if let Some(firmware) = &self.firmware {
            return Ok(firmware.clone());
        }
        let (options, directory) = (options(&self.config), self.config.directory.clone());
        let opened = tokio::task::spawn_blocking(move || {
            private_directory(&directory)?;
            Firmware::open(options).map_err(|error| chain(&error))
        });
        match opened.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(firmware) => {
                self.firmware = Some(firmware.clone());
                Ok(firmware)
            }
            Err(reason) => {
                if self.said.as_ref() != Some(&reason) {
                    tracing::error!(reason, "updates cannot be staged; trying again");
                    self.said = Some(reason.clone());
                }
                Err(reason)
            }
        }
    }

    async fn work(&mut self, disk: Firmware, work: Work, tell: &mpsc::Sender<Told>) -> Option<Told> {
        Some(match work {
            Work::Fetch { ref job, .. } => {
                let job = job.clone();
                self.fetches.pass(job, disk, Asked { work, tell: tell.clone() }).await;
                return None;
            }
            Work::Install { ref job, .. } | Work::Confirm { ref job, .. } => {
                let job = job.clone();
                self.fetches.past(|other| other == job).await;
                self.installations.pass(job, disk, Asked { work, tell: tell.clone() }).await;
                return None;
            }
            Work::Update { plugin, call, update } => {
                self.fetches.past(|job| job == update.job).await;
                hand_over(disk, plugin, call, update).await
            }
            Work::Deploy { ticket, job, name } => {
                self.fetches.past(|other| other == job).await;
                match blocking(move || disk.deploy(&job, &name)).await {
                    Ok(deployment) => Told::Deployed { ticket, deployment: words::deployment(deployment) },
                    Err(reason) => Told::Event(Event::Deployed { ticket, result: Err(reason) }),
                }
            }
            Work::Withdraw { plugin, sha256 } => {
                do_quietly(move || disk.withdraw(&plugin, &sha256)).await;
                Told::Withdrawn
            }
            Work::Discard { job } => {
                self.fetches.past(|other| other == job).await;
                let unit = unit(&self.config);
                do_quietly(move || {
                    unit.into_iter().for_each(|unit| unit.forget(|other| other == job));
                    disk.discard(&job);
                })
                .await;
                return None;
            }
            Work::Keep { jobs } => {
                // The session that asks is new: whatever still writes was stopped.
                self.fetches.past(|_| true).await;
                let unit = unit(&self.config);
                do_quietly(move || {
                    unit.into_iter().for_each(|unit| unit.forget(|other| !jobs.iter().any(|job| job == other)));
                    disk.keep_jobs(&jobs);
                })
                .await;
                return None;
            }
        })
    }
}

/// The unit that installs, where it is not the daemon itself.
fn unit(config: &OtaConfig) -> Option<Unit> {
    let installer = config.installer.as_ref().filter(|installer| installer.by() == InstalledBy::Unit)?;
    Some(Unit::new(config, installer.timeout))
}

/// What the lane of fetches does.
async fn fetch(firmware: Firmware, http: HttpClient, config: OtaConfig, work: Work, tell: mpsc::Sender<Told>) {
    let Work::Fetch { ticket, job, files, cancelled } = work else { return };
    let progress = Progress::new(ticket, tell.clone());
    let fetching = Fetching { firmware: &firmware, http: &http, config: &config, job: &job, cancelled, progress };
    let result = match fetching.run(&files).await {
        Ok(files) => Ok(files),
        Err(Stop::Failed(failure)) => Err(failure),
        Err(Stop::Cancelled) => return,
    };
    let _ = tell.send(Told::Event(Event::Fetched { ticket, result })).await;
}

/// What the lane of installations does.
async fn install(firmware: Firmware, unit: Option<Unit>, work: Work, tell: mpsc::Sender<Told>) {
    let event = match work {
        Work::Install { ticket, job, names, version, attempt } => {
            let result = match unit {
                Some(unit) => unit.install(firmware, job, names, version, attempt).await,
                None => firmware.install(&job, &names, &version, attempt).await.map(words::installation),
            };
            Event::Installed { ticket, result }
        }
        Work::Confirm { ticket, job, version } => {
            let result = tokio::select! {
                result = handover::confirm(&firmware, unit.as_ref(), &job, &version, handover::ASK_AGAIN) => result,
                // The next session asks for itself.
                () = tell.closed() => return,
            };
            Event::InstallConfirmed { ticket, result }
        }
        _ => return,
    };
    let _ = tell.send(Told::Event(event)).await;
}

async fn do_quietly(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%error, "what an update left on the disk could not be looked after");
    }
}

/// A file on its way to a plugin.
async fn hand_over(firmware: Firmware, plugin: String, call: CallId, update: FirmwareUpdate) -> Told {
    let FirmwareUpdate { id, job, name, version, size, sha256, child } = update;
    let file = name.clone();
    let path = tokio::task::spawn_blocking(move || firmware.path(&job, &file)).await.ok().flatten();
    match path {
        Some(file) => {
            let update = Update { id, device: child, name, version, size, sha256, file };
            Told::HandOver { plugin, call, update }
        }
        None => {
            let failure = CallFailure(format!("{name} is not what was verified any more; send the update again"));
            Told::Event(Event::Replied { plugin, call, result: Err(failure) })
        }
    }
}

/// The adapter's options, by the configuration.
pub(super) fn options(config: &OtaConfig) -> FirmwareOptions {
    FirmwareOptions {
        directory: config.staging(),
        plugins: config.plugins(),
        signature: config.signature.clone(),
        digest: if config.digest_required { DigestPolicy::Require } else { DigestPolicy::IfGiven },
        file_bytes_max: config.file_bytes_max,
        update_bytes_max: config.update_bytes_max,
        free_bytes_min: config.free_bytes_min,
        installer: config.installer.as_ref().map(|installer| Installer {
            command: installer.command.clone(),
            confirm: installer.confirm.clone(),
            timeout: installer.timeout,
            restart: installer.confirm.is_some(),
        }),
    }
}

/// Makes a directory that is closed to others, and those above it.
pub(super) fn private_directory(directory: &Path) -> Result<(), String> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| format!("cannot make {}: {error}", directory.display()))
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

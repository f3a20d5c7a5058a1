//! The way of one state of a plugin's files from the directory to its task: read, judge, write down, start, deliver.
//!
//! What must stay true: all that is slow happens here, beside the calls of the version that runs; what failed before is not
//! tried again; before anything of a new version runs, the shelf knows that it is being tried; where nothing runs and the
//! files are of no use, the last good version is started from the shelf.

use std::path::PathBuf;
use std::sync::Arc;

use edgeplug_signature::Provenance;
use tokio::sync::{mpsc, oneshot};

use crate::loader::{Fitting, Found, Loader, NotLoaded, Unfit, Version};
use crate::scan::Candidate;
use crate::shelf::{Failure, Good, Record, Shelf, Trial};
use crate::status::Origin;
use crate::task::{Cargo, Current, Delivery, Newcomer, Standby, Verdict};

/// One load.
pub(crate) struct Adoption {
    pub(crate) loader: Arc<Loader>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) plugin: String,
    pub(crate) candidate: Candidate,
    /// What runs, or waits to run again.
    pub(crate) running: Option<Version>,
    pub(crate) deliveries: mpsc::Sender<Delivery>,
}

/// How a load ended.
#[derive(Debug)]
pub(crate) enum Adopted {
    /// The version is the plugin's now, or was put aside by its task, which has said so.
    Delivered,
    /// Touched, or signed anew, or put elsewhere, but the same as what runs.
    Unchanged(Provenance, Origin),
    /// Not taken.
    Not(NotLoaded),
    /// It failed before and lies there still.
    SetAside {
        file: PathBuf,
        failed: Failure,
        /// Whether it failed just now, by what it did to the daemon.
        is_news: bool,
    },
    /// It is left alone after too many faults.
    Quarantined(String),
    /// The task ended meanwhile.
    Discarded,
}

/// Why a version is not delivered.
enum Halt {
    Unchanged(Provenance, Origin),
    Not(NotLoaded),
    SetAside { failed: Failure, is_news: bool },
    Quarantined(String),
}

impl Adoption {
    pub(crate) async fn run(self) -> Adopted {
        let record = self.shelf.record();
        let found = match self.loader.find(&self.candidate).await {
            Ok(found) => found,
            Err(not) => return self.give_up(not.into()).await,
        };
        let is_good = self.is_good(&record, &found);
        let hash = found.id.component.clone();
        let (fitting, trial) = match self.prepare(&record, found, is_good).await {
            Ok(prepared) => prepared,
            // Without it there is nothing to fall back to.
            Err(halt) if is_good => return self.halted(halt),
            Err(halt) => return self.give_up(halt).await,
        };
        // Only at a start of the daemon: later the version before is still in memory.
        let standby = match (&trial, &self.running) {
            (Some(_), None) => self.kept(&self.shelf.record()).await,
            _ => None,
        };
        let adopted = self.deliver(fitting, trial, standby).await;
        self.shelf.release(&hash);
        adopted
    }

    /// Everything up to the first instruction of the new version. A version on probation comes with how far that is.
    async fn prepare(
        &self,
        record: &Record,
        mut found: Found,
        is_good: bool,
    ) -> Result<(Fitting, Option<Trial>), Halt> {
        let is_running = self.running.as_ref() == Some(&found.version);
        if let Some(failed) = record.failure(&found.id).filter(|_| !is_running) {
            return Err(Halt::SetAside { failed: failed.clone(), is_news: false });
        }
        let file = self.candidate.component.clone();
        let sha256 = Some(found.version.sha256.clone());
        let refused = |reason| NotLoaded::Refused { file: file.clone(), reason, sha256: sha256.clone() };
        let mut provenance = self.loader.provenance(&found).await.map_err(refused)?;
        if !is_good {
            let said = self.loader.signature.against_rollback(&provenance, record.highest).map_err(refused)?;
            provenance.words = provenance.words.or(said);
        }
        if is_running {
            self.sign_anew(&found, &provenance);
            return Err(Halt::Unchanged(provenance, found.origin));
        }
        if let Some(quarantine) = record.quarantine.as_ref().filter(|quarantine| quarantine.id == found.id) {
            return Err(Halt::Quarantined(quarantine.reason.clone()));
        }
        if let Some(good) = record.good.as_ref().filter(|_| is_good) {
            // Comments of its manifest may have changed.
            found.id = good.id.clone();
        }
        let id = found.id.clone();
        let fitting = match self.loader.fit(&self.plugin, &self.candidate, found, provenance).await {
            Ok(fitting) => fitting,
            Err(Unfit::Machine(reason)) => return Err(NotLoaded::Later { file, reason }.into()),
            Err(Unfit::Component(reason)) => {
                // Looking at it again at every start may cost minutes of the processor.
                self.shelf.change(|record| record.set_aside(Failure::now(id, &reason).of_this_build()));
                return Err(NotLoaded::Refused { file, reason, sha256 }.into());
            }
        };
        // The files may have changed while the compiler ran.
        if !self.candidate.is_unchanged() {
            return Err(NotLoaded::Unsettled.into());
        }
        let trial = self.begin(record, &fitting.found).await?;
        Ok((fitting, trial))
    }

    /// The version to go back to may have been signed after it came.
    fn sign_anew(&self, found: &Found, provenance: &Provenance) {
        self.shelf.change(|record| {
            if let Some(good) = record.good.as_mut().filter(|good| good.id == found.id) {
                good.signature.clone_from(&found.signature);
                good.release = provenance.version;
                good.origin = Some(found.origin);
                record.highest = record.highest.max(provenance.version);
            }
        });
    }

    async fn give_up(&self, halt: Halt) -> Adopted {
        self.fall_back(&halt).await;
        self.halted(halt)
    }

    fn halted(&self, halt: Halt) -> Adopted {
        match halt {
            Halt::Unchanged(provenance, origin) => Adopted::Unchanged(provenance, origin),
            Halt::Not(not) => Adopted::Not(not),
            Halt::SetAside { failed, is_news } => {
                Adopted::SetAside { file: self.candidate.component.clone(), failed, is_news }
            }
            Halt::Quarantined(reason) => Adopted::Quarantined(reason),
        }
    }

    /// Writes down that this version is about to run.
    async fn begin(&self, record: &Record, found: &Found) -> Result<Option<Trial>, Halt> {
        self.shelf.stock(&found.id.component, Arc::clone(&found.component)).await;
        match self.shelf.begin_trial(&found.id).await {
            // With nothing to go back to it gets all the chances there are.
            Some(trial) if trial.is_hopeless() && record.good.is_some() => {
                let reason =
                    "the daemon was started again and again while it was on probation, and it never answered well";
                let failed = Failure::now(found.id.clone(), reason);
                self.shelf.change(|record| record.set_aside(failed.clone()));
                self.shelf.release(&found.id.component);
                Err(Halt::SetAside { failed, is_news: true })
            }
            trial => Ok(trial),
        }
    }

    /// Starts it and hands it to the plugin's task.
    async fn deliver(&self, fitting: Fitting, trial: Option<Trial>, standby: Option<Standby>) -> Adopted {
        let started = fitting.blueprint.start().await;
        let newcomer = Newcomer { current: Current::new(fitting), started, trial, standby };
        self.hand_in(Cargo::New(Box::new(newcomer))).await
    }

    async fn hand_in(&self, cargo: Cargo) -> Adopted {
        let (done, verdict) = oneshot::channel();
        let delivery = Delivery { cargo, file: self.candidate.component.clone(), done };
        if self.deliveries.send(delivery).await.is_err() {
            return Adopted::Discarded;
        }
        match verdict.await {
            Ok(Verdict::Adopted | Verdict::PutAside) => Adopted::Delivered,
            Err(_) => Adopted::Discarded,
        }
    }

    /// Nothing runs and these files are of no use: the last good version takes the place.
    async fn fall_back(&self, halt: &Halt) {
        let is_wanted = match halt {
            Halt::Unchanged(..) | Halt::Not(NotLoaded::Unsettled) | Halt::Quarantined(_) => false,
            Halt::Not(NotLoaded::Refused { .. } | NotLoaded::Later { .. }) | Halt::SetAside { .. } => true,
        };
        if !is_wanted || self.running.is_some() || self.shelf.is_disabled() {
            return;
        }
        if let Some(standby) = self.kept(&self.shelf.record()).await {
            let sha256 = standby.current.id.component.as_str();
            tracing::warn!(plugin = self.plugin, sha256, "the last good version of the plugin is run");
            self.hand_in(Cargo::Kept(Box::new(standby))).await;
        }
    }

    /// The last good version from the shelf. What is wrong with it is said.
    async fn kept(&self, record: &Record) -> Option<Standby> {
        let good = record.good.as_ref()?;
        if record.quarantine.as_ref().is_some_and(|quarantine| quarantine.id == good.id) {
            return None;
        }
        match self.fit_kept(good).await {
            Ok(kept) => Some(kept),
            Err(reason) => {
                tracing::error!(plugin = self.plugin, reason, "the last good version cannot be run");
                self.loader.note(&self.plugin, &format!("the last good version cannot be run: {reason}"));
                None
            }
        }
    }

    async fn fit_kept(&self, good: &Good) -> Result<Standby, String> {
        let (component, state) = self.shelf.fetch(good).await?;
        let found = self.loader.find_kept(good, component)?;
        // The operator may trust other keys today. That it is old is no reason: we go back to it ourselves.
        let provenance = self.loader.provenance(&found).await?;
        match self.loader.fit(&self.plugin, &self.candidate, found, provenance).await {
            Ok(fitting) => Ok(Standby { current: Current::new(fitting), state: state.map(Arc::new) }),
            Err(Unfit::Component(reason) | Unfit::Machine(reason)) => Err(reason),
        }
    }

    fn is_good(&self, record: &Record, found: &Found) -> bool {
        record.good.as_ref().is_some_and(|good| {
            let is_same = || self.loader.find_kept(good, Vec::new()).is_ok_and(|kept| kept.version == found.version);
            good.id == found.id || good.id.component == found.id.component && is_same()
        })
    }
}

impl From<NotLoaded> for Halt {
    fn from(not: NotLoaded) -> Self {
        Self::Not(not)
    }
}

/// What the shelf keeps of a version once it proved itself.
pub(crate) fn as_good(current: &Current) -> Good {
    let Current { id, papers, .. } = current;
    Good {
        id: id.clone(),
        manifest: papers.manifest.clone(),
        file_name: papers.file_name.clone(),
        signature: papers.signature.clone(),
        release: papers.provenance.version,
        state: None,
        origin: Some(papers.origin),
    }
}

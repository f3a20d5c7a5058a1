//! The daemon's side of updates: files fetched, verified and handed over as the session decides.
//!
//! What touches the disk, runs the installer or waits for the network is done by tasks, in the order asked but for what
//! takes long: what is thrown away is never what is being made. Their answers come back as [`Told`].
//!
//! A fetch can be stopped; everything else ends by itself. What is under way when the daemon dies is asked for again by
//! the session of the next run.
//!
//! Deliberately absent: any decision about an update, and tries beyond the first.

mod fetch;
mod handover;
mod judge;
mod lane;
mod paper;
mod root;
mod words;
mod work;

use std::sync::Arc;

use edgeplug_link::HttpClient;
use edgeplug_plugins::{Plugins, Update};
use edgeplug_session::event::{Deployment, Event, FetchFailure, FetchFailureKind};
use edgeplug_session::{Action, CallId, Ticket};
use tokio::sync::{mpsc, oneshot};

use crate::config::OtaConfig;
use judge::Judge;
use work::{Asked, Work, Worker};

pub(crate) use root::install_request;

/// Work that may wait. The session has one update in hand; what remains of others that ended together (200 commands may
/// be open) is thrown away one by one.
const WORKS_MAX: usize = 512;
/// Answers on their way to the main loop: one for each thing in hand, and one more a second while files are fetched.
const TOLD_MAX: usize = 16;

/// Updates, as the main loop sees them.
pub(crate) struct Ota {
    works: mpsc::Sender<Asked>,
    /// For tasks of this session; those of one before tell nobody.
    tell: mpsc::Sender<Told>,
    pub(crate) told: mpsc::Receiver<Told>,
    /// The fetch under way: dropping the sender stops it.
    fetching: Option<(Ticket, oneshot::Sender<()>)>,
    /// Who finds out what became of the component that was deployed last.
    judge: Judge,
    /// Why no update is taken, if so.
    refused: Option<String>,
}

/// What became of something that the session wanted.
#[derive(Debug)]
pub(crate) enum Told {
    /// For the session.
    Event(Event),
    /// A verified file, for a plugin.
    HandOver { plugin: String, call: CallId, update: Update },
    /// A component lies in its directory: for the session, then for the plugins.
    Deployed { ticket: Ticket, deployment: Deployment },
    /// What was there before a component lies there again: for the plugins.
    Withdrawn,
}

impl Ota {
    /// To be done before the plugins start, because what a crash left half deployed is put right here, if the disk can
    /// be used already.
    pub(crate) async fn start(config: &OtaConfig, http: HttpClient) -> Self {
        let (works, asked) = mpsc::channel(WORKS_MAX);
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let mut worker = Worker::new(config.clone(), http);
        worker.begin().await;
        tokio::spawn(worker.run(asked));
        Self { works, tell, told, fetching: None, judge: Judge::default(), refused: config.refused.clone() }
    }

    /// Why no update is taken, in words with the remedy, if so.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// A new session begins: nothing that the one before wanted is answered to it.
    pub(crate) fn begin_anew(&mut self) {
        (self.tell, self.told) = mpsc::channel(TOLD_MAX);
        self.fetching = None;
        self.judge.forget();
    }

    /// The plugins can be asked now.
    pub(crate) fn plugins_started(&mut self, plugins: Arc<Plugins>) {
        self.judge.plugins_started(plugins, &self.tell);
    }

    /// The plugins said what the session is about to hear.
    pub(crate) fn heard(&mut self, event: &Event) {
        self.judge.heard(event);
    }

    /// A component lies in its directory, and the session knows it: somebody has to say what becomes of it.
    pub(crate) fn deployed(&mut self, deployment: Deployment) {
        self.judge.begin(deployment, &self.tell);
    }

    /// Takes an action that concerns updates; the rest come back. An event says at once that it cannot be done.
    #[expect(clippy::result_large_err, reason = "what is somebody else's goes on to them at once")]
    pub(crate) fn act(&mut self, action: Action) -> Result<Option<Event>, Action> {
        if let Some(event) = self.refuse(&action) {
            return Ok(Some(event));
        }
        let work = match action {
            Action::Fetch { ticket, job, files } => {
                let (going, cancelled) = oneshot::channel();
                self.fetching = Some((ticket, going));
                Work::Fetch { ticket, job, files, cancelled }
            }
            Action::CancelFetch { ticket } => {
                self.fetching.take_if(|(fetching, _)| *fetching == ticket);
                return Ok(None);
            }
            Action::Update { plugin, call, update } => Work::Update { plugin, call, update },
            Action::Install { ticket, job, names, version, attempt } => {
                Work::Install { ticket, job, names, version, attempt }
            }
            Action::ConfirmInstall { ticket, job, version } => Work::Confirm { ticket, job, version },
            Action::Deploy { ticket, job, name } => Work::Deploy { ticket, job, name },
            Action::Withdraw { plugin, sha256 } => {
                self.judge.forget();
                Work::Withdraw { plugin, sha256 }
            }
            Action::DiscardJob { job } => Work::Discard { job },
            Action::KeepJobs { jobs } => Work::Keep { jobs },
            other => return Err(other),
        };
        let asked = Asked { work, tell: self.tell.clone() };
        let Err(left) = self.works.try_send(asked) else { return Ok(None) };
        match left.into_inner() {
            // Anything but the program's own answer would say that the old firmware runs.
            asked @ Asked { work: Work::Confirm { .. }, .. } => {
                let works = self.works.clone();
                tokio::spawn(async move { works.send(asked).await.is_ok() });
                Ok(None)
            }
            Asked { work, .. } => Ok(words::failed(work, TOO_MUCH)),
        }
    }

    /// What a configuration forbids altogether. What was installed before may still be confirmed or thrown away.
    fn refuse(&self, action: &Action) -> Option<Event> {
        let reason = self.refused.clone()?;
        Some(match action {
            Action::Fetch { ticket, .. } => {
                let failure = FetchFailure { kind: FetchFailureKind::Refused, text: reason, retry_after: None };
                Event::Fetched { ticket: *ticket, result: Err(failure) }
            }
            Action::Install { ticket, .. } => Event::Installed { ticket: *ticket, result: Err(reason) },
            Action::Deploy { ticket, .. } => Event::Deployed { ticket: *ticket, result: Err(reason) },
            _ => return None,
        })
    }
}

/// Only a disk that hangs makes so much work wait.
const TOO_MUCH: &str = "too much work of updates waits; the disk may hang";

#[cfg(test)]
mod tests;

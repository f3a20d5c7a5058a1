//! The update of one target, and what is being done about it.

use std::collections::VecDeque;
use std::time::Duration;

use edgeplug_protocol::ack::Status;

use super::journal::{Journal, Phase};
use crate::action::FetchFile;
use crate::backoff::Backoff;
use crate::commands::{AckTo, DEFER_TIME_MAX, Ended, Open, Task, Told, Work, answer, job};
use crate::event::Ending;
use crate::status::{UpdatePhase, UpdateStatus};
use crate::{Action, CallId, Step, Ticket};

/// Waits before files are asked for again: whoever serves them needs time, and so does a disk that is full.
const FETCH_RETRY_BASE: Duration = Duration::from_secs(10);
const FETCH_RETRY_MAX: Duration = Duration::from_secs(60 * 60);
/// Waits before what could not be written down is written again.
const NOTE_RETRY_BASE: Duration = Duration::from_secs(5);
const NOTE_RETRY_MAX: Duration = Duration::from_secs(60);
/// Verdicts on plugins kept until it is known which plugin was meant; other plugins may be judged in the same moments.
const VERDICTS_MAX: usize = 16;

pub(super) struct Entry {
    /// Names it in the ledger.
    pub(super) key: String,
    /// Names its staging directory.
    pub(super) job: String,
    pub(super) ack: Option<AckTo>,
    /// As [`Task::child`].
    pub(super) child: Option<String>,
    /// When it was taken over, in this run.
    pub(super) since: Duration,
    pub(super) journal: Journal,
    pub(super) doing: Doing,
    pub(super) held: Option<Held>,
    /// What went wrong last.
    pub(super) trouble: Option<String>,
    pub(super) fetch_backoff: Backoff,
    note_backoff: Backoff,
    /// Bytes that are staged, and how many there are.
    pub(super) staged: (u64, Option<u64>),
    /// Of the staged bytes, those that excused a try already.
    pub(super) excused: u64,
    /// The cloud was told in this run that its files are being fetched.
    pub(super) said_downloading: bool,
    /// New URLs that came while others were in use.
    pub(super) fresh: Option<Vec<FetchFile>>,
    /// The end of a hand-over as a plugin told it, until it is written down.
    pub(super) told: Option<Told>,
    /// What became of plugins since a component was put into their directory.
    pub(super) verdicts: VecDeque<Verdict>,
}

/// What is under way. Tickets tie answers to it: the answer to something that is no longer under way is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing; the phase says what is next.
    Rest,
    /// The journal is on its way to the disk.
    Noting(Ticket),
    /// It could not be written, and is tried again then.
    NoteAgain(Duration),
    Fetching(Ticket),
    /// Until the next try to fetch.
    Waiting(Duration),
    /// Until then the cloud has time to tell new URLs.
    AwaitingUrls(Duration),
    /// A plugin has it: [`Entry::held`].
    Held,
    Installing(Ticket),
    Confirming(Ticket),
    Deploying(Ticket),
    /// A component has until then to prove itself.
    Watching(Duration),
}

/// A file in a plugin's hands.
pub(super) struct Held {
    pub(super) plugin: String,
    /// What the plugin calls it.
    pub(super) id: String,
    /// Until the plugin answered.
    pub(super) call: Option<CallId>,
    pub(super) until: Duration,
    pub(super) percent: Option<u8>,
}

/// What became of a version of a plugin.
pub(super) struct Verdict {
    pub(super) plugin: String,
    pub(super) sha256: String,
    /// Or why it failed.
    pub(super) result: Result<(), String>,
}

/// How an update ends.
pub(super) struct End {
    pub(super) status: Status,
    pub(super) message: String,
}

impl Entry {
    /// `None` for a command that is no update.
    pub(super) fn new(open: Open) -> Option<Self> {
        let Open { key, task: Task { ack, child, work }, since, .. } = open;
        let Work::Update(journal) = work else { return None };
        Some(Self {
            job: job(&key),
            key,
            ack,
            child,
            since,
            journal: *journal,
            doing: Doing::Rest,
            held: None,
            trouble: None,
            fetch_backoff: Backoff::new(FETCH_RETRY_BASE, FETCH_RETRY_MAX),
            note_backoff: Backoff::new(NOTE_RETRY_BASE, NOTE_RETRY_MAX),
            staged: (0, None),
            excused: 0,
            said_downloading: false,
            fresh: None,
            told: None,
            verdicts: VecDeque::new(),
        })
    }

    /// Writes the journal down as it is now; what follows from it waits for that.
    pub(super) fn note(&mut self, step: &mut Step<'_>) {
        let task = Task {
            ack: self.ack.clone(),
            child: self.child.clone(),
            work: Work::Update(Box::new(self.journal.clone())),
        };
        let ticket = step.ticket();
        step.act(Action::Note { ticket, key: self.key.clone(), body: task.to_bytes().into() });
        self.doing = Doing::Noting(ticket);
    }

    pub(super) fn noted(&mut self, step: &mut Step<'_>) {
        self.note_backoff.reset();
        if let Some(ask) = self.told.take().and_then(|told| told.asked) {
            answer(ask, Ok(()), step);
        }
    }

    pub(super) fn not_noted(&mut self, reason: String, step: &mut Step<'_>) {
        let wait = self.note_backoff.next(step.rng);
        tracing::warn!(id = self.key, reason, "how far a firmware update is cannot be written down; trying again");
        self.doing = Doing::NoteAgain(step.now.monotonic + wait);
        if let Some(ask) = self.told.as_mut().and_then(|told| told.asked.take()) {
            answer(ask, Err(crate::action::FinishFailure::Unavailable(reason)), step);
        }
    }

    /// What was in hand is where it shall be.
    pub(super) fn parcel_done(&mut self, words: &str, step: &mut Step<'_>) -> Option<End> {
        self.release(step);
        self.verdicts.clear();
        self.trouble = None;
        if self.journal.parcel_done(words) {
            return Some(self.done());
        }
        self.note(step);
        None
    }

    pub(super) fn done(&self) -> End {
        let mut said = self.journal.said.clone();
        if said.is_empty() {
            said.push("installed".to_owned());
        }
        said.extend(self.journal.files.iter().filter_map(|payload| payload.file.warning.clone()));
        End { status: Status::Done, message: said.join("; ") }
    }

    /// What is in hand cannot be handed over, or was not taken.
    pub(super) fn failed(&self, status: Status, reason: &str) -> End {
        let names: Vec<_> = self.journal.in_hand().map(|file| file.name.as_str()).collect();
        let message = match self.journal.files.len() {
            2.. if !names.is_empty() => format!("{}: {reason}", names.join(", ")),
            _ => reason.to_owned(),
        };
        End { status, message }
    }

    /// A plugin tells the end of what it has.
    pub(super) fn told(&mut self, told: Told, step: &mut Step<'_>) -> Option<End> {
        let ending = told.ending.clone();
        self.told = Some(told);
        match ending {
            Ending::Done(words) => self.parcel_done(&words, step),
            Ending::Failed(reason) => Some(self.failed(Status::DownloadFailed, &reason)),
        }
    }

    /// Nobody has it any more.
    pub(super) fn release(&mut self, step: &mut Step<'_>) {
        if let Some(Held { plugin, id, .. }) = self.held.take() {
            step.act(Action::UpdateEnded { plugin, id });
        }
    }

    pub(super) fn end(mut self, end: End, step: &mut Step<'_>) -> Ended {
        self.release(step);
        // Before the end is written down: a crash in between tries the component once more and comes here again.
        if let Some(deployed) = self.journal.deployed.take().filter(|_| end.status != Status::Done) {
            step.act(Action::Withdraw { plugin: deployed.plugin, sha256: deployed.sha256 });
        }
        let Self { key, job, ack, child, told, .. } = self;
        let End { status, message } = end;
        tracing::info!(id = key, ?status, message, "a firmware update has its end");
        Ended { key, ack, child, status, message, told, job: Some(job) }
    }

    /// What the plugin calls the file in hand.
    pub(super) fn id(&self) -> String {
        match self.journal.parcel().first() {
            None | Some(0) => self.key.clone(),
            Some(place) => format!("{}/{}", self.key, place + 1),
        }
    }

    pub(super) fn deferred(&mut self, plugin: &str, step: &mut Step<'_>) {
        if let Some(held) = &mut self.held {
            (held.call, held.until) = (None, step.now.monotonic + DEFER_TIME_MAX);
        }
        let parcel = self.journal.parcel().to_vec();
        self.journal.phase = Phase::Deferred { parcel, plugin: plugin.to_owned() };
        self.note(step);
    }

    pub(super) fn keep_verdict(&mut self, verdict: Verdict) {
        if self.verdicts.len() >= VERDICTS_MAX {
            self.verdicts.pop_front();
        }
        self.verdicts.push_back(verdict);
    }

    fn is_noting(&self) -> bool {
        matches!(self.doing, Doing::Noting(_) | Doing::NoteAgain(_))
    }

    /// Whether the files of no other target may be fetched.
    pub(super) fn fetches(&self) -> bool {
        matches!(self.doing, Doing::Fetching(_)) || (self.is_noting() && self.journal.phase == Phase::Fetching)
    }

    /// Whether nothing else may be handed over.
    pub(super) fn hands_over(&self) -> bool {
        matches!(self.doing, Doing::Installing(_) | Doing::Deploying(_))
            || self.held.as_ref().is_some_and(|held| held.call.is_some())
            || (self.is_noting() && matches!(self.journal.phase, Phase::HandingOver { .. }))
    }

    /// Does what its time has come for.
    pub(super) fn wake(&mut self, step: &mut Step<'_>) -> Option<End> {
        let now = step.now.monotonic;
        if self.held.as_ref().is_some_and(|held| now >= held.until) {
            return Some(self.overdue());
        }
        match self.doing {
            Doing::Watching(at) if now >= at => return Some(self.overdue()),
            Doing::NoteAgain(at) if now >= at => self.note(step),
            Doing::Waiting(at) if now >= at => self.doing = Doing::Rest,
            Doing::AwaitingUrls(at) if now >= at => self.no_urls_came(step),
            _ => {}
        }
        None
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        let doing = match self.doing {
            Doing::NoteAgain(at) | Doing::Waiting(at) | Doing::AwaitingUrls(at) | Doing::Watching(at) => Some(at),
            _ => None,
        };
        doing.into_iter().chain(self.held.as_ref().map(|held| held.until)).min()
    }

    pub(super) fn status(&self) -> UpdateStatus {
        let journal = &self.journal;
        let phase = match &journal.phase {
            Phase::Queued => UpdatePhase::Queued,
            Phase::Fetching => UpdatePhase::Fetching,
            Phase::AwaitingUrls => UpdatePhase::AwaitingUrls,
            Phase::Ready => UpdatePhase::Ready,
            Phase::HandingOver { .. } => UpdatePhase::HandingOver,
            Phase::Deferred { .. } => UpdatePhase::Deferred,
            Phase::AwaitingRestart { .. } => UpdatePhase::AwaitingRestart,
            Phase::Probation { .. } => UpdatePhase::Probation,
        };
        let fetched = self.staged.1.filter(|total| *total > 0 && phase == UpdatePhase::Fetching).map(|total| {
            let hundredths = u128::from(self.staged.0) * 100 / u128::from(total);
            u8::try_from(hundredths.min(100)).unwrap_or(100)
        });
        UpdateStatus {
            id: self.ack.as_ref().map_or_else(|| self.key.clone(), |ack| ack.id.clone()),
            target: self.child.clone(),
            version: journal.version.clone(),
            phase,
            file: journal.in_hand().next().map(|file| file.name.clone()),
            percent: fetched.or_else(|| self.held.as_ref()?.percent),
            attempts: if journal.files.is_empty() { journal.tries } else { journal.attempts },
            trouble: self.trouble.clone(),
        }
    }
}

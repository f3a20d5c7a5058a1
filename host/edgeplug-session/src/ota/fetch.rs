//! From the cloud's words to verified files: asked for with bounded tries, and with new URLs where the old ones expired.

use std::time::Duration;

use edgeplug_protocol::ack::Status;
use edgeplug_protocol::version::Version;

use super::entry::{Doing, End, Entry};
use super::journal::{Payload, Phase};
use crate::action::FetchFile;
use crate::event::{FetchFailure, FetchFailureKind, VerifiedFile};
use crate::{Action, Step, Ticket};

/// How often the cloud is asked for new URLs of one target.
pub(super) const URLS_ASKED_MAX: u32 = 3;
/// How long the cloud has to tell them, while there is a link.
const URLS_TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// A try that brought so much more than any before is none: a large file over a bad line needs many.
const PROGRESS_BYTES_MIN: u64 = 1024 * 1024;

impl Entry {
    /// Asks for the files, once that is written down.
    pub(super) fn begin_fetch(&mut self, step: &mut Step<'_>) -> Option<End> {
        if self.journal.tries >= tries_max(step) {
            return Some(self.gave_up_fetching());
        }
        self.journal.tries += 1;
        self.journal.phase = Phase::Fetching;
        self.note(step);
        None
    }

    /// Does so.
    pub(super) fn fetch(&mut self, step: &mut Step<'_>) {
        let ticket = step.ticket();
        step.act(Action::Fetch { ticket, job: self.job.clone(), files: self.journal.wanted.clone() });
        self.doing = Doing::Fetching(ticket);
        self.say_downloading(step);
    }

    /// The legacy protocol has no word for it. A message that is lost is no harm: the end tells all.
    fn say_downloading(&mut self, step: &mut Step<'_>) {
        let Some(online) = step.world.online.as_ref().filter(|online| online.topics.version == Version::V21) else {
            return;
        };
        let speaks_it = step.world.speaks.as_ref().is_some_and(|template| template.version == Version::V21);
        let Some(ack) = self.ack.as_ref().filter(|_| speaks_it && !self.said_downloading) else { return };
        let (connection, topic) = (online.connection, online.topics.ack.as_str().into());
        if let Some(body) = ack.body(self.child.as_deref(), Status::Downloading, "downloading", step) {
            self.said_downloading = true;
            let ticket = step.ticket();
            step.act(Action::Publish { connection, ticket, topic, body });
        }
    }

    /// It is not the time to fetch any more; what is staged stays.
    pub(super) fn cancel_fetch(&mut self, step: &mut Step<'_>) {
        if let Doing::Fetching(ticket) = self.doing {
            step.act(Action::CancelFetch { ticket });
            self.doing = Doing::Rest;
        }
    }

    pub(super) fn progressed(&mut self, bytes: u64, total: Option<u64>) {
        self.staged = (bytes, total);
    }

    pub(super) fn fetched(
        &mut self,
        result: Result<Vec<VerifiedFile>, FetchFailure>,
        step: &mut Step<'_>,
    ) -> Option<End> {
        match result {
            Ok(files) if files.is_empty() => Some(self.failed(Status::DownloadFailed, "there is nothing to install")),
            Ok(files) => {
                self.journal.files = files.into_iter().map(|file| Payload { file, done: false }).collect();
                // Signed URLs are secrets; nobody needs these any more.
                self.journal.wanted.clear();
                self.journal.phase = Phase::Ready;
                self.trouble = None;
                self.note(step);
                None
            }
            Err(failure) => self.not_fetched(failure, step),
        }
    }

    fn not_fetched(&mut self, failure: FetchFailure, step: &mut Step<'_>) -> Option<End> {
        let FetchFailure { kind, text, retry_after } = failure;
        tracing::warn!(id = self.key, tries = self.journal.tries, reason = text, "a firmware update was not fetched");
        self.trouble = Some(text.clone());
        match kind {
            FetchFailureKind::Refused => Some(self.failed(Status::DownloadFailed, &text)),
            FetchFailureKind::Expired => self.expired(step),
            FetchFailureKind::Transient | FetchFailureKind::Disk => {
                if self.staged.0 >= self.excused.saturating_add(PROGRESS_BYTES_MIN) {
                    self.excused = self.staged.0;
                    self.journal.tries = self.journal.tries.saturating_sub(1);
                    self.fetch_backoff.reset();
                }
                if self.journal.tries >= tries_max(step) {
                    return Some(self.gave_up_fetching());
                }
                let wait = self.fetch_backoff.next(step.rng);
                let asked = retry_after.unwrap_or_default().min(self.fetch_backoff.longest());
                self.doing = Doing::Waiting(step.now.monotonic + wait.max(asked));
                None
            }
        }
    }

    fn expired(&mut self, step: &mut Step<'_>) -> Option<End> {
        if let Some(fresh) = self.fresh.take().filter(|fresh| *fresh != self.journal.wanted) {
            self.journal.wanted = fresh;
            return self.begin_fetch(step);
        }
        self.ask_for_urls(step)
    }

    /// Asks the cloud for new URLs, once that is written down.
    pub(super) fn ask_for_urls(&mut self, step: &mut Step<'_>) -> Option<End> {
        if self.journal.urls_asked >= URLS_ASKED_MAX {
            let reason = self.trouble.as_deref().unwrap_or("the URLs are refused");
            let reason = format!("the URLs have expired, and the cloud gave no good ones when asked: {reason}");
            return Some(self.failed(Status::DownloadFailed, &reason));
        }
        self.journal.urls_asked += 1;
        self.journal.phase = Phase::AwaitingUrls;
        self.note(step);
        None
    }

    /// That is written down: the question itself is another part's.
    pub(super) fn await_urls(&mut self, step: &Step<'_>) {
        self.doing = Doing::AwaitingUrls(step.now.monotonic + URLS_TIME_MAX);
        if let Some(fresh) = self.fresh.take() {
            self.renew(fresh);
        }
    }

    /// Without a link the cloud could not tell them.
    pub(super) fn no_urls_came(&mut self, step: &Step<'_>) {
        self.doing = match step.world.online {
            Some(_) => Doing::Rest,
            None => Doing::AwaitingUrls(step.now.monotonic + URLS_TIME_MAX),
        };
    }

    /// The cloud told these URLs.
    pub(super) fn renew(&mut self, wanted: Vec<FetchFile>) {
        if !self.journal.wants_the_same(&wanted) || self.journal.wanted == wanted {
            return;
        }
        match (self.doing, &self.journal.phase) {
            (Doing::AwaitingUrls(_) | Doing::Rest, Phase::AwaitingUrls) => {
                tracing::info!(id = self.key, "the cloud gave new URLs for a firmware update");
                self.journal.wanted = wanted;
                (self.journal.phase, self.doing) = (Phase::Fetching, Doing::Rest);
            }
            (Doing::Rest | Doing::Waiting(_), Phase::Queued | Phase::Fetching) => self.journal.wanted = wanted,
            (_, Phase::Queued | Phase::Fetching | Phase::AwaitingUrls) => self.fresh = Some(wanted),
            _ => {}
        }
    }

    fn gave_up_fetching(&self) -> End {
        let times = self.journal.tries;
        let reason = self.trouble.as_deref().unwrap_or("the daemon ended each time while it fetched");
        self.failed(Status::DownloadFailed, &format!("gave up after {times} tries to fetch the files: {reason}"))
    }
}

/// The ticket of a fetch.
pub(super) fn is_fetch(entry: &Entry, ticket: Ticket) -> bool {
    entry.doing == Doing::Fetching(ticket)
}

fn tries_max(step: &Step<'_>) -> u32 {
    step.config.ota.fetch_tries_max.max(1)
}

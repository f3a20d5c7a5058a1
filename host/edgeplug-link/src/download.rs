//! One file, streamed: from the beginning, or from where an earlier download stopped.
//!
//! What must stay true:
//! - bytes are given out in order, each once, and [`Begun::offset`] says where the first of them belongs. A file that may
//!   have changed, and a server that does not do as it was asked, make it begin anew at 0;
//! - `Ok(None)` means that all is there, to the byte, wherever the server gave a length;
//! - only `https://` is asked, through the same proxy as any request (plain `http://` on this machine, for tests), and a
//!   redirect never leaves TLS;
//! - a URL is a secret (its signature opens the file): none appears in an error, a log or `Debug`, hosts do;
//! - no more than [`DownloadRequest::bytes_max`] bytes are given out; heads, URLs and validators are capped as well, and
//!   memory is that of one chunk (at most some 400 KB, the HTTP library's read buffer).
//!
//! Deliberately absent: retries, files and hashing. A download is tried once; the caller keeps the bytes and what
//! [`Begun`] says, judges the digest, and decides by [`DownloadError::kind`] what next. No time limit holds for the whole:
//! the client's `request_timeout` does not apply, a download may take as long as bytes keep coming.
//!
//! Each download has a connection of its own, of HTTP/1.1: what serves firmware (blob stores) speaks it, and a slow reader
//! then holds back nobody else.

use std::{fmt, num::NonZeroU64, time::Duration};

use bytes::Bytes;
use reqwest::{
    Response,
    header::{ACCEPT_ENCODING, IF_RANGE, LOCATION, RANGE},
};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use self::{
    answer::{Answer, Resume, judge},
    pace::{Pace, Patience},
    route::{Route, is_redirect},
};
pub use self::{
    error::{DownloadError, DownloadErrorKind, RedirectProblem, Unsound},
    validator::Validator,
};
use crate::http::{HttpClient, HttpError, Target, TargetProblem};

mod answer;
mod digest;
mod error;
mod pace;
mod route;
mod validator;

/// What to download, and how.
#[derive(Clone)]
pub struct DownloadRequest {
    /// `https://…`; plain `http://` is refused unless the host is this machine. A fragment `#sha256=HEX` states the file's
    /// digest. Never printed.
    pub url: String,
    /// How many bytes are there already.
    pub offset: u64,
    /// Which version they are of: [`Begun::validator`] of their download. Without it the file comes from the beginning.
    pub validator: Option<Validator>,
    /// Largest file to accept, in bytes, what is there included.
    pub bytes_max: u64,
    /// In bytes a second, averaged over a second or so; `None` and 0 are no limit.
    pub rate_max: Option<u64>,
    /// How long the server may keep us waiting: for the answer (connecting comes on top), and then for each KiB.
    pub idle_timeout: Duration,
}

/// A download under way; dropping it ends it.
pub struct Download {
    host: String,
    begun: Begun,
    bytes_max: u64,
    /// Gone once it is over, for good or ill.
    response: Option<Response>,
    complete: bool,
    /// In the whole file.
    position: u64,
    pace: Option<Pace>,
    patience: Patience,
}

/// What is coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Where the first byte belongs: the offset asked for, or 0 when the file comes from the beginning.
    pub offset: u64,
    /// Length of the whole file in bytes, where the server says so.
    pub total: Option<u64>,
    /// To be kept with the bytes; `None` when the server gives nothing that a later download could rely on.
    pub validator: Option<Validator>,
    /// SHA-256 of the whole file as URL or server state it. Nothing here has checked it.
    pub sha256: Option<[u8; 32]>,
}

impl HttpClient {
    /// Asks for a file and follows redirects until it begins to come.
    ///
    /// # Errors
    /// [`DownloadError`]; its kind says what can be done.
    pub async fn download(&self, request: DownloadRequest) -> Result<Download, DownloadError> {
        let source = Target::parse(&request.url).map_err(|problem| match problem {
            TargetProblem::NotUrl => DownloadError::BadUrl,
            TargetProblem::PlainText { host } => DownloadError::PlainText { host },
        })?;
        let unsound = |host: &str, problem| DownloadError::Unsound { host: host.to_owned(), problem };
        let stated = digest::of_url(&source.url).map_err(|problem| unsound(&source.host, problem))?;
        // Kept under a larger limit than today's: the server shall say how large the file is.
        let kept = Some(request.offset).filter(|&offset| offset <= request.bytes_max);
        let mut resume = kept.and_then(|offset| Resume::new(offset, request.validator.clone()));

        // A second round comes of a stale resume only, and has none.
        let (host, response, answer) = loop {
            let (host, response) = self.ask(&source, resume.as_ref(), request.idle_timeout).await?;
            let status = response.status().as_u16();
            match judge(status, response.headers(), response.content_length(), resume.as_ref()) {
                Answer::Stale => {
                    tracing::debug!(host, status, "what is there is of no use, the download begins anew");
                    resume = None;
                }
                Answer::Unsound(problem) => return Err(unsound(&host, problem)),
                Answer::Expired => return Err(DownloadError::Expired { host, status }),
                Answer::Refused => return Err(DownloadError::Refused { host, status }),
                Answer::Busy { retry_after } => return Err(DownloadError::Busy { host, status, retry_after }),
                Answer::Good(good) => break (host, response, good),
            }
        };
        let sha256 = digest::of_headers(response.headers(), stated).map_err(|problem| unsound(&host, problem))?;
        let begun = Begun { offset: answer.offset, total: answer.total, validator: answer.validator, sha256 };
        if begun.total.is_some_and(|total| total > request.bytes_max) {
            return Err(DownloadError::TooLarge { host, bytes_max: request.bytes_max });
        }
        tracing::debug!(host, offset = begun.offset, total = begun.total, "download begun");
        let now = Instant::now();
        Ok(Download {
            host,
            position: begun.offset,
            complete: answer.complete,
            response: (!answer.complete).then_some(response),
            begun,
            bytes_max: request.bytes_max,
            pace: request.rate_max.and_then(NonZeroU64::new).map(|rate| Pace::new(rate, now)),
            patience: Patience::new(request.idle_timeout),
        })
    }

    /// Asks until the answer is no redirect; with the host that gave it.
    async fn ask(
        &self,
        source: &Target,
        resume: Option<&Resume>,
        patience: Duration,
    ) -> Result<(String, Response), DownloadError> {
        let mut route = Route::new(source.clone());
        let limit = self.connect_timeout.saturating_add(patience);
        loop {
            let Target { url, host } = route.target();
            let mut outgoing = self.downloads.get(url.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(resume) = resume {
                outgoing = outgoing
                    .header(RANGE, format!("bytes={}-", resume.offset))
                    .header(IF_RANGE, resume.if_range.clone());
            }
            let response = match timeout(limit, outgoing.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(broken(self.classify(host, error))),
                Err(_) => return Err(DownloadError::Timeout { host: host.clone() }),
            };
            if !is_redirect(response.status().as_u16()) {
                return Ok((host.clone(), response));
            }
            let host = host.clone();
            tracing::debug!(host, status = response.status().as_u16(), "download redirected");
            route
                .redirected(response.headers().get(LOCATION))
                .map_err(|problem| DownloadError::Redirects { host, problem })?;
        }
    }
}

impl Download {
    #[must_use]
    pub fn begun(&self) -> &Begun {
        &self.begun
    }

    /// The next bytes, never none of them; `None` once all are there. May be dropped while it waits: nothing is lost, and
    /// the time waited counts.
    ///
    /// # Errors
    /// [`DownloadError::Timeout`], [`CutShort`](DownloadError::CutShort), [`TooLarge`](DownloadError::TooLarge) or
    /// [`Unsound`](DownloadError::Unsound). What was given out before is good; after an error there are no more bytes.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, DownloadError> {
        loop {
            match self.response {
                None if self.complete => return Ok(None),
                None => return Err(self.cut_short(None)),
                Some(_) => {}
            }
            if let Some(pace) = &self.pace
                && self.begun.total != Some(self.position)
            {
                sleep_until(pace.ready_at()).await;
            }
            match self.receive().await {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                end => {
                    self.response = None;
                    self.complete = end.is_ok();
                    return end;
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, DownloadError> {
        let Some(response) = &mut self.response else { return Ok(None) };
        let deadline = self.patience.wait(Instant::now());
        let received = timeout_at(deadline, response.chunk()).await;
        let bytes = match received {
            Err(_) => return Err(DownloadError::Timeout { host: self.host.clone() }),
            Ok(Err(error)) => return Err(self.cut_short(Some(error.without_url()))),
            Ok(Ok(None)) if self.begun.total.is_some_and(|total| total != self.position) => {
                return Err(self.cut_short(None));
            }
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(bytes))) => bytes,
        };
        let now = Instant::now();
        self.patience.received(bytes.len(), now);
        if let Some(pace) = &mut self.pace {
            pace.took(bytes.len(), now);
        }
        let position = self.position.saturating_add(bytes.len() as u64);
        if self.begun.total.is_some_and(|total| position > total) {
            return Err(DownloadError::Unsound { host: self.host.clone(), problem: Unsound::TooLong });
        }
        if position > self.bytes_max {
            return Err(DownloadError::TooLarge { host: self.host.clone(), bytes_max: self.bytes_max });
        }
        self.position = position;
        Ok(Some(bytes))
    }

    fn cut_short(&self, source: Option<reqwest::Error>) -> DownloadError {
        let (host, expected) = (self.host.clone(), self.begun.total);
        DownloadError::CutShort { host, expected, got: self.position, source }
    }
}

/// Shows no URL.
impl fmt::Debug for DownloadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadRequest")
            .field("offset", &self.offset)
            .field("validator", &self.validator)
            .field("bytes_max", &self.bytes_max)
            .field("rate_max", &self.rate_max)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

/// Shows no URL: the HTTP library's answer would.
impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("host", &self.host)
            .field("begun", &self.begun)
            .field("position", &self.position)
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}

fn broken(error: HttpError) -> DownloadError {
    match error {
        HttpError::Untrusted { host, problem } => DownloadError::Untrusted { host, problem },
        HttpError::TimedOut { host } => DownloadError::Timeout { host },
        error => DownloadError::Network(error),
    }
}

//! The files of one target, from the network onto the disk, and verified there.
//!
//! What must stay true: at most [`CHUNKS_MAX`] chunks wait for the disk; nothing writes any more once a fetch has ended
//! or was stopped, because the next one goes on from what then lies there.

use std::time::Duration;

use bytes::Bytes;
use edgeplug_firmware::{Firmware, Part, StageError, Writer, is_sidecar};
use edgeplug_link::{Download, DownloadRequest, HttpClient, Validator};
use edgeplug_session::Ticket;
use edgeplug_session::action::FetchFile;
use edgeplug_session::event::{Event, FetchFailure, FetchFailureKind, VerifiedFile};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Told, words};
use crate::config::OtaConfig;

/// Chunks that wait for the disk; each is at most as large as the HTTP library's buffer, some 400 KB.
const CHUNKS_MAX: usize = 4;
/// A server that sends nothing for so long is left; the next try goes on where this one ended.
const IDLE_MAX: Duration = Duration::from_secs(60);
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// One fetch.
pub(super) struct Fetching<'a> {
    pub(super) firmware: &'a Firmware,
    pub(super) http: &'a HttpClient,
    pub(super) config: &'a OtaConfig,
    pub(super) job: &'a str,
    pub(super) cancelled: oneshot::Receiver<()>,
    pub(super) progress: Progress,
}

/// Why there are no files.
pub(super) enum Stop {
    /// The session does not want them any more.
    Cancelled,
    Failed(FetchFailure),
}

impl From<FetchFailure> for Stop {
    fn from(failure: FetchFailure) -> Self {
        Self::Failed(failure)
    }
}

impl Fetching<'_> {
    /// Fetches and verifies; the answer is what is to be handed over, in the order given.
    pub(super) async fn run(mut self, files: &[FetchFile]) -> Result<Vec<VerifiedFile>, Stop> {
        // What verifies is small: a missing signature is known before the firmware was fetched, and then how much there
        // is.
        let (sidecars, payload): (Vec<_>, Vec<_>) = files.iter().partition(|file| is_sidecar(&file.name));
        let mut left = sidecars.len() + payload.len();
        for file in sidecars.into_iter().chain(payload) {
            left -= 1;
            self.progress.last = left == 0;
            let bytes = self.file(file).await?;
            self.progress.before += bytes;
        }
        let (firmware, job) = (self.firmware.clone(), self.job.to_owned());
        let names: Vec<_> = files.iter().map(|file| file.name.clone()).collect();
        let verified = blocking(move || firmware.verify(&job, &names)).await?;
        let verified: Vec<_> =
            verified.map_err(|refusal| words::refused(&refusal))?.into_iter().map(words::verified).collect();
        for VerifiedFile { name, size, sha256, .. } in &verified {
            tracing::info!(name, size, sha256, "a file of an update is verified");
        }
        Ok(verified)
    }

    /// Fetches what is missing of one file; its length.
    async fn file(&mut self, file: &FetchFile) -> Result<u64, Stop> {
        let part = self.staged(&file.name).await?;
        if part.is_complete() {
            return Ok(part.offset());
        }
        let bytes_max = self.config.update_bytes_max.saturating_sub(self.progress.before);
        let request = DownloadRequest {
            url: file.url.expose().to_owned(),
            offset: part.offset(),
            validator: part.validator().and_then(|text| serde_json::from_str::<Validator>(text).ok()),
            bytes_max: bytes_max.min(self.config.file_bytes_max),
            rate_max: self.config.rate_max,
            idle_timeout: IDLE_MAX,
        };
        let mut download = tokio::select! {
            biased;
            _ = &mut self.cancelled => return Err(Stop::Cancelled),
            download = self.http.download(request) => download.map_err(|error| words::download(&file.name, &error))?,
        };
        let begun = download.begun();
        let (offset, total, digest) = (begun.offset, begun.total, begun.sha256);
        tracing::info!(name = file.name, offset, total, "fetching a file of an update");
        let validator = begun.validator.as_ref().and_then(|validator| serde_json::to_string(validator).ok());
        let writer = blocking(move || part.begin(offset, total, validator, digest)).await?;
        let writer = writer.map_err(|error| words::staged(&file.name, &error))?;
        let (chunks, waiting) = mpsc::channel(CHUNKS_MAX);
        // A thread of its own for as long as the file comes.
        let writing = tokio::task::spawn_blocking(move || write(writer, waiting));
        let poured = self.pour(&mut download, chunks, offset, total, &file.name).await;
        // Whatever ended it, what came is on its way to the disk and the next try shall find it.
        let written = writing.await.map_err(|error| lost(&error))?;
        let writer = written.map_err(|error| words::staged(&file.name, &error))?;
        let length = poured?;
        let finished = blocking(move || writer.finish()).await?;
        finished.map_err(|error| words::staged(&file.name, &error))?;
        Ok(length)
    }

    /// What lies there of a file.
    async fn staged(&self, name: &str) -> Result<Part, Stop> {
        let (firmware, job, file) = (self.firmware.clone(), self.job.to_owned(), name.to_owned());
        let part = blocking(move || firmware.part(&job, &file)).await?;
        Ok(part.map_err(|error| words::staged(name, &error))?)
    }

    /// Passes the file on to the disk; its length so far. Ends early without a word when the disk does: that tells why.
    async fn pour(
        &mut self,
        download: &mut Download,
        chunks: mpsc::Sender<Bytes>,
        offset: u64,
        total: Option<u64>,
        name: &str,
    ) -> Result<u64, Stop> {
        let mut length = offset;
        loop {
            let chunk = tokio::select! {
                biased;
                _ = &mut self.cancelled => return Err(Stop::Cancelled),
                chunk = download.chunk() => chunk.map_err(|error| words::download(name, &error))?,
            };
            let Some(chunk) = chunk else { return Ok(length) };
            length += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if chunks.send(chunk).await.is_err() {
                return Ok(length);
            }
            self.progress.tell(length, total);
        }
    }
}

/// How far a fetch is.
pub(super) struct Progress {
    ticket: Ticket,
    tell: mpsc::Sender<Told>,
    /// Bytes of files that are there.
    before: u64,
    /// No file comes behind this one, so that it is known how much there is of all.
    last: bool,
    told: Instant,
}

impl Progress {
    pub(super) fn new(ticket: Ticket, tell: mpsc::Sender<Told>) -> Self {
        Self { ticket, tell, before: 0, last: false, told: Instant::now() }
    }

    fn tell(&mut self, length: u64, total: Option<u64>) {
        let now = Instant::now();
        if now.duration_since(self.told) < PROGRESS_EVERY {
            return;
        }
        self.told = now;
        let (bytes, total) = (self.before + length, total.filter(|_| self.last).map(|total| self.before + total));
        // A loop that is busy hears the next one.
        let _ = self.tell.try_send(Told::Event(Event::FetchProgress { ticket: self.ticket, bytes, total }));
    }
}

/// Writes what comes until nothing more does.
fn write(mut writer: Writer, mut chunks: mpsc::Receiver<Bytes>) -> Result<Writer, StageError> {
    while let Some(chunk) = chunks.blocking_recv() {
        writer.write(&chunk)?;
    }
    Ok(writer)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FetchFailure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| lost(&error))
}

/// A task of ours ended in the middle.
fn lost(error: &tokio::task::JoinError) -> FetchFailure {
    FetchFailure { kind: FetchFailureKind::Disk, text: format!("the fetch broke off: {error}"), retry_after: None }
}

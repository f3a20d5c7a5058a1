//! The firmware store: files behind signed URLs, as blob storage serves them, and everything that can go wrong on the
//! way.
//!
//! `GET` and `HEAD` of `/fw/{name}`, on the HTTPS port of discovery and sync. A request without a good signature learns
//! nothing but that (`firmware/sas.rs`); ranges and preconditions follow RFC 9110 (`firmware/range.rs`), also
//! `If-Range`, which real blob storage is not documented to know: other stores are. Every request to a file is
//! remembered, also the refused ones. Files lie in memory and go with the simulator, and so does the key that URLs are
//! signed with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::changes::{Changes, TimedOut};
use crate::key::Key;
use crate::limits::{FIRMWARE_BYTES_MAX, FIRMWARE_FILES_MAX, FIRMWARE_LOG_MAX};

mod body;
mod content;
mod fault;
mod range;
mod refusal;
mod sas;
mod serve;

use fault::{Faults, Lasting};
pub use fault::{FirmwareFault, Redirect};
use sas::Grant;

/// How long a URL is good unless said otherwise.
pub(crate) const URL_LIFE: Duration = Duration::from_secs(2 * 3600);
/// Blob storage's own longest name.
const NAME_CHARS_MAX: usize = 1024;
/// Where the files are.
const CONTAINER: &str = "/fw/";
/// Where redirects lead: `/fw-redirected/{redirects still to come}/{name}`.
const REDIRECTED: &str = "/fw-redirected/";

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct FirmwareStore {
    inner: Arc<Inner>,
}

struct Inner {
    changes: Changes,
    state: Mutex<State>,
}

struct State {
    /// Signs URLs.
    key: Key,
    /// `https://localhost:port`, once it listens.
    base: String,
    /// `http://127.0.0.1:port`, where redirects to plain HTTP lead.
    plain_base: String,
    files: BTreeMap<String, File>,
    /// Makes URLs, tags and request ids differ.
    number: u64,
}

struct File {
    content: Bytes,
    /// With its quotes.
    etag: String,
    /// To the second, and another one for each content.
    modified: Timestamp,
    sha256: Sha256Metadata,
    faults: Faults,
    /// Requests of each signature, for [`FirmwareFault::ForbiddenAfter`].
    used: BTreeMap<String, u32>,
    log: VecDeque<Logged>,
    /// Of all requests, also those that the log has forgotten.
    requests: usize,
}

struct Logged {
    request: FirmwareRequest,
    sent: Arc<AtomicU64>,
}

/// What a file's metadata says of its SHA-256 (header `x-ms-meta-sha256`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sha256Metadata {
    /// Nothing.
    #[default]
    Absent,
    /// What it is, in lower case hex, also after the file was replaced.
    Right,
    /// This.
    Other(String),
}

/// One request to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirmwareRequest {
    /// When it came.
    pub at: Timestamp,
    /// `GET`, `HEAD` or what it was.
    pub method: String,
    /// Whether it came over TLS; not if the client followed a redirect to plain HTTP.
    pub tls: bool,
    /// Whether it came where a redirect had sent it.
    pub redirected: bool,
    /// The name the client knows this machine by, with port.
    pub host: Option<String>,
    /// Its `Range`.
    pub range: Option<String>,
    /// Its `If-Range`.
    pub if_range: Option<String>,
    /// The answer's status; `None` when there was none.
    pub status: Option<u16>,
    /// The fault it met.
    pub fault: Option<FirmwareFault>,
    /// Bytes of the body that were handed to the connection until now.
    pub sent: u64,
}

/// A file of the store, as the control port lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirmwareFileStatus {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: usize,
    /// Of its content, in lower case hex.
    pub sha256: String,
    /// With its quotes.
    pub etag: String,
    /// How often it was asked for.
    pub requests: usize,
    /// Faults still to come.
    pub faults: Vec<FirmwareFault>,
}

impl FirmwareStore {
    pub(crate) fn new(changes: Changes) -> Self {
        let (key, base, plain_base, files, number) = (Key::random(), String::new(), String::new(), BTreeMap::new(), 0);
        let state = Mutex::new(State { key, base, plain_base, files, number });
        Self { inner: Arc::new(Inner { changes, state }) }
    }

    /// The store's part of a port.
    pub(crate) fn router(&self, tls: bool) -> Router {
        Router::new()
            .route("/fw/{*name}", any(serve::serve))
            .route("/fw-redirected/{*name}", any(serve::serve))
            .with_state(serve::Served { store: self.clone(), tls })
    }

    pub(crate) fn set_bases(&self, base: &str, plain_base: &str) {
        let mut state = self.lock();
        state.base = base.to_owned();
        state.plain_base = plain_base.to_owned();
    }

    /// Puts a file into the store, without metadata and faults.
    ///
    /// # Errors
    /// When there is a file of that name, the name is empty, too long or has control characters, or the store is full.
    pub fn add(&self, name: &str, content: impl Into<Bytes>) -> anyhow::Result<()> {
        let content = content.into();
        anyhow::ensure!(
            (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.contains(char::is_control),
            "a file's name is 1 to {NAME_CHARS_MAX} characters without control characters"
        );
        let mut state = self.lock();
        anyhow::ensure!(!state.files.contains_key(name), "the store has {name} already: replace it");
        anyhow::ensure!(state.files.len() < FIRMWARE_FILES_MAX, "the store is full: {FIRMWARE_FILES_MAX} files");
        state.make_room(content.len() as u64, 0)?;
        let (etag, modified) = (state.etag(), whole_second(Timestamp::now()));
        let (sha256, faults, used, log) = Default::default();
        let file = File { content, etag, modified, sha256, faults, used, log, requests: 0 };
        state.files.insert(name.to_owned(), file);
        Ok(())
    }

    /// Gives a file another content: another ETag and another Last-Modified. Metadata, faults and log stay.
    ///
    /// # Errors
    /// When there is no such file, or the store is full.
    pub fn replace(&self, name: &str, content: impl Into<Bytes>) -> anyhow::Result<()> {
        let content = content.into();
        let mut state = self.lock();
        let before = state.file(name)?.content.len() as u64;
        state.make_room(content.len() as u64, before)?;
        state.replace(name, content)
    }

    /// Takes a file and its log out of the store.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.lock().files.remove(name).map(drop).with_context(|| unknown(name))
    }

    /// Sets what a file's metadata says of its SHA-256.
    ///
    /// # Errors
    /// When there is no such file, or the text cannot stand in a header.
    pub fn tell_sha256(&self, name: &str, metadata: Sha256Metadata) -> anyhow::Result<()> {
        if let Sha256Metadata::Other(text) = &metadata {
            axum::http::HeaderValue::from_str(text).context("the text cannot stand in a header")?;
        }
        self.lock().file(name)?.sha256 = metadata;
        Ok(())
    }

    /// The SHA-256 of a file's content, in lower case hex; `None` when there is no such file.
    #[must_use]
    pub fn sha256(&self, name: &str) -> Option<String> {
        self.lock().files.get(name).map(|file| sha256(&file.content))
    }

    /// A URL that opens the file for two hours, or a name that there is no file of. No two are the same.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        self.url_for(name, URL_LIFE)
    }

    /// The same, for this long; whole seconds count.
    #[must_use]
    pub fn url_for(&self, name: &str, life: Duration) -> String {
        self.url_for_s(name, i64::try_from(life.as_secs()).unwrap_or(i64::MAX))
    }

    /// A URL that was good until an hour ago.
    #[must_use]
    pub fn expired_url(&self, name: &str) -> String {
        self.url_for_s(name, -3600)
    }

    /// A life below zero lies in the past.
    pub(crate) fn url_for_s(&self, name: &str, life_s: i64) -> String {
        let mut state = self.lock();
        let grant = Grant::new(life_s, state.next_number());
        format!("{}{}", state.base, sas::sign(&state.key, &format!("{CONTAINER}{name}"), &grant))
    }

    /// Signs with another key from now on: every URL handed out so far is refused.
    pub fn rotate_key(&self) {
        self.lock().key = Key::random();
    }

    /// Lets this go wrong with the next request to the file.
    ///
    /// # Errors
    /// When there is no such file, too many faults wait already, or the fault makes no sense.
    pub fn fault(&self, name: &str, fault: FirmwareFault) -> anyhow::Result<()> {
        self.fault_times(name, fault, 1)
    }

    /// Lets this go wrong with the next `times` requests, once the faults before it are over.
    ///
    /// # Errors
    /// As [`FirmwareStore::fault`].
    pub fn fault_times(&self, name: &str, fault: FirmwareFault, times: u32) -> anyhow::Result<()> {
        self.lock().file(name)?.faults.add(fault, Lasting::Next(times))
    }

    /// Lets this go wrong with every request until the faults are cleared, once the faults before it are over.
    ///
    /// # Errors
    /// As [`FirmwareStore::fault`].
    pub fn fault_always(&self, name: &str, fault: FirmwareFault) -> anyhow::Result<()> {
        self.lock().file(name)?.faults.add(fault, Lasting::Always)
    }

    /// Lets nothing go wrong any more; answers under way go on as they began.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn clear_faults(&self, name: &str) -> anyhow::Result<()> {
        let mut state = self.lock();
        let file = state.file(name)?;
        file.faults = Faults::default();
        file.used.clear();
        Ok(())
    }

    /// The requests to a file, oldest first (the newest 10,000); refused ones too. Empty when there is no such file.
    #[must_use]
    pub fn requests(&self, name: &str) -> Vec<FirmwareRequest> {
        self.lock().files.get(name).map(File::requests).unwrap_or_default()
    }

    /// Waits until a file has been asked for `count` times, and each time answered or left without an answer.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_requests(
        &self,
        name: &str,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<FirmwareRequest>, TimedOut> {
        let look = || {
            let state = self.lock();
            state.files.get(name).filter(|file| file.requests >= count).map(File::requests)
        };
        self.inner.changes.until(&format!("{count} requests to {name}"), timeout, look).await
    }

    /// Waits until so many bytes of a file have been handed to connections, over all requests.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_sent(&self, name: &str, bytes: u64, timeout: Duration) -> Result<u64, TimedOut> {
        let look = || {
            let sent = self.requests(name).iter().map(|request| request.sent).sum();
            Some(sent).filter(|sent| *sent >= bytes)
        };
        self.inner.changes.until(&format!("{bytes} bytes of {name} to be sent"), timeout, look).await
    }

    /// All files.
    #[must_use]
    pub fn files(&self) -> Vec<FirmwareFileStatus> {
        let state = self.lock();
        let status = |(name, file): (&String, &File)| FirmwareFileStatus {
            name: name.clone(),
            bytes: file.content.len(),
            sha256: sha256(&file.content),
            etag: file.etag.clone(),
            requests: file.requests,
            faults: file.faults.waiting(),
        };
        state.files.iter().map(status).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn file(&mut self, name: &str) -> anyhow::Result<&mut File> {
        self.files.get_mut(name).with_context(|| unknown(name))
    }

    fn make_room(&self, wanted: u64, freed: u64) -> anyhow::Result<()> {
        let there: u64 = self.files.values().map(|file| file.content.len() as u64).sum();
        anyhow::ensure!(
            (there + wanted).saturating_sub(freed) <= FIRMWARE_BYTES_MAX,
            "the store is full: {FIRMWARE_BYTES_MAX} bytes"
        );
        Ok(())
    }

    fn replace(&mut self, name: &str, content: Bytes) -> anyhow::Result<()> {
        let etag = self.etag();
        let file = self.file(name)?;
        // A second later than the one before at least, which is what makes it a strong validator.
        let later = file.modified.checked_add(Duration::from_secs(1)).unwrap_or(file.modified);
        file.modified = whole_second(Timestamp::now()).max(later);
        (file.content, file.etag) = (content, etag);
        Ok(())
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// As blob storage writes them.
    fn etag(&mut self) -> String {
        format!("\"0x8DE{:012X}\"", self.next_number())
    }
}

impl File {
    fn requests(&self) -> Vec<FirmwareRequest> {
        let told =
            |logged: &Logged| FirmwareRequest { sent: logged.sent.load(Ordering::Relaxed), ..logged.request.clone() };
        self.log.iter().map(told).collect()
    }

    /// Remembers a request; the counter is its body's.
    fn log(&mut self, request: FirmwareRequest) -> Arc<AtomicU64> {
        let sent = Arc::<AtomicU64>::default();
        if self.log.len() == FIRMWARE_LOG_MAX {
            self.log.pop_front();
        }
        self.requests += 1;
        self.log.push_back(Logged { request, sent: sent.clone() });
        sent
    }
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn unknown(name: &str) -> String {
    format!("the store has no {name}")
}

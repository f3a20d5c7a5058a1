//! The handle that everyone else holds, and the thread that owns the keys.
//!
//! A blocking library cannot be interrupted. So a call waits for its answer no longer than its time-out and then
//! leaves; once a call has given up on what the thread is still doing, later calls are told so at once instead of
//! queueing up behind it, until the thread comes back by itself. Work whose caller has left before it started is not
//! started. The thread ends, and flushes what it loaded into the TPM, when it is told to or when the last handle drops.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use edgeplug_protocol::azure::challenge::ChallengeBlob;
use tokio::sync::oneshot;

use crate::config::{EkTemplate, IdentityConfig};
use crate::error::IdentityError;
use crate::keys::{KeySlot, Keys, Registration, SIGNED_BYTES_MAX, Signature, keys_of};

/// Calls that may wait for the owner thread: the session has one outstanding, an operator's commands a few more.
const QUEUE_CALLS: usize = 8;

/// Reading a key file takes no longer; a dead network mount does.
const SYMMETRIC_KEY_TIMEOUT: Duration = Duration::from_secs(10);

/// A device's keys; cheap to clone.
#[derive(Clone)]
pub struct Identity {
    queue: SyncSender<Job>,
    progress: Arc<Progress>,
    /// How long a call waits.
    timeout: Duration,
    /// Who does not answer, for messages.
    name: Arc<str>,
}

impl Identity {
    /// Starts the owner thread and returns; the device is opened by the first call that needs it, and again by every
    /// later call that finds it not open, so that a missing or busy TPM heals.
    #[must_use]
    pub fn open(config: IdentityConfig) -> Self {
        let (timeout, name): (_, Arc<str>) = match &config {
            IdentityConfig::Tpm(config) => (config.command_timeout, format!("the TPM at {}", config.tcti).into()),
            IdentityConfig::SymmetricKey(config) => {
                (SYMMETRIC_KEY_TIMEOUT, format!("key file {}", config.key_file.display()).into())
            }
        };
        let (queue, jobs) = sync_channel(QUEUE_CALLS);
        let progress = Arc::new(Progress::default());
        let seen = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name("identity".to_owned());
        if let Err(error) = thread.spawn(move || own(keys_of(config), &jobs, &seen)) {
            // The queue is closed with it: every call says so.
            tracing::error!(%error, "cannot start the identity thread");
        }
        Self { queue, progress, timeout, name }
    }

    /// Opens the device and makes sure that it has its root keys: keys at the configured handles are used as found
    /// after a check of their attributes, missing ones are created and made persistent.
    pub async fn registration(&self) -> Result<Registration, IdentityError> {
        self.call(|keys| keys.registration()).await
    }

    /// Imports a key from DPS. The challenge key is only loaded, and kept until [`Self::discard_challenge`] or the next
    /// one. The hub key is loaded, copied to the wrapped key file and only then put in the place of the old one, so
    /// that a refused blob, a kill or a power cut at any instant leaves a hub key.
    ///
    /// After [`IdentityError::TimedOut`] the import may still complete.
    pub async fn activate(&self, slot: KeySlot, blob: &ChallengeBlob) -> Result<(), IdentityError> {
        let blob = blob.clone();
        self.call(move |keys| keys.activate(slot, &blob)).await
    }

    /// HMAC-SHA256 of at most [`SIGNED_BYTES_MAX`] bytes. A symmetric key signs for both slots: DPS and IoT Hub share
    /// it.
    pub async fn sign(&self, slot: KeySlot, bytes: &[u8]) -> Result<Signature, IdentityError> {
        if bytes.len() > SIGNED_BYTES_MAX {
            return Err(IdentityError::TooLong(bytes.len()));
        }
        let bytes = bytes.to_vec();
        self.call(move |keys| keys.sign(slot, &bytes)).await
    }

    /// Unloads the challenge key, if there is one. Nothing to do about a failure: the key is worthless once its
    /// registration is over, and it goes with the connection.
    pub async fn discard_challenge(&self) {
        let discarded = self
            .call(|keys| {
                keys.discard_challenge();
                Ok(())
            })
            .await;
        if let Err(error) = discarded {
            tracing::debug!(%error, "challenge key not discarded");
        }
    }

    /// Whether [`KeySlot::Hub`] could sign now.
    pub async fn has_hub_key(&self) -> Result<bool, IdentityError> {
        self.call(|keys| keys.has_hub_key()).await
    }

    /// Which template the endorsement key in use was made from, `None` if neither. Creates both in turn to compare:
    /// slow on real chips, meant for an operator's command.
    pub async fn ek_template(&self) -> Result<Option<EkTemplate>, IdentityError> {
        self.call(|keys| keys.ek_template()).await
    }

    /// Unloads everything and ends the owner thread; waits for that no longer than a call does.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.try_send(Job::Stop(done)).is_ok() {
            let _ = tokio::time::timeout(self.timeout, closed).await;
        }
    }

    async fn call<T, F>(&self, work: F) -> Result<T, IdentityError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Keys) -> Result<T, IdentityError> + Send + 'static,
    {
        if self.progress.is_stuck(self.timeout) {
            return Err(IdentityError::Busy {
                what: format!("{} has not finished an earlier command; if this stays, power-cycle it", self.name),
            });
        }
        let ticket = self.progress.next_ticket();
        let (reply, answer) = oneshot::channel();
        let run = Box::new(move |keys: &mut dyn Keys| {
            if !reply.is_closed() {
                // A caller that left in the meantime wants no answer.
                let _ = reply.send(work(keys));
            }
        });
        match self.queue.try_send(Job::Run { ticket, run }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(IdentityError::Busy {
                    what: format!("{QUEUE_CALLS} calls already wait for {}", self.name),
                });
            }
            Err(TrySendError::Disconnected(_)) => return Err(IdentityError::Closed),
        }
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(IdentityError::Closed),
            Err(_) => {
                self.progress.give_up(ticket);
                Err(IdentityError::TimedOut { what: self.name.to_string(), after: self.timeout })
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A call's work, which sends its own answer.
type Work = Box<dyn FnOnce(&mut dyn Keys) + Send>;

enum Job {
    Run { ticket: u64, run: Work },
    Stop(oneshot::Sender<()>),
}

/// The owner thread.
fn own(mut keys: Box<dyn Keys>, jobs: &Receiver<Job>, progress: &Progress) {
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Run { ticket, run } => {
                progress.start(ticket);
                run(keys.as_mut());
                progress.finish();
            }
            Job::Stop(done) => {
                drop(keys);
                let _ = done.send(());
                return;
            }
        }
    }
}

/// What the owner thread is doing, for callers that must not wait for it.
#[derive(Debug, Default)]
struct Progress {
    tickets: AtomicU64,
    state: Mutex<ProgressState>,
}

#[derive(Debug, Default)]
struct ProgressState {
    /// The call being worked on, and since when.
    running: Option<(u64, Instant)>,
    /// The latest call whose caller has given up; with tickets in queue order, no earlier one is waited for.
    given_up: u64,
}

impl Progress {
    /// Never 0, which stands for no call.
    fn next_ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn start(&self, ticket: u64) {
        self.with(|state| state.running = Some((ticket, Instant::now())));
    }

    fn finish(&self) {
        self.with(|state| state.running = None);
    }

    fn give_up(&self, ticket: u64) {
        self.with(|state| state.given_up = state.given_up.max(ticket));
    }

    fn is_stuck(&self, limit: Duration) -> bool {
        self.with(|state| {
            state.running.is_some_and(|(ticket, since)| ticket <= state.given_up || since.elapsed() > limit)
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut ProgressState) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

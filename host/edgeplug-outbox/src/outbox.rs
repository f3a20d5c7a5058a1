//! The handle: opening, asking, closing.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use tokio::sync::mpsc;

use crate::{
    directory::Layout,
    emitter::Emitter,
    error::OpenError,
    event::{OutboxEvent, Restored},
    ledger::Ledger,
    owner::Owner,
    queue::{self, queue},
    request::Request,
    telemetry::{Telemetry, segment::Settings, space::Space},
    written::{Counters, Written},
};

/// Requests that may be queued. A caller that has at most this many unanswered requests never meets [`Refused::Full`] for
/// their number. Enough for a sync of 20 ms at 10,000 requests a second.
pub const REQUESTS_OUTSTANDING_MAX: usize = 256;
/// Memory that queued requests may occupy, in bytes, with 64 bytes counted per row; also the largest single request.
pub const REQUEST_BYTES_OUTSTANDING_MAX: usize = 32 * 1024 * 1024;
/// Events that may wait to be read: two for each request (rows taken and rows refused) and the changes of health. A
/// caller that keeps to [`REQUESTS_OUTSTANDING_MAX`] never makes the owner thread wait for room.
pub const EVENTS_QUEUED_MAX: usize = 2 * REQUESTS_OUTSTANDING_MAX + 8;

/// Under load a commit every ten milliseconds: fewer syncs for a flash disk, and half of what a plugin may wait.
const GROUP_WAIT_DEFAULT: Duration = Duration::from_millis(10);
/// No request waits longer for company, whatever the options say.
pub const GROUP_WAIT_MAX: Duration = Duration::from_millis(20);

/// Most room and files of the telemetry store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceLimits {
    /// All telemetry segments together, write-ahead logs and their indexes included, in bytes.
    pub bytes_max: u64,
    /// Segments at most. With one, the oldest rows are evicted; with more, the oldest segment is.
    pub files_max: u16,
}

impl SpaceLimits {
    /// The least room that [`Outbox::open`] takes with so many files, in bytes.
    pub fn bytes_min(files_max: u16) -> u64 {
        Space::bytes_min(files_max)
    }
}

impl Default for SpaceLimits {
    fn default() -> Self {
        Self { bytes_max: 512 * 1024 * 1024, files_max: 8 }
    }
}

/// What a commit of telemetry survives. The ledger always survives a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// `synchronous=FULL`: a power cut.
    #[default]
    PowerLoss,
    /// `synchronous=NORMAL`: `kill -9`, not a power cut. That may take the last commits, and their ids are given out again.
    ProcessCrash,
}

/// Where the outbox lies and what it promises. Start from [`OutboxOptions::new`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutboxOptions {
    /// Made with mode 0700 if it is missing. One process at a time.
    pub directory: PathBuf,
    pub limits: SpaceLimits,
    pub durability: Durability,
    /// Longest wait of a request for company in its commit, counted from the last commit; at most [`GROUP_WAIT_MAX`].
    /// An idle store commits at once, a group worth a sync does not wait, and neither do loads, commands and closing; nor
    /// does the store wait often for company that does not come.
    pub group_wait: Duration,
    /// Lets tests meet a full disk: a segment does not grow beyond this many 4 KiB pages.
    #[doc(hidden)]
    pub telemetry_pages_max_for_tests: Option<u32>,
}

impl OutboxOptions {
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            limits: SpaceLimits::default(),
            durability: Durability::default(),
            group_wait: GROUP_WAIT_DEFAULT,
            telemetry_pages_max_for_tests: None,
        }
    }
}

/// The request was not queued and is given back.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The owner thread is behind; ask again after the next event.
    #[error("the outbox queue is full; ask again after its next event")]
    Full(Request),
    /// It is larger than [`REQUEST_BYTES_OUTSTANDING_MAX`]; ask for less at a time.
    #[error("the request is larger than {REQUEST_BYTES_OUTSTANDING_MAX} bytes; ask for less at a time")]
    TooLarge(Request),
    /// The owner thread has ended. Nothing but a restart of the process brings it back.
    #[error("the outbox thread has ended; restart the daemon")]
    Ended(Request),
}

/// The handle to the owner thread. Dropping it closes the outbox like [`Outbox::close`].
#[derive(Debug)]
pub struct Outbox {
    /// `None` once closing has begun.
    requests: Option<queue::Sender>,
    closing: Arc<AtomicBool>,
    written: Arc<Counters>,
    /// `None` once joined.
    thread: Option<JoinHandle<()>>,
}

impl Outbox {
    /// Takes the directory, opens or creates both files, and starts the owner thread.
    ///
    /// Blocks while it reads (see the integrity check below): call it before the main loop starts or on a thread for
    /// blocking work. Files are checked in full up to 64 MiB together, the newest first; damage is no error but is
    /// reported in [`Restored::damaged`]. Where the limits were lowered since, the oldest rows are given up; that is
    /// reported by [`OutboxEvent::Evicted`], and [`Restored`] still counts them.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::may_heal`] tells whether it is worth trying again.
    pub fn open(options: OutboxOptions) -> Result<(Self, Restored, mpsc::Receiver<OutboxEvent>), OpenError> {
        let space = Space::new(options.limits)?;
        let layout = Layout { directory: options.directory };
        layout.create()?;
        let lock = layout.lock_exclusively()?;
        let written = Arc::new(Counters::default());
        let mut first_events = Vec::new();
        let (ledger, ledger_damaged) = Ledger::open(&layout, Arc::clone(&written), &mut first_events)?;
        let settings = Settings {
            layout,
            space,
            durability: options.durability,
            pages_max_for_tests: options.telemetry_pages_max_for_tests,
            written: Arc::clone(&written),
        };
        let (telemetry, found) = Telemetry::open(settings, &mut first_events)?;
        let mut restored = Restored {
            live: found.live,
            alarm: found.alarm,
            last_row: telemetry.last_row(),
            damaged: ledger_damaged.into_iter().chain(found.damaged).collect(),
            ..Restored::default()
        };
        ledger.restore(&mut restored)?;

        let (requests, queue) = queue();
        let (sender, events) = mpsc::channel(EVENTS_QUEUED_MAX);
        let closing = Arc::new(AtomicBool::new(false));
        let emitter = Emitter::new(sender, Arc::clone(&closing));
        let owner = Owner {
            requests: queue,
            emitter,
            telemetry,
            ledger,
            lock,
            rest: None,
            cost_max: space.transaction_cost_max(),
            group_wait: options.group_wait.min(GROUP_WAIT_MAX),
            committed: None,
            waits_to_skip: 0,
        };
        let thread =
            Builder::new().name("outbox".into()).spawn(move || owner.run(first_events)).map_err(OpenError::Thread)?;
        Ok((Self { requests: Some(requests), closing, written, thread: Some(thread) }, restored, events))
    }

    /// Queues a request. Never blocks.
    ///
    /// # Errors
    /// See [`Refused`]; the request comes back in it.
    pub fn request(&self, request: Request) -> Result<(), Refused> {
        match &self.requests {
            Some(requests) => requests.send(request),
            None => Err(Refused::Ended(request)),
        }
    }

    /// What was written since the opening. Costs three loads from memory.
    pub fn written(&self) -> Written {
        self.written.read()
    }

    /// Finishes what is queued, empties the write-ahead logs into their files, frees the directory and joins the thread.
    ///
    /// Blocks for a few syncs. Events that fit the channel can still be read afterwards, others are dropped: whatever
    /// they said is found again at the next [`Outbox::open`].
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.requests = None;
        self.closing.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the outbox thread panicked; what it reported committed is on disk");
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.end();
    }
}

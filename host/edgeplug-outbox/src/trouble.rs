//! A store that cannot write: why, what may help, when to try, and how it comes back.

use std::{io, path::PathBuf, time::Instant};

use crate::{
    backoff::Backoff,
    database::Check,
    error::{OpenError, Remedy, StoreError, chain},
    event::{Damaged, OutboxEvent, Store},
    reserve::Reserve,
};

/// What a store can do to come back.
pub(crate) trait Mend {
    fn is_open(&self) -> bool;
    /// Opens its file again, and says if it had to be set aside.
    fn reopen(&mut self, check: Check) -> Result<Option<Damaged>, OpenError>;
    /// Lets the log go into the file, where no commit may fit the log.
    fn empty_log(&mut self) -> Result<(), StoreError>;
    /// Writes the removals that were kept in memory.
    fn pay_removals(&mut self) -> Result<(), Cause>;
    /// Gives the room of removed rows back to the file system.
    fn give_room_back(&mut self) -> Result<(), StoreError>;
    /// Commits something of some size.
    fn try_writing(&mut self) -> Result<(), StoreError>;
}

/// Whether one store can write.
pub(crate) struct Health {
    store: Store,
    reserve: Reserve,
    trouble: Option<Trouble>,
}

impl Health {
    /// Takes the room for a full disk; without it the store starts degraded.
    pub(crate) fn begin(store: Store, reserve: Reserve, events: &mut Vec<OutboxEvent>) -> Self {
        let mut health = Self { store, reserve, trouble: None };
        if let Err(error) = health.reserve.hold() {
            health.degrade(Cause::no_reserve(&error), events);
        }
        health
    }

    /// Why the store cannot write, if it cannot.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.cause.reason.as_str())
    }

    /// Says so, once. The room kept back is given up at once if room is what is missing: even reading may need some.
    pub(crate) fn degrade(&mut self, cause: Cause, events: &mut Vec<OutboxEvent>) {
        if cause.remedy == Remedy::Room {
            self.reserve.release();
        }
        match &mut self.trouble {
            Some(trouble) => trouble.cause = cause,
            None => self.trouble = Some(Trouble::begin(self.store, cause, events)),
        }
    }

    /// When [`Self::retry`] wants to be called.
    pub(crate) fn retry_due(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.backoff.due())
    }

    /// Tries to bring the store back.
    pub(crate) fn retry(&mut self, file: &mut impl Mend, now: Instant, events: &mut Vec<OutboxEvent>) {
        let Some(mut trouble) = self.trouble.take() else { return };
        match self.mend(&mut trouble, file) {
            Ok(()) => events.push(trouble.end()),
            Err(cause) => {
                trouble.goes_on(cause, now);
                self.trouble = Some(trouble);
            }
        }
    }

    fn mend(&self, trouble: &mut Trouble, file: &mut impl Mend) -> Result<(), Cause> {
        let remedy = trouble.cause.remedy;
        if remedy == Remedy::Room {
            self.reserve.release();
        }
        if let Some(check) = remedy.reopen().or((!file.is_open()).then_some(Check::Head)) {
            let damaged = file.reopen(check)?;
            trouble.damaged = damaged.or(trouble.damaged.take());
            trouble.log_doubted = true;
        }
        if remedy == Remedy::Room || trouble.log_doubted {
            match file.empty_log() {
                Ok(()) => trouble.log_doubted = false,
                Err(error) if trouble.log_doubted => return Err(error.into()),
                Err(error) => tracing::debug!(reason = chain(&error), "the log stays as it is"),
            }
        }
        file.pay_removals()?;
        if remedy == Remedy::Room {
            file.give_room_back()?;
            self.reserve.hold().map_err(|error| Cause::no_reserve(&error))?;
        }
        Ok(file.try_writing()?)
    }
}

/// One stretch of not being able to write, from the event that says so to the event that ends it.
struct Trouble {
    cause: Cause,
    /// The file that had to be set aside on the way.
    damaged: Option<Damaged>,
    /// The log may hold what a failed sync left in memory only: it reads well, and is a hole after a power cut. Nothing
    /// may be committed behind it.
    log_doubted: bool,
    store: Store,
    backoff: Backoff,
}

/// What went wrong last.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    reason: String,
    remedy: Remedy,
}

impl Trouble {
    /// Begins it, and says so.
    fn begin(store: Store, cause: Cause, events: &mut Vec<OutboxEvent>) -> Self {
        tracing::error!(%store, reason = cause.reason, "the store cannot write; trying again");
        events.push(OutboxEvent::Degraded { store, reason: cause.reason.clone() });
        Self { cause, damaged: None, log_doubted: false, store, backoff: Backoff::start(Instant::now()) }
    }

    /// The retry failed as well.
    fn goes_on(&mut self, cause: Cause, now: Instant) {
        tracing::debug!(store = %self.store, reason = cause.reason, "the store still cannot write");
        self.cause = cause;
        self.backoff.wait_again(now);
    }

    fn end(self) -> OutboxEvent {
        tracing::info!(store = %self.store, "the store can write again");
        OutboxEvent::Healed { store: self.store, damaged: self.damaged }
    }
}

impl From<&StoreError> for Cause {
    fn from(error: &StoreError) -> Self {
        Self { reason: chain(error), remedy: error.remedy() }
    }
}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl Cause {
    pub(crate) fn remedy(&self) -> Remedy {
        self.remedy
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// As the reason why the outbox cannot be opened.
    pub(crate) fn while_opening(self, path: PathBuf) -> OpenError {
        OpenError::Directory { path, source: io::Error::other(self.reason) }
    }

    /// A connection that is being opened again.
    pub(crate) fn closed() -> Self {
        Self { reason: "the store is being opened again".into(), remedy: Remedy::Reopen }
    }

    /// There is a file of the highest number; this crate cannot have made it.
    pub(crate) fn no_number() -> Self {
        Self { reason: "there is no number left for a further segment".into(), remedy: Remedy::Wait }
    }

    /// The room of old rows cannot be had.
    pub(crate) fn undeletable(error: &io::Error) -> Self {
        Self { reason: format!("cannot delete the oldest telemetry: {error}"), remedy: Remedy::Reopen }
    }

    /// The room for a full disk cannot be kept back.
    fn no_reserve(error: &io::Error) -> Self {
        Self { reason: format!("the disk has no room left: {error}"), remedy: Remedy::Room }
    }
}

impl From<OpenError> for Cause {
    fn from(error: OpenError) -> Self {
        Self { reason: chain(&error), remedy: error.remedy() }
    }
}

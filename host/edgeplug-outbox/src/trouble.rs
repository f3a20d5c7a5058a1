//! A store that cannot write: why, what may help, when to try.

use std::{io, time::Instant};

use crate::{
    backoff::Backoff,
    error::{OpenError, Remedy, StoreError, chain},
    event::{Damaged, OutboxEvent, Store},
};

/// One stretch of not being able to write, from the event that says so to the event that ends it.
pub(crate) struct Trouble {
    pub(crate) cause: Cause,
    /// The file that had to be set aside on the way.
    pub(crate) damaged: Option<Damaged>,
    store: Store,
    backoff: Backoff,
}

/// What went wrong last.
pub(crate) struct Cause {
    pub(crate) reason: String,
    pub(crate) remedy: Remedy,
}

impl Trouble {
    /// Begins it, and says so.
    pub(crate) fn begin(store: Store, cause: Cause, events: &mut Vec<OutboxEvent>) -> Self {
        tracing::error!(%store, reason = cause.reason, "the store cannot write; trying again");
        events.push(OutboxEvent::Degraded { store, reason: cause.reason.clone() });
        Self { cause, damaged: None, store, backoff: Backoff::start(Instant::now()) }
    }

    pub(crate) fn due(&self) -> Instant {
        self.backoff.due()
    }

    /// The retry failed as well.
    pub(crate) fn goes_on(&mut self, cause: Cause, now: Instant) {
        tracing::debug!(store = %self.store, reason = cause.reason, "the store still cannot write");
        self.cause = cause;
        self.backoff.wait_again(now);
    }

    pub(crate) fn end(self) -> OutboxEvent {
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
    /// The room for a full disk cannot be kept back.
    pub(crate) fn no_reserve(error: &io::Error) -> Self {
        Self { reason: format!("the disk has no room left: {error}"), remedy: Remedy::Room }
    }
}

impl From<OpenError> for Cause {
    fn from(error: OpenError) -> Self {
        Self { reason: chain(&error), remedy: Remedy::Reopen }
    }
}

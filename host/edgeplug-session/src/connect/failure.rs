//! Why the portal did not help, and what follows from it: when to ask again, whom, and whether a hub known from before is
//! a way around.

use std::time::Duration;

use edgeplug_protocol::legacy::sync::SyncError;
use edgeplug_protocol::retry::Retry;
use edgeplug_protocol::v21::identity::IdentityError;

use super::pace::Pace;
use crate::event::{Failure, FailureKind, HttpReply};

/// A server's `Retry-After` is believed up to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Why the portal did not help.
pub(super) struct PortalFailure {
    pub(super) failure: Failure,
    pub(super) pace: Pace,
    /// There was an answer.
    pub(super) answered: bool,
    /// It said something about this very device: then a hub known from before is no way around.
    pub(super) about_us: bool,
    /// The device may only have to be registered with DPS (2.1 does not tell).
    pub(super) unregistered: bool,
    /// Another agent may know more: there was none where discovery said, or it says so.
    pub(super) elsewhere: bool,
}

impl PortalFailure {
    pub(super) fn new(kind: FailureKind, error: &dyn std::fmt::Display, retry: Retry) -> Self {
        let failure = Failure { kind, text: error.to_string() };
        let pace = Pace { retry, after: None };
        Self { failure, pace, answered: true, about_us: false, unregistered: false, elsewhere: true }
    }

    /// Nobody answered.
    pub(super) fn unreachable(failure: Failure) -> Self {
        Self { answered: false, ..Self::new(failure.kind, &failure.text, Retry::Soon) }
    }

    /// It answered, but not what it was asked.
    pub(super) fn nothing_said(what: &str) -> Self {
        let text = format!("the portal says nothing about this device's {what} yet");
        Self { elsewhere: false, ..Self::new(FailureKind::Enrolment, &text, Retry::Soon) }
    }

    /// Takes up the wait that a refusal asks for.
    pub(super) fn after(mut self, reply: &HttpReply) -> Self {
        let seconds = reply.retry_after_s.filter(|_| reply.status != 200);
        self.pace.after = seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        self
    }

    /// Of two protocols that both failed, the one that says more about the device leads.
    pub(super) fn and(self, v21: Self) -> Self {
        let silent = !self.answered && !v21.answered;
        if silent || self.failure.text == v21.failure.text {
            return self;
        }
        let legacy_leads = self.about_us || !v21.about_us;
        let unregistered = v21.unregistered && !self.about_us;
        let kind = if legacy_leads { self.failure.kind } else { v21.failure.kind };
        let text = format!("{} (1.0); {} (2.1)", self.failure.text, v21.failure.text);
        // Whichever may heal sooner, but nobody is asked before the time it named.
        let retry = match (self.pace.retry, v21.pace.retry) {
            (Retry::Soon, _) | (_, Retry::Soon) => Retry::Soon,
            (Retry::Slow, _) | (_, Retry::Slow) => Retry::Slow,
            (Retry::Never, Retry::Never) => Retry::Never,
        };
        Self {
            failure: Failure { kind, text },
            pace: Pace { retry, after: self.pace.after.max(v21.pace.after) },
            answered: self.answered || v21.answered,
            about_us: self.about_us || v21.about_us,
            unregistered,
            elsewhere: self.elsewhere || v21.elsewhere,
        }
    }
}

impl From<SyncError> for PortalFailure {
    fn from(error: SyncError) -> Self {
        let (kind, about_us) = match error {
            SyncError::Status(408 | 429 | 500..) => (FailureKind::Network, false),
            SyncError::Malformed(_) | SyncError::UnknownCode(_) => (FailureKind::Protocol, false),
            SyncError::Status(_) => (FailureKind::Enrolment, false),
            _ => (FailureKind::Enrolment, true),
        };
        let elsewhere = !about_us || error == SyncError::Moved;
        Self { about_us, elsewhere, ..Self::new(kind, &error, error.retry()) }
    }
}

impl From<IdentityError> for PortalFailure {
    fn from(error: IdentityError) -> Self {
        let (kind, about_us) = match error {
            IdentityError::Status(408 | 429 | 500..) => (FailureKind::Network, false),
            IdentityError::Malformed(_) | IdentityError::UnknownCode(_) => (FailureKind::Protocol, false),
            IdentityError::Status(_) => (FailureKind::Enrolment, false),
            _ => (FailureKind::Enrolment, true),
        };
        let unregistered = error == IdentityError::DeviceNotFound;
        Self { about_us, unregistered, elsewhere: !about_us, ..Self::new(kind, &error, error.retry()) }
    }
}

//! Between the words of updates' adapters and the session's. No decision is made here.

use edgeplug_firmware::{FailureKind, Refusal, StageError};
use edgeplug_link::{DownloadError, DownloadErrorKind};
use edgeplug_session::event::{
    CallFailure, Deployment, Event, FetchFailure, FetchFailureKind, Installation, VerifiedFile,
};

use super::work::Work;
use crate::exit::chain;

pub(super) fn download(name: &str, error: &DownloadError) -> FetchFailure {
    let kind = match error.kind() {
        DownloadErrorKind::Expired => FetchFailureKind::Expired,
        DownloadErrorKind::Transient => FetchFailureKind::Transient,
        DownloadErrorKind::Refused => FetchFailureKind::Refused,
    };
    FetchFailure { kind, text: format!("{name}: {}", chain(error)), retry_after: error.retry_after() }
}

pub(super) fn staged(name: &str, error: &StageError) -> FetchFailure {
    FetchFailure { kind: kind(error.kind()), text: format!("{name}: {}", chain(error)), retry_after: None }
}

pub(super) fn refused(refusal: &Refusal) -> FetchFailure {
    FetchFailure { kind: kind(refusal.kind), text: chain(refusal), retry_after: None }
}

fn kind(kind: FailureKind) -> FetchFailureKind {
    match kind {
        FailureKind::Transient => FetchFailureKind::Transient,
        FailureKind::Disk => FetchFailureKind::Disk,
        FailureKind::Refused => FetchFailureKind::Refused,
    }
}

pub(super) fn verified(file: edgeplug_firmware::VerifiedFile) -> VerifiedFile {
    let edgeplug_firmware::VerifiedFile { name, size, sha256, warning } = file;
    VerifiedFile { name, size, sha256, warning }
}

pub(super) fn installation(installation: edgeplug_firmware::Installation) -> Installation {
    match installation {
        edgeplug_firmware::Installation::Done(words) => Installation::Done(words),
        edgeplug_firmware::Installation::NeedsRestart(words) => Installation::NeedsRestart(words),
    }
}

pub(super) fn deployment(deployment: edgeplug_firmware::Deployment) -> Deployment {
    let edgeplug_firmware::Deployment { plugin, sha256 } = deployment;
    Deployment { plugin, sha256 }
}

/// The answer to work that cannot be begun; `None` where nobody waits for one.
pub(super) fn failed(work: Work, reason: &str) -> Option<Event> {
    let reason = reason.to_owned();
    Some(match work {
        Work::Fetch { ticket, .. } => {
            let failure = FetchFailure { kind: FetchFailureKind::Disk, text: reason, retry_after: None };
            Event::Fetched { ticket, result: Err(failure) }
        }
        Work::Update { plugin, call, .. } => Event::Replied { plugin, call, result: Err(CallFailure(reason)) },
        Work::Install { ticket, .. } => Event::Installed { ticket, result: Err(reason) },
        Work::Confirm { ticket, .. } => Event::InstallConfirmed { ticket, result: Err(reason) },
        Work::Deploy { ticket, .. } => Event::Deployed { ticket, result: Err(reason) },
        Work::Withdraw { .. } | Work::Discard { .. } | Work::Keep { .. } => return None,
    })
}

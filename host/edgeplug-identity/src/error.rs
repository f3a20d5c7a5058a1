//! What can go wrong with a device's keys, in as many kinds as a caller or an operator can act upon.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::keys::{KeySlot, SIGNED_BYTES_MAX};

/// Whether repeating the same call can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It can, after a while or after an operator did what the message says.
    Later,
    /// It cannot: other arguments, another blob or another configuration are needed.
    Never,
}

/// Why a call on an [`Identity`](crate::Identity) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// No TPM is there, or the library that speaks to it.
    #[error("{what}; {remedy}")]
    Missing {
        /// What is not there.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The operating system refuses access.
    #[error("{what}; {remedy}")]
    Permission {
        /// What may not be used.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The TPM, its owner thread or the queue before it is occupied.
    #[error("{what}")]
    Busy {
        /// What is busy, and with what.
        what: String,
    },
    /// No answer in time; what was asked may still happen.
    #[error("no answer from {what} within {} ms; if this stays, the device hangs: power-cycle it", .after.as_millis())]
    TimedOut {
        /// Who did not answer.
        what: String,
        /// The configured time-out.
        after: Duration,
    },
    /// Something that is not the expected key lies at a persistent handle.
    #[error(
        "the object at TPM handle {handle:#010x} cannot be the {role}: {problem}; it was left untouched: configure \
         another handle, or remove it if nothing else needs it (tpm2_evictcontrol -C o -c {handle:#x})"
    )]
    BadHandle {
        /// The persistent handle.
        handle: u32,
        /// What was expected there.
        role: &'static str,
        /// How it differs.
        problem: String,
    },
    /// A password is wrong or missing.
    #[error(
        "the TPM refused to {doing}: the password of the {whose} is wrong or missing (TPM code {code:#x}); put the \
         right one into the configured secret"
    )]
    AuthRefused {
        /// The step.
        doing: &'static str,
        /// A hierarchy or key.
        whose: &'static str,
        /// The TPM's response code.
        code: u32,
    },
    /// A key from DPS could not be imported; the earlier hub key still works.
    #[error("the TPM refused the key from DPS when asked to {doing}: {hint}")]
    BlobRefused {
        /// The step.
        doing: &'static str,
        /// The likely cause, with the TPM's response code.
        hint: String,
    },
    /// There is no key to sign with: register with DPS first.
    #[error("there is no {0} key to sign with; the device must register first")]
    NoKey(KeySlot),
    /// A file that holds a key cannot be used.
    #[error("key file {path:?} {problem}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
        /// The operating system's reason.
        #[source]
        source: Option<io::Error>,
    },
    /// More bytes than a TPM takes at once.
    #[error("{0} bytes are too many to sign; a TPM takes {SIGNED_BYTES_MAX}")]
    TooLong(usize),
    /// This kind of identity, or this build, cannot do it.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Any other answer of the TPM or its library.
    #[error("the TPM failed to {doing}: {hint}")]
    Tpm {
        /// The step.
        doing: &'static str,
        /// Response code and its meaning.
        hint: String,
    },
    /// The handle was closed.
    #[error("the identity is closed")]
    Closed,
}

impl IdentityError {
    /// Whether repeating the same call can help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Missing { .. }
            | Self::Permission { .. }
            | Self::Busy { .. }
            | Self::TimedOut { .. }
            | Self::BadHandle { .. }
            | Self::KeyFile { .. }
            | Self::Tpm { .. } => Retry::Later,
            // Passwords are read once, at start.
            Self::AuthRefused { .. }
            | Self::BlobRefused { .. }
            | Self::NoKey(_)
            | Self::TooLong(_)
            | Self::Unsupported(_)
            | Self::Closed => Retry::Never,
        }
    }
}

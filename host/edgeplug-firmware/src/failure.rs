//! What goes wrong with files, sorted by what is to be done about it.

use std::io;

/// What is to be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Fetch again.
    Transient,
    /// The disk is full or fails: try again later. What is staged stays.
    Disk,
    /// For good: no further try helps.
    Refused,
}

/// Why a file is not staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("{0:?} is no name of a staging directory: 32 lower-case hexadecimal digits")]
    Job(String),
    #[error("{0:?} is no name of a file: 1 to 255 bytes without slashes and invisible characters, no dot first")]
    Name(String),
    #[error("{name} is larger than {bytes_max} bytes, which is what `ota.{limit}` allows")]
    TooLarge { name: String, bytes_max: u64, limit: &'static str },
    #[error("{name} goes on after its {total} bytes")]
    TooLong { name: String, total: u64 },
    #[error("{name} was cut short: {got} of {total} bytes are here")]
    CutShort { name: String, got: u64, total: u64 },
    #[error("{0} is not the file of which a part is here; that part is thrown away")]
    Another(String),
    #[error("{0} is still being written by an earlier download")]
    Busy(String),
    #[error(
        "no room for {name}: {bytes} bytes are to come and {free_bytes_min} are to stay free, but only {room} are; \
         make room, or lower `ota.free_mb_min`"
    )]
    NoRoom { name: String, bytes: u64, free_bytes_min: u64, room: u64 },
    #[error("cannot write {name} into the staging directory")]
    Disk { name: String, source: io::Error },
}

impl StageError {
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Job(_) | Self::Name(_) | Self::TooLarge { .. } | Self::TooLong { .. } => FailureKind::Refused,
            Self::CutShort { .. } | Self::Another(_) | Self::Busy(_) => FailureKind::Transient,
            Self::NoRoom { .. } | Self::Disk { .. } => FailureKind::Disk,
        }
    }

    pub(crate) fn disk(name: &str) -> impl Fn(io::Error) -> Self + Copy + '_ {
        move |source| Self::Disk { name: name.to_owned(), source }
    }
}

/// Why the files of an update are not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    pub kind: FailureKind,
    pub text: String,
}

/// Why a program of the operator's did not end well, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunFailure {
    /// It said so, or did not end in time.
    #[error("{0}")]
    Failed(String),
    /// It did not run, or somebody else killed it: what it would have said is not known.
    #[error("{0}")]
    NoAnswer(String),
}

impl RunFailure {
    pub(crate) fn into_words(self) -> String {
        match self {
            Self::Failed(words) | Self::NoAnswer(words) => words,
        }
    }
}

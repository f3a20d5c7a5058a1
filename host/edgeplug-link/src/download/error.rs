//! Why a file did not come. No URL is in any of these: a signed one is a key to the file.

use std::{fmt, time::Duration};

use crate::{http::HttpError, tls::CertificateProblem};

/// Why a download did not begin, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The URL is not repeated: it may be a secret with a typing error.
    #[error("the url of the file is not one; it must be https:// with a host")]
    BadUrl,
    #[error("refused to download from {host} in plain text; use https://")]
    PlainText { host: String },
    /// 401 or 403: the URL's signature has run out, or never was good.
    #[error("{host} does not give the file out with this url any more (http {status})")]
    Expired { host: String, status: u16 },
    #[error("{host} does not have the file under this url (http {status})")]
    Refused { host: String, status: u16 },
    /// 408, 425, 429 or 5xx. `retry_after` is what the server asked for, a day at most.
    #[error("{host} cannot give the file out now (http {status})")]
    Busy { host: String, status: u16, retry_after: Option<Duration> },
    /// Not reached, not past the proxy, or the connection broke before the answer.
    #[error(transparent)]
    Network(HttpError),
    /// Nothing was sent: not the URL either.
    #[error("the certificate of {host} {problem}")]
    Untrusted { host: String, problem: CertificateProblem },
    /// No answer, or no bytes worth the name, within the time allowed.
    #[error("{host} keeps the download waiting for too long")]
    Timeout { host: String },
    #[error("the file at {host} exceeds {bytes_max} bytes")]
    TooLarge { host: String, bytes_max: u64 },
    #[error("{host} redirects the download {problem}")]
    Redirects { host: String, problem: RedirectProblem },
    /// `got` and `expected` are positions in the whole file; `expected` is unknown where the server gave no length.
    #[error("{host} broke off after {got} {}", of(*expected))]
    CutShort { host: String, expected: Option<u64>, got: u64, source: Option<reqwest::Error> },
    #[error("the answer of {host} {problem}")]
    Unsound { host: String, problem: Unsound },
}

/// What can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadErrorKind {
    /// Ask for a new URL.
    Expired,
    /// Try again later, from where it stopped.
    Transient,
    /// It will not come.
    Refused,
}

impl DownloadError {
    #[must_use]
    pub fn kind(&self) -> DownloadErrorKind {
        match self {
            Self::Expired { .. } => DownloadErrorKind::Expired,
            // A certificate may be wrong only until the clock is right, or on the network of today.
            Self::Busy { .. }
            | Self::Network(_)
            | Self::Untrusted { .. }
            | Self::Timeout { .. }
            | Self::CutShort { .. } => DownloadErrorKind::Transient,
            Self::BadUrl
            | Self::PlainText { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Redirects { .. }
            | Self::Unsound { .. } => DownloadErrorKind::Refused,
        }
    }

    /// How long the server asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What is wrong with a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectProblem {
    TooMany,
    Loop,
    PlainText,
    NoTarget,
}

impl fmt::Display for RedirectProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "once too often",
            Self::Loop => "in a circle",
            Self::PlainText => "to plain text; it must stay https://",
            Self::NoTarget => "to nowhere; there must be an https:// url",
        })
    }
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsound {
    /// Compressed in one way or another, though it was asked not to be.
    Encoded,
    /// A part, though the whole was asked for.
    PartUnasked,
    /// More bytes than it said.
    TooLong,
    /// A SHA-256 that is none.
    Digest,
    DigestsDiffer,
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoded => "is encoded; the file must be served as it is",
            Self::PartUnasked => "is a part of the file, and the whole was asked for",
            Self::TooLong => "is longer than it says",
            Self::Digest => "or its url states a sha-256 that cannot be read; it must be 64 hex digits or base64",
            Self::DigestsDiffer => "states another sha-256 than its url, or two of them",
        })
    }
}

fn of(expected: Option<u64>) -> String {
    match expected {
        Some(expected) => format!("of {expected} bytes"),
        None => "bytes".to_owned(),
    }
}

//! What the daemon and the installer's unit write to each other: one request at a time, one answer for each job.
//!
//! Both are JSON files in one directory that belongs to the daemon. The daemon writes `install.json` as a whole, by
//! rename. The unit takes the lock, reads the request and removes it, does it, writes `JOB.install.json` or
//! `JOB.confirm.json`, again by rename, and lets the lock go: who finds neither request nor lock nor answer knows that
//! the unit died. The daemon removes the answers of a job with it, and when it has the answer to a confirmation; until
//! then that of an installation stands for its end, whoever asks again.
//!
//! Either side reads what the other wrote as what a stranger wrote.

use std::fs::File;
use std::io::{self, Read as _};

use edgeplug_session::event::Installation;
use serde::{Deserialize, Serialize};

/// The request, which the path unit watches.
pub(super) const REQUEST: &str = "install.json";
/// Locked (`flock`) by the unit as long as it works.
pub(super) const LOCK: &str = "lock";
/// Grows when a reader of before would misunderstand.
pub(super) const FORMAT: u32 = 1;
/// Largest file read: a request with a thousand names.
const BYTES_MAX: u64 = 256 * 1024;
/// Files of one update.
pub(super) const FILES_MAX: usize = 256;
const VERSION_BYTES_MAX: usize = 1_024;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// Run the installer.
    Install,
    /// After a restart: does it run?
    Confirm,
}

/// `install.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) format: u32,
    pub(super) what: What,
    /// Name of the staging directory.
    pub(super) job: String,
    /// As typed at the portal; may be empty.
    pub(super) version: String,
    /// Counts from 1.
    pub(super) attempt: u32,
    /// What the installer gets, in this order.
    pub(super) files: Vec<RequestedFile>,
    /// What else is needed to verify them.
    pub(super) sidecars: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestedFile {
    pub(super) name: String,
    pub(super) size: u64,
    /// 64 hexadecimal digits.
    pub(super) sha256: String,
}

/// `JOB.install.json` or `JOB.confirm.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) format: u32,
    pub(super) outcome: Outcome,
    /// For the cloud.
    pub(super) words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Done,
    NeedsRestart,
    Failed,
    /// The program was not run: nothing is known.
    NotRun,
}

impl Request {
    /// Checks everything but whether names are names, which whoever opens the files does.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let request: Self = serde_json::from_slice(text).map_err(|error| format!("the request is none: {error}"))?;
        let job_fits =
            request.job.len() == 32 && request.job.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let reason = match request.what {
            _ if request.format != FORMAT => format!("the request has format {}, not {FORMAT}", request.format),
            _ if !job_fits => "the request's job is no name of one".to_owned(),
            _ if request.version.len() > VERSION_BYTES_MAX => "the request's version is too long".to_owned(),
            _ if request.files.len() + request.sidecars.len() > FILES_MAX => {
                "the request has too many files".to_owned()
            }
            What::Install if request.files.is_empty() => "the request has no files".to_owned(),
            _ => return Ok(request),
        };
        Err(reason)
    }

    /// The name of the answer's file.
    pub(super) fn answered_by(&self) -> String {
        answer_name(&self.job, self.what)
    }
}

impl Answer {
    pub(super) fn new(result: Result<Installation, String>) -> Self {
        let (outcome, words) = match result {
            Ok(Installation::Done(words)) => (Outcome::Done, words),
            Ok(Installation::NeedsRestart(words)) => (Outcome::NeedsRestart, words),
            Err(words) => (Outcome::Failed, words),
        };
        Self { format: FORMAT, outcome, words }
    }

    pub(super) fn not_run(words: String) -> Self {
        Self { format: FORMAT, outcome: Outcome::NotRun, words }
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        match serde_json::from_slice::<Self>(text) {
            Ok(answer) if answer.format == FORMAT => Ok(answer),
            Ok(answer) => Err(format!("the installer's answer has format {}, not {FORMAT}", answer.format)),
            Err(error) => Err(format!("the installer's answer is none: {error}")),
        }
    }

    pub(super) fn into_result(self) -> Result<Installation, String> {
        match self.outcome {
            Outcome::Done => Ok(Installation::Done(self.words)),
            Outcome::NeedsRestart => Ok(Installation::NeedsRestart(self.words)),
            Outcome::Failed | Outcome::NotRun => Err(self.words),
        }
    }
}

/// The name of an answer's file.
fn answer_name(job: &str, what: What) -> String {
    match what {
        What::Install => format!("{job}.install.json"),
        What::Confirm => format!("{job}.confirm.json"),
    }
}

/// The job whose answer a file is.
pub(super) fn job_of(name: &str) -> Option<&str> {
    name.strip_suffix(".install.json").or_else(|| name.strip_suffix(".confirm.json"))
}

/// All of a file that cannot be large.
pub(super) fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

//! The daemon's side of `edgeplug-install.service`: a request laid down, an answer waited for.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgeplug_firmware::{Firmware, RunFailure, is_sidecar};
use edgeplug_session::event::Installation;
use tokio::time::Instant;

use super::paper::{self, Answer, FORMAT, LOCK, Outcome, REQUEST, Request, RequestedFile, What, job_of};
use super::work::{blocking, private_directory};
use crate::config::OtaConfig;
use crate::digest::{self, Digested};

/// How often is looked whether there is an answer; installing takes minutes.
const LOOK: Duration = Duration::from_millis(500);
/// systemd starts a unit within a second; after this nobody is going to.
const TAKEN_MAX: Duration = Duration::from_secs(60);
/// What copying and verifying may take beside the installer, and for each so many bytes: a card that writes 1 MB/s.
const BESIDE_MAX: Duration = Duration::from_secs(15 * 60);
const BYTES_PER_SECOND: u64 = 1_000_000;
/// Before a confirmation is asked for again that got no answer: somebody has to mend something.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The unit, by its directory.
#[derive(Clone)]
pub(super) struct Unit {
    directory: PathBuf,
    staging: PathBuf,
    /// Of the installer.
    timeout: Duration,
    pub(super) taken_max: Duration,
}

/// Asks after a restart whether what was installed runs; the error is why it does not. What is no answer of the program
/// itself tells nothing about the device, so it is asked until there is one.
pub(super) async fn confirm(
    firmware: &Firmware,
    unit: Option<&Unit>,
    job: &str,
    version: &str,
    ask_again: Duration,
) -> Result<String, String> {
    let mut said = None;
    loop {
        let answer = match unit {
            Some(unit) => unit.confirm(job, version).await,
            None => firmware.confirm(job, version).await,
        };
        match answer {
            Ok(words) => return Ok(words),
            Err(RunFailure::Failed(words)) => return Err(words),
            Err(RunFailure::NoAnswer(reason)) if said.as_ref() != Some(&reason) => {
                tracing::error!(reason, "nobody can tell whether the new firmware runs; asking again");
                said = Some(reason);
            }
            Err(RunFailure::NoAnswer(_)) => {}
        }
        tokio::time::sleep(ask_again).await;
    }
}

/// What lies in the directory.
enum Seen {
    Answer(Answer),
    /// The unit works, on this request or on one of a daemon that died.
    AtWork,
    /// The request waits.
    Waiting,
    Nothing,
}

impl Unit {
    pub(super) fn new(config: &OtaConfig, timeout: Duration) -> Self {
        let (directory, staging) = (config.requests(), config.staging());
        Self { directory, staging, timeout, taken_max: TAKEN_MAX }
    }

    /// Has verified files installed; the error is why they are not.
    pub(super) async fn install(
        self,
        firmware: Firmware,
        job: String,
        names: Vec<String>,
        version: String,
        attempt: u32,
    ) -> Result<Installation, String> {
        let staging = self.staging.join(&job);
        let request = blocking(move || {
            let files = names.into_iter().map(|name| requested(&firmware, &job, name)).collect::<Result<_, _>>()?;
            let sidecars = sidecars(&staging)?;
            Ok(Request { format: FORMAT, what: What::Install, job, version, attempt, files, sidecars })
        });
        self.ask(request.await?).await?.into_result()
    }

    /// Asks after a restart, once, whether what was installed runs.
    async fn confirm(&self, job: &str, version: &str) -> Result<String, RunFailure> {
        let (what, job, version) = (What::Confirm, job.to_owned(), version.to_owned());
        let request =
            Request { format: FORMAT, what, job, version, attempt: 1, files: Vec::new(), sidecars: Vec::new() };
        let answer = self.confirmation(&request).await.map_err(RunFailure::NoAnswer)?;
        match answer.outcome {
            Outcome::Done | Outcome::NeedsRestart => Ok(answer.words),
            Outcome::Failed => Err(RunFailure::Failed(answer.words)),
            Outcome::NotRun => Err(RunFailure::NoAnswer(answer.words)),
        }
    }

    async fn confirmation(&self, request: &Request) -> Result<Answer, String> {
        // What an earlier boot said holds for that one.
        self.forget_on_disk(&[request.answered_by()]).await?;
        let answer = self.clone().ask(request.clone()).await?;
        // Whoever installs once more must not be told the end of the time before.
        let installed = Request { what: What::Install, ..request.clone() };
        self.forget_on_disk(&[request.answered_by(), installed.answered_by()]).await?;
        Ok(answer)
    }

    async fn forget_on_disk(&self, answers: &[String]) -> Result<(), String> {
        let (directory, answers) = (self.directory.clone(), answers.to_vec());
        blocking(move || {
            let forget = || {
                for answer in &answers {
                    match fs::remove_file(directory.join(answer)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        _ => {}
                    }
                }
                match File::open(&directory) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    directory => directory?.sync_all(),
                }
            };
            forget().map_err(|error| format!("cannot remove an old answer in {}: {error}", directory.display()))
        })
        .await
    }

    /// Removes the answers of jobs that are over.
    pub(super) fn forget(&self, over: impl Fn(&str) -> bool) {
        // Where nothing was ever asked there is no directory.
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().and_then(job_of).is_some_and(&over)
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(file = %entry.path().display(), %error, "an answer of the installer cannot be removed");
            }
        }
    }

    /// One answer, which may be that of a request before: the daemon died, the unit went on.
    async fn ask(self, request: Request) -> Result<Answer, String> {
        let bytes = request.files.iter().map(|file| file.size).fold(0, u64::saturating_add);
        let time_max = self.timeout + BESIDE_MAX + Duration::from_secs(bytes / BYTES_PER_SECOND);
        let mut deadline = Instant::now() + time_max;
        let (mut asked, mut prolonged) = (None, false);
        loop {
            let (unit, answered_by) = (self.clone(), request.answered_by());
            match blocking(move || unit.look(&answered_by)).await? {
                Seen::Answer(answer) => return Ok(answer),
                _ if Instant::now() >= deadline => {
                    if !self.take_back()? && !prolonged {
                        // Taken in this moment, perhaps.
                        (prolonged, deadline) = (true, Instant::now() + time_max);
                        continue;
                    }
                    return Err(format!("the installer's unit gave no answer in time; {JOURNAL}"));
                }
                // What a daemon that died left there is of the same job, or of none that anybody waits for.
                Seen::Waiting | Seen::Nothing if asked.is_none() => {
                    let (unit, request) = (self.clone(), request.clone());
                    blocking(move || unit.write(&request)).await?;
                    asked = Some(Instant::now());
                }
                Seen::Waiting if asked.is_some_and(|asked| asked.elapsed() > self.taken_max) => {
                    if !self.take_back()? {
                        // Taken in this moment: it will be answered.
                        continue;
                    }
                    return Err(format!(
                        "nobody takes installations; run systemctl enable --now {PATH_UNIT}, or restart that unit"
                    ));
                }
                Seen::Nothing => return Err(format!("the installer's unit ended without an answer; {JOURNAL}")),
                Seen::AtWork | Seen::Waiting => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// In the order in which the unit changes it: what is seen last was there when the first was not.
    fn look(&self, answered_by: &str) -> Result<Seen, String> {
        if self.directory.join(REQUEST).exists() {
            return Ok(if self.is_locked() { Seen::AtWork } else { Seen::Waiting });
        }
        let locked = self.is_locked();
        match File::open(self.directory.join(answered_by)) {
            Ok(file) => {
                let text =
                    paper::read(&file).map_err(|error| format!("cannot read the installer's answer: {error}"))?;
                Ok(Seen::Answer(Answer::parse(&text)?))
            }
            Err(_) if locked => Ok(Seen::AtWork),
            Err(_) => Ok(Seen::Nothing),
        }
    }

    fn is_locked(&self) -> bool {
        let Ok(lock) = File::open(self.directory.join(LOCK)) else { return false };
        matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    fn write(&self, request: &Request) -> Result<(), String> {
        let failed =
            |error: io::Error| format!("cannot ask the installer's unit in {}: {error}", self.directory.display());
        private_directory(&self.directory)?;
        let lock =
            fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.directory.join(LOCK));
        drop(lock.map_err(failed)?);
        let text = serde_json::to_vec(request).map_err(|error| error.to_string())?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(self.directory.join(REQUEST)).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Whether the request was still there.
    fn take_back(&self) -> Result<bool, String> {
        match fs::remove_file(self.directory.join(REQUEST)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(format!("cannot take back what the installer was asked: {error}")),
        }
    }
}

const PATH_UNIT: &str = "edgeplug-install.path";
const JOURNAL: &str = "see journalctl -u edgeplug-install";

/// A verified file in the request's words.
fn requested(firmware: &Firmware, job: &str, name: String) -> Result<RequestedFile, String> {
    let gone = || format!("{name} is not what was verified any more; send the update again");
    let path = firmware.path(job, &name).ok_or_else(gone)?;
    let Digested { size, sha256 } = digest::of_file(&path).map_err(|error| format!("cannot read {name}: {error}"))?;
    Ok(RequestedFile { name, size, sha256 })
}

fn sidecars(staging: &Path) -> Result<Vec<String>, String> {
    let failed = |error: io::Error| format!("cannot read {}: {error}", staging.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(staging).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().filter(|name| is_sidecar(name)).map(str::to_owned));
    }
    Ok(names)
}

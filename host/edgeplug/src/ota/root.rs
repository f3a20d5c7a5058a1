//! `edgeplug ota install-request`: the root side of `edgeplug-install.service`.
//!
//! The daemon has no rights and need not be trusted with root's. What it asks is read as a stranger's: the files are
//! copied into a directory of root's, verified there by the configuration, which only root can write, and the installer
//! gets the copies. With `ota.signature = "require"` a daemon that was taken over can install what is signed and
//! nothing else.
//!
//! What must stay true: a request is removed, on disk, before anything else happens, so that none is begun twice by
//! itself, and also one that cannot be carried out, or the path unit would call without end; every
//! file of the daemon is opened by its last name without following links, must be a plain file, and must belong to whom
//! the directory belongs to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgeplug_firmware::{Firmware, FirmwareOptions, RunFailure};
use edgeplug_session::event::Installation;
use rustix::fs::OFlags;

use super::paper::{self, Answer, LOCK, Request, RequestedFile, What};
use super::words;
use super::work::{options, private_directory};
use crate::config::OtaConfig;
use crate::exit::{Exit, Problem, chain};

/// The daemon looks at the lock for a moment, twice a second.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(100);
const COPY_BYTES: usize = 256 * 1024;

/// Takes one request, carries it out and answers it. The staging directory `work` belongs to us alone.
pub(crate) async fn install_request(
    config: Result<OtaConfig, Problem>,
    file: &Path,
    work: &Path,
) -> Result<(), Problem> {
    let failed = |reason: String| Problem::new(Exit::Failed, reason);
    let (Some(directory), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
        return Err(failed(format!("{} is no request; name its file", file.display())));
    };
    let requests = Theirs::open(directory).map_err(failed)?;
    let lock = requests.lock();
    let text = requests.take(name).map_err(failed)?;
    let lock = lock.map_err(failed)?;
    // Who wrote no request waits for no answer.
    let request = Request::parse(&text).map_err(failed)?;
    let Request { what, job, version, attempt, .. } = &request;
    tracing::info!(?what, job, version, attempt, "asked");
    let answer = match config {
        Ok(config) => carry_out(&config, &request, &requests, work).await.unwrap_or_else(Answer::not_run),
        Err(problem) => Answer::not_run(problem.text),
    };
    requests.answer(&request.answered_by(), &answer).map_err(failed)?;
    drop(lock);
    match answer.into_result() {
        Ok(Installation::Done(words) | Installation::NeedsRestart(words)) => println!("{words}"),
        Err(reason) => return Err(failed(reason)),
    }
    Ok(())
}

/// The error is why the program was not run.
async fn carry_out(config: &OtaConfig, request: &Request, requests: &Theirs, work: &Path) -> Result<Answer, String> {
    // What was installed before may be confirmed all the same.
    if let Some(reason) = config.refused.as_ref().filter(|_| request.what == What::Install) {
        return Err(reason.clone());
    }
    private_directory(work)?;
    let (staging, plugins) = (work.join("staging"), work.join("plugins"));
    let options = FirmwareOptions { directory: staging, plugins, ..options(config) };
    let firmware = Firmware::open(options).map_err(|error| chain(&error))?;
    // What a run before left that was killed.
    firmware.keep_jobs(&[]);
    let result = match request.what {
        What::Confirm => match firmware.confirm(&request.job, &request.version).await {
            Ok(words) => Ok(Installation::Done(words)),
            Err(RunFailure::Failed(words)) => Err(words),
            Err(RunFailure::NoAnswer(reason)) => return Err(reason),
        },
        What::Install => install(&firmware, config, request, requests).await,
    };
    firmware.discard(&request.job);
    Ok(Answer::new(result))
}

async fn install(
    firmware: &Firmware,
    config: &OtaConfig,
    request: &Request,
    requests: &Theirs,
) -> Result<Installation, String> {
    let Request { job, version, attempt, files, sidecars, .. } = request;
    let staged = Theirs::open(&config.staging().join(job))?;
    if staged.owner != requests.owner {
        return Err(format!("{} belongs to somebody else than the request", staged.path.display()));
    }
    for file in files {
        let RequestedFile { name, size, sha256 } = file;
        let digest = digest(sha256).ok_or_else(|| format!("the request's SHA-256 of {name:?} is none"))?;
        copy(firmware, job, name, &staged, Some((*size, digest)))?;
    }
    for name in sidecars {
        copy(firmware, job, name, &staged, None)?;
    }
    let names: Vec<_> = files.iter().map(|file| &file.name).chain(sidecars).cloned().collect();
    let verified = firmware.verify(job, &names).map_err(|refusal| chain(&refusal))?;
    let payload: Vec<_> = verified.into_iter().map(|file| file.name).collect();
    if payload.len() != files.len() {
        return Err("the request calls files payload that only verify others".to_owned());
    }
    firmware.install(job, &payload, version, *attempt).await.map(words::installation)
}

/// One file into our own staging directory. It must be as long as was said, and have the digest.
fn copy(
    firmware: &Firmware,
    job: &str,
    name: &str,
    staged: &Theirs,
    said: Option<(u64, [u8; 32])>,
) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| format!("{name:?}: {}", chain(error));
    // The adapter's word on what a name is comes before any use of it.
    let part = firmware.part(job, name).map_err(|error| failed(&error))?;
    let file = staged.file(name).map_err(|error| failed(&error))?;
    let length = file.metadata().map_err(|error| failed(&error))?.len();
    if said.is_some_and(|(size, _)| size != length) {
        return Err(format!("{name:?} is {length} bytes long, which is not what was asked for"));
    }
    let mut writer =
        part.begin(0, Some(length), None, said.map(|(_, digest)| digest)).map_err(|error| failed(&error))?;
    let mut file = file.take(length);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(|error| failed(&error))?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        writer.write(bytes).map_err(|error| failed(&error))?;
    }
    writer.finish().map_err(|error| failed(&error))
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// A directory of the daemon's, held open so that nobody can put another one into its place.
struct Theirs {
    directory: File,
    path: PathBuf,
    /// Whom it belongs to, and must all that is read of it.
    owner: u32,
}

impl Theirs {
    fn open(path: &Path) -> Result<Self, String> {
        let open = || {
            let directory = plain(OFlags::DIRECTORY).open(path)?;
            let owner = directory.metadata()?.uid();
            Ok(Self { directory, path: path.to_owned(), owner })
        };
        open().map_err(|error: io::Error| format!("cannot use the daemon's directory {}: {error}", path.display()))
    }

    /// A name in the directory that was opened, whatever its path leads to now (`proc_pid_fd(5)`).
    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd())).join(name)
    }

    fn file(&self, name: &str) -> io::Result<File> {
        if name.contains('/') || matches!(name, "" | "." | "..") {
            return Err(io::Error::other("it is no name of a file"));
        }
        let file = plain(OFlags::NONBLOCK).open(self.place(name))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != self.owner {
            return Err(io::Error::other("it is no plain file of the daemon's"));
        }
        Ok(file)
    }

    /// Who else works here waits, or is waited for.
    fn lock(&self) -> Result<File, String> {
        let failed = |error: io::Error| format!("cannot lock {}: {error}", self.path.join(LOCK).display());
        let lock = self.file(LOCK).map_err(failed)?;
        for _ in 0..LOCK_TRIES {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_WAIT),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Err("another installation is under way; wait for its end".to_owned())
    }

    /// Reads a request and removes it, on disk: one that came back after a power failure would be carried out again.
    fn take(&self, name: &str) -> Result<Vec<u8>, String> {
        let failed = |error: io::Error| format!("cannot take the request {}: {error}", self.path.join(name).display());
        let text = self.file(name).and_then(|file| paper::read(&file));
        // What cannot be read either, or the path unit would call again and again.
        fs::remove_file(self.place(name)).and_then(|()| self.directory.sync_all()).map_err(failed)?;
        text.map_err(failed)
    }

    /// Lays an answer down, as a whole and on disk.
    fn answer(&self, name: &str, answer: &Answer) -> Result<(), String> {
        let failed = |error: io::Error| format!("cannot answer in {}: {error}", self.path.display());
        let text = serde_json::to_vec(answer).map_err(|error| error.to_string())?;
        let permissions = fs::Permissions::from_mode(0o644);
        let directory = self.place("");
        let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(&directory).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(self.place(name)).map_err(|error| failed(error.error))?;
        self.directory.sync_all().map_err(failed)
    }
}

/// Reading, without following a link in the last name.
fn plain(more: OFlags) -> OpenOptions {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    options
}

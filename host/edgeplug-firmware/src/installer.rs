//! Runs the operator's program with the files of an update, and ends it.
//!
//! What must stay true: the argument list is the operator's with the paths of verified files behind, no shell sees it;
//! the environment holds what is named here and nothing of the daemon's; at the time limit, and when nobody waits any
//! more, the whole process group is killed; never do two installers run at once, not even one of a daemon that was
//! killed meanwhile: its processes hold the lock by their standard input.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::failure::RunFailure;
use tail::Tail;

mod tail;

/// What a group may still do after it was asked to end.
const GRACE: Duration = Duration::from_secs(5);
/// What is still read of the output after the program itself has ended; what it left running may never close it.
const DRAIN: Duration = Duration::from_millis(500);
/// How often is looked whether an earlier installer has ended.
const LOCK_PAUSE: Duration = Duration::from_millis(250);
/// Where programs are found whose directory the installer does not name, if the daemon does not know better.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const LANG: &str = "C.UTF-8";
/// The version is a text of the cloud.
const VERSION_LEN_MAX: usize = 256;

/// One run of the installer or of what confirms it.
pub(crate) struct Run<'a> {
    pub(crate) command: &'a [String],
    pub(crate) files: Vec<PathBuf>,
    pub(crate) directory: &'a Path,
    pub(crate) job: &'a str,
    pub(crate) version: &'a str,
    pub(crate) attempt: u32,
    pub(crate) timeout: Duration,
    /// Locked while a program runs.
    pub(crate) lock: File,
}

/// How a run ended well: the last lines of its output, or a sentence where there are none.
pub(crate) async fn run(run: Run<'_>) -> Result<String, RunFailure> {
    let no_answer = RunFailure::NoAnswer;
    let Some((program, arguments)) = run.command.split_first() else {
        return Err(no_answer("no program is configured".to_owned()));
    };
    let deadline = Instant::now() + run.timeout;
    lock(&run.lock, deadline).await.map_err(no_answer)?;
    let cannot_start = |error: io::Error| no_answer(format!("cannot start {program}: {error}"));
    let (reader, writer) = io::pipe().map_err(cannot_start)?;
    let mut output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(cannot_start)?;
    let mut command = Command::new(program);
    command.args(arguments).args(&run.files).current_dir(run.directory).process_group(0);
    command.env_clear().envs(environment(&run));
    command.stdin(Stdio::from(run.lock));
    command.stdout(writer.try_clone().map_err(cannot_start)?).stderr(writer);
    let mut child = command.spawn().map_err(cannot_start)?;
    // It holds our end of the pipe and of the lock.
    drop(command);
    let mut group = Group::of(&child);
    let mut tail = Tail::default();
    let status = tokio::select! {
        status = wait(&mut child, &mut output, &mut tail) => status,
        () = tokio::time::sleep_until(deadline) => {
            group.signal(Signal::TERM);
            // Not reaped before the kill, so that the group's number is nobody else's.
            let _ = timeout(GRACE, tail.follow(&mut output)).await;
            group.end();
            let _ = timeout(GRACE, child.wait()).await;
            let seconds = run.timeout.as_secs();
            return Err(RunFailure::Failed(tail.behind(&format!("{program} was stopped after {seconds} s"))));
        }
    };
    group.forget();
    let _ = timeout(DRAIN, tail.follow(&mut output)).await;
    let status = status.map_err(|error| no_answer(format!("cannot wait for {program}: {error}")))?;
    if status.success() {
        return Ok(tail.words().unwrap_or_else(|| format!("{program} ended well")));
    }
    let words = tail.behind(&format!("{program} {}", ended(status)));
    Err(if status.code().is_some() { RunFailure::Failed(words) } else { RunFailure::NoAnswer(words) })
}

/// Waits for the program itself; reads what it and what it started say meanwhile.
async fn wait(child: &mut Child, output: &mut pipe::Receiver, tail: &mut Tail) -> io::Result<ExitStatus> {
    let mut is_open = true;
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            status = child.wait() => return status,
            read = output.read(&mut buffer), if is_open => match read {
                Ok(len @ 1..) => tail.push(buffer.get(..len).unwrap_or_default()),
                _ => is_open = false,
            },
        }
    }
}

async fn lock(file: &File, deadline: Instant) -> Result<(), String> {
    while flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() >= deadline {
            return Err("an installer that was started earlier still runs; end it".to_owned());
        }
        sleep(LOCK_PAUSE).await;
    }
    Ok(())
}

fn environment(run: &Run<'_>) -> [(&'static str, String); 5] {
    let version = run.version.chars().filter(|c| !c.is_control()).take(VERSION_LEN_MAX).collect();
    [
        ("PATH", std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned())),
        ("LANG", std::env::var("LANG").unwrap_or_else(|_| LANG.to_owned())),
        ("EDGEPLUG_VERSION", version),
        ("EDGEPLUG_ATTEMPT", run.attempt.to_string()),
        ("EDGEPLUG_JOB", run.job.to_owned()),
    ]
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}

/// A process group of ours, killed when it is let go of.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It may be gone already.
            let _ = kill_process_group(group, signal);
        }
    }

    fn end(&mut self) {
        self.signal(Signal::KILL);
        self.forget();
    }

    /// Its leader has ended by itself; its number may be another's soon.
    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

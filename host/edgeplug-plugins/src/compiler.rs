//! Runs the compiler program: component in, artefact or a description out, in a child process that is never trusted
//! with more.
//!
//! The child locks itself down; what it cannot do to itself is done here: a bound on wall time, a bound on what it may
//! write, an empty environment, and the end of the child whatever becomes of the caller.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use edgeplug_engine::{EngineKind, Inspection};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdout, Command};

use crate::voice::cleaned;

/// Most of the child's standard error that is kept.
const WORDS_LEN_MAX: u64 = 4096;
/// What it may say of a file: some hundred names of some hundred bytes, with types.
const INSPECTION_BYTES_MAX: u64 = 1 << 20;
/// How the compiler begins a remark that is no complaint.
const NOTE: &str = "edgeplug-compiler: note: ";
/// Exit codes of `edgeplug-compiler` that say something about the component rather than about the machine. So do two
/// signals: SIGXCPU, its limit on processor time, and SIGABRT, its limit on memory. Wall time says nothing: the machine
/// may have been busy, and a component that computes without end meets the limit on processor time in some later try.
const COMPONENT_EXIT_CODES: [i32; 3] = [3, 4, 5];

#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    pub(crate) program: PathBuf,
    pub(crate) engine: EngineKind,
    /// For every processor of this architecture, instead of this one.
    pub(crate) portable: bool,
    pub(crate) wall_max: Duration,
    pub(crate) artefact_bytes_max: u64,
}

/// Why there is no artefact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileFailure {
    /// The component is at fault; it will not get better until the file changes.
    #[error("{0}")]
    Component(String),
    /// The machine is at fault; worth trying again later.
    #[error("{0}")]
    Machine(String),
}

impl Compiler {
    /// Compiles into `output`; the answer is the hash of what was written, begun by `seed`.
    pub(crate) async fn compile(
        &self,
        component: &[u8],
        seed: Sha256,
        output: &mut tokio::fs::File,
    ) -> Result<Sha256, CompileFailure> {
        let engine = self.engine.to_string();
        let portable = self.portable.then_some("--portable");
        let arguments = ["--engine", &engine].into_iter().chain(portable);
        let bytes_max = self.artefact_bytes_max;
        self.run(arguments, component, |stdout| receive(stdout, seed, output, bytes_max)).await
    }

    /// Tells what any file is without compiling it.
    pub(crate) async fn inspect(&self, file: &[u8]) -> Result<Inspection, CompileFailure> {
        let answer = self.run(["inspect"], file, |stdout| async move {
            let mut answer = Vec::new();
            // What is cut off is no JSON any more.
            let _ = stdout.take(INSPECTION_BYTES_MAX).read_to_end(&mut answer).await;
            Ok(answer)
        });
        serde_json::from_slice(&answer.await?)
            .map(cleaned_up)
            .map_err(|error| CompileFailure::Machine(format!("the compiler's answer is not understood: {error}")))
    }

    async fn run<'a, T, F: Future<Output = Result<T, CompileFailure>>>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
        input: &[u8],
        take: impl FnOnce(ChildStdout) -> F,
    ) -> Result<T, CompileFailure> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                CompileFailure::Machine(format!("cannot start the compiler {}: {error}", self.program.display()))
            })?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(CompileFailure::Machine("the compiler has no pipes".to_owned()));
        };
        let feed = async move {
            // A child that has seen enough closes its end; its exit code says why.
            let _ = stdin.write_all(input).await;
            Ok(())
        };
        let work = async {
            // The first failure ends all three, and with this function the child.
            let ((), words, taken) = tokio::try_join!(feed, listen(stderr), take(stdout))?;
            let status = child
                .wait()
                .await
                .map_err(|error| CompileFailure::Machine(format!("cannot wait for the compiler: {error}")))?;
            judge(status, &words)?;
            Ok(taken)
        };
        match tokio::time::timeout(self.wall_max, work).await {
            Ok(result) => result,
            // The child dies with the future that held it.
            Err(_) => Err(CompileFailure::Machine(format!(
                "compiling took longer than {} s and was stopped",
                self.wall_max.as_secs_f32()
            ))),
        }
    }
}

/// The child that wrote it had read a hostile file.
fn cleaned_up(mut found: Inspection) -> Inspection {
    let Inspection { imports, calls, exports, producers, problem, .. } = &mut found;
    let pairs = producers.iter_mut().flat_map(|(name, version)| [name, version]);
    for text in imports.iter_mut().chain(calls).chain(exports).chain(pairs).chain(problem) {
        *text = cleaned(text);
    }
    found
}

async fn listen(mut stderr: impl AsyncRead + Unpin) -> Result<String, CompileFailure> {
    let mut words = Vec::new();
    // What cannot be read is not worth failing for.
    let _ = (&mut stderr).take(WORDS_LEN_MAX).read_to_end(&mut words).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    let words = String::from_utf8_lossy(&words);
    // Notes are about the machine, and there is one in every compilation.
    let words: Vec<_> = words.lines().filter(|line| !line.starts_with(NOTE)).map(str::trim).collect();
    Ok(words.join("; "))
}

async fn receive(
    mut stdout: impl AsyncRead + Unpin,
    mut hash: Sha256,
    output: &mut tokio::fs::File,
    bytes_max: u64,
) -> Result<Sha256, CompileFailure> {
    let machine = |error: io::Error| CompileFailure::Machine(format!("cannot keep the compiled plugin: {error}"));
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        let count = stdout.read(&mut buffer).await.map_err(machine)?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
            output.flush().await.map_err(machine)?;
            return Ok(hash);
        };
        total += u64::try_from(count).unwrap_or(u64::MAX);
        if total > bytes_max {
            return Err(CompileFailure::Component(format!("it compiles to more than {} MiB", bytes_max >> 20)));
        }
        hash.update(piece);
        output.write_all(piece).await.map_err(machine)?;
    }
}

fn judge(status: ExitStatus, words: &str) -> Result<(), CompileFailure> {
    if status.success() {
        return Ok(());
    }
    let words = words.trim_start_matches("edgeplug-compiler: ");
    match (status.code(), status.signal()) {
        (Some(code), _) if COMPONENT_EXIT_CODES.contains(&code) => Err(CompileFailure::Component(words.to_owned())),
        (Some(code), _) => Err(CompileFailure::Machine(format!("the compiler ended with code {code}: {words}"))),
        (None, Some(libc::SIGXCPU | libc::SIGABRT)) => {
            Err(CompileFailure::Component(format!("it used up the compiler's limits ({status}): {words}")))
        }
        // Killed for want of memory on the machine, or by an operator.
        (None, _) => Err(CompileFailure::Machine(format!("the compiler was killed ({status}): {words}"))),
    }
}

#[cfg(test)]
mod tests;

//! Runs the compiler program for an author: core module in, component out, in a child that locks itself down.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::exit::{Exit, Problem};

/// The largest guests take some seconds in a debug build of the compiler.
const WALL_MAX: Duration = Duration::from_secs(120);
/// The compiler takes 64 MiB; what is wrapped around a module is small.
const COMPONENT_BYTES_MAX: u64 = 80 << 20;
/// Most of the child's standard error that is kept.
const WORDS_BYTES_MAX: u64 = 4096;
/// How the compiler begins a remark that is no complaint.
const NOTE: &str = "edgeplug-compiler: note: ";
/// Its exit codes that speak of the module rather than of the machine.
const MODULE_EXIT_CODES: [i32; 4] = [2, 3, 4, 5];

/// Makes a component of a core module; `world` counts where the module says nothing of itself.
pub(super) async fn componentize(program: &Path, module: &[u8], world: &str) -> Result<Vec<u8>, Problem> {
    match tokio::time::timeout(WALL_MAX, run(program, module, world)).await {
        Ok(result) => result,
        Err(_) => Err(failed(format!("{} took longer than {} s", program.display(), WALL_MAX.as_secs()))),
    }
}

async fn run(program: &Path, module: &[u8], world: &str) -> Result<Vec<u8>, Problem> {
    let cannot = |what: &str, error: std::io::Error| failed(format!("cannot {what} {}: {error}", program.display()));
    let mut child = Command::new(program)
        .args(["componentize", "--world", world])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| cannot("start the compiler", error))?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed("the compiler has no pipes".to_owned()));
    };
    let feed = async move {
        // A child that has seen enough closes its end; its exit code says why.
        let _ = stdin.write_all(module).await;
    };
    let ((), component, words) =
        tokio::join!(feed, receive(stdout, COMPONENT_BYTES_MAX + 1), receive(stderr, WORDS_BYTES_MAX));
    let status = child.wait().await.map_err(|error| cannot("wait for the compiler", error))?;
    judge(status, &words)?;
    if u64::try_from(component.len()).is_ok_and(|length| length <= COMPONENT_BYTES_MAX) {
        Ok(component)
    } else {
        Err(unfit(format!("the component has more than {} MiB", COMPONENT_BYTES_MAX >> 20)))
    }
}

/// At most so many bytes; what comes after them is read and forgotten, so that the child can end.
async fn receive(mut pipe: impl AsyncRead + Unpin, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A pipe that breaks is the end of the child, and its exit code says why.
    let _ = (&mut pipe).take(bytes_max).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    bytes
}

fn judge(status: ExitStatus, words: &[u8]) -> Result<(), Problem> {
    if status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(words);
    let words: Vec<&str> = words.lines().filter(|line| !line.starts_with(NOTE)).map(str::trim).collect();
    let words = words.join("; ");
    let words = words.trim_start_matches("edgeplug-compiler: ");
    match status.code() {
        Some(code) if MODULE_EXIT_CODES.contains(&code) => Err(unfit(words.to_owned())),
        _ => Err(failed(format!("the compiler ended with {status}: {words}"))),
    }
}

fn unfit(text: String) -> Problem {
    Problem::new(Exit::PluginUnfit, text)
}

fn failed(text: String) -> Problem {
    Problem::new(Exit::Failed, text)
}

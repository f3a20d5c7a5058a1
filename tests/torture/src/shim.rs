//! The watched disk of `tests/slow-disk`: built with `cc`, preloaded into the program under test, and read afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use edgeplug_test_support::programs::target_directory;

/// `SLOTS` and `struct slot` of `slow_disk.c`.
const SLOT_BYTES: usize = 256;
const SLOT_PATH_BYTES: usize = 232;

/// The shim, built.
#[derive(Clone, Debug)]
pub struct Shim {
    library: PathBuf,
}

/// What one file's slot says. It outlives `kill -9` of the program that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Below the watched directory.
    pub path: String,
    /// Bytes written since the last completed sync.
    pub unsynced_bytes: u64,
    /// Writes so far.
    pub writes: u64,
    /// Syncs so far.
    pub syncs: u64,
}

impl Shim {
    /// Builds it below the target directory.
    ///
    /// # Errors
    /// When there is no C compiler.
    pub fn build() -> anyhow::Result<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slow-disk/slow_disk.c");
        Ok(Self { library: library(&source)? })
    }

    /// The environment of a program whose files below `directory` are watched; `state` is the file it leaves.
    #[must_use]
    pub fn watch(&self, directory: &Path, state: &Path, sync_ms: u64) -> Vec<(String, String)> {
        let mut environment = self.environment(directory);
        environment.push(("SLOW_DISK_STATE".into(), state.display().to_string()));
        environment.push(("SLOW_DISK_SYNC_MS".into(), sync_ms.to_string()));
        environment
    }

    /// The environment of a program whose every change below `directory` is appended to `log`.
    #[must_use]
    pub fn record(&self, directory: &Path, log: &Path) -> Vec<(String, String)> {
        let mut environment = self.environment(directory);
        environment.push(("SLOW_DISK_LOG".into(), log.display().to_string()));
        environment
    }

    /// The environment of a program that gets EIO below `directory` while the file `fail` exists.
    #[must_use]
    pub fn failing(&self, directory: &Path, fail: &Path) -> Vec<(String, String)> {
        let mut environment = self.environment(directory);
        environment.push(("SLOW_DISK_FAIL".into(), fail.display().to_string()));
        environment
    }

    fn environment(&self, directory: &Path) -> Vec<(String, String)> {
        vec![
            ("LD_PRELOAD".into(), self.library.display().to_string()),
            ("SLOW_DISK_DIR".into(), directory.display().to_string()),
        ]
    }
}

/// Builds a library to be preloaded, below the target directory.
///
/// # Errors
/// When there is no C compiler.
pub(crate) fn library(source: &Path) -> anyhow::Result<PathBuf> {
    let directory = target_directory().join("slow-disk");
    fs::create_dir_all(&directory).with_context(|| format!("cannot write below {}", directory.display()))?;
    // Several tests may build at once: each makes its own file and puts it in place whole.
    let name = Path::new(source.file_name().context("a source has a name")?).with_extension("so");
    let library = directory.canonicalize()?.join(name);
    let part = tempfile::NamedTempFile::new_in(&directory)?;
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(&compiler)
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o"])
        .arg(part.path())
        .arg(source)
        .output()
        .with_context(|| format!("cannot run {}; install it: apt-get install gcc libc6-dev", compiler.display()))?;
    ensure!(output.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
    part.persist(&library)?;
    Ok(library)
}

/// Reads a state file.
///
/// # Errors
/// When it is not there or not one.
pub fn read_state(file: &Path) -> anyhow::Result<Vec<FileState>> {
    let bytes = fs::read(file).with_context(|| format!("the shim left no {}", file.display()))?;
    ensure!(bytes.len() % SLOT_BYTES == 0, "{} is no state of the shim", file.display());
    let slot = |slot: &[u8]| {
        let (path, numbers) = slot.split_at_checked(SLOT_PATH_BYTES)?;
        let path = path.split(|byte| *byte == 0).next().filter(|path| !path.is_empty())?;
        let mut numbers =
            numbers.chunks_exact(8).map(|number| u64::from_ne_bytes(number.try_into().unwrap_or_default()));
        Some(FileState {
            path: String::from_utf8_lossy(path).into_owned(),
            unsynced_bytes: numbers.next()?,
            writes: numbers.next()?,
            syncs: numbers.next()?,
        })
    };
    Ok(bytes.chunks_exact(SLOT_BYTES).filter_map(slot).collect())
}

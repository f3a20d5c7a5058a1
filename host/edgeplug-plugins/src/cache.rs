//! Compiled artefacts on disk: `<sha256 of the component>-<engine fingerprint>.cwasm`, and beside each a `.sha256` with
//! the hash of its name and content.
//!
//! Native code is as good as ours once it is loaded, so before every load: the directory and the file belong to us and
//! are closed to others, and the content is what our compiler wrote. A file that fails is deleted and compiled anew;
//! losing the whole cache costs time only. Artefacts are written aside and renamed, so a reader never sees half of one.
//!
//! Deliberately absent: fsync. A torn artefact fails its hash.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::artefact::{self, Checked};
use crate::compiler::{CompileFailure, Compiler};

/// Artefacts kept; the oldest that no plugin uses go first.
const ARTEFACTS_MAX: usize = 256;
/// All artefacts together, those in use apart. Ten of the largest guests (Python), hundreds of small ones.
const ARTEFACT_BYTES_MAX: u64 = 512 << 20;
/// Permission bits that nobody but us may have.
const OTHERS: u32 = 0o077;

#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    /// What was loaded, by path; dead once no version of a plugin holds it. Swept with every compilation.
    leases: Mutex<HashMap<PathBuf, Weak<()>>>,
}

/// Keeps an artefact in the cache for the next start of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Lease(#[expect(dead_code, reason = "held, never looked at")] Arc<()>);

/// Why the cache directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("cannot use the plugin cache {directory}", directory = .0.display())]
    Io(PathBuf, #[source] io::Error),
    #[error(
        "the plugin cache {directory} must belong to the daemon's user and be closed to all others; \
         `chown` it and `chmod 700` it, or delete it",
        directory = .0.display()
    )]
    Open(PathBuf),
}

impl Cache {
    pub(crate) fn open(directory: &Path) -> Result<Self, CacheError> {
        let failed = |error| CacheError::Io(directory.to_owned(), error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let cache = Self { directory: directory.to_owned(), leases: Mutex::default() };
        cache.check_directory()?;
        cache.sweep().map_err(failed)?;
        Ok(cache)
    }

    /// Loads the artefact of the component with this hash, if there is a sound one.
    pub(crate) fn load(&self, engine: &Engine, sha256: &str) -> Option<(Component, Lease)> {
        let path = self.path(sha256);
        match self
            .check(&path)
            .and_then(|()| artefact::load(engine, &Checked::by_the_cache(&path)).map_err(|error| format!("{error:#}")))
        {
            Ok(component) => Some((component, self.lease(path))),
            Err(_) if !path.exists() => None,
            Err(reason) => {
                tracing::warn!(file = %path.display(), reason, "cached plugin is not sound, compiling it anew");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Compiles into the cache; [`Self::load`] finds it afterwards.
    pub(crate) async fn compile(
        &self,
        compiler: &Compiler,
        sha256: &str,
        component: &[u8],
    ) -> Result<(), CompileFailure> {
        let machine = |error: io::Error| CompileFailure::Machine(format!("cannot write to the plugin cache: {error}"));
        let path = self.path(sha256);
        let aside = tempfile::Builder::new().prefix(".").tempfile_in(&self.directory).map_err(machine)?;
        let mut output = tokio::fs::File::from_std(aside.reopen().map_err(machine)?);
        let hash = compiler.compile(component, seed(&path), &mut output).await?;
        drop(output);
        // First the content, then the hash that vouches for it.
        aside.persist(&path).map_err(|error| machine(error.error))?;
        let mut vouch = tempfile::Builder::new().prefix(".").tempfile_in(&self.directory).map_err(machine)?;
        io::Write::write_all(&mut vouch, hex(&hash.finalize()).as_bytes()).map_err(machine)?;
        vouch.persist(vouched(&path)).map_err(|error| machine(error.error))?;
        let _fresh = self.lease(path);
        self.prune(ARTEFACTS_MAX, ARTEFACT_BYTES_MAX).map_err(machine)
    }

    fn lease(&self, path: PathBuf) -> Lease {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = leases.get(&path).and_then(Weak::upgrade).unwrap_or_default();
        leases.insert(path, Arc::downgrade(&lease));
        Lease(lease)
    }

    /// Deletes the oldest artefacts beyond the limits, sparing those in use.
    fn prune(&self, count_max: usize, bytes_max: u64) -> io::Result<()> {
        let in_use: Vec<PathBuf> = {
            let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
            leases.retain(|_, lease| lease.strong_count() > 0);
            leases.keys().cloned().collect()
        };
        let mut artefacts = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "cwasm") && !in_use.contains(&path) {
                let metadata = entry.metadata()?;
                artefacts.push((metadata.modified()?, metadata.len(), path));
            }
        }
        artefacts.sort();
        let mut count = artefacts.len();
        let mut bytes = artefacts.iter().fold(0u64, |sum, (_, len, _)| sum.saturating_add(*len));
        for (_, len, path) in artefacts {
            if count <= count_max && bytes <= bytes_max {
                break;
            }
            fs::remove_file(&path)?;
            let _ = fs::remove_file(vouched(&path));
            count -= 1;
            bytes = bytes.saturating_sub(len);
        }
        Ok(())
    }

    /// Deletes what a crash left half written. Only for the start, when nobody is writing.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.directory.join(format!("{sha256}-{}.cwasm", edgeplug_engine::fingerprint()))
    }

    fn check_directory(&self) -> Result<(), CacheError> {
        let metadata =
            fs::symlink_metadata(&self.directory).map_err(|error| CacheError::Io(self.directory.clone(), error))?;
        if metadata.is_dir() && is_ours(&metadata) { Ok(()) } else { Err(CacheError::Open(self.directory.clone())) }
    }

    fn check(&self, path: &Path) -> Result<(), String> {
        self.check_directory().map_err(|error| error.to_string())?;
        let metadata = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
        if !metadata.is_file() || !is_ours(&metadata) {
            return Err("it does not belong to us alone".to_owned());
        }
        let vouched_for = fs::read_to_string(vouched(path)).map_err(|error| format!("its hash is missing: {error}"))?;
        let mut hash = seed(path);
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = file.read(&mut buffer).map_err(|error| error.to_string())?;
            match buffer.get(..count) {
                Some(piece) if !piece.is_empty() => hash.update(piece),
                _ => break,
            }
        }
        if hex(&hash.finalize()) == vouched_for {
            Ok(())
        } else {
            Err("its content is not what was compiled".to_owned())
        }
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The name goes into the hash, so that no artefact passes for another one.
fn seed(path: &Path) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
    hash.update([0]);
    hash
}

fn vouched(path: &Path) -> PathBuf {
    path.with_extension("cwasm.sha256")
}

fn is_ours(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.permissions().mode() & OTHERS == 0
}

#[cfg(test)]
mod tests;

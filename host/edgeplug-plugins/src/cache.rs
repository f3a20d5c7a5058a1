//! Compiled artefacts on disk: our own directory, and directories that a system image ships, which are only read.
//!
//! Native code is as good as ours once it is loaded, so before every load: directory and file belong to whom they
//! should and are closed to others, and the content is what a compiler wrote ([`vouched`]). A file of ours that fails
//! is deleted and compiled anew; losing the whole cache costs time only. One of an image that fails is said and passed
//! over.
//!
//! With images the own directory may be missing or unusable: what they hold runs, what they have not must wait until it
//! mends, and every try to compile is a try to mend it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use edgeplug_engine::EngineKind;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::artefact::{self, Checked};
use crate::compiler::{CompileFailure, Compiler};

pub(crate) use vouched::Owner;

pub(crate) mod vouched;

/// Artefacts kept; the oldest that no plugin uses go first.
const ARTEFACTS_MAX: usize = 256;
/// All artefacts together, those in use apart. Ten of the largest guests (Python), hundreds of small ones.
const ARTEFACT_BYTES_MAX: u64 = 512 << 20;
/// What wasmtime says when the system forbids what native code needs, by systemd's `MemoryDenyWriteExecute=`, SELinux
/// or the like.
const NOT_EXECUTABLE: &str = "unable to make memory executable";

#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    /// Whether the directory was made and swept.
    prepared: Mutex<bool>,
    images: Vec<PathBuf>,
    engine: EngineKind,
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
    /// Fails only without images: with them there may be something to run.
    pub(crate) fn open(directory: &Path, images: Vec<PathBuf>, engine: EngineKind) -> Result<Self, CacheError> {
        let cache = Self {
            directory: directory.to_owned(),
            prepared: Mutex::default(),
            images,
            engine,
            leases: Mutex::default(),
        };
        match cache.prepare() {
            Err(error) if cache.images.is_empty() => return Err(error),
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(reason, "no cache for compiled plugins, only those of images can be started");
            }
            Ok(()) => {}
        }
        Ok(cache)
    }

    /// Loads the artefact of the component with this hash, if there is a sound one.
    pub(crate) fn load(&self, engine: &Engine, sha256: &str) -> Result<Option<(Component, Lease)>, CompileFailure> {
        let path = vouched::path(&self.directory, sha256, self.engine);
        let checked =
            || self.prepare().map_err(|error| chain(&error)).and_then(|()| vouched::check(&path, Owner::UsAlone));
        match load(engine, &path, checked)? {
            Found::Sound(component) => return Ok(Some((component, self.lease(path)))),
            Found::Unsound(reason) => {
                tracing::warn!(file = %path.display(), reason, "cached plugin is not sound, compiling it anew");
                let _ = fs::remove_file(&path);
            }
            Found::Nothing => {}
        }
        for image in &self.images {
            let path = vouched::path(image, sha256, self.engine);
            match load(engine, &path, || check_image(image).and_then(|()| vouched::check(&path, Owner::Image)))? {
                Found::Sound(component) => return Ok(Some((component, self.lease(path)))),
                Found::Unsound(reason) => {
                    tracing::warn!(file = %path.display(), reason, "compiled plugin of an image is not used");
                }
                Found::Nothing => {}
            }
        }
        Ok(None)
    }

    /// Compiles into the cache; [`Self::load`] finds it afterwards.
    pub(crate) async fn compile(
        &self,
        compiler: &Compiler,
        sha256: &str,
        component: &[u8],
    ) -> Result<(), CompileFailure> {
        self.prepare().map_err(|error| CompileFailure::Machine(chain(&error)))?;
        let path = vouched::path(&self.directory, sha256, self.engine);
        vouched::write(&path, Owner::UsAlone, compiler, component).await?;
        let _fresh = self.lease(path);
        self.prune(ARTEFACTS_MAX, ARTEFACT_BYTES_MAX)
            .map_err(|error| CompileFailure::Machine(format!("cannot tidy the plugin cache: {error}")))
    }

    /// Makes the directory usable, or finds that it is.
    fn prepare(&self) -> Result<(), CacheError> {
        let failed = |error| CacheError::Io(self.directory.clone(), error);
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if !*prepared || !self.directory.exists() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(failed)?;
        }
        let metadata = fs::symlink_metadata(&self.directory).map_err(failed)?;
        if !metadata.is_dir() || !Owner::UsAlone.accepts(&metadata) {
            return Err(CacheError::Open(self.directory.clone()));
        }
        if !*prepared {
            self.sweep().map_err(failed)?;
            *prepared = true;
        }
        Ok(())
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
            let _ = fs::remove_file(vouched::voucher(&path));
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
}

enum Found {
    Sound(Component),
    Unsound(String),
    Nothing,
}

/// Fails when no artefact would load, however sound it is.
fn load(engine: &Engine, path: &Path, check: impl Fn() -> Result<(), String>) -> Result<Found, CompileFailure> {
    if !path.exists() {
        return Ok(Found::Nothing);
    }
    if let Err(reason) = check() {
        return Ok(Found::Unsound(reason));
    }
    match artefact::load(engine, &Checked::by_the_cache(path)) {
        Ok(component) => Ok(Found::Sound(component)),
        Err(error) => {
            let reason = format!("{error:#}");
            if reason.contains(NOT_EXECUTABLE) {
                return Err(CompileFailure::Machine(format!(
                    "this system forbids executable memory, which native code needs ({reason}); set `plugins.engine = \
                     \"interpreter\"` in the configuration, or allow it (systemd: `MemoryDenyWriteExecute=no`)"
                )));
            }
            Ok(Found::Unsound(reason))
        }
    }
}

/// The directory may be named by a link, which is the operator's word.
fn check_image(directory: &Path) -> Result<(), String> {
    let metadata = fs::metadata(directory).map_err(|error| error.to_string())?;
    if Owner::Image.accepts(&metadata) {
        return Ok(());
    }
    Err(format!("{} must belong to root or the daemon's user, and nobody else may write to it", directory.display()))
}

fn chain(error: &CacheError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
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

#[cfg(test)]
mod tests;

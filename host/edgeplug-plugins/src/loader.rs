//! From files to a running instance: read, check, hash, find in the cache or compile, link, start.
//!
//! What must stay true: what is started is exactly what was hashed; a file that changed while it was read is not used;
//! nothing here touches the version that runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::cache::{Cache, Lease};
use crate::call::CallFailure;
use crate::compiler::{CompileFailure, Compiler};
use crate::host::{Guest, State, Surroundings};
use crate::inspect::{Form, Inspection, inspect};
use crate::instance::{Blueprint, Instance};
use crate::manifest::Manifest;
use crate::options::Limits;
use crate::policy::{Capped, Policy};
use crate::rights::Rights;
use crate::scan::{Candidate, ManifestFailure, Stamp, read_manifest};
use crate::ticker::Ticker;
use crate::voice::cleaned;

/// Largest component read; the compiler takes no more either.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// Compilers at a time. One takes a core and up to half a gigabyte.
const COMPILES_AT_ONCE: usize = 1;

/// Everything loading needs; one for all plugins.
pub(crate) struct Loader {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) ticker: Ticker,
    pub(crate) cache: Arc<Cache>,
    pub(crate) compiler: Compiler,
    pub(crate) policy: Policy,
    pub(crate) private_directories: Vec<PathBuf>,
    /// What stands for `/` in everything plugins read; for trials.
    pub(crate) root: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) surroundings: Surroundings,
    pub(crate) compiling: Semaphore,
}

/// What a version is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) sha256: String,
    pub(crate) manifest: Manifest,
}

/// A version that is ready to take over.
pub(crate) struct Loaded {
    pub(crate) version: Version,
    pub(crate) grants: Vec<String>,
    pub(crate) blueprint: Blueprint,
    /// The instance, or why it did not start.
    pub(crate) started: Result<Instance, CallFailure>,
}

/// Why there is nothing new to run.
#[derive(Debug)]
pub(crate) enum NotLoaded {
    /// Touched, but the same as what runs.
    Unchanged,
    /// Somebody is still writing; look again soon.
    Unsettled,
    /// Not until a file changes.
    Refused { file: PathBuf, reason: String },
    /// Our side failed; worth trying again.
    Later { file: PathBuf, reason: String },
}

impl Loader {
    pub(crate) fn semaphore() -> Semaphore {
        Semaphore::new(COMPILES_AT_ONCE)
    }

    pub(crate) async fn load(
        &self,
        plugin: &str,
        candidate: &Candidate,
        running: Option<&Version>,
    ) -> Result<Loaded, NotLoaded> {
        let manifest = self.manifest(candidate)?;
        self.load_version(plugin, candidate, manifest, running).await
    }

    /// [`Self::load`] with a manifest that was read already.
    pub(crate) async fn load_version(
        &self,
        plugin: &str,
        candidate: &Candidate,
        manifest: Manifest,
        running: Option<&Version>,
    ) -> Result<Loaded, NotLoaded> {
        let component = candidate.component.clone();
        // Reasons quote names from inside the component.
        let refused =
            |reason: String| NotLoaded::Refused { file: candidate.component.clone(), reason: cleaned(&reason) };
        let later = |reason: String| NotLoaded::Later { file: candidate.component.clone(), reason: cleaned(&reason) };
        let bytes = match tokio::task::spawn_blocking(move || read_component(&component)).await {
            Ok(Ok((bytes, stamp))) if Some(stamp) == candidate.component_stamp => bytes,
            Ok(Ok(_) | Err(ReadFailure::Changed)) => return Err(NotLoaded::Unsettled),
            Ok(Err(ReadFailure::Missing)) => {
                let name = candidate.component.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let reason = format!("its component {name} is not in the directory");
                return Err(NotLoaded::Refused { file: candidate.manifest.clone(), reason });
            }
            Ok(Err(ReadFailure::Refused(reason))) => return Err(refused(reason)),
            Ok(Err(ReadFailure::Io(error))) => return Err(later(error.to_string())),
            Err(error) => return Err(later(error.to_string())),
        };
        let looked = tokio::task::spawn_blocking(move || (inspect(&bytes), bytes)).await;
        let (Inspection { sha256, form, problem, .. }, bytes) =
            looked.map_err(|_| refused("it cannot be read; please report this".to_owned()))?;
        let version = Version { sha256, manifest };
        if running == Some(&version) {
            return Err(NotLoaded::Unchanged);
        }
        // What is broken inside is the compiler's to name.
        if let Some(problem) = problem.filter(|_| form != Form::Broken) {
            return Err(refused(problem));
        }
        let (component, lease) = self.component(&version.sha256, bytes).await.map_err(|failure| match failure {
            CompileFailure::Component(reason) => refused(reason),
            CompileFailure::Machine(reason) => later(reason),
        })?;
        // The files may have changed while the compiler ran.
        if candidate.again() != *candidate {
            return Err(NotLoaded::Unsettled);
        }
        let Capped { memory_mb, deadline, .. } = self.policy.cap(plugin, &version.manifest, &self.limits);
        let rights = self.rights(plugin, candidate, &version.manifest);
        let grants = self.grants(plugin, candidate, &version.manifest);
        let surroundings = self.surroundings.clone();
        let desk = surroundings.desks.open(plugin);
        let config = version.manifest.config.clone();
        let refusals = Mutex::default();
        let guest = Guest { plugin: plugin.to_owned(), config, rights, desk, surroundings, refusals, _artefact: lease };
        let blueprint =
            Blueprint::new(&self.linker, &self.ticker, &component, guest, memory_mb, deadline).map_err(refused)?;
        let started = blueprint.start().await;
        Ok(Loaded { version, grants, blueprint, started })
    }

    /// What the plugin may touch, one sentence each.
    pub(crate) fn grants(&self, plugin: &str, candidate: &Candidate, manifest: &Manifest) -> Vec<String> {
        let Capped { words, .. } = self.policy.cap(plugin, manifest, &self.limits);
        [self.rights(plugin, candidate, manifest).words(), words].concat()
    }

    fn rights(&self, plugin: &str, candidate: &Candidate, manifest: &Manifest) -> Rights {
        let rights = Rights::new(plugin, &candidate.manifest, manifest, &self.policy, &self.private_directories);
        match &self.root {
            Some(root) => rights.below(root),
            None => rights,
        }
    }

    fn manifest(&self, candidate: &Candidate) -> Result<Manifest, NotLoaded> {
        if candidate.manifest_stamp.is_none() {
            return Ok(Manifest::absent(&self.limits));
        }
        let file = || candidate.manifest.clone();
        let text = read_manifest(&candidate.manifest).map_err(|failure| match failure {
            ManifestFailure::Missing => NotLoaded::Unsettled,
            ManifestFailure::Refused(reason) => NotLoaded::Refused { file: file(), reason },
            ManifestFailure::Io(error) => NotLoaded::Later { file: file(), reason: error.to_string() },
        })?;
        Manifest::parse(&text, &self.limits)
            .map_err(|reason| NotLoaded::Refused { file: file(), reason: cleaned(&reason) })
    }

    async fn component(&self, sha256: &str, bytes: Vec<u8>) -> Result<(Component, Lease), CompileFailure> {
        if let Some(found) = self.cached(sha256).await? {
            return Ok(found);
        }
        let compiled = async {
            // Never closed.
            let _permit = self.compiling.acquire().await;
            // Another plugin may have waited for the same component.
            if self.cached(sha256).await?.is_none() {
                tracing::info!(sha256, bytes = bytes.len(), "compiling a plugin");
                self.cache.compile(&self.compiler, sha256, &bytes).await?;
            }
            Ok::<_, CompileFailure>(())
        };
        compiled.await?;
        drop(bytes);
        self.cached(sha256).await?.ok_or_else(|| {
            CompileFailure::Machine(
                "what the compiler made does not load; the daemon and edgeplug-compiler must be of the same build"
                    .to_owned(),
            )
        })
    }

    async fn cached(&self, sha256: &str) -> Result<Option<(Component, Lease)>, CompileFailure> {
        let (engine, cache, sha256) = (self.engine.clone(), Arc::clone(&self.cache), sha256.to_owned());
        tokio::task::spawn_blocking(move || cache.load(&engine, &sha256))
            .await
            .map_err(|error| CompileFailure::Machine(error.to_string()))
    }
}

enum ReadFailure {
    Missing,
    Changed,
    Refused(String),
    Io(io::Error),
}

/// Reads the whole file, and tells from its stamps whether it was whole.
fn read_component(path: &Path) -> Result<(Vec<u8>, Stamp), ReadFailure> {
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadFailure::Missing,
        _ => ReadFailure::Io(error),
    })?;
    let stamp = |file: &File| file.metadata().and_then(|metadata| Stamp::of(&metadata)).map_err(ReadFailure::Io);
    let before = stamp(&file)?;
    if before.len > COMPONENT_BYTES_MAX {
        return Err(ReadFailure::Refused(format!(
            "it is larger than {} MiB; build it with optimisation and without debug information",
            COMPONENT_BYTES_MAX >> 20
        )));
    }
    let mut bytes = Vec::new();
    (&mut file).take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(ReadFailure::Io)?;
    if stamp(&file)? != before || u64::try_from(bytes.len()) != Ok(before.len) {
        return Err(ReadFailure::Changed);
    }
    Ok((bytes, before))
}

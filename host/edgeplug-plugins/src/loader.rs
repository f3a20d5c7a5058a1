//! From files to something that can be instantiated, in steps that `adopt` puts in order: read and hash, check the
//! signature, find in the cache or compile, link.
//!
//! What must stay true: what is linked is exactly what was hashed; a file that changed while it was read is not used; what a
//! component holds is never parsed in this process, only by the compiler program.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use edgeplug_signature::{Provenance, SignaturePolicy, read_signature};
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::cache::{Cache, Lease};
use crate::compiler::{CompileFailure, Compiler};
use crate::host::{Guest, State, Surroundings};
use crate::instance::{Blueprint, Caps};
use crate::lane::Lanes;
use crate::manifest::Manifest;
use crate::options::Limits;
use crate::policy::{Capped, Policy};
use crate::rights::Rights;
use crate::scan::{Candidate, ManifestFailure, Stamp, read_manifest};
use crate::shelf::{Good, Hash, VersionId};
use crate::status::{Origin, Source};
use crate::tail::{LogLevel, LogStream};
use crate::voice::cleaned;

/// Largest component read; the compiler takes no more either.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// Compilers at a time. One takes a core and up to half a gigabyte.
const COMPILES_AT_ONCE: usize = 1;

/// Everything loading needs; one for all plugins.
pub(crate) struct Loader {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) lanes: Lanes,
    pub(crate) cache: Arc<Cache>,
    pub(crate) compiler: Compiler,
    pub(crate) policy: Policy,
    pub(crate) signature: SignaturePolicy,
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

/// A version as it was read, not yet judged.
pub(crate) struct Found {
    pub(crate) id: VersionId,
    pub(crate) version: Version,
    pub(crate) component: Arc<Vec<u8>>,
    /// What its component is called.
    pub(crate) file_name: String,
    /// The text of its manifest, if it has one.
    pub(crate) manifest: Option<String>,
    /// The text of its signature, if it has one.
    pub(crate) signature: Option<String>,
    pub(crate) origin: Origin,
}

/// A version that can be instantiated.
pub(crate) struct Fitting {
    pub(crate) found: Found,
    pub(crate) provenance: Provenance,
    pub(crate) grants: Vec<String>,
    pub(crate) blueprint: Blueprint,
}

/// Why there is nothing new to run.
#[derive(Debug)]
pub(crate) enum NotLoaded {
    /// Somebody is still writing; look again soon.
    Unsettled,
    /// Not until a file changes. The hash is the component's, where it was read.
    Refused { file: PathBuf, reason: String, sha256: Option<String> },
    /// Our side failed; worth trying again.
    Later { file: PathBuf, reason: String },
}

/// Why a version cannot be instantiated.
pub(crate) enum Unfit {
    /// The component is at fault, as far as this build of the daemon can tell.
    Component(String),
    /// The machine is at fault.
    Machine(String),
}

impl NotLoaded {
    /// Refused before the component was read.
    fn unread(file: &Path, reason: String) -> Self {
        Self::Refused { file: file.to_owned(), reason, sha256: None }
    }
}

impl Loader {
    pub(crate) fn semaphore() -> Semaphore {
        Semaphore::new(COMPILES_AT_ONCE)
    }

    /// Reads the files as they lie there.
    pub(crate) async fn find(&self, candidate: &Candidate) -> Result<Found, NotLoaded> {
        let manifest = match candidate.manifest_stamp {
            Some(_) => Some(manifest_text(candidate)?),
            None => None,
        };
        let refused = |reason: String| NotLoaded::unread(&candidate.manifest, cleaned(&reason));
        let parsed = self.parse(manifest.as_deref()).map_err(refused)?;
        let is_another = |component: &String| candidate.component.file_name().is_none_or(|name| name != &**component);
        if candidate.origin().manifest == Some(Source::Ota)
            && let Some(component) = parsed.component.as_ref().filter(|component| is_another(component))
        {
            let reason = format!(
                "`component` is {component:?}; a manifest that came over the air is for the component it came with"
            );
            return Err(refused(reason));
        }
        self.find_component(candidate, manifest, parsed).await
    }

    /// [`Self::find`] with a manifest that was understood already.
    pub(crate) async fn find_component(
        &self,
        candidate: &Candidate,
        manifest: Option<String>,
        parsed: Manifest,
    ) -> Result<Found, NotLoaded> {
        let refused = |reason: String| NotLoaded::unread(&candidate.component, cleaned(&reason));
        let later = |reason: String| NotLoaded::Later { file: candidate.component.clone(), reason: cleaned(&reason) };
        let path = candidate.component.clone();
        let read = tokio::task::spawn_blocking(move || {
            read_component(&path).map(|(component, stamp)| (Hash::of(&component), component, stamp))
        });
        let file_name = candidate.component.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (hash, component) = match read.await {
            Ok(Ok((hash, component, stamp))) if Some(stamp) == candidate.component_stamp => (hash, component),
            Ok(Ok(_) | Err(ReadFailure::Changed)) => return Err(NotLoaded::Unsettled),
            Ok(Err(ReadFailure::Missing)) => {
                let reason = format!("its component {file_name} is not in the directory");
                return Err(NotLoaded::unread(&candidate.manifest, reason));
            }
            Ok(Err(ReadFailure::Refused(reason))) => return Err(refused(reason)),
            Ok(Err(ReadFailure::Io(error))) => return Err(later(error.to_string())),
            Err(error) => return Err(later(error.to_string())),
        };
        let signature = read_signature(&candidate.signature)
            .map_err(|error| NotLoaded::Later { file: candidate.signature.clone(), reason: error.to_string() })?;
        let id = VersionId { component: hash, manifest: Hash::of(manifest.as_deref().unwrap_or_default().as_bytes()) };
        let version = Version { sha256: id.component.as_str().to_owned(), manifest: parsed };
        let origin = candidate.origin();
        Ok(Found { id, version, component: Arc::new(component), file_name, manifest, signature, origin })
    }

    /// The version to go back to, as it was kept.
    pub(crate) fn find_kept(&self, good: &Good, component: Vec<u8>) -> Result<Found, String> {
        let parsed = self.parse(good.manifest.as_deref())?;
        Ok(Found {
            id: good.id.clone(),
            version: Version { sha256: good.id.component.as_str().to_owned(), manifest: parsed },
            component: Arc::new(component),
            file_name: good.file_name.clone(),
            manifest: good.manifest.clone(),
            signature: good.signature.clone(),
            origin: good.origin(),
        })
    }

    /// Whose it is; the error is why it must not run.
    pub(crate) async fn provenance(&self, found: &Found) -> Result<Provenance, String> {
        let (policy, component) = (self.signature.clone(), Arc::clone(&found.component));
        let (file_name, signature) = (found.file_name.clone(), found.signature.clone());
        let checked =
            tokio::task::spawn_blocking(move || policy.check(&file_name, &component, signature.as_deref())).await;
        checked.unwrap_or_else(|_| Err("its signature cannot be read; please report this".to_owned()))
    }

    /// Makes it ready to be instantiated: compiled, linked, with what it may touch.
    pub(crate) async fn fit(
        &self,
        plugin: &str,
        candidate: &Candidate,
        found: Found,
        provenance: Provenance,
    ) -> Result<Fitting, Unfit> {
        let machine_or_not = |failure| match failure {
            CompileFailure::Component(reason) => Unfit::Component(cleaned(&reason)),
            CompileFailure::Machine(reason) => Unfit::Machine(cleaned(&reason)),
        };
        // Reasons quote names from inside the component.
        let sha256 = &found.version.sha256;
        let (component, lease) = match self.cached(sha256).await.map_err(machine_or_not)? {
            Some(cached) => cached,
            None => self.compiled(sha256, &found.component).await.map_err(machine_or_not)?,
        };
        let manifest = &found.version.manifest;
        let Capped { memory_mb, deadline, state_kb, cpu_percent, .. } = self.policy.cap(plugin, manifest, &self.limits);
        let rights = self.rights(plugin, candidate, manifest);
        let grants = self.grants(plugin, candidate, manifest);
        let surroundings = self.surroundings.clone();
        let desk = surroundings.desks.open(plugin);
        let config = manifest.config.clone();
        let refusals = Mutex::default();
        let guest = Guest {
            plugin: plugin.to_owned(),
            config,
            rights,
            state_bytes_max: usize::try_from(state_kb).unwrap_or(usize::MAX).saturating_mul(1 << 10),
            desk,
            surroundings,
            refusals,
            _artefact: lease,
        };
        let caps = Caps { memory_mb, deadline, cpu_percent };
        match Blueprint::new(&self.linker, &self.lanes, &component, guest, caps) {
            Ok(blueprint) => Ok(Fitting { found, provenance, grants, blueprint }),
            // Whoever compiled it asked for more than this daemon has.
            Err(reason) => {
                let _permit = self.compiling.acquire().await;
                let better = self.compiler.inspect(&found.component).await.ok().and_then(|found| found.problem);
                Err(Unfit::Component(cleaned(&better.unwrap_or(reason))))
            }
        }
    }

    /// What the plugin may touch, one sentence each.
    pub(crate) fn grants(&self, plugin: &str, candidate: &Candidate, manifest: &Manifest) -> Vec<String> {
        let Capped { words, .. } = self.policy.cap(plugin, manifest, &self.limits);
        [self.rights(plugin, candidate, manifest).words(), words].concat()
    }

    /// For the plugin's own log.
    pub(crate) fn note(&self, plugin: &str, words: &str) {
        self.surroundings.desks.open(plugin).note(LogLevel::Warn, LogStream::Host, cleaned(words));
    }

    fn rights(&self, plugin: &str, candidate: &Candidate, manifest: &Manifest) -> Rights {
        let rights = Rights::new(plugin, &candidate.manifest, manifest, &self.policy, &self.private_directories);
        match &self.root {
            Some(root) => rights.below(root),
            None => rights,
        }
    }

    fn parse(&self, manifest: Option<&str>) -> Result<Manifest, String> {
        manifest.map_or_else(|| Ok(Manifest::absent(&self.limits)), |text| Manifest::parse(text, &self.limits))
    }

    async fn compiled(&self, sha256: &str, bytes: &[u8]) -> Result<(Component, Lease), CompileFailure> {
        let compiled = async {
            // Never closed.
            let _permit = self.compiling.acquire().await;
            // Another plugin may have waited for the same component.
            if self.cached(sha256).await?.is_none() {
                tracing::info!(sha256, bytes = bytes.len(), "compiling a plugin");
                self.cache.compile(&self.compiler, sha256, bytes).await?;
            }
            Ok::<_, CompileFailure>(())
        };
        compiled.await?;
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
            .map_err(|error| CompileFailure::Machine(error.to_string()))?
    }
}

fn manifest_text(candidate: &Candidate) -> Result<String, NotLoaded> {
    let file = candidate.manifest.clone();
    read_manifest(&candidate.manifest).map_err(|failure| match failure {
        ManifestFailure::Missing => NotLoaded::Unsettled,
        ManifestFailure::Refused(reason) => NotLoaded::unread(&file, reason),
        ManifestFailure::Io(error) => NotLoaded::Later { file, reason: error.to_string() },
    })
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

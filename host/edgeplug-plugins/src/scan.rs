//! What lies in the plugin directories: names, sizes and times, without reading a component.
//!
//! A plugin is `name.wasm`, or `name.toml` which may point to another file's component. A component that some manifest
//! points to and that has no manifest of its own does not run by itself.
//!
//! Beside the operator's directory there may be one of what came over the air. A component that lies there goes before
//! the operator's of the same file name, for whoever runs it. A manifest there counts in place of the operator's if its
//! component lies there too, and is for that one; alone it means nothing. All other rules are the same for both.
//!
//! What must stay true: while either directory, or a file in it, cannot be looked at, nothing is known of both, because
//! half of them would make other plugins than the whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::manifest::{self, MANIFEST_BYTES_MAX, Manifest};
use crate::options::Limits;
use crate::status::{Origin, Source};
use listing::Listing;
pub(crate) use listing::check_name;

mod listing;

/// Plugins in both directories. Each costs a task and some hundred kilobytes.
const PLUGINS_MAX: usize = 256;
/// Longest name of a plugin; it goes into logs, metrics and status lines.
const NAME_LEN_MAX: usize = 64;
/// What is put behind the name of a component for that of its signature, as minisign does.
const SIGNATURE: &str = "minisig";
/// The coarsest clock of a file system.
pub(crate) const STAMP_GRAIN: Duration = Duration::from_secs(2);

/// What tells whether a file changed without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) len: u64,
    pub(crate) modified: SystemTime,
    /// When content, owner or mode last changed, in seconds and nanoseconds; unlike `modified` nobody can set it.
    changed: (i64, i64),
    device: u64,
    inode: u64,
}

/// Where plugins lie.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) operator: PathBuf,
    pub(crate) ota: Option<PathBuf>,
}

/// The files of one plugin as they were at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Where the manifest is, or would be.
    pub(crate) manifest: PathBuf,
    pub(crate) manifest_stamp: Option<Stamp>,
    pub(crate) component: PathBuf,
    pub(crate) component_stamp: Option<Stamp>,
    /// Where the component's signature is, or would be.
    pub(crate) signature: PathBuf,
    signature_stamp: Option<Stamp>,
    component_source: Source,
    manifest_source: Source,
}

/// Reads the directories; remembers between looks where manifests point.
#[derive(Default)]
pub(crate) struct Scanner {
    /// By plugin: the stamp of the operator's manifest and where it points.
    pointers: HashMap<String, (Stamp, Pointer)>,
    /// The plugins of the last look; a newcomer takes nobody's place.
    admitted: BTreeSet<String>,
}

/// Which component a manifest is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pointer {
    /// The one of its own name.
    Own,
    /// The file of this name.
    Elsewhere(String),
    /// The manifest cannot be read or understood; loading will say why.
    Unreadable,
}

/// Why there is no text of a manifest.
#[derive(Debug)]
pub(crate) enum ManifestFailure {
    Missing,
    /// The file is at fault.
    Refused(String),
    /// The machine is at fault.
    Io(io::Error),
}

/// One look. The second list holds files that are no plugins, with the reason.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) candidates: BTreeMap<String, Candidate>,
    pub(crate) refused: BTreeMap<PathBuf, String>,
}

/// This directory, or what lies under this name, cannot be looked at.
#[derive(Debug)]
pub(crate) struct Blind {
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
}

impl Places {
    pub(crate) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [Some(&self.operator), self.ota.as_ref()].into_iter().flatten()
    }
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self {
            len: metadata.len(),
            modified: metadata.modified()?,
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    fn changed(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.changed;
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
        SystemTime::UNIX_EPOCH.checked_add(seconds + nanoseconds).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// None where no file is.
    fn at(path: &Path) -> Result<Option<Self>, Blind> {
        let stamp = match fs::metadata(path) {
            Ok(metadata) => metadata.is_file().then(|| Self::of(&metadata)).transpose(),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        };
        stamp.map_err(|error| Blind { path: path.to_owned(), error })
    }
}

/// Whether a path leads to nothing that we could ever read. All else, a disk or a server that fails, is no wish of
/// anybody's to take a plugin away.
fn is_absence(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let absent = [Errno::NOENT, Errno::NOTDIR, Errno::ACCESS, Errno::PERM, Errno::LOOP, Errno::NAMETOOLONG];
    Errno::from_io_error(error).is_some_and(|errno| absent.contains(&errno))
}

impl Candidate {
    /// These files of an operator as they are now; loading says what cannot be looked at.
    pub(crate) fn at(component: &Path, manifest: &Path) -> Self {
        let files = Self::of((Source::Operator, component.to_owned()), (Source::Operator, manifest.to_owned()));
        files.stamped().unwrap_or(files)
    }

    /// Without their stamps.
    fn of((component_source, component): (Source, PathBuf), (manifest_source, manifest): (Source, PathBuf)) -> Self {
        Self {
            signature: component.with_added_extension(SIGNATURE),
            manifest,
            manifest_stamp: None,
            component,
            component_stamp: None,
            signature_stamp: None,
            component_source,
            manifest_source,
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        let manifest = self.manifest_stamp.map(|_| self.manifest_source);
        Origin { component: self.component_source, manifest }
    }

    /// Whether nothing was written to its files for so long that nobody is about to go on writing.
    pub(crate) fn is_old(&self, age_min: Duration) -> bool {
        let now = SystemTime::now();
        // A time in the future (a clock that was set back) is no proof of age.
        let old = |stamp: &Stamp| now.duration_since(stamp.modified).is_ok_and(|age| age >= age_min);
        self.stamps().all(old)
    }

    /// Whether its files are so young that another write may have left them the same stamps: clocks of file systems
    /// stand still for up to two seconds (FAT; ext3 for one).
    pub(crate) fn is_fresh(&self) -> bool {
        let now = SystemTime::now();
        let is_fresh = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age < STAMP_GRAIN);
        self.stamps().any(|stamp| is_fresh(stamp.modified) || is_fresh(stamp.changed()))
    }

    fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        [&self.manifest_stamp, &self.component_stamp, &self.signature_stamp].into_iter().flatten()
    }

    /// Looks again at the same files.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.stamped().is_ok_and(|now| now == *self)
    }

    fn stamped(&self) -> Result<Self, Blind> {
        Ok(Self {
            manifest_stamp: Stamp::at(&self.manifest)?,
            component_stamp: Stamp::at(&self.component)?,
            signature_stamp: Stamp::at(&self.signature)?,
            ..self.clone()
        })
    }
}

impl Scanner {
    /// Blocks. What came over the air may have no directory yet.
    pub(crate) fn look(&mut self, places: &Places, limits: &Limits) -> Result<Look, Blind> {
        let mut look = Look::default();
        let files = Files::list(places, &mut look.refused)?;
        self.pointers.retain(|name, _| files.operator.manifests.contains_key(name));
        let mut pointed_to = BTreeSet::new();
        let mut pointers = BTreeMap::new();
        for (name, (manifest, stamp)) in &files.operator.manifests {
            let pointer = self.pointer_of(name, manifest, *stamp, limits);
            if let Pointer::Elsewhere(component) = &pointer {
                // Also for a manifest that does not count for now: what is kept for others does not run by itself.
                pointed_to.insert(component.clone());
            }
            pointers.insert(name, pointer);
        }
        for name in files.names() {
            let own = format!("{name}.wasm");
            let (manifest, pointer) = match (files.ota_manifest(name), pointers.get(name)) {
                (Some(manifest), _) => ((Source::Ota, manifest.clone()), &Pointer::Own),
                (None, Some(pointer)) => (files.operators_manifest(name), pointer),
                (None, None) if pointed_to.contains(&own) => continue,
                (None, None) => (files.operators_manifest(name), &Pointer::Own),
            };
            let component = match pointer {
                Pointer::Elsewhere(component) => files.component(component),
                Pointer::Own | Pointer::Unreadable => files.component(&own),
            };
            let candidate = Candidate::of(component, manifest).stamped()?;
            // A manifest whose own component is not there yet, or no longer, is no plugin. One that cannot be read, or
            // points at a file that is not there, is a mistake that loading names.
            if *pointer == Pointer::Own && candidate.component_stamp.is_none() {
                continue;
            }
            // Taken away while we looked; the operator's counts at the next look.
            if candidate.manifest_source == Source::Ota && candidate.manifest_stamp.is_none() {
                continue;
            }
            look.candidates.insert(name.clone(), candidate);
        }
        refuse_unused(&files, &pointers, &mut look);
        self.admit(&mut look);
        Ok(look)
    }

    /// At most [`PLUGINS_MAX`].
    fn admit(&mut self, look: &mut Look) {
        let newcomers: Vec<_> = look.candidates.keys().filter(|name| !self.admitted.contains(*name)).cloned().collect();
        let excess = look.candidates.len().saturating_sub(PLUGINS_MAX);
        // Never more were admitted than there is room for, so newcomers suffice.
        for name in newcomers.into_iter().rev().take(excess) {
            let Some(candidate) = look.candidates.remove(&name) else {
                continue;
            };
            let reason = format!("{name:?} is one plugin too many; at most {PLUGINS_MAX} are run");
            look.refused.insert(candidate.component, reason);
        }
        self.admitted = look.candidates.keys().cloned().collect();
    }

    /// Where the manifest points. While it cannot be read or understood it is taken to point where it did, or where it
    /// seems to: a typing error must not set free the component that it is for.
    fn pointer_of(&mut self, name: &str, manifest: &Path, stamp: Stamp, limits: &Limits) -> Pointer {
        let before = match self.pointers.get(name) {
            Some((known, pointer)) if *known == stamp => return pointer.clone(),
            Some((_, pointer @ Pointer::Elsewhere(_))) => pointer.clone(),
            _ => Pointer::Unreadable,
        };
        let pointer = match read_manifest(manifest) {
            // Asked again at the next look.
            Err(ManifestFailure::Io(_) | ManifestFailure::Missing) => return before,
            Err(ManifestFailure::Refused(_)) => before,
            Ok(text) => match Manifest::parse(&text, limits) {
                Ok(Manifest { component: None, .. }) => Pointer::Own,
                Ok(Manifest { component: Some(component), .. }) => Pointer::Elsewhere(component),
                Err(_) => manifest::component_guessed(&text).map_or(before, Pointer::Elsewhere),
            },
        };
        self.pointers.insert(name.to_owned(), (stamp, pointer.clone()));
        pointer
    }
}

/// What lies in both directories.
struct Files<'a> {
    places: &'a Places,
    operator: Listing,
    ota: Listing,
}

impl<'a> Files<'a> {
    fn list(places: &'a Places, refused: &mut BTreeMap<PathBuf, String>) -> Result<Self, Blind> {
        let operator = Listing::of(&places.operator, refused)?;
        let ota = match &places.ota {
            None => Listing::default(),
            Some(directory) => match Listing::of(directory, refused) {
                Err(Blind { error, .. }) if error.kind() == io::ErrorKind::NotFound => Listing::default(),
                listing => listing?,
            },
        };
        Ok(Self { places, operator, ota })
    }

    /// Of everything that may be a plugin.
    fn names(&self) -> BTreeSet<&String> {
        let names = self.operator.manifests.keys().chain(self.operator.components.keys());
        names.chain(self.ota.components.keys()).collect()
    }

    /// The manifest that came over the air with a component that is still there.
    fn ota_manifest(&self, name: &str) -> Option<&PathBuf> {
        let (manifest, _) = self.ota.manifests.get(name)?;
        self.ota.components.contains_key(name).then_some(manifest)
    }

    /// Where the operator's manifest is, or would be.
    fn operators_manifest(&self, name: &str) -> (Source, PathBuf) {
        (Source::Operator, self.places.operator.join(format!("{name}.toml")))
    }

    /// Where the component of this file name is, or would be.
    fn component(&self, file_name: &str) -> (Source, PathBuf) {
        let ota = file_name.strip_suffix(".wasm").and_then(|name| self.ota.components.get(name));
        let operators = || (Source::Operator, self.places.operator.join(file_name));
        ota.map_or_else(operators, |path| (Source::Ota, path.clone()))
    }
}

/// A component came over the air under a name that the operator has given to another one.
fn refuse_unused(files: &Files<'_>, pointers: &BTreeMap<&String, Pointer>, look: &mut Look) {
    let used: BTreeSet<_> = look.candidates.values().map(|candidate| &candidate.component).collect();
    for (name, path) in &files.ota.components {
        if let Some(Pointer::Elsewhere(component)) = pointers.get(name)
            && !used.contains(path)
        {
            let reason =
                format!("{name}.toml of the operator runs {component} under this name; send {component} instead");
            look.refused.insert(path.clone(), reason);
        }
    }
}

/// The text of a manifest, at most [`MANIFEST_BYTES_MAX`].
pub(crate) fn read_manifest(path: &Path) -> Result<String, ManifestFailure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MANIFEST_BYTES_MAX + 1).read_to_string(&mut text));
    match read.map_err(|error| (error.kind(), error)) {
        Ok(_) if u64::try_from(text.len()).is_ok_and(|len| len <= MANIFEST_BYTES_MAX) => Ok(text),
        Ok(_) => Err(ManifestFailure::Refused(format!("it is larger than {} KiB", MANIFEST_BYTES_MAX >> 10))),
        Err((io::ErrorKind::NotFound, _)) => Err(ManifestFailure::Missing),
        Err((io::ErrorKind::InvalidData, _)) => Err(ManifestFailure::Refused("it is not UTF-8".to_owned())),
        Err((_, error)) => Err(ManifestFailure::Io(error)),
    }
}

#[cfg(test)]
mod tests;

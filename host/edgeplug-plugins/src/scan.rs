//! What lies in the plugin directory: names, sizes and times, without reading a component.
//!
//! A plugin is `name.wasm`, or `name.toml` which may point to another file's component. A component that some manifest
//! points to and that has no manifest of its own does not run by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::manifest::{self, MANIFEST_BYTES_MAX, Manifest};
use crate::options::Limits;

/// Plugins in one directory. Each costs a task and some hundred kilobytes.
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
}

/// Reads the directory; remembers between looks where manifests point.
#[derive(Default)]
pub(crate) struct Scanner {
    /// By plugin: the manifest's stamp and where it points.
    pointers: HashMap<String, (Stamp, Pointer)>,
    /// The plugins of the last look; a newcomer takes nobody's place.
    admitted: BTreeSet<String>,
}

/// Which component a manifest is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pointer {
    /// The one of its own name.
    Own,
    /// This file of the directory.
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

    fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().filter(Metadata::is_file).and_then(|metadata| Self::of(&metadata).ok())
    }
}

impl Candidate {
    /// These files as they are now.
    pub(crate) fn at(component: &Path, manifest: &Path) -> Self {
        let signature = component.with_added_extension(SIGNATURE);
        let (component, manifest) = (component.to_owned(), manifest.to_owned());
        let nothing =
            Self { manifest, manifest_stamp: None, component, component_stamp: None, signature, signature_stamp: None };
        nothing.again()
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
    pub(crate) fn again(&self) -> Self {
        Self {
            manifest_stamp: Stamp::at(&self.manifest),
            component_stamp: Stamp::at(&self.component),
            signature_stamp: Stamp::at(&self.signature),
            ..self.clone()
        }
    }
}

impl Scanner {
    /// Blocks. A directory that is missing is an empty one; the caller says so once.
    pub(crate) fn look(&mut self, directory: &Path, limits: &Limits) -> io::Result<Look> {
        let mut manifests = BTreeMap::new();
        let mut components = BTreeMap::new();
        let mut look = Look::default();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let Some((name, is_manifest)) = plugin_name(&path) else {
                continue;
            };
            // Gone again, a directory, or a broken link: nothing there.
            let Some(stamp) = Stamp::at(&path) else {
                continue;
            };
            if let Err(reason) = check_name(&name) {
                look.refused.insert(path, reason);
            } else if is_manifest {
                manifests.insert(name, (path, stamp));
            } else {
                components.insert(name, path);
            }
        }
        self.pointers.retain(|name, _| manifests.contains_key(name));
        let mut pointed_to = Vec::new();
        for (name, (manifest, stamp)) in &manifests {
            let pointer = self.pointer_of(name, manifest, *stamp, limits);
            let component = match &pointer {
                Pointer::Elsewhere(component) => {
                    pointed_to.push(component.clone());
                    directory.join(component)
                }
                Pointer::Own | Pointer::Unreadable => directory.join(format!("{name}.wasm")),
            };
            let candidate = Candidate::at(&component, manifest);
            // A manifest whose own component is not there yet, or no longer, is no plugin. One that cannot be read, or
            // points at a file that is not there, is a mistake that loading names.
            if pointer == Pointer::Own && candidate.component_stamp.is_none() {
                continue;
            }
            look.candidates.insert(name.clone(), candidate);
        }
        for (name, component) in components {
            if manifests.contains_key(&name) || pointed_to.contains(&format!("{name}.wasm")) {
                continue;
            }
            let manifest = directory.join(format!("{name}.toml"));
            let candidate = Candidate::at(&component, &manifest);
            look.candidates.insert(name, candidate);
        }
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
        Ok(look)
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

/// The name and whether the file is a manifest; none for files that are nothing to us, such as what editors and copy
/// programs write aside under a leading dot.
fn plugin_name(path: &Path) -> Option<(String, bool)> {
    let file_name = path.file_name()?.to_string_lossy();
    if file_name.starts_with('.') {
        return None;
    }
    let manifest = file_name.strip_suffix(".toml").map(|name| (name.to_owned(), true));
    manifest.or_else(|| file_name.strip_suffix(".wasm").map(|name| (name.to_owned(), false)))
}

/// Whether a plugin can be called so.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.chars().all(is_sound) {
        return Err(format!(
            "a plugin's file name holds 1 to {NAME_LEN_MAX} letters, digits, `-`, `_` and `.` before its ending"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

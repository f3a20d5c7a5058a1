//! Files that came over the air: staged, verified, handed over.
//!
//! Whoever fetches asks for the [`Part`] of a file, writes what it gets to a [`Writer`], and when all files of a target
//! are here has them verified ([`Firmware::verify`]). Only what was verified has a path, is given to the installer or
//! put among the plugins; each of these reads the file once more and compares.
//!
//! On the disk: `DIRECTORY/JOB/NAME` is a complete file, `.parts/NAME` one under way, `.notes/NAME` what is known of it
//! ([`Part`]), `.verified` what may be handed over. `.install.lock` is held while an installer runs.
//!
//! What must stay true: a kill or a power cut at any instant leaves what can be gone on with, and never a file that
//! counts for more than it is; no name from outside leads out of the staging directory; a full disk is an error that
//! keeps what is there.
//!
//! Deliberately absent: the network; decisions about tries, order and acknowledgements, which are the session's;
//! privileges: an installer that needs more than the daemon has is a unit of the system, which calls this crate by
//! itself.
//!
//! What it costs: hand-over reads the file twice, which is little beside writing a flash. Functions that are not
//! `async` block on the disk.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bundle::Release;
use deploy::Shelf;
use directory::Directory;
use job::Job;
use marker::{Marker, Verdict};
use name::Component;
use part::Caps;
use verify::Rules;

pub use deploy::Deployment;
pub use failure::{FailureKind, Refusal, RunFailure, StageError};
pub use name::is_sidecar;
pub use options::{DigestPolicy, FirmwareError, FirmwareOptions, Installer};
pub use part::{Part, Writer};

mod bundle;
mod deploy;
mod directory;
mod failure;
mod hash;
mod installer;
mod job;
mod marker;
mod name;
mod note;
mod options;
mod part;
mod sums;
mod verify;

const INSTALL_LOCK: &str = ".install.lock";

/// The staging directory and the ways out of it. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Firmware(Arc<Inner>);

/// A file that may be handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedFile {
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Hexadecimal.
    pub sha256: String,
    /// What is wrong with its signature where the operator wants to know and not to refuse.
    pub warning: Option<String>,
}

/// How an installer ended well, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installation {
    Done(String),
    /// What is installed runs after a restart of the device.
    NeedsRestart(String),
}

#[derive(Debug)]
struct Inner {
    options: FirmwareOptions,
    root: Directory,
    /// Deployments change several files and so come one after the other.
    shelf: Mutex<Shelf>,
}

impl Firmware {
    /// Opens the staging directory and that of the plugins; what a crash left half done is cleared away. A deployment
    /// that it cut in the middle is undone, so that this comes before anybody looks at the plugins.
    pub fn open(options: FirmwareOptions) -> Result<Self, FirmwareError> {
        if let Some(installer) = &options.installer {
            installer.check()?;
        }
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| FirmwareError::Directory { path, source }
        };
        let root = Directory::private(&options.directory).map_err(failed(&options.directory))?;
        if let Err(error) = sweep(&root) {
            tracing::warn!(%error, "what an interrupted update left half written stays until its end");
        }
        let plugins = Directory::private(&options.plugins).and_then(Shelf::open);
        let shelf = Mutex::new(plugins.map_err(failed(&options.plugins))?);
        Ok(Self(Arc::new(Inner { options, root, shelf })))
    }

    /// Removes every staging directory but these.
    pub fn keep_jobs(&self, jobs: &[String]) {
        match self.0.root.names() {
            Ok(names) => {
                names
                    .iter()
                    .filter(|name| name::is_job(name) && !jobs.contains(name))
                    .for_each(|job| self.discard(job));
            }
            Err(error) => tracing::warn!(%error, "the staging directory of updates cannot be read"),
        }
    }

    /// Removes the staging directory of an update that has its end.
    pub fn discard(&self, job: &str) {
        if !name::is_job(job) {
            return;
        }
        let discarded = self.0.root.remove_directory(job).and_then(|()| self.0.root.sync());
        if let Err(error) = discarded {
            // The next start tries again.
            tracing::warn!(job, %error, "the files of an update cannot be removed");
        }
    }

    /// What of a file is here.
    pub fn part(&self, job: &str, name: &str) -> Result<Part, StageError> {
        if !name::is_file(name) {
            return Err(StageError::Name(name.to_owned()));
        }
        let options = &self.0.options;
        let caps = Caps {
            file_bytes_max: options.file_bytes_max,
            update_bytes_max: options.update_bytes_max,
            free_bytes_min: options.free_bytes_min,
        };
        Part::find(Job::make(&self.0.root, job)?, name, caps)
    }

    /// Verifies all files of an update, which must be complete, and lets go those that are not sidecars, in their
    /// order. From then on they are read-only. A refusal of the kind [`FailureKind::Transient`] has thrown away what
    /// has to be fetched again.
    pub fn verify(&self, job: &str, names: &[String]) -> Result<Vec<VerifiedFile>, Refusal> {
        let staged =
            Job::make(&self.0.root, job).map_err(|error| Refusal { kind: error.kind(), text: words(&error) })?;
        let verdicts = verify::verify(&staged, names, self.rules())?;
        for verdict in &verdicts {
            if let Some(warning) = &verdict.warning {
                tracing::warn!(warning, "a file of an update is taken without a good signature");
            }
        }
        let file = |verdict: Verdict| {
            let Verdict { name, size, sha256, warning, .. } = verdict;
            VerifiedFile { name, size, sha256, warning }
        };
        Ok(verdicts.into_iter().map(file).collect())
    }

    /// Where a verified file lies; none if it is not what was verified, or not enough for the configuration of now.
    #[must_use]
    pub fn path(&self, job: &str, name: &str) -> Option<PathBuf> {
        match self.vouched(job, name) {
            Ok((staged, _)) => Some(staged.files.path().join(name)),
            Err(reason) => {
                tracing::warn!(job, reason, "a file of an update is not handed over");
                None
            }
        }
    }

    /// Runs the installer with these verified files. The error is the reason in words.
    pub async fn install(
        &self,
        job: &str,
        names: &[String],
        version: &str,
        attempt: u32,
    ) -> Result<Installation, String> {
        let installer = self.installer()?;
        let this = self.clone();
        let (job_name, names) = (job.to_owned(), names.to_owned());
        let look = move || {
            let path = |name: &String| Ok(this.vouched(&job_name, name)?.0.files.path().join(name));
            names.iter().map(path).collect::<Result<Vec<_>, String>>()
        };
        let files = tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string())??;
        let run = self.run(installer, &installer.command, files, job, version, attempt).await;
        let words = run.map_err(RunFailure::into_words)?;
        Ok(if installer.restart { Installation::NeedsRestart(words) } else { Installation::Done(words) })
    }

    /// Asks after a restart whether what was installed runs; [`RunFailure::Failed`] says that it does not.
    pub async fn confirm(&self, job: &str, version: &str) -> Result<String, RunFailure> {
        let installer = self.installer().map_err(RunFailure::NoAnswer)?;
        let command = installer.confirm.as_ref().ok_or_else(|| {
            RunFailure::NoAnswer("nobody can tell whether the new firmware runs; set `ota.confirm`".to_owned())
        })?;
        self.run(installer, command, Vec::new(), job, version, 0).await
    }

    /// Puts a verified component, `NAME.wasm` or `NAME.edgeplug`, into the plugin directory. What was there is kept.
    /// Doing it again changes nothing. The error is the reason in words.
    pub fn deploy(&self, job: &str, name: &str) -> Result<Deployment, String> {
        let component = Component::of(name).ok_or_else(|| format!("{name} is no component"))?;
        let plugin = deploy::plugin_of(component)?;
        let (staged, content) = self.vouched(job, name)?;
        let signature = format!("{plugin}.wasm.minisig");
        let beside = staged.files.read(&signature, edgeplug_signature::SIGNATURE_BYTES_MAX).map_err(disk)?;
        let release = match component {
            Component::Bare(_) => {
                let component = read_component(&content).map_err(|error| format!("cannot read {name}: {error}"))?;
                Release { component, signature: beside, manifest: None }
            }
            Component::Bundle(_) => {
                let release = Release::of_bundle(plugin, &content)?;
                Release { signature: release.signature.or(beside), ..release }
            }
        };
        self.shelf(|shelf| shelf.deploy(plugin, &release)).map_err(disk)
    }

    /// Puts back what was there before a component. Does nothing where another one lies there by now.
    pub fn withdraw(&self, plugin: &str, sha256: &str) {
        if !name::is_plugin(plugin) {
            return;
        }
        if let Err(error) = self.shelf(|shelf| shelf.withdraw(plugin, sha256)) {
            tracing::error!(plugin, %error, "a component that failed cannot be taken back");
        }
    }

    /// A file that may be handed over, read again and compared; and open, at its beginning.
    fn vouched(&self, job: &str, name: &str) -> Result<(Job, std::fs::File), String> {
        let staged = Job::find(&self.0.root, job).map_err(disk)?;
        let staged = staged.ok_or_else(|| format!("{name} was not verified"))?;
        let marker = Marker::read(&staged.files).map_err(disk)?;
        let verdict = marker.find(name).ok_or_else(|| format!("{name} was not verified"))?;
        let Rules { signature, digest } = self.rules();
        if !verdict.suffices(signature, digest) {
            return Err(format!("{name} was verified under a configuration that asked for less than today's"));
        }
        let file = staged.files.open(name).map_err(disk)?.ok_or_else(|| format!("{name} is gone"))?;
        let measure = verify::measure(&file, None).map_err(disk)?;
        if !verdict.is_about(measure.size, &measure.sha256) {
            return Err(format!("{name} is not what was verified"));
        }
        io::Seek::rewind(&mut &file).map_err(disk)?;
        Ok((staged, file))
    }

    async fn run(
        &self,
        installer: &Installer,
        command: &[String],
        files: Vec<PathBuf>,
        job: &str,
        version: &str,
        attempt: u32,
    ) -> Result<String, RunFailure> {
        let no_answer = |error| RunFailure::NoAnswer(disk(error));
        let staged = Job::find(&self.0.root, job).map_err(no_answer)?;
        let lock = self.0.root.open_to_write(INSTALL_LOCK).map_err(no_answer)?;
        // Nothing but the question of whether it runs is asked without the files.
        let directory = staged.as_ref().map_or(self.0.root.path(), |staged| staged.files.path());
        let timeout = installer.timeout;
        installer::run(installer::Run { command, files, directory, job, version, attempt, timeout, lock }).await
    }

    fn installer(&self) -> Result<&Installer, String> {
        self.0.options.installer.as_ref().ok_or_else(|| "no installer is configured; set `ota.installer`".to_owned())
    }

    fn rules(&self) -> Rules<'_> {
        Rules { signature: &self.0.options.signature, digest: self.0.options.digest }
    }

    fn shelf<T>(&self, act: impl FnOnce(&Shelf) -> io::Result<T>) -> io::Result<T> {
        act(&self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a crash left half written in any staging directory goes.
fn sweep(root: &Directory) -> io::Result<()> {
    for job in root.names()?.iter().filter(|name| name::is_job(name)) {
        if let Some(job) = Job::find(root, job)? {
            job.sweep()?;
        }
    }
    Ok(())
}

fn read_component(file: &std::fs::File) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let bytes_max = bundle::COMPONENT_BYTES_MAX;
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    match u64::try_from(content.len()) {
        Ok(len) if len <= bytes_max => Ok(content),
        _ => Err(io::Error::other(format!("it is larger than {bytes_max} bytes"))),
    }
}

/// An error that is told and not kept, with its sources.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn disk(error: io::Error) -> String {
    format!("cannot read or write the files of updates: {error}")
}

#[cfg(test)]
mod tests;

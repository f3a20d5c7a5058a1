//! The right to have whole directories.
//!
//! What must stay true: what is judged is what was opened. The directory is opened as a mere reference, judged by where
//! it really lies, and handed on as that reference; a link that is put in its place meanwhile changes nothing. Its real
//! path must be granted as it is written: a link that somebody put there widens no right.
//!
//! It blocks (a directory may lie on a network mount); callers run it where blocking is allowed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Rights;
use crate::directory::{CLOSED, DirectoryRequest};

/// A granted directory.
#[derive(Debug)]
pub(crate) struct Opened {
    /// A reference (`O_PATH`).
    pub(crate) directory: File,
    pub(crate) guest: String,
    pub(crate) write: bool,
}

impl Rights {
    /// Whether it asks for any.
    pub(crate) fn wants_directories(&self) -> bool {
        !self.directories_asked.is_empty()
    }

    /// Opens all directories that are asked for and allowed; and says why the others are not.
    pub(crate) fn open_directories(&self) -> (Vec<Opened>, Vec<String>) {
        let (mut opened, mut problems) = (Vec::new(), Vec::new());
        for asked in &self.directories_asked {
            match self.open_directory(asked) {
                Ok(directory) => opened.push(directory),
                Err(problem) => problems.push(problem),
            }
        }
        (opened, problems)
    }

    fn open_directory(&self, asked: &DirectoryRequest) -> Result<Opened, String> {
        let Self { plugin, .. } = self;
        let path = &asked.path;
        let what = if asked.write { format!("write below {path}") } else { format!("read below {path}") };
        self.check_directory(path, asked.write).ok_or_else(|| self.not_allowed(&what, "directories"))?;
        let failed = |error: io::Error| {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => "; create it, and restart the plugin",
                io::ErrorKind::NotADirectory => "; grant single files by `files`",
                _ => "",
            };
            format!("plugin {plugin:?} has no directory {path}: {error}{remedy}")
        };
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let directory = OpenOptions::new().read(true).custom_flags(flags).open(self.place(path)).map_err(failed)?;
        let real = fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).map_err(failed)?;
        self.check_real_directory(path, &real, asked.write)?;
        Ok(Opened { directory, guest: asked.guest.clone(), write: asked.write })
    }

    /// Whether the operator's words cover this.
    fn check_directory(&self, path: &str, write: bool) -> Option<()> {
        let covered = |grant: &&crate::directory::DirectoryGrant| grant.covers(path) && (grant.write || !write);
        self.directories_allowed.iter().find(covered).map(|_| ())
    }

    /// Whether the directory that the path led to may be had.
    fn check_real_directory(&self, path: &str, real: &Path, write: bool) -> Result<(), String> {
        let plugin = &self.plugin;
        let touches = |closed: &Path, real: &Path| real.starts_with(closed) || closed.starts_with(real);
        if self.private_directories.iter().any(|closed| touches(closed, real)) {
            return Err(format!(
                "plugin {plugin:?} may not have {path}: a directory of the daemon itself is there or below it; choose \
                 another one"
            ));
        }
        let seen = match &self.root {
            None => real.to_owned(),
            Some(root) => match real.strip_prefix(root) {
                Ok(below) => PathBuf::from("/").join(below),
                Err(_) => return Err(format!("{path} leads out of {}", root.display())),
            },
        };
        if CLOSED.iter().any(|closed| touches(Path::new(closed), &seen)) {
            return Err(format!(
                "plugin {plugin:?} may not have {path}: processes, the kernel, devices or the daemon are there or below \
                 it; choose another one"
            ));
        }
        if seen.to_str() == Some(path) {
            return Ok(());
        }
        let real = seen.to_string_lossy();
        let what = format!("have {path}, which leads to {real}");
        seen.to_str()
            .and_then(|seen| self.check_directory(seen, write))
            .ok_or_else(|| self.not_allowed(&what, "directories"))
    }

    /// The sentence for a plugin that wants to change what it may only read.
    pub(crate) fn read_only(&self, path: &str) -> String {
        let Self { plugin, manifest, policy_source, .. } = self;
        format!(
            "plugin {plugin:?} may not change {path:?}: its directory is granted for reading; set `write = true` in \
             `directories` of {} and of {policy_source}",
            manifest.display()
        )
    }
}

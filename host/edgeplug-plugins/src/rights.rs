//! What one plugin may read and do: asked for by its manifest and allowed by the operator.
//!
//! A refusal is a sentence for the person who has to act on it: the plugin, the right, the file to edit.

use std::path::{Path, PathBuf};

use crate::manifest::Manifest;
use crate::pattern::{Pattern, is_forbidden, is_normal, is_too_long};
use crate::policy::Policy;

/// Fixed when the plugin is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    plugin: String,
    /// Where the plugin asks; named in refusals even when it does not exist yet.
    manifest: PathBuf,
    asked: Vec<Pattern>,
    allowed: Vec<Pattern>,
    /// Where the operator allows, in words.
    policy_source: String,
    private_directories: Vec<PathBuf>,
    disconnect_asked: bool,
    disconnect_allowed: bool,
    /// In a trial: the directory, by its real path, that stands for `/`.
    root: Option<PathBuf>,
}

impl Rights {
    pub(crate) fn new(
        plugin: &str,
        manifest: &Path,
        asked: &Manifest,
        policy: &Policy,
        private_directories: &[PathBuf],
    ) -> Self {
        Self {
            plugin: plugin.to_owned(),
            manifest: manifest.to_owned(),
            asked: asked.files.clone(),
            allowed: policy.files(plugin).cloned().collect(),
            policy_source: policy.source(plugin),
            // Real paths are compared; a directory that does not exist yet is compared as it is written.
            private_directories: private_directories
                .iter()
                .map(|directory| directory.canonicalize().unwrap_or_else(|_| directory.clone()))
                .collect(),
            disconnect_asked: asked.disconnect,
            disconnect_allowed: policy.allows_disconnect(plugin),
            root: None,
        }
    }

    /// Every path is looked up below this directory instead of below `/`.
    pub(crate) fn below(self, root: &Path) -> Self {
        Self { root: Some(root.canonicalize().unwrap_or_else(|_| root.to_owned())), ..self }
    }

    /// In words, for people: what it may do, and what it asked for in vain.
    pub(crate) fn words(&self) -> Vec<String> {
        let disconnect = self.disconnect_asked.then(|| {
            if self.disconnect_allowed {
                "may disconnect the device from the cloud".to_owned()
            } else {
                format!(
                    "asks to disconnect the device from the cloud, which {} does not allow (`allow_disconnect`)",
                    self.policy_source
                )
            }
        });
        let files = self.asked.iter().map(|asked| {
            if self.allowed.iter().any(|allowed| allowed.covers(asked)) {
                format!("may read {asked}")
            } else if !asked.is_exact() || self.allowed.iter().any(|allowed| allowed.matches(asked.as_str())) {
                format!("may read {asked} as far as {} allows", self.policy_source)
            } else {
                format!("asks to read {asked}, which {} does not allow", self.policy_source)
            }
        });
        files.chain(disconnect).collect()
    }

    /// Whether it may end the connection to the cloud.
    pub(crate) fn check_disconnect(&self) -> Result<(), String> {
        let Self { plugin, manifest, policy_source, .. } = self;
        if !self.disconnect_allowed {
            return Err(format!(
                "plugin {plugin:?} may not disconnect the device: the operator does not allow it; set \
                 `allow_disconnect = true` in {policy_source}"
            ));
        }
        if !self.disconnect_asked {
            return Err(format!(
                "plugin {plugin:?} may not disconnect the device: its manifest does not ask for it; set \
                 `disconnect = true` in {}",
                manifest.display()
            ));
        }
        Ok(())
    }

    /// Where a path that was checked lies in the file system.
    pub(crate) fn place(&self, path: &str) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.trim_start_matches('/')),
            None if path.is_empty() => PathBuf::from("/"),
            None => PathBuf::from(path),
        }
    }

    /// Whether the path may be opened at all, before any symbolic link is followed.
    pub(crate) fn check(&self, path: &str) -> Result<(), String> {
        let Self { plugin, manifest, policy_source, .. } = self;
        if is_too_long(path) {
            return Err(format!("plugin {plugin:?} asked for a path that is longer than any file's"));
        }
        if !is_normal(path) {
            return Err(format!("plugin {plugin:?} asked for {path:?}, which is not an absolute path without `..`"));
        }
        if is_forbidden(path) {
            return Err(format!(
                "plugin {plugin:?} may not read {path}: processes, kernel memory and devices are out of reach"
            ));
        }
        // The operator's patterns come first: the manifest's are as hostile as the plugin.
        if !self.allowed.iter().any(|allowed| allowed.matches(path)) {
            return Err(format!(
                "plugin {plugin:?} may not read {path}: the operator does not allow it; add it to `files` of \
                 {policy_source}"
            ));
        }
        if !self.asked.iter().any(|asked| asked.matches(path)) {
            return Err(format!(
                "plugin {plugin:?} may not read {path}: its manifest does not ask for it; add it to `files` in {}",
                manifest.display()
            ));
        }
        Ok(())
    }

    /// Whether the file that the path led to may be read.
    ///
    /// Links within `/sys` are the kernel's own (`/sys/class/...` leads to `/sys/devices/...`), and so is
    /// `/proc/net`, which leads to the network side of our own process; everything else must be granted by its real
    /// name too.
    pub(crate) fn check_real(&self, path: &str, real: &Path) -> Result<(), String> {
        let real = &match &self.root {
            Some(root) => match real.strip_prefix(root) {
                Ok(below) => Path::new("/").join(below),
                Err(_) => return Err(format!("{path} leads out of {}", root.display())),
            },
            None => real.to_owned(),
        };
        let Some(real_text) = real.to_str() else {
            return Err(format!("{path} leads to a path that is not UTF-8"));
        };
        if self.private_directories.iter().any(|directory| real.starts_with(directory)) {
            return Err(format!("{path} leads into a directory of the daemon itself"));
        }
        if real_text == path {
            return Ok(());
        }
        if path.starts_with("/sys/") && real_text.starts_with("/sys/") {
            return Ok(());
        }
        if path.strip_prefix("/proc/net/").is_some_and(|rest| is_own_network_file(real_text, rest)) {
            return Ok(());
        }
        self.check(real_text).map_err(|reason| format!("{path} leads to {real_text}, but {reason}"))
    }

    /// Whether something in this directory might be allowed; the root is the empty text.
    pub(crate) fn may_lead_on(&self, directory: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed.leads_through(directory))
    }

    /// The patterns asked for; each path they lead to still has to be checked.
    pub(crate) fn asked(&self) -> &[Pattern] {
        &self.asked
    }
}

fn is_own_network_file(real: &str, rest: &str) -> bool {
    real.strip_prefix("/proc/")
        .and_then(|real| real.strip_suffix(rest))
        .and_then(|real| real.strip_suffix("/net/"))
        .is_some_and(|process| process == std::process::id().to_string())
}

#[cfg(test)]
mod tests;

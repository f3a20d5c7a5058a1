//! What one plugin may read: asked for by its manifest and allowed by the operator.
//!
//! A refusal is a sentence for the person who has to act on it: the plugin, the right, the file to edit.

use std::path::{Path, PathBuf};

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
}

impl Rights {
    pub(crate) fn new(
        plugin: &str,
        manifest: &Path,
        asked: Vec<Pattern>,
        policy: &Policy,
        private_directories: &[PathBuf],
    ) -> Self {
        Self {
            plugin: plugin.to_owned(),
            manifest: manifest.to_owned(),
            asked,
            allowed: policy.files(plugin).cloned().collect(),
            policy_source: policy.source(plugin),
            // Real paths are compared; a directory that does not exist yet is compared as it is written.
            private_directories: private_directories
                .iter()
                .map(|directory| directory.canonicalize().unwrap_or_else(|_| directory.clone()))
                .collect(),
        }
    }

    /// In words, for people: what it may read, and what it asked for in vain.
    pub(crate) fn words(&self) -> Vec<String> {
        self.asked
            .iter()
            .map(|asked| {
                if self.allowed.iter().any(|allowed| allowed.covers(asked)) {
                    format!("may read {asked}")
                } else if !asked.is_exact() || self.allowed.iter().any(|allowed| allowed.matches(asked.as_str())) {
                    format!("may read {asked} as far as {} allows", self.policy_source)
                } else {
                    format!("asks to read {asked}, which {} does not allow", self.policy_source)
                }
            })
            .collect()
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

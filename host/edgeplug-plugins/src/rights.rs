//! What one plugin may read, reach and do: asked for by its manifest and allowed by the operator.
//!
//! A refusal is a sentence for the person who has to act on it: the plugin, the right, the file to edit.

mod directories;
mod files;
mod network;
mod words;

use std::path::{Path, PathBuf};

use crate::directory::{DirectoryGrant, DirectoryRequest};
use crate::endpoint::Endpoint;
use crate::environment::Variable;
use crate::manifest::Manifest;
use crate::pattern::Pattern;
use crate::policy::Policy;

pub(crate) use directories::Opened;

/// Fixed when the plugin is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    plugin: String,
    /// Where the plugin asks; named in refusals even when it does not exist yet.
    manifest: PathBuf,
    /// Where the operator allows, in words.
    policy_source: String,
    asked: Vec<Pattern>,
    allowed: Vec<Pattern>,
    directories_asked: Vec<DirectoryRequest>,
    directories_allowed: Vec<DirectoryGrant>,
    network_asked: Vec<Endpoint>,
    network_allowed: Vec<Endpoint>,
    environment_asked: Vec<Variable>,
    environment_allowed: Vec<Variable>,
    disconnect_asked: bool,
    disconnect_allowed: bool,
    clocks: bool,
    randomness: bool,
    /// Of the daemon, by their real paths.
    private_directories: Vec<PathBuf>,
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
            policy_source: policy.source(plugin),
            asked: asked.files.clone(),
            allowed: policy.files(plugin).cloned().collect(),
            directories_asked: asked.directories.clone(),
            directories_allowed: policy.directories(plugin).cloned().collect(),
            network_asked: asked.network.clone(),
            network_allowed: policy.network(plugin).cloned().collect(),
            environment_asked: asked.environment.clone(),
            environment_allowed: policy.environment(plugin).cloned().collect(),
            disconnect_asked: asked.disconnect,
            disconnect_allowed: policy.allows_disconnect(plugin),
            clocks: policy.allows_clocks(plugin),
            randomness: policy.allows_randomness(plugin),
            // Real paths are compared; a directory that does not exist yet is compared as it is written.
            private_directories: private_directories
                .iter()
                .map(|directory| directory.canonicalize().unwrap_or_else(|_| directory.clone()))
                .collect(),
            root: None,
        }
    }

    /// Every path is looked up below this directory instead of below `/`.
    pub(crate) fn below(self, root: &Path) -> Self {
        Self { root: Some(root.canonicalize().unwrap_or_else(|_| root.to_owned())), ..self }
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

    /// The variables it is shown, with their values.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let granted = self.environment_asked.iter().filter(|asked| self.environment_allowed.contains(asked));
        granted.filter_map(|name| Some((name.as_str().to_owned(), name.value()?))).collect()
    }

    /// Whether it is told what time it is.
    pub(crate) fn clocks(&self) -> bool {
        self.clocks
    }

    /// Whether it gets random numbers.
    pub(crate) fn randomness(&self) -> bool {
        self.randomness
    }

    /// Where a path that was checked lies in the file system.
    pub(crate) fn place(&self, path: &str) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.trim_start_matches('/')),
            None if path.is_empty() => PathBuf::from("/"),
            None => PathBuf::from(path),
        }
    }

    /// The sentence for what the operator does not allow.
    fn not_allowed(&self, what: &str, key: &str) -> String {
        let Self { plugin, policy_source, .. } = self;
        format!(
            "plugin {plugin:?} may not {what}: the operator does not allow it; add it to `{key}` of {policy_source}"
        )
    }

    /// The sentence for what the manifest does not ask for.
    fn not_asked(&self, what: &str, key: &str) -> String {
        let Self { plugin, manifest, .. } = self;
        let manifest = manifest.display();
        format!("plugin {plugin:?} may not {what}: its manifest does not ask for it; add it to `{key}` in {manifest}")
    }
}

#[cfg(test)]
mod tests;

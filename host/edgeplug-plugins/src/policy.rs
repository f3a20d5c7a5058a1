//! What the operator allows, and how it meets what a manifest asks for.
//!
//! What must stay true: a right needs both, asked by the manifest AND allowed here; and no allowance reaches into the
//! daemon's own directories, other processes' or our own `/proc/<pid>`, or devices (see [`crate::files`]).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::manifest::Manifest;
use crate::options::Limits;
use crate::pattern::Pattern;

/// The operator's grants, plugin by plugin.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What to tell somebody who misses a right: where grants are written, for instance
    /// `[plugins.allow.NAME] in /etc/edgeplug/edgeplug.toml`. `NAME` is replaced by the plugin's name.
    pub source: String,
    /// By plugin name; the name `*` stands for every plugin, beside its own entry.
    pub plugins: BTreeMap<String, PluginPolicy>,
}

/// What one plugin may have, if its manifest asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginPolicy {
    /// Files it may read: exact paths, or patterns with `*` and `?` within one path segment.
    pub files: Vec<Pattern>,
    /// Most memory it may ask for, in MiB. Without it [`Limits::memory_mb`](crate::Limits::memory_mb) is the most.
    pub memory_mb: Option<u32>,
    /// Longest time to compute in one call that it may ask for, in ms. Without it
    /// [`Limits::deadline`](crate::Limits::deadline) is the longest.
    pub deadline_ms: Option<u64>,
    /// Whether it may end the connection to the cloud. Without it, what the entry of `*` says; without that, no.
    pub allow_disconnect: Option<bool>,
}

/// Memory and time of one plugin, asked for and allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Capped {
    pub(crate) memory_mb: u32,
    pub(crate) deadline: Duration,
    /// For people: what is more than usual, and what was asked for in vain.
    pub(crate) words: Vec<String>,
}

impl Policy {
    /// All file patterns allowed to this plugin.
    pub(crate) fn files<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = &'a Pattern> {
        ["*", plugin].into_iter().filter_map(|name| self.plugins.get(name)).flat_map(|policy| &policy.files)
    }

    pub(crate) fn allows_disconnect(&self, plugin: &str) -> bool {
        let entries = [plugin, "*"].into_iter().filter_map(|name| self.plugins.get(name));
        entries.into_iter().find_map(|entry| entry.allow_disconnect).unwrap_or(false)
    }

    /// What the plugin gets of the memory and time its manifest asks for. Its own entry counts before that of `*`.
    pub(crate) fn cap(&self, plugin: &str, asked: &Manifest, limits: &Limits) -> Capped {
        let entries = || [plugin, "*"].into_iter().filter_map(|name| self.plugins.get(name));
        let memory_mb_max = entries().find_map(|entry| entry.memory_mb).unwrap_or(limits.memory_mb);
        let deadline_max = entries().find_map(|entry| entry.deadline_ms).map_or(limits.deadline, Duration::from_millis);
        let source = self.source(plugin);
        let mut words = Vec::new();
        if asked.memory_mb > memory_mb_max {
            words.push(format!(
                "asks for {} MiB of memory; {source} allows {memory_mb_max} (`memory_mb`)",
                asked.memory_mb
            ));
        } else if asked.memory_mb > limits.memory_mb {
            words.push(format!("may use {} MiB of memory", asked.memory_mb));
        }
        let deadline_ms = asked.deadline.as_millis();
        if asked.deadline > deadline_max {
            words.push(format!(
                "asks to compute for {deadline_ms} ms in one call; {source} allows {} (`deadline_ms`)",
                deadline_max.as_millis()
            ));
        } else if asked.deadline > limits.deadline {
            words.push(format!("may compute for {deadline_ms} ms in one call"));
        }
        Capped { memory_mb: asked.memory_mb.min(memory_mb_max), deadline: asked.deadline.min(deadline_max), words }
    }

    /// Where a right for this plugin would be written.
    pub(crate) fn source(&self, plugin: &str) -> String {
        if self.source.is_empty() {
            "the daemon's configuration".to_owned()
        } else {
            self.source.replace("NAME", plugin)
        }
    }
}

#[cfg(test)]
mod tests;

//! What the operator allows, and how it meets what a manifest asks for.
//!
//! What must stay true: a right needs both, asked by the manifest AND allowed here; and no allowance reaches into the
//! daemon's own directories, other processes' or our own `/proc/<pid>`, or devices (see [`crate::files`]).

use std::collections::BTreeMap;

use serde::Deserialize;

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
}

impl Policy {
    /// All file patterns allowed to this plugin.
    pub(crate) fn files<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = &'a Pattern> {
        ["*", plugin].into_iter().filter_map(|name| self.plugins.get(name)).flat_map(|policy| &policy.files)
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

//! What the operator allows, and how it meets what a manifest asks for.
//!
//! What must stay true: a right needs both, asked by the manifest AND allowed here; and no allowance reaches into the
//! daemon's own directories, other processes' or our own `/proc/<pid>`, or devices (see [`crate::files`]).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::directory::DirectoryGrant;
use crate::endpoint::Endpoint;
use crate::environment::Variable;
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
    /// Directories it may have, with everything below them.
    pub directories: Vec<DirectoryGrant>,
    /// Where it may connect and send to; `*` stands for every port, every host or one label of a name.
    pub network: Vec<Endpoint>,
    /// Variables of the daemon's environment it may see.
    pub environment: Vec<Variable>,
    /// Most memory it may ask for, in MiB. Without it [`Limits::memory_mb`](crate::Limits::memory_mb) is the most.
    pub memory_mb: Option<u32>,
    /// Longest time to compute in one call that it may ask for, in ms. Without it
    /// [`Limits::deadline`](crate::Limits::deadline) is the longest.
    pub deadline_ms: Option<u64>,
    /// Most it may ask to keep, in KiB. Without it [`Limits::state_kb`](crate::Limits::state_kb) is the most.
    pub state_kb: Option<u32>,
    /// Most of one processor it may ask for, in percent. Without it
    /// [`Limits::cpu_percent`](crate::Limits::cpu_percent) is the most.
    pub cpu_percent: Option<u32>,
    /// Whether it is told what time it is. Without it, what the entry of `*` says; without that, yes. Needs no asking.
    pub clocks: Option<bool>,
    /// Whether it gets random numbers. Without it, what the entry of `*` says; without that, yes. Needs no asking.
    pub randomness: Option<bool>,
    /// Whether it may end the connection to the cloud. Without it, what the entry of `*` says; without that, no.
    pub allow_disconnect: Option<bool>,
}

/// What one plugin may use up, asked for and allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Capped {
    pub(crate) memory_mb: u32,
    pub(crate) deadline: Duration,
    pub(crate) state_kb: u32,
    pub(crate) cpu_percent: u32,
    /// For people: what is more than usual, and what was asked for in vain.
    pub(crate) words: Vec<String>,
}

impl Policy {
    /// All file patterns allowed to this plugin.
    pub(crate) fn files<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = &'a Pattern> {
        self.entries(plugin).flat_map(|entry| &entry.files)
    }

    pub(crate) fn directories<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = &'a DirectoryGrant> {
        self.entries(plugin).flat_map(|entry| &entry.directories)
    }

    pub(crate) fn network<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = &'a Endpoint> {
        self.entries(plugin).flat_map(|entry| &entry.network)
    }

    pub(crate) fn environment<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = &'a Variable> {
        self.entries(plugin).flat_map(|entry| &entry.environment)
    }

    pub(crate) fn allows_disconnect(&self, plugin: &str) -> bool {
        self.entries(plugin).find_map(|entry| entry.allow_disconnect).unwrap_or(false)
    }

    pub(crate) fn allows_clocks(&self, plugin: &str) -> bool {
        self.entries(plugin).find_map(|entry| entry.clocks).unwrap_or(true)
    }

    pub(crate) fn allows_randomness(&self, plugin: &str) -> bool {
        self.entries(plugin).find_map(|entry| entry.randomness).unwrap_or(true)
    }

    /// What the plugin gets of what its manifest asks to use up. Its own entry counts before that of `*`.
    pub(crate) fn cap(&self, plugin: &str, asked: &Manifest, limits: &Limits) -> Capped {
        let mut words = Vec::new();
        let source = self.source(plugin);
        let entry =
            |of: fn(&PluginPolicy) -> Option<u32>, usual: u32| self.entries(plugin).find_map(of).unwrap_or(usual);
        let memory_mb = Cap {
            asked: asked.memory_mb,
            usual: limits.memory_mb,
            allowed: entry(|entry| entry.memory_mb, limits.memory_mb),
            key: "memory_mb",
        };
        let memory_mb = memory_mb.say(&mut words, &source, ["asks for", "may use"], "MiB of memory");
        let deadline_ms = Cap {
            asked: milliseconds(asked.deadline),
            usual: milliseconds(limits.deadline),
            allowed: self
                .entries(plugin)
                .find_map(|entry| entry.deadline_ms)
                .map_or(milliseconds(limits.deadline), |ms| u32::try_from(ms).unwrap_or(u32::MAX)),
            key: "deadline_ms",
        };
        let deadline_ms =
            deadline_ms.say(&mut words, &source, ["asks to compute for", "may compute for"], "ms in one call");
        let state_kb = Cap {
            asked: asked.state_kb,
            usual: limits.state_kb,
            allowed: entry(|entry| entry.state_kb, limits.state_kb),
            key: "state_kb",
        };
        let state_kb = state_kb.say(&mut words, &source, ["asks to keep", "may keep"], "KiB of state");
        let cpu_percent = Cap {
            asked: asked.cpu_percent,
            usual: limits.cpu_percent,
            allowed: entry(|entry| entry.cpu_percent, limits.cpu_percent),
            key: "cpu_percent",
        };
        let cpu_percent = cpu_percent.say(&mut words, &source, ["asks for", "may use"], "percent of one processor");
        let deadline = Duration::from_millis(deadline_ms.into());
        Capped { memory_mb, deadline, state_kb, cpu_percent, words }
    }

    /// The plugin's own entry, then that of all.
    fn entries<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = &'a PluginPolicy> {
        [plugin, "*"].into_iter().filter_map(|name| self.plugins.get(name))
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

/// One limit, and what both sides say about it.
struct Cap {
    asked: u32,
    /// What nobody has to allow.
    usual: u32,
    allowed: u32,
    key: &'static str,
}

impl Cap {
    /// What the plugin gets; what is remarkable about it is put into words.
    fn say(self, words: &mut Vec<String>, source: &str, [asks, may]: [&str; 2], unit: &str) -> u32 {
        let Self { asked, usual, allowed, key } = self;
        if asked > allowed {
            words.push(format!("{asks} {asked} {unit}; {source} allows {allowed} (`{key}`)"));
        } else if asked > usual {
            words.push(format!("{may} {asked} {unit}"));
        }
        asked.min(allowed)
    }
}

/// Whole ones; no limit has less.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

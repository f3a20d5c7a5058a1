//! `name.toml` beside `name.wasm`: how often to sample, the plugin's own configuration, what it asks for, its limits.
//!
//! Without a manifest a plugin has an empty configuration, samples at the default interval and reads nothing.
//!
//! ```toml
//! interval_s = 10                     # or interval_ms; 60 s if neither is given
//! component = "bme280.wasm"           # another file of the directory, so that one component can run several times
//! files = ["/proc/stat", "/sys/class/thermal/thermal_zone*/temp"]
//! directories = [{ path = "/var/lib/weather", guest = "/data", write = true }]
//! network = ["tcp://api.example.com:443", "udp://10.0.0.0/24:161"]
//! environment = ["TZ"]                # variables of the daemon's environment
//! disconnect = true                   # asks for the right to end the connection to the cloud
//!
//! [commands]                          # which commands to hand it; without this all that nobody asks for by name
//! names = ["set-led", "blink"]        # first words of commands
//! devices = ["child-1"]               # unique ids; the device's own is one of them
//!
//! [firmware]                          # whose firmware to hand it; without this everybody's that nobody asks for by name
//! devices = ["child-1"]               # unique ids; the device's own is one of them
//!
//! [config]                            # handed to the plugin as it is
//! unit = "celsius"
//!
//! [limits]
//! memory_mb = 64                      # 1 to 1024
//! deadline_ms = 1000                  # 1 to 50000
//! state_kb = 64                       # 1 to 4096
//! cpu_percent = 25                    # of one processor, 1 to 100
//! ```
//!
//! Limits above the daemon's defaults also need the operator's leave; without it the plugin gets what is allowed.
//!
//! `deadline_ms` is the time a call may compute. Of wall time (a guest that sleeps, a machine that is busy) it has four
//! times as much; waiting for a host function (the store, the hub, a file) counts for neither. Whatever it waits for, a call ends after 50 s.
//! Instantiation and `lifecycle.start` have the same deadline, but at least 5 s each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use crate::directory::DirectoryRequest;
use crate::endpoint::Endpoint;
use crate::environment::Variable;
use crate::options::Limits;
use crate::pattern::Pattern;
use crate::scope::{CommandScope, FirmwareScope};

/// Largest manifest read.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 << 10;
const FILES_MAX: usize = 256;
/// Each costs a descriptor in every instance.
const DIRECTORIES_MAX: usize = 16;
/// Each is looked at whenever something is connected to.
const NETWORK_MAX: usize = 64;
const ENVIRONMENT_MAX: usize = 64;
const CONFIG_KEYS_MAX: usize = 256;
const MEMORY_MB_MAX: u32 = 1024;
/// All plugins' state lies in one file that is kept in memory.
const STATE_KB_MAX: u32 = 4096;
/// A plugin computes on one processor at a time.
const CPU_PERCENT_MAX: u32 = 100;
/// No call lasts longer, whatever it does (`deadline`).
const DEADLINE_MS_MAX: u64 = 50_000;
/// A day; a plugin that reports less often should send of its own accord.
const INTERVAL_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// A manifest that was understood, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// File name of the component when it is not the manifest's own.
    pub(crate) component: Option<String>,
    pub(crate) interval: Duration,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) files: Vec<Pattern>,
    pub(crate) directories: Vec<DirectoryRequest>,
    pub(crate) network: Vec<Endpoint>,
    pub(crate) environment: Vec<Variable>,
    pub(crate) disconnect: bool,
    pub(crate) commands: CommandScope,
    pub(crate) firmware: FirmwareScope,
    pub(crate) memory_mb: u32,
    pub(crate) deadline: Duration,
    pub(crate) state_kb: u32,
    pub(crate) cpu_percent: u32,
}

/// What was typed; [`Manifest`] is what it means.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Typed {
    component: Option<String>,
    interval_s: Option<u64>,
    interval_ms: Option<u64>,
    config: BTreeMap<String, String>,
    files: Vec<Pattern>,
    directories: Vec<DirectoryRequest>,
    network: Vec<Endpoint>,
    environment: Vec<Variable>,
    disconnect: bool,
    commands: CommandScope,
    firmware: FirmwareScope,
    limits: TypedLimits,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TypedLimits {
    memory_mb: Option<u32>,
    deadline_ms: Option<u64>,
    state_kb: Option<u32>,
    cpu_percent: Option<u32>,
}

impl Manifest {
    /// What holds for a plugin without a manifest.
    pub(crate) fn absent(limits: &Limits) -> Self {
        Self {
            component: None,
            interval: limits.interval,
            config: BTreeMap::new(),
            files: Vec::new(),
            directories: Vec::new(),
            network: Vec::new(),
            environment: Vec::new(),
            disconnect: false,
            commands: CommandScope::default(),
            firmware: FirmwareScope::default(),
            memory_mb: limits.memory_mb,
            deadline: limits.deadline,
            state_kb: limits.state_kb,
            cpu_percent: limits.cpu_percent,
        }
    }

    /// Understands a manifest, or says in words what is wrong with which key.
    pub(crate) fn parse(text: &str, limits: &Limits) -> Result<Self, String> {
        let typed: Typed = toml::from_str(text).map_err(|error| located(&error, text))?;
        let interval = match (typed.interval_s, typed.interval_ms) {
            (Some(_), Some(_)) => return Err("`interval_s` and `interval_ms` are both given; keep one".to_owned()),
            (Some(seconds), None) => {
                Duration::from_millis(ranged("interval_s", seconds, INTERVAL_MS_MAX / 1000)? * 1000)
            }
            (None, Some(ms)) => Duration::from_millis(ranged("interval_ms", ms, INTERVAL_MS_MAX)?),
            (None, None) => limits.interval,
        };
        let memory_mb = match typed.limits.memory_mb {
            Some(memory_mb) => ranged("limits.memory_mb", memory_mb, MEMORY_MB_MAX)?,
            None => limits.memory_mb,
        };
        let deadline = match typed.limits.deadline_ms {
            Some(ms) => Duration::from_millis(ranged("limits.deadline_ms", ms, DEADLINE_MS_MAX)?),
            None => limits.deadline,
        };
        if let Some(component) = &typed.component
            && !is_component(component)
        {
            return Err(format!(
                "`component` is {component:?}; it wants the name of a .wasm file in the same directory"
            ));
        }
        let state_kb = match typed.limits.state_kb {
            Some(state_kb) => ranged("limits.state_kb", state_kb, STATE_KB_MAX)?,
            None => limits.state_kb,
        };
        let cpu_percent = match typed.limits.cpu_percent {
            Some(percent) => ranged("limits.cpu_percent", percent, CPU_PERCENT_MAX)?,
            None => limits.cpu_percent,
        };
        for (key, entries, entries_max) in [
            ("files", typed.files.len(), FILES_MAX),
            ("directories", typed.directories.len(), DIRECTORIES_MAX),
            ("network", typed.network.len(), NETWORK_MAX),
            ("environment", typed.environment.len(), ENVIRONMENT_MAX),
        ] {
            if entries > entries_max {
                return Err(format!("`{key}` has {entries} entries; at most {entries_max} are taken"));
            }
        }
        if let Some(wide) = typed.network.iter().find(|endpoint| endpoint.has_wildcard()) {
            return Err(format!("`network` asks for {wide}; a manifest names each host and port it needs"));
        }
        let mut guests = BTreeSet::new();
        if let Some(twice) = typed.directories.iter().find(|directory| !guests.insert(&directory.guest)) {
            return Err(format!("`directories` puts two of them at {:?}; give each a `guest` of its own", twice.guest));
        }
        if typed.config.len() > CONFIG_KEYS_MAX {
            return Err(format!("`config` has {} keys; at most {CONFIG_KEYS_MAX} are taken", typed.config.len()));
        }
        let Typed { component, config, files, directories, network, environment, disconnect, .. } = typed;
        Ok(Self {
            component,
            interval,
            config,
            files,
            directories,
            network,
            environment,
            disconnect,
            commands: typed.commands.check()?,
            firmware: typed.firmware.check()?,
            memory_mb,
            deadline,
            state_kb,
            cpu_percent,
        })
    }
}

/// Which component a manifest with a mistake in it seems to be for.
pub(crate) fn component_guessed(text: &str) -> Option<String> {
    text.lines().take_while(|line| !line.trim_start().starts_with('[')).find_map(|line| {
        let value = line.trim_start().strip_prefix("component")?.trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let name = value.get(1..)?.split(quote).next()?;
        is_component(name).then(|| name.to_owned())
    })
}

fn is_component(name: &str) -> bool {
    !name.contains('/') && !name.starts_with('.') && name.ends_with(".wasm")
}

fn ranged<T: PartialOrd + From<u8> + std::fmt::Display>(key: &str, value: T, max: T) -> Result<T, String> {
    if value >= T::from(1) && value <= max {
        Ok(value)
    } else {
        Err(format!("`{key}` is {value}; it wants 1 to {max}"))
    }
}

/// One line, with the place.
fn located(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().replace('\n', " ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

#[cfg(test)]
mod tests;

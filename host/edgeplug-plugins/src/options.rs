//! What the daemon's configuration says about plugins.

use std::path::PathBuf;
use std::time::Duration;

use edgeplug_engine::EngineKind;
use edgeplug_signature::SignaturePolicy;

use crate::policy::Policy;

/// Everything [`Plugins::start`](crate::Plugins::start) needs.
#[derive(Clone, Debug)]
pub struct PluginsOptions {
    /// Where the operator drops `name.wasm` and `name.toml`. It need not exist yet.
    pub directory: PathBuf,
    /// Where updates over the air bring components. One that lies there goes before the operator's of the same name; the
    /// operator's manifest counts, unless one lies beside the component. It need not exist.
    pub ota_directory: Option<PathBuf>,
    /// Where compiled artefacts are kept. Created if missing; must belong to us and be closed to others (0700).
    pub cache_directory: PathBuf,
    /// Further directories with compiled artefacts, only read: what an image ships. Must belong to root or us and be
    /// writable for nobody else.
    pub cache_images: Vec<PathBuf>,
    /// Where is kept what must be known of each plugin across restarts: its last good version, a probation under way,
    /// what an operator switched off. Created if missing; must belong to us and be closed to others (0700).
    pub shelf_directory: PathBuf,
    /// How compiled code is run.
    pub engine: EngineKind,
    /// Whose signatures count, and what happens to a component without one.
    pub signature: SignaturePolicy,
    /// The program `edgeplug-compiler`.
    pub compiler: PathBuf,
    /// What the operator allows.
    pub policy: Policy,
    /// What plugins are told about the device.
    pub device: DeviceInfo,
    /// Directories of the daemon (state, secrets) from which no grant reaches a file. The cache is always among them.
    pub private_directories: Vec<PathBuf>,
    pub limits: Limits,
}

/// What `device.info` answers.
#[derive(Clone, Debug, Default)]
pub struct DeviceInfo {
    /// The unique id under which the cloud knows the device.
    pub unique_id: String,
}

/// Defaults for plugins whose manifest is silent, and the limits of loading. Memory, deadline, state and processor are also
/// the most that a manifest may ask for unless the [`PluginPolicy`](crate::PluginPolicy) allows more.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory of one plugin, in MiB, all its memories together.
    pub memory_mb: u32,
    /// Time one call may compute.
    pub deadline: Duration,
    /// What one plugin may keep (`state`), in KiB.
    pub state_kb: u32,
    /// How much of one processor a plugin may have on average, in percent, before others go first.
    pub cpu_percent: u32,
    /// Time between samples.
    pub interval: Duration,
    /// How long a file must not have changed before it is read.
    pub settle: Duration,
    /// How often the directory is read even when nothing announced a change.
    pub rescan: Duration,
    /// Wall time the compiler may take for one component.
    pub compile_wall: Duration,
    /// Most bytes of native code taken from the compiler.
    pub artefact_bytes: u64,
    /// Wait before the first restart after a fault; it doubles up to [`Self::restart_max`].
    pub restart_min: Duration,
    pub restart_max: Duration,
    /// Faults without a good call in between after which a plugin is left alone until its files change or an operator
    /// says so.
    pub quarantine_strikes: u32,
    /// What a new version has to show before the one before it is let go.
    pub probation: Probation,
}

/// The proof of a version that took the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probation {
    /// Calls answered well, at least.
    pub good_calls: u32,
    /// Time without a fault, at least.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mb: 64,
            deadline: Duration::from_secs(1),
            state_kb: 64,
            // Of a machine with one processor the daemon and its neighbours keep most.
            cpu_percent: 25,
            interval: Duration::from_secs(60),
            // Long enough for a copy over a slow network to write its next block.
            settle: Duration::from_millis(150),
            // Network mounts announce nothing.
            rescan: Duration::from_secs(10),
            // A Python guest takes 15 s of a fast machine.
            compile_wall: Duration::from_secs(180),
            // A Python guest compiles to 46 MB.
            artefact_bytes: 256 << 20,
            restart_min: Duration::from_secs(1),
            restart_max: Duration::from_secs(300),
            // With the waits between them some eight minutes of trying.
            quarantine_strikes: 10,
            probation: Probation { good_calls: 3, time: Duration::from_secs(60) },
        }
    }
}

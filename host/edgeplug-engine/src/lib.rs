//! The one wasmtime configuration that the runtime and the compiler program must agree on.
//!
//! An artefact loads only into an engine configured like the one that made it, and the two live in different programs:
//! the daemon is linked without a code generator. Whatever changes generated code belongs here and nowhere else.
//!
//! What they tell each other of a file lies here too ([`Inspection`]).
//!
//! There are two kinds of engine. Native code is what runs by default. The interpreter runs bytecode of wasmtime's
//! Pulley, which is data to the processor, for systems that forbid a process to make memory executable.
//!
//! What must stay true: a change of any setting changes [`fingerprint`], which is part of every cache key and is also
//! written into the artefact, where wasmtime compares it before it loads.
//!
//! Deliberately absent: the compiler (a Cargo feature of `edgeplug-compiler` alone), the pooling allocator (it saves
//! microseconds per instance and cost an advisory), component-model async (four times the price per call), code for
//! another architecture than the one this runs on.

mod inspection;

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine, ModuleVersionStrategy, WasmBacktraceDetails};

pub use inspection::{Exports, Form, Inspection};

/// Virtual memory set aside per linear memory. wasmtime's own default of 4 GiB does not fit 32-bit hosts or a process
/// under an address-space limit once there are fifty plugins.
const MEMORY_RESERVATION: u64 = 64 << 20;
/// Set aside behind a memory that outgrew its reservation and was moved.
const MEMORY_RESERVATION_FOR_GROWTH: u64 = 16 << 20;
/// Small, because bounds are checked in code once memories are not 4 GiB apart.
const MEMORY_GUARD: u64 = 64 << 10;
/// A guest that recurses deeper than this traps.
const WASM_STACK: usize = 512 << 10;
/// Holds the guest's stack and, above it, our host functions and the runtime's.
const ASYNC_STACK: usize = 1 << 20;
/// Frames of a guest's backtrace that are worth reading.
const BACKTRACE_FRAMES: usize = 32;

/// The interpreter whose words are as wide as ours, and in our order.
const PULLEY_TARGET: &str = match (cfg!(target_pointer_width = "64"), cfg!(target_endian = "little")) {
    (true, true) => "pulley64",
    (true, false) => "pulley64be",
    (false, true) => "pulley32",
    (false, false) => "pulley32be",
};
/// The target this was built for; the build script knows it.
const NATIVE_TARGET: &str = env!("BUILT_FOR");

/// The exact version in the workspace's lock file, such as `48.0.8`.
pub const WASMTIME_VERSION: &str = env!("WASMTIME_VERSION");

/// How compiled code is run; in the configuration and on command lines `native` or `interpreter`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// As instructions of the processor.
    #[default]
    Native,
    /// As bytecode of wasmtime's interpreter Pulley, where no memory may be made executable. Ten times slower or so.
    Interpreter,
}

/// The text names no [`EngineKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnEngine;

/// Builds the engine. The caller owns its epoch: with epoch interruption on, a guest runs only while somebody counts.
pub fn engine(kind: EngineKind) -> wasmtime::Result<Engine> {
    Engine::new(&config(kind)?)
}

/// The same for compiling only: what it makes runs on every processor of this architecture, not just on this one.
pub fn portable_engine(kind: EngineKind) -> wasmtime::Result<Engine> {
    let mut config = config(kind)?;
    if kind == EngineKind::Native {
        // Named, a target is taken without what the processor here has beyond it.
        config.target(NATIVE_TARGET)?;
    }
    Engine::new(&config)
}

/// Sixteen hexadecimal digits that differ whenever an artefact of one configuration may not be loaded by the other.
#[must_use]
pub fn fingerprint(kind: EngineKind) -> &'static str {
    static NATIVE: OnceLock<String> = OnceLock::new();
    static INTERPRETER: OnceLock<String> = OnceLock::new();
    let fingerprint = match kind {
        EngineKind::Native => &NATIVE,
        EngineKind::Interpreter => &INTERPRETER,
    };
    fingerprint.get_or_init(|| {
        let described = format!(
            "wasmtime {WASMTIME_VERSION} {}-{} {kind} epochs=1 concurrency=0 reservation={MEMORY_RESERVATION} \
             growth={MEMORY_RESERVATION_FOR_GROWTH} guard={MEMORY_GUARD} stack={WASM_STACK} debuginfo=1",
            std::env::consts::ARCH,
            std::env::consts::OS,
        );
        let digest = Sha256::digest(described.as_bytes());
        digest.iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    })
}

impl FromStr for EngineKind {
    type Err = NotAnEngine;

    fn from_str(text: &str) -> Result<Self, NotAnEngine> {
        [Self::Native, Self::Interpreter].into_iter().find(|kind| kind.to_string() == text).ok_or(NotAnEngine)
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Interpreter => "interpreter",
        })
    }
}

impl fmt::Display for NotAnEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the engines are `native` and `interpreter`")
    }
}

impl std::error::Error for NotAnEngine {}

fn config(kind: EngineKind) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .memory_reservation(MEMORY_RESERVATION)
        .memory_reservation_for_growth(MEMORY_RESERVATION_FOR_GROWTH)
        .memory_guard_size(MEMORY_GUARD)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES))
        // A plugin that was built with debug information gets source lines into its traps.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .module_version(ModuleVersionStrategy::Custom(fingerprint(kind).to_owned()))?;
    if kind == EngineKind::Interpreter {
        config.target(PULLEY_TARGET)?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests;

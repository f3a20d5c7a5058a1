//! The one wasmtime configuration that the runtime and the compiler program must agree on.
//!
//! An artefact loads only into an engine configured like the one that made it, and the two live in different programs:
//! the daemon is linked without a code generator. Whatever changes generated code belongs here and nowhere else.
//!
//! What must stay true: a change of any setting changes [`fingerprint`], which is part of every cache key and is also
//! written into the artefact, where wasmtime compares it before it loads.
//!
//! Deliberately absent: the compiler (a Cargo feature of `edgeplug-compiler` alone), the pooling allocator (it saves
//! microseconds per instance and cost an advisory), component-model async (four times the price per call).

use std::fmt::Write as _;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine, ModuleVersionStrategy, WasmBacktraceDetails};

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

/// The exact version in the workspace's lock file, such as `48.0.8`.
pub const WASMTIME_VERSION: &str = env!("WASMTIME_VERSION");

/// How compiled code is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// As instructions of the processor.
    #[default]
    Native,
    /// As bytecode of wasmtime's interpreter Pulley, where no memory may be made executable.
    Interpreter,
}

/// Builds the engine. The caller owns its epoch: with epoch interruption on, a guest runs only while somebody counts.
pub fn engine() -> wasmtime::Result<Engine> {
    Engine::new(&config()?)
}

/// Sixteen hexadecimal digits that differ whenever an artefact of one configuration may not be loaded by the other.
#[must_use]
pub fn fingerprint() -> &'static str {
    static FINGERPRINT: OnceLock<String> = OnceLock::new();
    FINGERPRINT.get_or_init(|| {
        let described = format!(
            "wasmtime {WASMTIME_VERSION} {}-{} epochs=1 concurrency=0 reservation={MEMORY_RESERVATION} \
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

fn config() -> wasmtime::Result<Config> {
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
        .module_version(ModuleVersionStrategy::Custom(fingerprint().to_owned()))?;
    Ok(config)
}

#[cfg(test)]
mod tests;

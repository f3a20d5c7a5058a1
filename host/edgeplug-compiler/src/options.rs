//! What the command line may say: two limits, both with a default.

/// Enough for a Python guest on a slow gateway; a Rust guest needs a tenth of a second.
const CPU_S_DEFAULT: u64 = 120;
/// The largest guests peak at 480 MB.
const MEMORY_MB_DEFAULT: u64 = 1024;

pub(crate) const HELP: &str = "\
edgeplug-compiler: compiles a WebAssembly component for the Edgeplug daemon

usage: edgeplug-compiler [--cpu-s N] [--memory-mb N] < plugin.wasm | cat > plugin.cwasm

The output must be a pipe: the process may not write to files.
";

/// Limits the process puts on itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Processor time in seconds, after which the kernel kills the process.
    pub(crate) cpu_s: u64,
    /// Address space in MiB.
    pub(crate) memory_mb: u64,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("unknown argument {0:?}; see --help")]
    Unknown(String),
    #[error("{0} wants a whole number from 1 to 1000000")]
    Number(String),
}

impl Options {
    /// `None` when help was asked for.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, UsageError> {
        let mut options = Self { cpu_s: CPU_S_DEFAULT, memory_mb: MEMORY_MB_DEFAULT };
        while let Some(argument) = arguments.next() {
            let target = match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--cpu-s" => &mut options.cpu_s,
                "--memory-mb" => &mut options.memory_mb,
                _ => return Err(UsageError::Unknown(argument)),
            };
            *target = arguments
                .next()
                .and_then(|text| text.parse().ok())
                .filter(|number| (1..=1_000_000).contains(number))
                .ok_or(UsageError::Number(argument))?;
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests;

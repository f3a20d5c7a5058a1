//! What the command line may say: a job, and two limits with a default.

use std::path::PathBuf;

use edgeplug_engine::EngineKind;

use crate::bindings::Language;
use crate::interface::WHOLE_WORLD;

/// Enough for a Python guest on a slow gateway; a Rust guest needs a tenth of a second.
const CPU_S_DEFAULT: u64 = 120;
/// The largest guests peak at 480 MB.
const MEMORY_MB_DEFAULT: u64 = 1024;

pub(crate) const HELP: &str = "\
edgeplug-compiler: compiles a WebAssembly component for the Edgeplug daemon

usage: edgeplug-compiler [--engine ENGINE] [--portable] [LIMITS] < plugin.wasm | cat > plugin.cwasm
           a component to native code for this machine, or for any of its architecture
       edgeplug-compiler inspect [LIMITS] < file | cat
           what a file is and whether the daemon takes it, as JSON
       edgeplug-compiler componentize [--world WORLD] [LIMITS] < core.wasm | cat > plugin.wasm
           a core module to a component; `edgeplug plugin build` is the comfortable way
       edgeplug-compiler bindings --lang c|markdown --out DIR [--world WORLD]
       edgeplug-compiler bindings --lang rust --out DIR
       edgeplug-compiler bindings --lang go --package MODULE --out DIR [--world WORLD]
           generated code for an SDK, or the interface as a text

ENGINE: native (when none is given) or interpreter, for systems that forbid executable memory
LIMITS: --cpu-s N --memory-mb N
WORLD:  a world of the plugin interface (plugin when none is given), or a list of exports: sensor,commands

The output of the first three must be a pipe: the process may not write to files.
";

/// What is to be done, and within which limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) job: Job,
    pub(crate) limits: Limits,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Compile {
        engine: EngineKind,
        /// For every processor of this architecture, instead of this one.
        portable: bool,
    },
    /// Any file to JSON.
    Inspect,
    Componentize {
        world: String,
    },
    Bindings {
        language: Language,
        world: String,
        directory: PathBuf,
        /// Go's path of the module that the bindings become part of.
        package: Option<String>,
    },
}

/// Limits the process puts on itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
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
    #[error("{0} wants a value; see --help")]
    Value(String),
    #[error("bindings need --{0}; see --help")]
    Missing(&'static str),
    #[error("there is no engine {0:?}; there are native and interpreter")]
    Engine(String),
    #[error("there are no bindings for {0:?}; there are c, go, rust and markdown")]
    Language(String),
}

impl Options {
    /// `None` when help was asked for.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, UsageError> {
        let mut arguments = arguments.peekable();
        let verb = arguments
            .next_if(|first| ["inspect", "componentize", "bindings"].contains(&first.as_str()))
            .unwrap_or_default();
        let mut limits = Limits { cpu_s: CPU_S_DEFAULT, memory_mb: MEMORY_MB_DEFAULT };
        let (mut world, mut language, mut directory, mut package, mut engine) = (None, None, None, None, None);
        let mut portable = false;
        while let Some(argument) = arguments.next() {
            let place = match (verb.as_str(), argument.as_str()) {
                (_, "--help" | "-h") => return Ok(None),
                (_, "--cpu-s") => {
                    limits.cpu_s = number(argument, arguments.next())?;
                    continue;
                }
                (_, "--memory-mb") => {
                    limits.memory_mb = number(argument, arguments.next())?;
                    continue;
                }
                ("", "--portable") => {
                    portable = true;
                    continue;
                }
                ("", "--engine") => &mut engine,
                ("componentize" | "bindings", "--world") => &mut world,
                ("bindings", "--lang") => &mut language,
                ("bindings", "--out") => &mut directory,
                ("bindings", "--package") => &mut package,
                _ => return Err(UsageError::Unknown(argument)),
            };
            *place = Some(arguments.next().ok_or(UsageError::Value(argument))?);
        }
        let world = world.unwrap_or_else(|| WHOLE_WORLD.to_owned());
        let job = match verb.as_str() {
            "inspect" => Job::Inspect,
            "componentize" => Job::Componentize { world },
            "bindings" => {
                let language = language.ok_or(UsageError::Missing("lang"))?;
                let language = Language::named(&language).ok_or(UsageError::Language(language))?;
                let directory = directory.ok_or(UsageError::Missing("out"))?.into();
                Job::Bindings { language, world, directory, package }
            }
            _ => {
                let engine = engine.map(|name| name.parse().map_err(|_| UsageError::Engine(name))).transpose()?;
                Job::Compile { engine: engine.unwrap_or_default(), portable }
            }
        };
        Ok(Some(Self { job, limits }))
    }
}

fn number(argument: String, value: Option<String>) -> Result<u64, UsageError> {
    value
        .and_then(|text| text.parse().ok())
        .filter(|number| (1..=1_000_000).contains(number))
        .ok_or(UsageError::Number(argument))
}

#[cfg(test)]
mod tests;

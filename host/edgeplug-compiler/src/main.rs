//! Compiles one WebAssembly component: `.wasm` on standard input, native artefact (`.cwasm`) on standard output. With
//! `inspect` it tells what a file is instead, with `componentize` it makes a component of a core module, and with
//! `bindings` it generates code for an SDK.
//!
//! The input is hostile and the code generator is large, so this is a process of its own that locks itself down before
//! it reads the first byte ([`lockdown`]) and ends after one component. The daemon bounds its wall time and the size of
//! what it writes, and never links a code generator itself. `bindings` reads no input and writes files: it is a
//! developer's job, without locks.
//!
//! What must stay true: nothing is read before the locks are on; standard output is either whole (exit code 0) or
//! worthless; standard error holds one sentence that says what is wrong and what to do.
//!
//! It costs up to half a gigabyte for a moment with the largest guests (Python, JavaScript on SpiderMonkey), which is
//! the other reason to do it in a process that ends.

mod bindings;
mod compile;
mod componentize;
mod inspect;
mod interface;
mod lockdown;
mod options;

use std::io::{self, Read, Write};
use std::process::ExitCode;

use bindings::BindingsError;
use compile::CompileError;
use componentize::ComponentizeError;
use options::{Job, Limits, Options, UsageError};

/// Largest component taken. A Python guest carries its whole interpreter in 18 MB.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// One variant per exit code, so that the parent can branch without reading text.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("the input is larger than {} MiB; build the plugin with optimisation and without debug information", INPUT_BYTES_MAX >> 20)]
    TooLarge,
    #[error(transparent)]
    Component(#[from] CompileError),
    #[error(transparent)]
    Module(#[from] ComponentizeError),
    #[error(transparent)]
    Bindings(#[from] BindingsError),
    #[error("cannot lock the compiler down ({0}); refusing to read untrusted input")]
    Lockdown(#[from] lockdown::LockdownError),
    #[error("cannot {0}: {1}")]
    Io(&'static str, io::Error),
}

impl Failure {
    /// 2 wrong arguments, 3 input too large, 4 not a component (or core module), 5 it does not fit the daemon or
    /// compile (or become a component), 6 reading or writing failed, 7 the locks could not be put on. A process that
    /// used up its CPU time dies of SIGXCPU, one that used up its memory of SIGABRT.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Bindings(BindingsError::Generator(_)) => 2,
            Self::TooLarge => 3,
            Self::Component(CompileError::NotAComponent(_)) | Self::Module(ComponentizeError::NotAModule(_)) => 4,
            Self::Component(CompileError::Unfit(_) | CompileError::Invalid(_))
            | Self::Module(ComponentizeError::Unfit(_)) => 5,
            Self::Io(..) | Self::Bindings(BindingsError::Write { .. }) => 6,
            Self::Lockdown(_) => 7,
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed; the exit code says it too.
            let _ = writeln!(io::stderr(), "edgeplug-compiler: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run() -> Result<(), Failure> {
    let options = match Options::parse(std::env::args().skip(1))? {
        Some(options) => options,
        None => {
            return io::stdout().write_all(options::HELP.as_bytes()).map_err(|error| Failure::Io("write help", error));
        }
    };
    match options.job {
        Job::Compile { engine, portable } => {
            filter(options.limits, |component| Ok(compile::compile(&component, engine, portable)?))
        }
        Job::Inspect => filter(options.limits, |file| {
            serde_json::to_vec(&inspect::inspect(&file)).map_err(|error| Failure::Io("write JSON", error.into()))
        }),
        Job::Componentize { world } => {
            filter(options.limits, |module| Ok(componentize::componentize(&module, &world)?))
        }
        Job::Bindings { language, world, directory, package } => {
            Ok(bindings::bindings(language, package, &world, &directory)?)
        }
    }
}

/// Standard input through `work` to standard output, behind locks.
fn filter(limits: Limits, work: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, Failure>) -> Result<(), Failure> {
    for note in lockdown::lock_down(limits)? {
        let _ = writeln!(io::stderr(), "edgeplug-compiler: note: {note}");
    }
    let output = work(read_input()?)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&output).and_then(|()| stdout.flush()).map_err(|error| Failure::Io("write the result", error))
}

fn read_input() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::Io("read the input", error))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= INPUT_BYTES_MAX) { Ok(bytes) } else { Err(Failure::TooLarge) }
}

//! From component bytes to artefact bytes, with the one engine configuration.

use edgeplug_engine::{EngineKind, Form};
use wasmtime::Error;

use crate::inspect::inspect;

/// The eight bytes at the start of a binary: magic, version and layer (WebAssembly component model, `Binary.md`).
pub(crate) const COMPONENT_PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
pub(crate) const MODULE_PREAMBLE: &[u8] = b"\0asm\x01\0\0\0";

#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error("{0}")]
    NotAComponent(String),
    /// It would compile, and the daemon could not run it.
    #[error("{0}")]
    Unfit(String),
    #[error("the component does not compile: {0}")]
    Invalid(String),
}

/// Compiles for this machine's processor, or with `portable` for any of its architecture.
pub(crate) fn compile(component: &[u8], kind: EngineKind, portable: bool) -> Result<Vec<u8>, CompileError> {
    let found = inspect(component);
    match (found.form, found.problem) {
        (Form::Module | Form::Unknown, Some(problem)) => return Err(CompileError::NotAComponent(problem)),
        (Form::Component, Some(problem)) => return Err(CompileError::Unfit(problem)),
        // What is broken inside has a better name in the compiler.
        (Form::Broken, _) | (_, None) => {}
    }
    let engine = if portable { edgeplug_engine::portable_engine(kind) } else { edgeplug_engine::engine(kind) };
    let engine = engine.map_err(|error| invalid(&error))?;
    engine.precompile_component(component).map_err(|error| invalid(&error))
}

/// One line with the whole chain of causes.
fn invalid(error: &Error) -> CompileError {
    CompileError::Invalid(format!("{error:#}").replace('\n', " "))
}

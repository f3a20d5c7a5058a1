//! From component bytes to artefact bytes, with the one engine configuration.

use wasmtime::Error;

/// The eight bytes at the start of a binary: magic, version and layer (WebAssembly component model, `Binary.md`).
pub(crate) const COMPONENT_PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
pub(crate) const MODULE_PREAMBLE: &[u8] = b"\0asm\x01\0\0\0";

#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error("{0}")]
    NotAComponent(&'static str),
    #[error("the component does not compile: {0}")]
    Invalid(String),
}

/// Compiles for this machine's processor.
pub(crate) fn compile(component: &[u8]) -> Result<Vec<u8>, CompileError> {
    if component.starts_with(MODULE_PREAMBLE) {
        return Err(CompileError::NotAComponent(
            "this is a core module, not a component; build it for wasm32-wasip2, or make a component of it with \
             `edgeplug plugin build`",
        ));
    }
    if !component.starts_with(COMPONENT_PREAMBLE) {
        return Err(CompileError::NotAComponent("this is not a WebAssembly component"));
    }
    let engine = edgeplug_engine::engine().map_err(|error| invalid(&error))?;
    engine.precompile_component(component).map_err(|error| invalid(&error))
}

/// One line with the whole chain of causes.
fn invalid(error: &Error) -> CompileError {
    CompileError::Invalid(format!("{error:#}").replace('\n', " "))
}

//! What a file is, and whether it fits this daemon, without compiling or running it.
//!
//! A file that does not fit gets a diagnosis of three parts: what it wants, what there is, what to do. It is the
//! compiler program that looks ([`Compiler::inspect`]): a hostile file can make the best parser recurse or hoard
//! without end.

use std::path::Path;

use edgeplug_engine::{EngineKind, Inspection};

use crate::compiler::{CompileFailure, Compiler};
use crate::options::Limits;

/// Nobody looked to the end.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file is at fault.
    #[error("{0}")]
    File(String),
    /// The machine is at fault.
    #[error("{0}")]
    Machine(String),
}

/// Has the program `edgeplug-compiler` of the same build look at any bytes.
pub async fn inspect(compiler: &Path, bytes: &[u8]) -> Result<Inspection, InspectError> {
    let Limits { compile_wall, artefact_bytes, .. } = Limits::default();
    let compiler = Compiler {
        program: compiler.to_owned(),
        engine: EngineKind::default(),
        portable: false,
        wall_max: compile_wall,
        artefact_bytes_max: artefact_bytes,
    };
    compiler.inspect(bytes).await.map_err(|failure| match failure {
        CompileFailure::Component(reason) => InspectError::File(reason),
        CompileFailure::Machine(reason) => InspectError::Machine(reason),
    })
}

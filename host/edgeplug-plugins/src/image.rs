//! Compiled plugins for a system image, made where the image is made: see [`PluginsOptions::cache_images`].
//!
//! They fit daemons of the same build and architecture; any other passes them over and compiles for itself.
//!
//! [`PluginsOptions::cache_images`]: crate::PluginsOptions::cache_images

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use edgeplug_engine::EngineKind;
use sha2::{Digest, Sha256};

use crate::cache::{Owner, hex, vouched};
use crate::compiler::{CompileFailure, Compiler};
use crate::options::Limits;

/// What one component became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageArtefact {
    /// The artefact; the hash that vouches for it lies beside it as `….cwasm.sha256`.
    pub path: PathBuf,
    /// Hash of the component, by which the daemon finds the artefact.
    pub sha256: String,
    /// Length of the artefact.
    pub bytes: u64,
}

/// Why there is no artefact.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("cannot make {path}", path = .0.display())]
    Directory(PathBuf, #[source] io::Error),
    /// The component is at fault.
    #[error("{0}")]
    Component(String),
    /// The machine is at fault.
    #[error("{0}")]
    Machine(String),
}

/// Compiles a component into a directory, which is made when it is missing, with the program `edgeplug-compiler` of the
/// same build.
pub async fn compile_for_image(
    compiler: &Path,
    engine: EngineKind,
    component: &[u8],
    directory: &Path,
) -> Result<ImageArtefact, ImageError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(|error| ImageError::Directory(directory.to_owned(), error))?;
    let Limits { compile_wall, artefact_bytes, .. } = Limits::default();
    let compiler = Compiler {
        program: compiler.to_owned(),
        engine,
        portable: true,
        wall_max: compile_wall,
        artefact_bytes_max: artefact_bytes,
    };
    let sha256 = hex(&Sha256::digest(component));
    let path = vouched::path(directory, &sha256, engine);
    let bytes = vouched::write(&path, Owner::Image, &compiler, component).await?;
    Ok(ImageArtefact { path, sha256, bytes })
}

impl From<CompileFailure> for ImageError {
    fn from(failure: CompileFailure) -> Self {
        match failure {
            CompileFailure::Component(reason) => Self::Component(reason),
            CompileFailure::Machine(reason) => Self::Machine(reason),
        }
    }
}

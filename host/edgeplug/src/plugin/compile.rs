//! `edgeplug plugin compile`: components become what an image ships, so that no device has to compile them.

use std::path::{Path, PathBuf};

use edgeplug_plugins::{EngineKind, ImageArtefact, ImageError, compile_for_image};
use serde_json::{Value, json};

use crate::cli::print::say;
use crate::exit::{Exit, Problem, chain};

/// What was typed.
#[derive(Debug)]
pub(crate) struct Compile {
    pub(crate) files: Vec<PathBuf>,
    /// The directory of artefacts.
    pub(crate) output: PathBuf,
    pub(crate) engine: EngineKind,
    /// The program `edgeplug-compiler`.
    pub(crate) compiler: PathBuf,
    pub(crate) json: bool,
}

impl Compile {
    /// Ends with the first file that fails; what was made before stays.
    pub(crate) async fn run(self) -> Result<(), Problem> {
        let mut answers = Vec::new();
        for file in &self.files {
            let made = self.compile(file).await?;
            if self.json {
                answers.push(json!({
                    "file": file, "sha256": made.sha256, "output": made.path, "size": made.bytes,
                    "engine": self.engine,
                }));
            } else {
                say(&format!("{}: {}, {} bytes", file.display(), made.path.display(), made.bytes))?;
            }
        }
        if self.json { say(&format!("{:#}", Value::from(answers))) } else { Ok(()) }
    }

    async fn compile(&self, file: &Path) -> Result<ImageArtefact, Problem> {
        let component = super::read(file)?;
        compile_for_image(&self.compiler, self.engine, &component, &self.output).await.map_err(|error| {
            let exit = match error {
                ImageError::Component(_) => Exit::PluginUnfit,
                ImageError::Directory(..) | ImageError::Machine(_) => Exit::Failed,
            };
            Problem::new(exit, format!("{}: {}", file.display(), chain(&error)))
        })
    }
}

//! `edgeplug plugin build`: what a compiler made becomes a component that the daemon takes.
//!
//! What must stay true: the output appears whole and only when it fits, so that `make` never takes a failure for done.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use edgeplug_plugins::Form;
use serde_json::json;

use super::{compiler, inspect};
use crate::cli::print::say;
use crate::exit::{Exit, Problem};

/// What was typed.
#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) file: PathBuf,
    /// In place of `file` when there is none.
    pub(crate) output: Option<PathBuf>,
    pub(crate) world: String,
    /// The program `edgeplug-compiler`.
    pub(crate) compiler: PathBuf,
    pub(crate) json: bool,
}

impl Build {
    pub(crate) async fn run(self) -> Result<(), Problem> {
        let input = super::read(&self.file)?;
        let was_module = inspect::look(&self.file, &input, &self.compiler).await?.form == Form::Module;
        let component = if was_module {
            let made = compiler::componentize(&self.compiler, &input, &self.world).await;
            made.map_err(|problem| Problem::new(problem.exit, format!("{}: {}", self.file.display(), problem.text)))?
        } else {
            input
        };
        let found = inspect::look(&self.file, &component, &self.compiler).await?;
        // What is no WebAssembly at all was not made by us: the diagnosis is about the input either way.
        inspect::verdict(&self.file, &found)?;
        let output = self.output.as_ref().unwrap_or(&self.file);
        let writes = was_module || self.output.is_some();
        if writes {
            write(output, &component)
                .map_err(|error| Problem::new(Exit::Failed, format!("cannot write {}: {error}", output.display())))?;
        }
        if self.json {
            let answer = json!({
                "output": output, "was_component": !was_module, "written": writes, "size": found.size,
                "sha256": found.sha256, "exports": found.exports, "imports": found.imports,
            });
            return say(&format!("{answer:#}"));
        }
        let what = if was_module { "made a component of a core module" } else { "it is a component already" };
        say(&format!("{}: {what}, {} bytes", output.display(), found.size))?;
        say(&format!("  exports  {}", found.exports.join("\n           ")))
    }
}

/// Under another name first.
fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut part = tempfile::Builder::new()
        .prefix(".edgeplug-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(directory)?;
    part.write_all(content)?;
    part.persist(path).map_err(|error| error.error)?;
    Ok(())
}

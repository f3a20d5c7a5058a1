//! What `edgeplug plugin` does for authors of plugins: projects, components, trials. Only [`logs`] needs a daemon.

pub(crate) mod build;
pub(crate) mod compile;
pub(crate) mod inspect;
pub(crate) mod logs;
pub(crate) mod new;
pub(crate) mod trial;

mod compiler;
mod packed;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::exit::{Exit, Problem};

/// Largest file taken for a plugin, as the compiler takes.
const FILE_BYTES_MAX: u64 = 64 << 20;

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let failed = |error: std::io::Error| Problem::new(Exit::Failed, format!("cannot read {}: {error}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_BYTES_MAX) {
        return Ok(bytes);
    }
    let text = format!(
        "{} has more than {} MiB; build the plugin with optimisation and without debug information",
        path.display(),
        FILE_BYTES_MAX >> 20
    );
    Err(Problem::new(Exit::PluginUnfit, text))
}

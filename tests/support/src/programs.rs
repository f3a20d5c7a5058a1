//! Where the things that the build has made are: our own programs and the guests.
//!
//! Tests never build; they use what `make build` and `make guests` left, and fail saying so when it is not there.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// One of our programs (`edgeplug`, `edgeplug-compiler`, `edgeplug-cloud`), built with the same profile as this test.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let ourselves = std::env::current_exe().context("cannot tell where this program lies")?;
    let beside = ourselves.parent().context("this program lies in no target directory")?;
    // A program lies in target/<profile>, a test in target/<profile>/deps.
    let profile = if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside };
    let program = profile.join(name);
    ensure!(program.is_file(), "{} is not built: run `make build`", program.display());
    Ok(program)
}

/// The component of a guest, `target/guests/<name>.wasm`.
pub fn guest(name: &str) -> anyhow::Result<PathBuf> {
    let guest = target_directory().join("guests").join(format!("{name}.wasm"));
    ensure!(guest.is_file(), "{} is not built: run `make guests`", guest.display());
    Ok(guest)
}

/// The workspace's target directory.
#[must_use]
pub fn target_directory() -> PathBuf {
    // A relative directory in the environment is meant from where cargo was called, the workspace's root.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root.join(directory),
        None => root.join("target"),
    }
}

#[cfg(test)]
mod tests;

//! Hands the exact wasmtime version of the lock file and the target to the crate.
//!
//! wasmtime itself only compares major versions when it loads an artefact, but a patch release may exist because the
//! compiler made wrong code; what an older patch compiled must not be loaded after the upgrade.

use std::path::Path;

fn main() {
    println!("cargo::rustc-env=BUILT_FOR={}", std::env::var("TARGET").unwrap_or_default());
    // Asked for when it runs: the sources may have moved since this script was compiled.
    let sources = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let lock = Path::new(&sources).join("../../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let text = match std::fs::read_to_string(&lock) {
        Ok(text) => text,
        Err(error) => {
            println!("cargo::error=cannot read {}: {error}; it belongs to the sources", lock.display());
            return;
        }
    };
    let mut lines = text.lines().skip_while(|line| *line != "name = \"wasmtime\"");
    let version =
        lines.nth(1).and_then(|line| line.strip_prefix("version = \"")).and_then(|line| line.strip_suffix('"'));
    match version {
        Some(version) => println!("cargo::rustc-env=WASMTIME_VERSION={version}"),
        None => println!("cargo::error=no package wasmtime in {}", lock.display()),
    }
}

//! Loads compiled native code. The only `unsafe` of the crate.

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// An artefact that [`crate::cache`] has checked: it lies in a directory that only we can enter, is ours, and its
/// content has the hash that was written down when our own compiler made it. Nobody else can make one.
pub(crate) struct Checked<'a> {
    path: &'a Path,
}

impl<'a> Checked<'a> {
    /// For the cache alone, after all its checks.
    pub(crate) fn by_the_cache(path: &'a Path) -> Self {
        Self { path }
    }
}

/// Maps the artefact into memory. wasmtime refuses one that another engine configuration or version made.
#[allow(unsafe_code)]
pub(crate) fn load(engine: &Engine, artefact: &Checked<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by our own compiler program from a component that wasmtime validated, and has not
    // changed since: `Checked` is made only after owner, mode and hash were compared, in a directory of mode 0700 whose
    // files are only ever replaced by renaming.
    unsafe { Component::deserialize_file(engine, artefact.path) }
}

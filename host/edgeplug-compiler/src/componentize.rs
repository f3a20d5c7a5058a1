//! From a core module to a component.
//!
//! What C and Go compilers make is a core module. It becomes a component by what it says of itself (the section
//! `component-type` that generated bindings carry along) or, where it says nothing (Go), by the interface in this
//! program, cut down to the exports that the module has. A module built for preview 1 of WASI gets wasmtime's
//! adapter to preview 2 around it.
//!
//! Deliberately absent: letting the adapter grow the memory for itself (`realloc_via_memory_grow`). The heaps of Go and
//! TinyGo take it for granted that nobody else does.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::compile::{COMPONENT_PREAMBLE, MODULE_PREAMBLE};
use crate::interface;

/// Sections that hold what a module says of itself begin so (`wit-component`, `metadata.rs`).
const METADATA: &str = "component-type";
/// What a function of an exported interface is called in a core module begins so, in the two manglings there are
/// (component model, `BuildTargets.md`; and what was there before it).
const EXPORT_PREFIXES: [&str; 2] = ["edgeplug:plugin/", "cm32p2|edgeplug:plugin/"];

#[derive(Debug, thiserror::Error)]
pub(crate) enum ComponentizeError {
    #[error("{0}")]
    NotAModule(&'static str),
    #[error("the core module does not become a component: {0}")]
    Unfit(String),
}

/// Makes a component. `world` counts only for a module that says nothing of itself.
pub(crate) fn componentize(module: &[u8], world: &str) -> Result<Vec<u8>, ComponentizeError> {
    if module.starts_with(COMPONENT_PREAMBLE) {
        return Err(ComponentizeError::NotAModule("this is a component already"));
    }
    if !module.starts_with(MODULE_PREAMBLE) {
        return Err(ComponentizeError::NotAModule("this is not WebAssembly"));
    }
    // The library is written for modules that compilers made, and asserts what holds for those.
    std::panic::set_hook(Box::new(|_| ()));
    match catch_unwind(AssertUnwindSafe(|| encode(module, world))) {
        Ok(result) => result.map_err(|error| ComponentizeError::Unfit(format!("{error:#}").replace('\n', " "))),
        Err(_) => Err(ComponentizeError::Unfit("it is damaged, or no compiler made it".to_owned())),
    }
}

fn encode(module: &[u8], world: &str) -> anyhow::Result<Vec<u8>> {
    let about = About::read(module)?;
    let mut module = module.to_vec();
    if !about.has_metadata {
        let (mut resolve, id) = interface::world(world)?;
        let left = interface::keep_exports(&mut resolve, id, |export| about.exports.iter().any(|name| name == export));
        anyhow::ensure!(
            left > 0,
            "it exports nothing of `{world}`; are the generated bindings part of the build, and was it built as a \
             library (`-mexec-model=reactor`, `-buildmode=c-shared`)?"
        );
        embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8, false)?;
    }
    ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?
        .encode()
}

/// What a core module shows from outside.
#[derive(Default)]
struct About {
    has_metadata: bool,
    /// Short names of the interfaces of which it exports functions.
    exports: Vec<String>,
}

impl About {
    fn read(module: &[u8]) -> anyhow::Result<Self> {
        let mut about = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::CustomSection(section) => about.has_metadata |= section.name().starts_with(METADATA),
                Payload::ExportSection(exports) => {
                    for export in exports {
                        about.exports.extend(interface_of(export?.name).map(str::to_owned));
                    }
                }
                _ => (),
            }
        }
        Ok(about)
    }
}

/// `edgeplug:plugin/sensor@0.2.0#sample` → `sensor`.
fn interface_of(export: &str) -> Option<&str> {
    let rest = EXPORT_PREFIXES.iter().find_map(|prefix| export.strip_prefix(prefix))?;
    rest.split(['@', '#', '|']).next()
}

#[cfg(test)]
mod tests;

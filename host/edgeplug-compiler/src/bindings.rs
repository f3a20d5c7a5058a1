//! Bindings for the languages whose SDKs carry generated code, and the interface as a text for people.
//!
//! This is a developer's job: it reads nothing but what is in the program and writes files, so it is not locked down.

use std::io;
use std::path::{Path, PathBuf};

use wit_bindgen_core::{Files, WorldGenerator};
use wit_parser::Resolve;

use crate::interface;

/// Imports of the Rust SDK, each generated once.
const RUST_IMPORTS: [&str; 2] = ["imports", "hardware"];
/// Where the Rust SDK has its bindings, seen from itself and from a plugin.
const RUST_INSIDE: &str = "crate::bindings";
const RUST_OUTSIDE: &str = "edgeplug_guest::bindings";
const TYPES: &str = "types";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Go,
    Rust,
    Markdown,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BindingsError {
    #[error("no bindings: {0}")]
    Generator(String),
    #[error("cannot write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
}

impl Language {
    /// By the name that is typed.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "c" => Some(Self::C),
            "go" => Some(Self::Go),
            "rust" => Some(Self::Rust),
            "markdown" => Some(Self::Markdown),
            _ => None,
        }
    }
}

/// Writes the generated files below a directory, which is made where it is missing.
pub(crate) fn bindings(
    language: Language,
    package: Option<String>,
    world: &str,
    directory: &Path,
) -> Result<(), BindingsError> {
    let files = match language {
        Language::C => generate(&mut *wit_bindgen_c::Opts::default().build(), world),
        Language::Go => generate(&mut *go(package), world),
        Language::Rust => rust(),
        Language::Markdown => generate(&mut *wit_bindgen_markdown::Opts::default().build(), world),
    };
    let files = files.map_err(|error| BindingsError::Generator(format!("{error:#}")))?;
    for (name, content) in files.iter() {
        let path = directory.join(name);
        write(&path, content).map_err(|error| BindingsError::Write { path, error })?;
    }
    Ok(())
}

fn generate(generator: &mut dyn WorldGenerator, world: &str) -> anyhow::Result<Files> {
    let (mut resolve, world) = interface::world(world)?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files)?;
    Ok(files)
}

fn go(package: Option<String>) -> Box<dyn WorldGenerator> {
    // What is generated shall not depend on whether gofmt is at hand.
    let format = wit_bindgen_go::Format::False;
    wit_bindgen_go::Opts { pkg_name: package, format, ..Default::default() }.build()
}

/// A module for the imports, one for the hardware, and one for each export: which of those a plugin has is decided by
/// what it links.
fn rust() -> anyhow::Result<Files> {
    let mut all = Files::default();
    let mut add = |mut resolve: Resolve, world, name: &str, options: wit_bindgen_rust::Opts| -> anyhow::Result<()> {
        let mut files = Files::default();
        options.build().generate(&mut resolve, world, &mut files)?;
        for (_, content) in files.iter() {
            all.push(&format!("{}.rs", name.replace('-', "_")), content);
        }
        Ok(())
    };
    let common = || wit_bindgen_rust::Opts {
        format: true,
        generate_all: true,
        additional_derive_attributes: vec!["PartialEq".to_owned()],
        ..Default::default()
    };
    for name in RUST_IMPORTS {
        let (resolve, world) = interface::world(name)?;
        add(resolve, world, name, common())?;
    }
    for export in interface::all_exports()? {
        let (resolve, world) = interface::export_alone(&export)?;
        let module = export.replace('-', "_");
        let mut options = wit_bindgen_rust::Opts {
            pub_export_macro: true,
            export_macro_name: Some(format!("export_{module}")),
            default_bindings_module: Some(format!("{RUST_OUTSIDE}::{module}")),
            ..common()
        };
        // One type for one thing, whatever it goes through.
        if let Some(types) = interface::imported(&resolve, world, TYPES) {
            let path = format!("{RUST_INSIDE}::imports::edgeplug::plugin::{TYPES}");
            options.with = vec![(types, wit_bindgen_rust::WithOption::Path(path))];
        }
        add(resolve, world, &export, options)?;
    }
    Ok(all)
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, content)
}

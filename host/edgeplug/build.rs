//! Packs the SDKs and templates of `guests/` into the program, for `edgeplug plugin new`.
//!
//! What must stay true: sources only, and little of them (compressed, for a program that shall fit small devices); a
//! template with a placeholder that nobody fills does not build. What is written here is read by `src/plugin/packed.rs`.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders of `guests/`. `tinygo` serves Go as well.
const SDKS: [&str; 5] = ["rust", "c", "tinygo", "python", "javascript"];
/// Most of one SDK; a tenth of it ends up in the program.
const SDK_BYTES_MAX: usize = 1 << 20;
/// The best there is; the whole takes a moment.
const COMPRESSION: u8 = 9;
const PLACEHOLDERS: [&str; 3] = ["{{name}}", "{{ident}}", "{{version}}"];
/// What builds and tests leave behind, and what only our own tests need.
const LEFT_OUT: [&str; 8] =
    ["tests", "target", "build", "dist", "node_modules", "__pycache__", "Cargo.lock", "package-lock.json"];
const ENDINGS_LEFT_OUT: [&str; 3] = ["wasm", "pyc", "o"];

fn main() -> Result<(), String> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../../guests");
    println!("cargo::rerun-if-changed=build.rs");
    // For each file: its SDK, path and length, a line each, and its content.
    let mut packed = Vec::new();
    for sdk in SDKS {
        let directory = root.join(sdk);
        println!("cargo::rerun-if-changed={}", directory.display());
        let mut files = Vec::new();
        if directory.is_dir() {
            collect(&directory, Path::new(""), &mut files)?;
        }
        files.sort();
        let before = packed.len();
        for file in files {
            let path = directory.join(&file);
            let content = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            if file.iter().next().is_some_and(|first| first.to_string_lossy().starts_with("template")) {
                check_placeholders(&file, &content)?;
            }
            packed.extend_from_slice(format!("{sdk}\n{}\n{}\n", file.display(), content.len()).as_bytes());
            packed.extend_from_slice(&content);
        }
        if packed.len() - before > SDK_BYTES_MAX {
            return Err(format!("guests/{sdk} has more than {SDK_BYTES_MAX} bytes; they all go into the program"));
        }
    }
    let output = PathBuf::from(variable("OUT_DIR")?).join("packed");
    let compressed = miniz_oxide::deflate::compress_to_vec(&packed, COMPRESSION);
    fs::write(&output, compressed).map_err(|error| format!("cannot write {}: {error}", output.display()))
}

fn collect(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let directory = root.join(below);
    let wrong = |error: std::io::Error| format!("cannot list {}: {error}", directory.display());
    for entry in fs::read_dir(&directory).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let name = entry.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?;
        let path = below.join(&name);
        let ending = path.extension().unwrap_or_default();
        if name.starts_with('.')
            || LEFT_OUT.contains(&name.as_str())
            || ENDINGS_LEFT_OUT.iter().any(|left| ending == *left)
        {
            continue;
        }
        let kind = entry.file_type().map_err(wrong)?;
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            files.push(path);
        } else {
            return Err(format!("{} is neither file nor directory", root.join(path).display()));
        }
    }
    Ok(())
}

fn check_placeholders(path: &Path, content: &[u8]) -> Result<(), String> {
    let text = format!("{} {}", path.display(), String::from_utf8_lossy(content));
    for (place, _) in text.match_indices("{{") {
        let rest = text.get(place..).unwrap_or_default();
        if !PLACEHOLDERS.iter().any(|known| rest.starts_with(known)) {
            let found: String = rest.chars().take(20).collect();
            return Err(format!("{}: {found:?} is none of {}", path.display(), PLACEHOLDERS.join(" ")));
        }
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

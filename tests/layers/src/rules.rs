//! What may not be named where, as a list of findings.

use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::names::{Name, Tests, names};

/// Where a rule is broken, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub file: PathBuf,
    pub line: usize,
    /// The path as written, `std::fs::read`.
    pub name: String,
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} ({})", self.file.display(), self.line, self.name, self.reason)
    }
}

/// Crates that read a clock of their own, do I/O or draw random numbers; a pure crate names none of them.
const IMPURE_CRATES: [&str; 10] =
    ["tokio", "async_std", "smol", "mio", "reqwest", "hyper", "rand", "rand_core", "getrandom", "uuid"];

/// Modules of `std` that touch the world outside the process or its threads.
const IMPURE_STD: [&str; 5] = ["fs", "net", "process", "thread", "env"];

const RANDOM_SOURCES: [&str; 3] = ["RandomState", "thread_rng", "OsRng"];

/// The rule of the pure crates: no runtime, no I/O, no clock, no random source. `now` and seeds come in as values.
#[must_use]
pub fn impure(file: &Path, source: &str) -> Vec<Finding> {
    findings(file, source, Tests::LeftOut, |name| {
        let segments: Vec<&str> = name.segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [first, ..] if IMPURE_CRATES.contains(first) => Some("no runtime, I/O or random source in a pure crate"),
            // A generator that was given its seed draws nothing from outside; every other way into this crate does.
            ["fastrand", "Rng"] | ["fastrand", "Rng", "with_seed"] => None,
            ["fastrand", ..] | ["Rng", "new" | "default"] => {
                Some("no random source in a pure crate, only seeded generators")
            }
            ["std" | "core", module, ..] if IMPURE_STD.contains(module) => Some("no I/O in a pure crate"),
            // Of a path of one word `now` is a parameter, the very way in which time comes here.
            [_, .., "now"] => Some("no clock in a pure crate"),
            _ if segments.iter().any(|segment| RANDOM_SOURCES.contains(segment)) => {
                Some("no random source in a pure crate")
            }
            _ => None,
        }
    })
}

/// A library that only its owner may name: `crates` as Rust paths start (`tss_esapi`).
#[must_use]
pub fn names_any_of(file: &Path, source: &str, crates: &[&str], owners: &str) -> Vec<Finding> {
    findings(file, source, Tests::Included, |name| {
        let named = name.segments.iter().any(|segment| crates.contains(&segment.as_str()));
        named.then(|| format!("only {owners} may name this"))
    })
}

/// `unsafe` code, and the lint's permission to write it.
#[must_use]
pub fn unsafe_code(file: &Path, source: &str) -> Vec<Finding> {
    findings(file, source, Tests::Included, |name| match name.segments.as_slice() {
        [word] if word == "unsafe" => Some("unsafe is only for loading a precompiled component"),
        _ => None,
    })
}

fn findings<R: Into<String>>(
    file: &Path,
    source: &str,
    tests: Tests,
    judge: impl Fn(&Name) -> Option<R>,
) -> Vec<Finding> {
    let found = names(source, tests).into_iter().filter_map(|name| {
        let reason = judge(&name)?.into();
        Some(Finding { file: file.to_owned(), line: name.line, name: name.segments.join("::"), reason })
    });
    found.collect()
}

/// All `.rs` files below a directory, in order; none if the directory does not exist.
///
/// # Errors
/// When a directory cannot be read.
pub fn rust_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !directory.is_dir() {
        return Ok(files);
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file of `src` holds only tests: `tests.rs`, or anything in a directory `tests`.
#[must_use]
pub fn holds_only_tests(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "tests") || file.components().any(|part| part.as_os_str() == "tests")
}

#[cfg(test)]
mod tests;

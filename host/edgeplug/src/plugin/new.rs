//! `edgeplug plugin new`: a directory that builds at once.
//!
//! What must stay true: nothing that exists is written over; a directory appears whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::packed;
use crate::cli::print::say;
use crate::exit::{Exit, Problem};

/// Longest name; the daemon makes file names, log fields and keys of it.
const NAME_BYTES_MAX: usize = 64;
/// What a language's tools would trip over as the name of a module or package.
const NAMES_TAKEN: [&str; 6] = ["edgeplug", "edgeplug-guest", "sdk", "test", "build", "main"];

/// A language with an SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    Rust,
    C,
    Tinygo,
    Go,
    Python,
    Javascript,
}

impl Language {
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Tinygo => "tinygo",
            Self::Go => "go",
            Self::Python => "python",
            Self::Javascript => "javascript",
        }
    }

    /// Folder of `guests/`.
    fn sdk(self) -> &'static str {
        match self {
            Self::Go => "tinygo",
            other => other.name(),
        }
    }
}

/// Lays a project out in `directory`, or in one of the plugin's name here.
pub(crate) fn new(language: Language, name: &str, directory: Option<&Path>) -> Result<(), Problem> {
    check_name(name).map_err(|words| Problem::new(Exit::Failed, words))?;
    let directory = directory.map_or_else(|| PathBuf::from(name), Path::to_owned);
    let ident = name.replace('-', "_");
    let fill = |text: &str| {
        text.replace("{{name}}", name).replace("{{ident}}", &ident).replace("{{version}}", env!("CARGO_PKG_VERSION"))
    };
    let files = packed::project(language.sdk(), language.name(), fill);
    if files.is_empty() {
        let text = format!("this build of edgeplug has no template for {}", language.name());
        return Err(Problem::new(Exit::Failed, text));
    }
    if directory.symlink_metadata().is_ok() {
        let text = format!("{} exists already; choose another name, or another place with --dir", directory.display());
        return Err(Problem::new(Exit::OutputExists, text));
    }
    lay(&directory, &files).map_err(|error| {
        Problem::new(Exit::Failed, format!("cannot lay the project out in {}: {error}", directory.display()))
    })?;
    let (shown, language) = (directory.display(), language.name());
    say(&format!(
        "{shown} is a plugin in {language}: its source, a test, a manifest, and the SDK in sdk/\n\
         next:\n  cd {shown}\n  make          builds {name}.wasm\n  make test     runs its tests\n  \
         make try      lets it run for ten virtual minutes, without a device or a cloud"
    ))
}

fn check_name(name: &str) -> Result<(), String> {
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !letters || !begins || name.ends_with('-') || name.contains("--") || name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "{name:?} cannot be a plugin's name; it wants lower-case letters, digits and single hyphens, a letter \
             first, at most {NAME_BYTES_MAX} in all"
        ));
    }
    if NAMES_TAKEN.contains(&name) {
        return Err(format!("{name:?} means something else to the tools; choose another name"));
    }
    Ok(())
}

/// Writes everything under another name first.
fn lay(directory: &Path, files: &[packed::Laid]) -> io::Result<()> {
    let name = directory.file_name().ok_or_else(|| io::Error::other("this is no name for a new directory"))?;
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let part = parent.join(format!(".{}.part-{}", name.to_string_lossy(), std::process::id()));
    fs::create_dir(&part)?;
    let written = files.iter().try_for_each(|file| {
        let path = part.join(&file.path);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(&path, &file.content)
    });
    let done = written.and_then(|()| fs::rename(&part, directory));
    if done.is_err() {
        // What went wrong first is worth more than that this failed, too.
        let _ = fs::remove_dir_all(&part);
    }
    done
}

#[cfg(test)]
mod tests;

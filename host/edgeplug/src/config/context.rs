//! Where a value came from, and what is said about one that cannot be.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use secrecy::SecretString;

use crate::exit::{Exit, Problem};

/// The file as it was typed.
pub(super) struct Context<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

impl Context<'_> {
    pub(super) fn invalid(&self, key: &str, reason: &str) -> Problem {
        self.wrong(key, Exit::ConfigInvalid, reason)
    }

    pub(super) fn wrong(&self, key: &str, exit: Exit, reason: &str) -> Problem {
        Problem::new(exit, format!("{}: {key}: {reason}", self.place(key)))
    }

    /// A number in its range, or the default.
    pub(super) fn range<T: PartialOrd + Copy + Display>(
        &self,
        key: &str,
        typed: Option<T>,
        default: T,
        range: RangeInclusive<T>,
        unit: &str,
    ) -> Result<T, Problem> {
        let value = typed.unwrap_or(default);
        if range.contains(&value) {
            return Ok(value);
        }
        let (least, most) = (range.start(), range.end());
        Err(self.invalid(key, &format!("{value} cannot be; choose {least} to {most} {unit} (default {default})")))
    }

    pub(super) fn name(&self, key: &str, value: &str) -> Result<(), Problem> {
        let fits = !value.trim().is_empty() && value.len() <= 128 && !value.chars().any(char::is_control);
        if fits { Ok(()) } else { Err(self.invalid(key, "must be 1 to 128 characters; take it from the portal")) }
    }

    pub(super) fn file(&self, key: &str, path: &Path) -> Result<(), Problem> {
        match std::fs::File::open(path) {
            Ok(_) => Ok(()),
            Err(error) => {
                let text = format!(
                    "{}: {key}: cannot read {} ({error}); create it or mend the path",
                    self.place(key),
                    path.display()
                );
                Err(Problem::new(Exit::ConfigFileMissing, text))
            }
        }
    }

    pub(super) fn secret(&self, key: &str, path: Option<&Path>) -> Result<Option<SecretString>, Problem> {
        let Some(path) = path else { return Ok(None) };
        self.file(key, path)?;
        let text = std::fs::read_to_string(path)
            .map_err(|error| self.invalid(key, &format!("cannot read {} ({error})", path.display())))?;
        Ok(Some(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned())))
    }

    /// File and, where the key stands in it, line.
    fn place(&self, key: &str) -> String {
        match line_of(self.text, key) {
            Some(line) => format!("{}, line {line}", self.file.display()),
            None => self.file.display().to_string(),
        }
    }
}

/// The line that sets a dotted key, or the table around it where that is written in one line.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let mut section = String::new();
    let mut best: Option<(usize, usize)> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = name.trim().to_owned();
            continue;
        }
        let Some((name, _)) = line.split_once('=') else { continue };
        let name = name.trim().trim_matches('"');
        let full = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        let above = key.strip_prefix(full.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if above && best.is_none_or(|(length, _)| full.len() > length) {
            best = Some((full.len(), index + 1));
        }
    }
    best.map(|(_, line)| line)
}

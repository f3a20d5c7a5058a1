//! Reads granted files for a guest.
//!
//! The order is what makes it safe: a file is first opened as a mere reference (`O_PATH`, which neither waits at a pipe
//! nor wakes a device), then judged by what it really is and where it really lies, and only then opened for reading
//! through that same reference. A link that is swapped meanwhile changes nothing.
//!
//! It blocks; callers run it where blocking is allowed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::pattern::Pattern;
use crate::rights::Rights;

/// Largest file read in one go. Files of `/proc` and `/sys` are far smaller.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;
/// Paths one search may find.
const FOUND_MAX: usize = 1000;
/// Directory entries one search may look at.
const VISITED_MAX: usize = 10_000;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FileError {
    Denied(String),
    NotFound,
    TooLarge(u64),
    Other(String),
}

/// The whole content of a granted regular file.
pub(crate) fn read(rights: &Rights, path: &str) -> Result<Vec<u8>, FileError> {
    rights.check(path).map_err(FileError::Denied)?;
    let reference = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).map_err(told)?;
    if !reference.metadata().map_err(told)?.is_file() {
        return Err(FileError::Other(format!("{path} is not a regular file")));
    }
    let itself = PathBuf::from(format!("/proc/self/fd/{}", reference.as_raw_fd()));
    let real = fs::read_link(&itself).map_err(told)?;
    rights.check_real(path, &real).map_err(FileError::Denied)?;
    let mut content = Vec::new();
    File::open(&itself).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)).map_err(told)?;
    match u64::try_from(content.len()) {
        Ok(len) if len <= FILE_BYTES_MAX => Ok(content),
        _ => Err(FileError::TooLarge(FILE_BYTES_MAX)),
    }
}

/// The granted paths that exist and fit the guest's pattern, ordered.
///
/// What is walked are the manifest's own patterns, and of the tree only what the operator allows, so a guest cannot make
/// the host search all of it.
pub(crate) fn find(rights: &Rights, pattern: &str) -> Result<Vec<String>, FileError> {
    let pattern = Pattern::parse(pattern).map_err(|error| FileError::Denied(error.to_string()))?;
    let mut found = Vec::new();
    let mut visited = 0;
    for asked in rights.asked() {
        expand(rights, asked, &mut visited, &mut |path| {
            if pattern.matches(path) && rights.check(path).is_ok() {
                found.push(path.to_owned());
            }
        });
    }
    found.sort();
    found.dedup();
    found.truncate(FOUND_MAX);
    Ok(found)
}

/// Calls back with every existing path that fits the pattern and may be allowed. What cannot be listed holds nothing.
fn expand(rights: &Rights, pattern: &Pattern, visited: &mut usize, found: &mut impl FnMut(&str)) {
    let mut bases = vec![String::new()];
    for segment in pattern.as_str().split('/').skip(1) {
        let mut deeper = Vec::new();
        for base in &bases {
            if segment.contains(['*', '?']) {
                deeper.extend(children(base, segment, visited));
            } else {
                deeper.push(format!("{base}/{segment}"));
            }
        }
        deeper.retain(|base| rights.may_lead_on(base));
        bases = deeper;
    }
    for path in bases.iter().filter(|path| Path::new(path).exists()) {
        found(path);
    }
}

fn children(base: &str, segment: &str, visited: &mut usize) -> Vec<String> {
    let Ok(entries) = fs::read_dir(if base.is_empty() { "/" } else { base }) else {
        return Vec::new();
    };
    let Ok(pattern) = Pattern::parse(&format!("/{segment}")) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for entry in entries.flatten() {
        *visited += 1;
        if *visited > VISITED_MAX {
            break;
        }
        if let Some(name) = entry.file_name().to_str()
            && pattern.matches(&format!("/{name}"))
        {
            names.push(format!("{base}/{name}"));
        }
    }
    names
}

fn told(error: io::Error) -> FileError {
    if error.kind() == io::ErrorKind::NotFound { FileError::NotFound } else { FileError::Other(error.to_string()) }
}

#[cfg(test)]
mod tests;

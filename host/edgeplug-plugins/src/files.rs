//! Reads granted files for a guest.
//!
//! The order is what makes it safe: a file is first opened as a mere reference (`O_PATH`, which neither waits at a pipe
//! nor wakes a device), then judged by what it really is and where it really lies, and only then opened for reading
//! through that same reference. A link that is swapped meanwhile changes nothing.
//!
//! It blocks; callers run it where blocking is allowed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

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
    let mut content = Vec::new();
    open(rights, path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(told)?;
    match u64::try_from(content.len()) {
        Ok(len) if len <= FILE_BYTES_MAX => Ok(content),
        _ => Err(FileError::TooLarge(FILE_BYTES_MAX)),
    }
}

/// `length` bytes of a granted regular file from `offset` on, fewer at its end.
pub(crate) fn read_at(rights: &Rights, path: &str, offset: u64, length: u32) -> Result<Vec<u8>, FileError> {
    let mut file = open(rights, path)?;
    if u64::from(length) > FILE_BYTES_MAX {
        return Err(FileError::TooLarge(FILE_BYTES_MAX));
    }
    part(&mut file, offset, length).map_err(told)
}

/// `length` bytes from `offset` on, fewer at the end. No file is longer than a signed offset can say.
pub(crate) fn part(file: &mut File, offset: u64, length: u32) -> io::Result<Vec<u8>> {
    if i64::try_from(offset).is_err() {
        return Ok(Vec::new());
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut content = Vec::new();
    file.take(u64::from(length)).read_to_end(&mut content)?;
    Ok(content)
}

/// Opens a granted regular file, and only such a one.
fn open(rights: &Rights, path: &str) -> Result<File, FileError> {
    rights.check(path).map_err(FileError::Denied)?;
    let refer = || OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(rights.place(path)).map_err(told);
    let mut reference = refer()?;
    if reference.metadata().map_err(told)?.nlink() == 0 {
        // Another file took its name between the kernel's look and ours; that one is meant.
        reference = refer()?;
    }
    if !reference.metadata().map_err(told)?.is_file() {
        return Err(FileError::Other(format!("{path} is not a regular file")));
    }
    let itself = PathBuf::from(format!("/proc/self/fd/{}", reference.as_raw_fd()));
    let real = fs::read_link(&itself).map_err(told)?;
    rights.check_real(path, &real).map_err(FileError::Denied)?;
    File::open(&itself).map_err(told)
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
        if visited > VISITED_MAX {
            return Err(FileError::Other(format!(
                "the patterns of the manifest lead through more than {VISITED_MAX} directory entries; ask for fewer"
            )));
        }
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
                deeper.extend(children(rights, base, segment, visited));
            } else {
                deeper.push(format!("{base}/{segment}"));
            }
        }
        deeper.retain(|base| rights.may_lead_on(base));
        bases = deeper;
    }
    for path in bases.iter().filter(|path| rights.is_open(&rights.place(path))) {
        found(path);
    }
}

fn children(rights: &Rights, base: &str, segment: &str, visited: &mut usize) -> Vec<String> {
    let place = rights.place(base);
    let Some(entries) = rights.is_open(&place).then(|| fs::read_dir(place).ok()).flatten() else {
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

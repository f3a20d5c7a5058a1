//! Directories that a plugin may be given: `[{ path = "/var/lib/weather", guest = "/data", write = true }]`.
//!
//! What must stay true: nobody is given the kernel's directories or ours. What lies inside of what was given is judged
//! again where the plugin opens it (`host/filesystem`).

use std::path::Path;

use serde::Deserialize;

use crate::pattern::is_normal;

/// Longest path taken.
const PATH_LEN_MAX: usize = 512;
/// Closed whatever is written: the memory of processes, the kernel's switches, devices, and the way to the daemon.
pub(crate) const CLOSED: [&str; 4] = ["/proc", "/sys", "/dev", "/run/edgeplug"];

/// What a manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TypedRequest")]
pub struct DirectoryRequest {
    /// Absolute, without `.` and `..`.
    pub path: String,
    /// Where the plugin finds it.
    pub guest: String,
    /// Whether it wants to change what is inside.
    pub write: bool,
}

/// What an operator allows: this directory and everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TypedGrant")]
pub struct DirectoryGrant {
    /// Absolute, without `.` and `..`.
    pub path: String,
    /// Whether a plugin may change what is inside.
    pub write: bool,
}

/// What was typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedRequest {
    path: String,
    guest: Option<String>,
    #[serde(default)]
    write: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedGrant {
    path: String,
    #[serde(default)]
    write: bool,
}

impl TryFrom<TypedRequest> for DirectoryRequest {
    type Error = String;

    fn try_from(typed: TypedRequest) -> Result<Self, String> {
        let TypedRequest { path, guest, write } = typed;
        check(&path)?;
        let guest = match guest {
            None => path.clone(),
            Some(guest) if guest == "/" || (guest.len() <= PATH_LEN_MAX && is_normal(&guest)) => guest,
            Some(guest) => return Err(unfit(&guest, "is not an absolute path without `.`, `..` and empty segments")),
        };
        Ok(Self { path, guest, write })
    }
}

impl TryFrom<TypedGrant> for DirectoryGrant {
    type Error = String;

    fn try_from(typed: TypedGrant) -> Result<Self, String> {
        check(&typed.path)?;
        Ok(Self { path: typed.path, write: typed.write })
    }
}

impl DirectoryGrant {
    /// Whether this path is the granted directory or lies in it.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        Path::new(path).starts_with(&self.path)
    }
}

fn check(path: &str) -> Result<(), String> {
    if path.len() > PATH_LEN_MAX {
        return Err(unfit(path, "is longer than 512 bytes"));
    }
    if path == "/" {
        return Err(unfit(path, "cannot be granted: it holds the kernel's directories and the daemon's"));
    }
    if !is_normal(path) {
        return Err(unfit(path, "is not an absolute path without `.`, `..` and empty segments"));
    }
    if path.contains(['*', '?']) {
        return Err(unfit(path, "holds `*` or `?`; a directory is granted by its own name"));
    }
    if CLOSED.iter().any(|closed| Path::new(path).starts_with(closed)) {
        return Err(unfit(path, "cannot be granted: processes, the kernel, devices and the daemon are out of reach"));
    }
    Ok(())
}

fn unfit(path: &str, problem: &str) -> String {
    let start: String = path.chars().take(200).collect();
    format!("{start:?} {problem}")
}

#[cfg(test)]
mod tests;

//! One directory as it is at one look: which manifests and components lie in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Blind, NAME_LEN_MAX, Stamp};

/// Files by the plugin's name.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) manifests: BTreeMap<String, (PathBuf, Stamp)>,
    pub(super) components: BTreeMap<String, PathBuf>,
}

impl Listing {
    /// Blocks. Files that cannot be plugins because of their names go to `refused`, with the reason.
    pub(super) fn of(directory: &Path, refused: &mut BTreeMap<PathBuf, String>) -> Result<Self, Blind> {
        let blind = |error| Blind { path: directory.to_owned(), error };
        let mut listing = Self::default();
        for entry in fs::read_dir(directory).map_err(blind)? {
            let path = entry.map_err(blind)?.path();
            let Some((name, is_manifest)) = plugin_name(&path) else {
                continue;
            };
            // Gone again, a directory, or a broken link: nothing there.
            let Some(stamp) = Stamp::at(&path)? else {
                continue;
            };
            if let Err(reason) = check_name(&name) {
                refused.insert(path, reason);
            } else if is_manifest {
                listing.manifests.insert(name, (path, stamp));
            } else {
                listing.components.insert(name, path);
            }
        }
        Ok(listing)
    }
}

/// The name and whether the file is a manifest; none for files that are nothing to us, such as what editors and copy
/// programs write aside under a leading dot.
fn plugin_name(path: &Path) -> Option<(String, bool)> {
    let file_name = path.file_name()?.to_string_lossy();
    if file_name.starts_with('.') {
        return None;
    }
    let manifest = file_name.strip_suffix(".toml").map(|name| (name.to_owned(), true));
    manifest.or_else(|| file_name.strip_suffix(".wasm").map(|name| (name.to_owned(), false)))
}

/// Whether a plugin can be called so.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.chars().all(is_sound) {
        return Err(format!(
            "a plugin's file name holds 1 to {NAME_LEN_MAX} letters, digits, `-`, `_` and `.` before its ending"
        ));
    }
    Ok(())
}

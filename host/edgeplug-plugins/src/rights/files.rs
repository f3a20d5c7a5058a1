//! The right to read single files.

use std::path::Path;

use super::Rights;
use crate::pattern::{Pattern, is_forbidden, is_normal, is_too_long};

impl Rights {
    /// Whether the path may be opened at all, before any symbolic link is followed.
    pub(crate) fn check(&self, path: &str) -> Result<(), String> {
        let plugin = &self.plugin;
        if is_too_long(path) {
            return Err(format!("plugin {plugin:?} asked for a path that is longer than any file's"));
        }
        if !is_normal(path) {
            return Err(format!("plugin {plugin:?} asked for {path:?}, which is not an absolute path without `..`"));
        }
        if is_forbidden(path) {
            return Err(format!(
                "plugin {plugin:?} may not read {path}: processes, kernel memory and devices are out of reach"
            ));
        }
        // The operator's patterns come first: the manifest's are as hostile as the plugin.
        if !self.allowed.iter().any(|allowed| allowed.matches(path)) {
            return Err(self.not_allowed(&format!("read {path}"), "files"));
        }
        if !self.asked.iter().any(|asked| asked.matches(path)) {
            return Err(self.not_asked(&format!("read {path}"), "files"));
        }
        Ok(())
    }

    /// Whether the file that the path led to may be read.
    ///
    /// Links within `/sys` are the kernel's own (`/sys/class/...` leads to `/sys/devices/...`), and so is
    /// `/proc/net`, which leads to the network side of our own process; everything else must be granted by its real
    /// name too.
    pub(crate) fn check_real(&self, path: &str, real: &Path) -> Result<(), String> {
        let real = &match &self.root {
            Some(root) => match real.strip_prefix(root) {
                Ok(below) => Path::new("/").join(below),
                Err(_) => return Err(format!("{path} leads out of {}", root.display())),
            },
            None => real.to_owned(),
        };
        let Some(real_text) = real.to_str() else {
            return Err(format!("{path} leads to a path that is not UTF-8"));
        };
        if self.private_directories.iter().any(|directory| real.starts_with(directory)) {
            return Err(format!("{path} leads into a directory of the daemon itself"));
        }
        if real_text == path {
            return Ok(());
        }
        if path.starts_with("/sys/") && real_text.starts_with("/sys/") {
            return Ok(());
        }
        if path.strip_prefix("/proc/net/").is_some_and(|rest| is_own_network_file(real_text, rest)) {
            return Ok(());
        }
        self.check(real_text).map_err(|reason| format!("{path} leads to {real_text}, but {reason}"))
    }

    /// Whether this is there and, by its real path, no place of the daemon's own.
    pub(crate) fn is_open(&self, place: &Path) -> bool {
        place
            .canonicalize()
            .is_ok_and(|real| !self.private_directories.iter().any(|directory| real.starts_with(directory)))
    }

    /// Whether something in this directory might be allowed; the root is the empty text.
    pub(crate) fn may_lead_on(&self, directory: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed.leads_through(directory))
    }

    /// The patterns asked for; each path they lead to still has to be checked.
    pub(crate) fn asked(&self) -> &[Pattern] {
        &self.asked
    }
}

fn is_own_network_file(real: &str, rest: &str) -> bool {
    real.strip_prefix("/proc/")
        .and_then(|real| real.strip_suffix(rest))
        .and_then(|real| real.strip_suffix("/net/"))
        .is_some_and(|process| process == std::process::id().to_string())
}

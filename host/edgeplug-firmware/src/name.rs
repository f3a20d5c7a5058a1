//! Names that come from outside: of staging directories, files and plugins.

/// A staging directory is named by 32 hex digits of a hash.
const JOB_LEN: usize = 32;
/// What a file system takes.
const NAME_BYTES_MAX: usize = 255;
/// As long as a plugin's name may be.
const PLUGIN_BYTES_MAX: usize = 64;

pub(crate) const SUMS: &str = "SHA256SUMS";
const SIGNATURE: &str = ".minisig";
const DIGEST: &str = ".sha256";
const COMPONENT: &str = ".wasm";
const BUNDLE: &str = ".edgeplug";

/// Whether a file only verifies others and so is never handed over: `NAME.sha256`, `NAME.minisig`, `SHA256SUMS`.
#[must_use]
pub fn is_sidecar(name: &str) -> bool {
    name == SUMS || [SIGNATURE, DIGEST].iter().any(|ending| name.strip_suffix(ending).is_some_and(|of| !of.is_empty()))
}

pub(crate) fn signature_of(name: &str) -> String {
    format!("{name}{SIGNATURE}")
}

pub(crate) fn digest_of(name: &str) -> String {
    format!("{name}{DIGEST}")
}

pub(crate) fn is_job(name: &str) -> bool {
    name.len() == JOB_LEN && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a file may be called so: one step of a path, visible, in printable characters. Names with a dot first are
/// our own.
pub(crate) fn is_file(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && !name.chars().any(|c| c == '/' || c.is_control() || is_deceptive(c))
}

/// Invisible characters and those that turn the direction of a text.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fffd}')
}

/// What a file brings to a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component<'a> {
    /// `NAME.wasm`.
    Bare(&'a str),
    /// `NAME.edgeplug`: with its manifest.
    Bundle(&'a str),
}

impl<'a> Component<'a> {
    pub(crate) fn of(name: &'a str) -> Option<Self> {
        let bare = name.strip_suffix(COMPONENT).map(Self::Bare);
        bare.or_else(|| name.strip_suffix(BUNDLE).map(Self::Bundle))
    }
}

/// Whether a plugin may be called so: the name becomes that of files.
pub(crate) fn is_plugin(name: &str) -> bool {
    is_file(name)
        && name.len() <= PLUGIN_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests;

//! Small files written whole or not at all.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// Replaces `file` in one step; readable by everyone.
pub(crate) fn replace(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    write(file, content, 0o644)
}

/// Replaces `file` in one step; readable by its owner only.
pub(crate) fn replace_private(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    write(file, content, 0o600)
}

fn write(file: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut draft = tempfile::NamedTempFile::new_in(directory)?;
        draft.write_all(content)?;
        draft.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        draft.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", file.display()))
}

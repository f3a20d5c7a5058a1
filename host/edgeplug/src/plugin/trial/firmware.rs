//! Firmware files, as the cloud announces them.

use std::io;
use std::path::Path;

use edgeplug_plugins::Update;

use crate::digest::{self, Digested};

/// An update to this file, under this id.
pub(super) fn read_update(id: &str, file: &Path) -> io::Result<Update> {
    let Digested { size, sha256 } = digest::of_file(file)?;
    Ok(Update {
        id: id.to_owned(),
        device: None,
        name: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        version: String::new(),
        size,
        sha256,
        file: file.canonicalize()?,
    })
}

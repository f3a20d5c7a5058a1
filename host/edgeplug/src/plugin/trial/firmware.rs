//! Firmware files, as the cloud announces them.

use std::io::{self, BufRead as _};
use std::path::Path;

use edgeplug_plugins::Update;
use sha2::{Digest as _, Sha256};

/// Of a file at a time.
const READ_BYTES: usize = 64 << 10;

/// An update to this file, under this id.
pub(super) fn read_update(id: &str, file: &Path) -> io::Result<Update> {
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut reader = io::BufReader::with_capacity(READ_BYTES, std::fs::File::open(file)?);
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        hash.update(piece);
        let length = piece.len();
        size += length as u64;
        reader.consume(length);
    }
    Ok(Update {
        id: id.to_owned(),
        device: None,
        name: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        version: String::new(),
        size,
        sha256: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        file: file.canonicalize()?,
    })
}

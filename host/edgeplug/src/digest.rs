//! Length and SHA-256 of a file, read a piece at a time.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use sha2::{Digest as _, Sha256};

const READ_BYTES: usize = 64 << 10;

pub(crate) struct Digested {
    /// Bytes.
    pub(crate) size: u64,
    /// 64 lower-case hexadecimal digits.
    pub(crate) sha256: String,
}

/// Blocks.
pub(crate) fn of_file(path: &Path) -> io::Result<Digested> {
    let mut reader = BufReader::with_capacity(READ_BYTES, File::open(path)?);
    let (mut hash, mut size) = (Sha256::new(), 0);
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
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Digested { size, sha256 })
}

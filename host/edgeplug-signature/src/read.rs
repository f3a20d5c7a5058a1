//! Small texts beside the files they are about.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A signature has four lines; minisign takes trusted comments of up to 8 KiB.
pub const SIGNATURE_BYTES_MAX: u64 = 16 << 10;

/// The text of the signature at this path, if there is one; a text that is too long is cut and will mean nothing.
pub fn read_signature(path: &Path) -> io::Result<Option<String>> {
    match read_text(path, SIGNATURE_BYTES_MAX) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A longer text is cut and so will mean nothing, and what is no text has no meaning from the start.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    // A pipe must not hold up who looks at it.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

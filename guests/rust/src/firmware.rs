//! Firmware that the cloud sent: the daemon has downloaded and verified it, the plugin installs it.
//!
//! ```
//! use std::io::Read;
//!
//! use edgeplug_guest::{Plugin, Reply, firmware};
//!
//! #[derive(Default)]
//! struct Flasher;
//!
//! impl Plugin for Flasher {
//!     fn update(&mut self, update: &firmware::Update) -> Result<Reply, String> {
//!         let mut head = [0; 4];
//!         update.reader().read_exact(&mut head).map_err(|error| error.to_string())?;
//!         if &head != b"EPFW" {
//!             return Ok(Reply::failed(format!("{} is no firmware of this board", update.name)));
//!         }
//!         Ok(Reply::done(format!("installed {}", update.version)))
//!     }
//! }
//!
//! edgeplug_guest::export!(Flasher: firmware);
//! # fn main() {}
//! ```

use std::io;

pub use crate::bindings::firmware::exports::edgeplug::plugin::firmware::Request as Update;

/// The host reads no more in one go, in bytes.
const READ_MAX: u32 = 1 << 20;

impl Update {
    /// `length` bytes of the file (at most 1 MiB) from `offset` on, fewer at its end, none behind it. The error says
    /// why there is nothing.
    pub fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>, String> {
        read_at(&self.id, offset, length)
    }

    /// The file from its beginning.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { id: self.id.clone(), position: 0 }
    }
}

/// Reads the file of an update. Every `read` is a call of the host: read by some 64 KiB, or through a
/// [`BufReader`](io::BufReader).
///
/// It needs no [`Update`], so it may be kept for later while the update's reply was deferred.
#[derive(Clone, Debug)]
pub struct Reader {
    id: String,
    /// In bytes.
    position: u64,
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = u32::try_from(buffer.len()).unwrap_or(READ_MAX).min(READ_MAX);
        let bytes = read_at(&self.id, self.position, length).map_err(io::Error::other)?;
        let Some(filled) = buffer.get_mut(..bytes.len()) else {
            return Err(io::Error::other("the host answered with more than was asked for"));
        };
        filled.copy_from_slice(&bytes);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }
}

fn read_at(id: &str, offset: u64, length: u32) -> Result<Vec<u8>, String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::edgeplug::plugin::firmware_file::read(id, offset, length);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let file = host.firmware.get(id).ok_or_else(|| format!("no update {id:?} is under way"))?;
        if length > READ_MAX {
            return Err(format!("{length} bytes at once; at most {READ_MAX} are read"));
        }
        Ok(crate::testing::part(file, offset, length))
    })
}

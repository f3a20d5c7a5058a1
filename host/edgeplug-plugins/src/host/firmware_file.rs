//! `firmware-file`: the verified file of an update under way, piece by piece.

use std::fs::File;

use crate::bindings::firmware_file;
use crate::files::{FILE_BYTES_MAX, part};
use crate::host::State;
use crate::host::files::READS_HANG;

impl firmware_file::Host for State {
    async fn read(&mut self, id: String, offset: u64, length: u32) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let _waiting = self.wait()?;
        let Some(file) = self.guest.desk.update(&id) else {
            return Ok(Err("this plugin has no update of this id under way".to_owned()));
        };
        if u64::from(length) > FILE_BYTES_MAX {
            return Ok(Err(format!("{length} bytes at once; at most {FILE_BYTES_MAX} are read")));
        }
        let Some(reading) = self.begin_read() else {
            return Ok(Err(READS_HANG.to_owned()));
        };
        let read = tokio::task::spawn_blocking(move || {
            let _reading = reading;
            part(&mut File::open(file)?, offset, length)
        });
        let read = read.await;
        Ok(match read {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        })
    }
}

//! `files`: granted files of the machine.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::bindings::files;
use crate::files::FileError;
use crate::host::State;
use crate::rights::Rights;

impl files::Host for State {
    async fn read(&mut self, path: String) -> wasmtime::Result<Result<Vec<u8>, files::Error>> {
        let content = self.blocking(move |rights| crate::files::read(rights, &path)).await?;
        Ok(content.and_then(|content| self.tried(content)))
    }

    async fn read_at(
        &mut self,
        path: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, files::Error>> {
        let content = self.blocking(move |rights| crate::files::read_at(rights, &path, offset, length)).await?;
        Ok(content.and_then(|content| self.tried(content)))
    }

    async fn find(&mut self, pattern: String) -> wasmtime::Result<Result<Vec<String>, files::Error>> {
        self.blocking(move |rights| crate::files::find(rights, &pattern)).await
    }
}

/// What a plugin is told while all its reads hang.
pub(super) const READS_HANG: &str = "earlier reads of this plugin still wait for their files";

impl State {
    /// A place among the plugin's reads; none while all of them hang.
    pub(super) fn begin_read(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.guest.desk.reads).try_acquire_owned().ok()
    }

    /// What a trial makes of it.
    fn tried(&self, content: Vec<u8>) -> Result<Vec<u8>, files::Error> {
        match self.guest.surroundings.faults.on_read() {
            Some(error) => Err(files::Error::Other(error)),
            None => Ok(self.guest.surroundings.faults.on_content(content)),
        }
    }

    /// A sensor file may take its driver a second to read; that must not hold up the executor, nor count as the
    /// guest's own time.
    ///
    /// A read cannot be cut off: one that never ends (a hung mount, a driver that waits) keeps its thread, so those of one
    /// plugin are counted.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Rights) -> Result<T, FileError> + Send + 'static,
    ) -> wasmtime::Result<Result<T, files::Error>> {
        let _waiting = self.wait()?;
        let Some(reading) = self.begin_read() else {
            return Ok(Err(files::Error::Other(READS_HANG.to_owned())));
        };
        let guest = Arc::clone(&self.guest);
        let read = tokio::task::spawn_blocking(move || {
            let _reading = reading;
            work(&guest.rights)
        });
        Ok(match read.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(FileError::Denied(reason))) => {
                self.refuse(&reason);
                Err(files::Error::Denied(reason))
            }
            Ok(Err(FileError::NotFound)) => Err(files::Error::NotFound),
            Ok(Err(FileError::TooLarge(limit))) => Err(files::Error::TooLarge(limit)),
            Ok(Err(FileError::Other(reason))) => Err(files::Error::Other(reason)),
            Err(error) => Err(files::Error::Other(error.to_string())),
        })
    }
}

//! `files`: granted files of the machine.

use std::sync::Arc;

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

impl State {
    /// What a trial makes of it.
    fn tried(&self, content: Vec<u8>) -> Result<Vec<u8>, files::Error> {
        match self.guest.surroundings.faults.on_read() {
            Some(error) => Err(files::Error::Other(error)),
            None => Ok(self.guest.surroundings.faults.on_content(content)),
        }
    }

    /// A sensor file may take its driver a second to read; that must not hold up the executor, nor count as the
    /// guest's own time.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Rights) -> Result<T, FileError> + Send + 'static,
    ) -> wasmtime::Result<Result<T, files::Error>> {
        let _waiting = self.wait()?;
        let guest = Arc::clone(&self.guest);
        Ok(match tokio::task::spawn_blocking(move || work(&guest.rights)).await {
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

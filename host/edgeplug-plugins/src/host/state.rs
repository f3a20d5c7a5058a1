//! `state`: a little memory that lasts. Read from our copy, written through the daemon.

use bytes::Bytes;

use crate::ask::{Answer, Ask, AskId};
use crate::bindings::state;
use crate::host::{State, another_answer};
use crate::kept::{NotKept, Write};

impl state::Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, state::Error>> {
        self.opened().await?;
        let held = self.guest.surroundings.kept.get(&self.guest.plugin, &key);
        Ok(held.map(|value| value.map(Vec::from)).map_err(error))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), state::Error>> {
        self.write(key, Some(value.into())).await
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), state::Error>> {
        self.opened().await?;
        match self.guest.surroundings.kept.get(&self.guest.plugin, &key) {
            Ok(Some(_)) => self.write(key, None).await,
            Ok(None) => Ok(Ok(())),
            Err(failure) => Ok(Err(error(failure))),
        }
    }

    async fn keys(&mut self) -> wasmtime::Result<Result<Vec<String>, state::Error>> {
        self.opened().await?;
        Ok(self.guest.surroundings.kept.keys(&self.guest.plugin).map_err(error))
    }
}

impl State {
    async fn write(&mut self, key: String, value: Option<Bytes>) -> wasmtime::Result<Result<(), state::Error>> {
        self.opened().await?;
        let kept = self.guest.surroundings.kept.clone();
        let write = Write { plugin: self.guest.plugin.clone(), key: key.clone(), value: value.clone() };
        if let Err(failure) = kept.check(&write, self.guest.state_bytes_max) {
            return Ok(Err(error(failure)));
        }
        if kept.get(&write.plugin, &write.key).is_ok_and(|held| held == write.value) {
            return Ok(Ok(()));
        }
        if let Err(failure) = self.guest.desk.keeping.admit(&write, self.guest.surroundings.clock.elapsed()) {
            return Ok(Err(error(failure)));
        }
        let _waiting = self.wait()?;
        let mut question = self.guest.surroundings.asks.open();
        let ask = AskId(question.number);
        // Before the daemon can answer.
        let begun = match kept.begin(ask, write) {
            Ok(begun) => begun,
            Err(failure) => return Ok(Err(error(failure))),
        };
        if let Err(reason) = self.guest.tell(self.guest.asked(ask, Ask::KeepState { key, value })).await {
            return Ok(Err(state::Error::Unavailable(reason)));
        }
        begun.sent();
        Ok(match (&mut question.answer).await {
            Ok(Answer::Kept(Ok(()))) => Ok(()),
            Ok(Answer::Kept(Err(reason))) => Err(state::Error::Unavailable(reason)),
            Ok(other) => Err(state::Error::Unavailable(another_answer(&other))),
            Err(_) => Err(state::Error::Unavailable("the daemon stops".to_owned())),
        })
    }

    async fn opened(&mut self) -> wasmtime::Result<()> {
        let _waiting = self.wait()?;
        self.guest.surroundings.kept.opened().await;
        Ok(())
    }
}

fn error(failure: NotKept) -> state::Error {
    match failure {
        NotKept::Quota(reason) => state::Error::Quota(reason),
        NotKept::Unavailable(reason) => state::Error::Unavailable(reason),
    }
}

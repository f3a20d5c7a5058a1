//! `twin`: the documents in the cloud, by way of the daemon.

use crate::ask::{Answer, Ask, TwinFailure};
use crate::bindings::twin;
use crate::host::{State, another_answer};
use crate::json;

impl twin::Host for State {
    async fn get(&mut self) -> wasmtime::Result<Result<twin::Document, twin::Error>> {
        Ok(match self.ask(Ask::TwinGet).await? {
            Ok(Answer::Twin(Ok(document))) => Ok(twin::Document {
                desired: document.desired,
                desired_version: document.desired_version,
                reported: document.reported,
                reported_version: document.reported_version,
            }),
            Ok(Answer::Twin(Err(failure))) => Err(error(failure)),
            Ok(other) => Err(twin::Error::Unavailable(another_answer(&other))),
            Err(reason) => Err(twin::Error::Unavailable(reason)),
        })
    }

    async fn report(&mut self, patch: String) -> wasmtime::Result<Result<u64, twin::Error>> {
        if let Err(reason) = json::check_object(&patch) {
            return Ok(Err(twin::Error::Invalid(reason)));
        }
        Ok(match self.ask(Ask::TwinReport { patch }).await? {
            Ok(Answer::Reported(Ok(version))) => Ok(version),
            Ok(Answer::Reported(Err(failure))) => Err(error(failure)),
            Ok(other) => Err(twin::Error::Unavailable(another_answer(&other))),
            Err(reason) => Err(twin::Error::Unavailable(reason)),
        })
    }
}

fn error(failure: TwinFailure) -> twin::Error {
    match failure {
        TwinFailure::Unavailable(reason) => twin::Error::Unavailable(reason),
        TwinFailure::Invalid(reason) => twin::Error::Invalid(reason),
        TwinFailure::Refused(status) => twin::Error::Refused(status),
    }
}

//! `device`: what a guest may know about its device, and the connection.

use crate::ask::{Answer, Ask};
use crate::bindings::device;
use crate::call::Connection;
use crate::convert::to_guest;
use crate::host::{State, another_answer};

impl device::Host for State {
    fn info(&mut self) -> device::Identity {
        device::Identity { unique_id: self.guest.surroundings.device.unique_id.clone() }
    }

    fn template(&mut self) -> Option<device::Model> {
        let model = self.guest.surroundings.model.borrow().clone();
        model.map(|model| to_guest::model(&model))
    }

    fn connected(&mut self) -> bool {
        *self.guest.surroundings.connection.borrow() == Connection::Connected
    }

    async fn disconnect(&mut self) -> wasmtime::Result<Result<(), String>> {
        self.link(Ask::Disconnect).await
    }

    async fn reconnect(&mut self) -> wasmtime::Result<Result<(), String>> {
        self.link(Ask::Reconnect).await
    }
}

impl State {
    async fn link(&mut self, request: Ask) -> wasmtime::Result<Result<(), String>> {
        if let Err(reason) = self.guest.rights.check_disconnect() {
            self.refuse(&reason);
            return Ok(Err(reason));
        }
        Ok(match self.ask(request).await? {
            Ok(Answer::Link(result)) => result,
            Ok(other) => Err(another_answer(&other)),
            Err(reason) => Err(reason),
        })
    }
}

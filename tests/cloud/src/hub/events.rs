//! What happened at the hub, and waiting for it.

use std::time::Duration;

use serde_json::Value;

use super::{Connection, Hub, Refusal, TwinRequest};
use crate::changes::TimedOut;

impl Hub {
    /// Every accepted connection of the device, oldest first.
    #[must_use]
    pub fn connections(&self, device: &str) -> Vec<Connection> {
        let mut state = self.lock();
        let id = state.find(device).map_or_else(|_| device.to_owned(), |(id, _)| id.to_owned());
        state.connections.iter().filter(|connection| connection.device == id).cloned().collect()
    }

    /// Every refused CONNECT, oldest first.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        self.lock().refusals.iter().cloned().collect()
    }

    /// Whether the device is connected now.
    #[must_use]
    pub fn connected(&self, device: &str) -> bool {
        self.lock().find(device).is_ok_and(|(_, device)| device.live.is_some())
    }

    /// Waits until the device is connected; returns the connection's number.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_connected(&self, device: &str, timeout: Duration) -> Result<u64, TimedOut> {
        let look = || self.lock().find(device).ok()?.1.live.as_ref().map(|live| live.connection);
        self.inner.changes.until(&format!("a connection of {device}"), timeout, look).await
    }

    /// Waits until the device has been accepted `count` times since the start.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_connections(
        &self,
        device: &str,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Connection>, TimedOut> {
        let look = || Some(self.connections(device)).filter(|connections| connections.len() >= count);
        self.inner.changes.until(&format!("{count} connections of {device}"), timeout, look).await
    }

    /// Waits until the device has no connection.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_disconnected(&self, device: &str, timeout: Duration) -> Result<(), TimedOut> {
        let look = || (!self.connected(device)).then_some(());
        self.inner.changes.until(&format!("the end of the connection of {device}"), timeout, look).await
    }

    /// Waits until all cloud-to-device messages of the device are acknowledged by PUBACK.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_queue_empty(&self, device: &str, timeout: Duration) -> Result<(), TimedOut> {
        let look = || (self.queued(device) == 0).then_some(());
        self.inner.changes.until(&format!("the cloud-to-device queue of {device} to empty"), timeout, look).await
    }

    /// Every twin request of the device, oldest first (the last 1,000).
    #[must_use]
    pub fn twin_requests(&self, device: &str) -> Vec<TwinRequest> {
        self.lock().find(device).map_or_else(|_| Vec::new(), |(_, device)| device.twin_log.iter().cloned().collect())
    }

    /// Waits until the twin is as `enough` wants it.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_twin(
        &self,
        device: &str,
        mut enough: impl FnMut(&Value) -> bool,
        timeout: Duration,
    ) -> Result<Value, TimedOut> {
        let look = || self.twin(device).filter(|twin| enough(twin));
        self.inner.changes.until(&format!("the twin of {device}"), timeout, look).await
    }
}

//! What a connection changes in the hub's registry, and asks of it: each call takes the lock for a moment.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::{End, Hub};
use crate::topic::Filter;

/// What to do after a message was recorded.
pub(super) enum Next {
    Acknowledge,
    Ignore,
    Cut,
}

pub(super) struct Delivery {
    pub(super) id: u64,
    pub(super) topic: String,
    pub(super) body: Bytes,
    pub(super) again: bool,
}

impl Hub {
    pub(super) fn left(&self, device: &str, connection: u64, end: End) {
        {
            let mut state = self.lock();
            if let Some(device) = state.devices.get_mut(device)
                && device.live.as_ref().is_some_and(|live| live.connection == connection)
            {
                device.live = None;
            }
            if let Some(logged) = state.connections.iter_mut().rev().find(|logged| logged.number == connection) {
                logged.ended = Some((jiff::Timestamp::now(), end));
            }
        }
        self.inner.changes.ring();
    }

    pub(super) fn arrived(&self, device: &str) -> Next {
        let mut state = self.lock();
        if let Some(device) = state.devices.get_mut(device)
            && let Some(count) = &mut device.cut_after
        {
            *count -= 1;
            if *count == 0 {
                device.cut_after = None;
                return Next::Cut;
            }
        }
        if state.drop_pubacks > 0 {
            state.drop_pubacks -= 1;
            return Next::Ignore;
        }
        Next::Acknowledge
    }

    /// How many times a PUBACK is sent.
    pub(super) fn copies(&self) -> usize {
        let mut state = self.lock();
        let duplicate = state.duplicate_pubacks > 0;
        state.duplicate_pubacks = state.duplicate_pubacks.saturating_sub(1);
        1 + usize::from(duplicate)
    }

    pub(super) fn take_c2d(&self, device: &str, connection: u64, qos: u8) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        {
            let mut state = self.lock();
            let Some(device) = state.devices.get_mut(device) else { return deliveries };
            for message in device.c2d.iter_mut().filter(|message| message.with != Some(connection)) {
                message.with = Some(connection);
                message.deliveries += 1;
                let (id, topic, body) = (message.id, message.topic.clone(), message.body.clone());
                deliveries.push(Delivery { id, topic, body, again: message.deliveries > 1 });
            }
            if qos == 0 {
                // At most once: delivered is done.
                device.c2d.clear();
            }
        }
        if qos == 0 {
            self.inner.changes.ring();
        }
        deliveries
    }

    pub(super) fn complete_c2d(&self, device: &str, message: u64) {
        if let Some(device) = self.lock().devices.get_mut(device) {
            device.c2d.retain(|queued| queued.id != message);
        }
        self.inner.changes.ring();
    }

    pub(super) fn keep_subscriptions(
        &self,
        device: &str,
        connection: u64,
        clean: bool,
        subscriptions: &BTreeMap<Filter, u8>,
    ) {
        if clean {
            return;
        }
        if let Some(device) = self.lock().devices.get_mut(device)
            && device.live.as_ref().is_some_and(|live| live.connection == connection)
        {
            device.subscriptions.clone_from(subscriptions);
        }
    }

    pub(super) fn report(&self, device: &str, body: &[u8]) -> Result<u64, &'static str> {
        let patch: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
        let version = self.lock().devices.get_mut(device).ok_or("no such device")?.twin.reported.patch(&patch)?;
        self.inner.changes.ring();
        Ok(version)
    }

    pub(super) fn method_answered(&self, request: &str, status: i64, body: &[u8]) {
        if let Some(waiting) = self.lock().methods.remove(request) {
            // Nobody waits any more when the call timed out meanwhile.
            waiting.send((status, serde_json::from_slice(body).unwrap_or_default())).ok();
        }
    }
}

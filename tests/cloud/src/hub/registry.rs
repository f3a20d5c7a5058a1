//! What a connection changes in the hub's registry, and asks of it: each call takes the lock for a moment.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{End, Hub, TwinRequest};
use crate::iotconnect::WeakIotConnect;
use crate::limits::TWIN_LOG_MAX;
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
        let mut state = self.lock();
        if let Some(left) = state.ignored_c2d_pubacks.checked_sub(1) {
            state.ignored_c2d_pubacks = left;
            return;
        }
        if let Some(device) = state.devices.get_mut(device) {
            device.c2d.retain(|queued| queued.id != message);
        }
        drop(state);
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

    /// Answers a request of the whole twin: status and body.
    pub(super) fn whole_twin(&self, device: &str, connection: u64, request: &str) -> (u16, String) {
        let (status, body) = match self.twin_refusal() {
            Some(refused) => refused,
            None => (200, self.twin(device).unwrap_or_default().to_string()),
        };
        self.log_twin(device, connection, request, Asked { whole: true, ..Asked::default() }, status);
        (status, body)
    }

    /// Answers a reported patch: status, the new version and body.
    pub(super) fn report(
        &self,
        device: &str,
        connection: u64,
        request: &str,
        body: &[u8],
    ) -> (u16, Option<u64>, String) {
        let patch: Option<Value> = serde_json::from_slice(body).ok();
        let (status, version, answer) = match (self.twin_refusal(), &patch) {
            (Some((status, body)), _) => (status, None, body),
            (None, None) => (400, None, refusal("the body is not JSON")),
            (None, Some(patch)) => {
                let mut state = self.lock();
                let patched = match state.devices.get_mut(device) {
                    Some(device) => device.twin.reported.patch(patch),
                    None => Err("no such device"),
                };
                match patched {
                    Ok(version) => (204, Some(version), String::new()),
                    Err(why) => (400, None, refusal(why)),
                }
            }
        };
        self.log_twin(device, connection, request, Asked { patch, version, whole: false }, status);
        (status, version, answer)
    }

    /// The status and body of a switched fault.
    fn twin_refusal(&self) -> Option<(u16, String)> {
        let mut state = self.lock();
        let (count, status) = state.refuse_twin?;
        state.refuse_twin = count.checked_sub(1).filter(|count| *count > 0).map(|count| (count, status));
        Some((status, refusal("refused by a fault switch")))
    }

    fn log_twin(&self, device: &str, connection: u64, request: &str, asked: Asked, status: u16) {
        if let Some(device) = self.lock().devices.get_mut(device) {
            if device.twin_log.len() >= TWIN_LOG_MAX {
                device.twin_log.pop_front();
            }
            let Asked { patch, version, whole } = asked;
            let (at, request) = (jiff::Timestamp::now(), request.to_owned());
            device.twin_log.push_back(TwinRequest { at, connection, request, patch, whole, status, version });
        }
        self.inner.changes.ring();
    }

    /// Lets IoTConnect answer an identity message of 2.1.
    pub(super) fn identity_message(&self, device: &str, body: &[u8]) {
        if let Some(iotconnect) = self.inner.identity.get().and_then(WeakIotConnect::upgrade) {
            iotconnect.identity_message(device, body);
        }
    }

    pub(super) fn method_answered(&self, request: &str, status: i64, body: &[u8]) {
        if let Some(waiting) = self.lock().methods.remove(request) {
            // Nobody waits any more when the call timed out meanwhile.
            waiting.send((status, serde_json::from_slice(body).unwrap_or_default())).ok();
        }
    }
}

#[derive(Default)]
struct Asked {
    patch: Option<Value>,
    version: Option<u64>,
    whole: bool,
}

fn refusal(why: &str) -> String {
    json!({"message": why}).to_string()
}

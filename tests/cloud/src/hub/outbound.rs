//! What goes from the cloud to devices: queued messages, twin changes, direct methods.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{Hub, Order, Queued};
use crate::c2d::{self, Address};
use crate::limits::{C2D_BYTES_MAX, C2D_QUEUE_MAX};
use crate::topic::{self, Filter, Properties};

impl Hub {
    /// Queues a legacy device command (`0x01`) that wants an ack with `ack_id`.
    ///
    /// # Errors
    /// When the hub does not know the device, or 50 messages wait for it already.
    pub fn send_command(&self, device: &str, text: &str, ack_id: &str) -> anyhow::Result<()> {
        self.send_addressed(device, |to| c2d::legacy_command(to, text, ack_id, true))
    }

    /// Queues a legacy device command (`0x01`) that wants no ack, though it carries an `ackId`.
    ///
    /// # Errors
    /// As [`Hub::send_command`].
    pub fn send_command_without_ack(&self, device: &str, text: &str, ack_id: &str) -> anyhow::Result<()> {
        self.send_addressed(device, |to| c2d::legacy_command(to, text, ack_id, false))
    }

    /// Queues a legacy firmware message (`0x02`); `urls` are (url, tag).
    ///
    /// # Errors
    /// As [`Hub::send_command`].
    pub fn send_firmware(
        &self,
        device: &str,
        software: &str,
        hardware: &str,
        urls: &[(&str, &str)],
        ack_id: &str,
    ) -> anyhow::Result<()> {
        self.send_addressed(device, |to| c2d::legacy_firmware(to, software, hardware, urls, ack_id))
    }

    /// Queues a legacy message of another type, such as `0x10` (attributes changed), `0x17` (`{"df":30}`) or `0x99` (hard stop).
    ///
    /// # Errors
    /// As [`Hub::send_command`].
    pub fn send_control(&self, device: &str, kind: &str, data: &Value) -> anyhow::Result<()> {
        self.send_addressed(device, |_| c2d::legacy_control(kind, data))
    }

    /// Queues any bytes as a cloud-to-device message, with application properties.
    ///
    /// # Errors
    /// As [`Hub::send_command`], and when the body is over 64 KB.
    pub fn send_raw(&self, device: &str, body: impl Into<Bytes>, properties: &Properties) -> anyhow::Result<()> {
        let body = body.into();
        anyhow::ensure!(body.len() <= C2D_BYTES_MAX, "a cloud-to-device message must not pass 64 KB");
        {
            let mut state = self.lock();
            state.last_c2d += 1;
            let id = state.last_c2d;
            let (name, device) = state.find(device)?;
            let waiting = device.c2d.len();
            anyhow::ensure!(
                waiting < C2D_QUEUE_MAX,
                "{waiting} messages wait for {name} already, which is the hub's limit"
            );
            let topic = topic::cloud_to_device(name, properties);
            device.c2d.push_back(Queued { id, topic, body, deliveries: 0, with: None });
            device.order(Order::Wake);
        }
        self.inner.changes.ring();
        Ok(())
    }

    fn send_addressed(&self, device: &str, build: impl FnOnce(&Address<'_>) -> Value) -> anyhow::Result<()> {
        let body = {
            let mut state = self.lock();
            let (_, device) = state.find(device)?;
            let registration = &device.registration;
            build(&Address { cpid: &registration.cpid, unique_id: &registration.unique_id })
        };
        self.send_raw(device, body.to_string(), &Properties::new())
    }

    /// How many cloud-to-device messages the device has not acknowledged yet.
    #[must_use]
    pub fn queued(&self, device: &str) -> usize {
        self.lock().find(device).map_or(0, |(_, device)| device.c2d.len())
    }

    /// Sends what the device has and has not acknowledged once more, on the connection it has.
    ///
    /// # Errors
    /// When the hub does not know the device.
    pub fn redeliver(&self, device: &str) -> anyhow::Result<()> {
        let mut state = self.lock();
        let (_, device) = state.find(device)?;
        for message in &mut device.c2d {
            message.with = None;
        }
        device.order(Order::Wake);
        Ok(())
    }

    /// Merges `patch` into the twin's desired section and pushes it to a connected device.
    ///
    /// # Errors
    /// When the hub does not know the device, or the patch breaks a rule of twins.
    pub fn set_desired(&self, device: &str, patch: &Value) -> anyhow::Result<u64> {
        let version = {
            let mut state = self.lock();
            let (_, device) = state.find(device)?;
            let version = device.twin.desired.patch(patch).map_err(anyhow::Error::msg)?;
            let mut body = patch.clone();
            if let Some(body) = body.as_object_mut() {
                body.insert("$version".to_owned(), version.into());
            }
            device.order(Order::Push {
                filter: Filter::DesiredChanges,
                topic: format!("$iothub/twin/PATCH/properties/desired/?$version={version}"),
                body: Bytes::from(body.to_string()),
            });
            version
        };
        self.inner.changes.ring();
        Ok(version)
    }

    /// The device's twin: `{"desired":{…,"$version":n},"reported":{…,"$version":n}}`.
    #[must_use]
    pub fn twin(&self, device: &str) -> Option<Value> {
        Some(self.lock().find(device).ok()?.1.twin.to_json())
    }

    /// Calls a direct method and waits for its answer: status and payload.
    ///
    /// # Errors
    /// When the hub does not know the device, it is not connected or does not answer in time.
    pub async fn call_method(
        &self,
        device: &str,
        name: &str,
        payload: &Value,
        timeout: Duration,
    ) -> anyhow::Result<(i64, Value)> {
        let (answer, request) = {
            let mut state = self.lock();
            state.last_request += 1;
            let request = state.last_request.to_string();
            let (_, device) = state.find(device)?;
            anyhow::ensure!(device.live.is_some(), "the device is not connected");
            device.order(Order::Push {
                filter: Filter::Methods,
                topic: format!("$iothub/methods/POST/{name}/?$rid={request}"),
                body: Bytes::from(payload.to_string()),
            });
            let (sender, answer) = oneshot::channel();
            state.methods.insert(request.clone(), sender);
            (answer, request)
        };
        let answer = tokio::time::timeout(timeout, answer).await;
        self.lock().methods.remove(&request);
        answer.ok().and_then(Result::ok).with_context(|| format!("the device did not answer the method {name}"))
    }
}

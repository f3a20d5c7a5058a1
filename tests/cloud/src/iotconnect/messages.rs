//! The identity messages of 2.1: a device asks on its `di` topic, the answer comes as a cloud-to-device message (IoTConnect
//! device message 2.1, message types 200 to 222).
//!
//! Every answer has a `d`, which tells it from a command. Child devices come and go here (221, 222), until the simulator
//! ends. The answers to 206, 209 and 210 were never published: 206 says that nothing waits, 209 and 210 put together what
//! the single ones say.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{IotConnect, NOT_JSON, remove};
use crate::c2d::Dialect;
use crate::device::Device;
use crate::limits::CHILD_ID_MAX;
use crate::portal::GATEWAY_GUID;
use crate::protocol::Protocol;
use crate::script::{Answer, Endpoint};
use crate::template::Child;
use crate::topic::Properties;

/// Whether a device may ask this.
pub(crate) fn is_known(kind: i64) -> bool {
    matches!(kind, 200..=206 | 209 | 210 | 221 | 222)
}

/// Why a child was not created (221).
mod create {
    pub(super) const TAG_MISSING: i64 = 1;
    pub(super) const ID_MISSING: i64 = 2;
    pub(super) const NAME_MISSING: i64 = 3;
    pub(super) const GATEWAY_NOT_FOUND: i64 = 4;
    pub(super) const INVALID_TAG: i64 = 6;
    pub(super) const TAG_OF_GATEWAY: i64 = 7;
    pub(super) const ID_EXISTS: i64 = 8;
    pub(super) const ID_TOO_LONG: i64 = 9;
}

/// Why a child was not deleted (222).
const CHILD_NOT_FOUND: i64 = 1;

/// What the answer to a question consists of.
fn parts(kind: i64) -> &'static [&'static str] {
    match kind {
        201 => &["att"],
        202 => &["set"],
        203 => &["r"],
        204 => &["d"],
        205 => &["ota"],
        206 => &["cmd"],
        209 => &["ota", "cmd"],
        210 => &["att", "set", "r", "d", "ota", "cmd"],
        _ => &[],
    }
}

impl IotConnect {
    /// Answers one message of the device that the hub knows as `hub_id`. What is not of the form gets no answer.
    pub(crate) fn identity_message(&self, hub_id: &str, body: &[u8]) {
        let Some(device) = self.inner.portal.by_hub_id(hub_id).filter(|device| device.offer.includes(Protocol::V21))
        else {
            return;
        };
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(kind) = request.get("mt").and_then(Value::as_i64).filter(|kind| is_known(*kind)) else { return };
        let scripted = self.visit(Endpoint::IdentityMessage);
        tracing::info!(device = device.unique_id, mt = kind, scripted = ?scripted, "identity message");
        let right = |iotconnect: &Self| {
            let mut d = iotconnect.content(&device, kind, request.get("d").unwrap_or(&Value::Null));
            d.insert("ct".to_owned(), kind.into());
            d.insert("dt".to_owned(), Timestamp::now().to_string().into());
            json!({"d": d})
        };
        let answer = match scripted {
            None | Some(Answer::Right) => right(self).to_string(),
            Some(Answer::ResultCode(code)) => json!({"d": {"ec": code, "ct": kind}}).to_string(),
            Some(Answer::Status { status, message }) => json!({"status": status, "message": message}).to_string(),
            Some(Answer::NotJson) => NOT_JSON.to_owned(),
            Some(Answer::Body(body)) => body,
            Some(Answer::Missing(key)) => {
                let mut answer = right(self);
                remove(&mut answer, &key);
                answer.to_string()
            }
            Some(Answer::Http(_) | Answer::HangMs(_)) => return,
            Some(Answer::Cut) => {
                // Gone already is as good.
                self.inner.hub.cut(hub_id).ok();
                return;
            }
        };
        if let Err(error) = self.inner.hub.send_raw(hub_id, answer, &Properties::new()) {
            tracing::error!(error = format!("{error:#}"), mt = kind, "cannot answer an identity message");
        }
    }

    fn content(&self, device: &Device, kind: i64, argument: &Value) -> Map<String, Value> {
        let template = &device.template;
        let code = match kind {
            200 => return self.identity_of(&device.unique_id).unwrap_or_default(),
            221 => self.create_child(device, argument),
            222 => self.delete_child(device, argument),
            _ => 0,
        };
        let mut d = Map::new();
        d.insert("ec".to_owned(), code.into());
        for key in parts(kind) {
            let value = match *key {
                "att" => template.att21(),
                "set" => template.set21(),
                "r" => template.r21(),
                "d" => template.children21(),
                "ota" => self.tell_pending(device, Dialect::V21).map_or(Value::Null, |firmware| firmware.v21()),
                _ => json!([]),
            };
            d.insert((*key).to_owned(), value);
        }
        d
    }

    /// Creates the child, or says by which code not.
    fn create_child(&self, device: &Device, wanted: &Value) -> i64 {
        let text = |key| wanted.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(tag) = text("tg") else { return create::TAG_MISSING };
        let Some(id) = text("id") else { return create::ID_MISSING };
        if text("dn").is_none() {
            return create::NAME_MISSING;
        }
        let template = &device.template;
        if template.tag.is_empty() || text("g") != Some(GATEWAY_GUID) {
            return create::GATEWAY_NOT_FOUND;
        }
        if tag == template.tag {
            return create::TAG_OF_GATEWAY;
        }
        if !template.attributes.iter().any(|attribute| attribute.tag == tag) {
            return create::INVALID_TAG;
        }
        if id.chars().count() > CHILD_ID_MAX {
            return create::ID_TOO_LONG;
        }
        if template.tag_of(&device.unique_id, id).is_some() {
            return create::ID_EXISTS;
        }
        let child = Child { id: id.to_owned(), tag: tag.to_owned() };
        let created = self.inner.portal.edit(&device.unique_id, |device| device.template.children.push(child));
        created.map_or(create::GATEWAY_NOT_FOUND, |()| 0)
    }

    fn delete_child(&self, device: &Device, wanted: &Value) -> i64 {
        let id = wanted.get("id").and_then(Value::as_str).unwrap_or_default();
        let deleted = self.inner.portal.edit(&device.unique_id, |device| {
            let children = &mut device.template.children;
            let before = children.len();
            children.retain(|child| child.id != id);
            children.len() < before
        });
        if deleted.unwrap_or(false) { 0 } else { CHILD_NOT_FOUND }
    }
}

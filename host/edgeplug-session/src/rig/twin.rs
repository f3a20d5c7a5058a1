//! The hub's twin of the device: asked, patched and changed as Azure IoT Hub does it.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{LATENCY, Rig};
use crate::event::Event;
use crate::{ConnectionId, DeliveryId};

/// Of messages that the hub does not hold.
pub(super) const DELIVERY: DeliveryId = DeliveryId(u64::MAX);

#[derive(Default)]
pub(crate) struct HubTwin {
    pub(crate) desired: Map<String, Value>,
    pub(crate) desired_version: u64,
    pub(crate) reported: Map<String, Value>,
    pub(crate) reported_version: u64,
    /// How the next questions are answered, in order; `None` is not at all. Past them: well.
    pub(crate) says: VecDeque<Option<u16>>,
    /// What it was asked, without request ids: nothing is a GET.
    pub(crate) asked: Vec<Option<Value>>,
}

impl Rig {
    /// The portal changes desired properties.
    pub(crate) fn desire(&mut self, patch: Value) {
        let twin = &mut self.cloud.twin;
        twin.desired_version += 1;
        merge(&mut twin.desired, &patch);
        let (version, mut patch) = (twin.desired_version, patch);
        patch["$version"] = version.into();
        self.push_desired(Some(version), patch.to_string());
    }

    /// A change that is no news to the twin itself.
    pub(crate) fn push_desired(&mut self, version: Option<u64>, body: String) {
        let Some(connection) = self.connection else { return };
        let query = version.map_or(String::new(), |version| format!("?$version={version}"));
        let topic = format!("$iothub/twin/PATCH/properties/desired/{query}");
        self.later(LATENCY, Event::Received { connection, delivery: DELIVERY, topic, payload: body.into() });
    }

    pub(super) fn ask_twin(&mut self, connection: ConnectionId, topic: &str, body: &Bytes) {
        let (path, request) = topic.split_once("?$rid=").unwrap();
        let twin = &mut self.cloud.twin;
        let patch: Option<Value> = match path {
            "$iothub/twin/GET/" => None,
            "$iothub/twin/PATCH/properties/reported/" => Some(serde_json::from_slice(body).unwrap()),
            other => panic!("nothing is asked at {other}"),
        };
        twin.asked.push(patch.clone());
        let (status, version, payload) = match (twin.says.pop_front(), patch) {
            (Some(None), _) => return,
            (Some(Some(status)), _) => (status, None, String::new()),
            (None, None) => (200, None, twin.whole().to_string()),
            (None, Some(patch)) => {
                twin.reported_version += 1;
                merge(&mut twin.reported, &patch);
                (204, Some(twin.reported_version), String::new())
            }
        };
        let version = version.map_or(String::new(), |version| format!("&$version={version}"));
        let topic = format!("$iothub/twin/res/{status}/?$rid={request}{version}");
        self.later(2 * LATENCY, Event::Received { connection, delivery: DELIVERY, topic, payload: payload.into() });
    }
}

impl HubTwin {
    fn whole(&self) -> Value {
        let (mut desired, mut reported) = (self.desired.clone(), self.reported.clone());
        desired.insert("$version".into(), self.desired_version.into());
        reported.insert("$version".into(), self.reported_version.into());
        json!({ "desired": desired, "reported": reported })
    }
}

/// One level deep, which is enough for a test.
fn merge(members: &mut Map<String, Value>, patch: &Value) {
    for (name, value) in patch.as_object().unwrap() {
        match value {
            Value::Null => drop(members.remove(name)),
            other => drop(members.insert(name.clone(), other.clone())),
        }
    }
}

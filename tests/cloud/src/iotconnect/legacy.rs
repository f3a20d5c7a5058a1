//! Discovery and sync of the legacy protocol (IoTConnect device message 1.0, "discovery", "sync").
//!
//! Sync answers only the keys its request asked for, others are null. The device's state decides the codes: unknown in the
//! portal or not offered this protocol is `rc` 3, known there but not in the hub `rc` 1, otherwise 0.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::{IotConnect, authentication, object, respond};
use crate::c2d::Dialect;
use crate::listen::Cut;
use crate::protocol::Protocol;
use crate::script::{Answer, Endpoint};

/// Which key of the answer each option flag asks for.
const OPTIONS: [(&str, &str); 6] =
    [("attribute", "att"), ("setting", "set"), ("protocol", "p"), ("device", "d"), ("sdkConfig", "sc"), ("rule", "r")];
const ZERO_GUID: &str = "00000000-0000-0000-0000-000000000000";

pub(super) async fn discovery(
    State(iotconnect): State<IotConnect>,
    Extension(cut): Extension<Cut>,
    Path((cpid, lang, ver, env)): Path<(String, String, String, String)>,
) -> Response {
    let scripted = iotconnect.visit(Endpoint::Discovery);
    tracing::info!(cpid, lang, ver, env, "discovery");
    let right = json!({
        "baseUrl": format!("{}/api/2.0/agent/", iotconnect.lock().base),
        "logInfo": "<logInfo><hostName /><user /><password /><topic /></logInfo>"
    });
    respond(scripted, right, not_found, &cut).await
}

pub(super) async fn sync(
    State(iotconnect): State<IotConnect>,
    Extension(cut): Extension<Cut>,
    body: Bytes,
) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    iotconnect.log_sync(&request);
    let scripted = iotconnect.visit(Endpoint::Sync);
    let text = |name| request.get(name).and_then(Value::as_str);
    let (Some(cpid), Some(unique_id), Some(options)) =
        (text("cpId"), text("uniqueId"), request.get("option").and_then(Value::as_object))
    else {
        return (StatusCode::BAD_REQUEST, Json(json!({"status": 400, "message": "invalid request"}))).into_response();
    };
    // A device that gets another answer is not told of an update, and owes nothing for it.
    let right = matches!(scripted, None | Some(Answer::Right | Answer::Missing(_)));
    let mut answer = iotconnect.sync_answer(cpid, unique_id, right);
    tracing::info!(cpid, unique_id, rc = ?answer.get("rc"), scripted = ?scripted, "sync");
    for (option, key) in OPTIONS {
        // Both styles are in use: only the wanted flags as true, or all six with false for the others.
        if options.get(option).and_then(Value::as_bool) != Some(true) {
            answer.insert(key.to_owned(), Value::Null);
        }
    }
    respond(scripted, json!({"d": answer}), not_found, &cut).await
}

impl IotConnect {
    /// The whole sync answer, before the option filter; `told` when the device gets to see it.
    fn sync_answer(&self, cpid: &str, unique_id: &str, told: bool) -> Map<String, Value> {
        let portal = &self.inner.portal;
        if !cpid.eq_ignore_ascii_case(&portal.cpid) {
            return nothing(6);
        }
        let Some(device) = portal.get(unique_id).filter(|device| device.offer.includes(Protocol::Legacy)) else {
            return nothing(3);
        };
        let id = portal.hub_id(&device);
        let in_hub = self.inner.hub.knows(&id);
        let code = if in_hub { 0 } else { 1 };
        let p = in_hub.then(|| {
            let host = self.told_host(&id);
            json!({
                "n": "mqtt", "h": host, "p": self.inner.hub.told_port(), "id": id,
                "un": format!("{host}/{id}/?api-version=2018-06-30"), "pwd": "",
                "pub": format!("devices/{id}/messages/events/"), "sub": format!("devices/{id}/messages/devicebound/#")
            })
        });
        let template = &device.template;
        let firmware = if told && in_hub { self.tell_pending(&device, Dialect::Legacy) } else { None };
        let firmware = firmware.map(|firmware| firmware.legacy());
        object(json!({
            "sc": {
                "hb": {"fq": 10, "h": "", "un": "", "pwd": "", "pub": ""}, "log": {"h": "", "un": "", "pwd": "", "pub": ""},
                "sf": 5, "df": template.data_frequency_s
            },
            "p": p, "d": template.devices(unique_id), "att": template.att(), "set": template.set(), "r": template.r(),
            "ota": firmware, "dtg": template.guid, "cpId": &*portal.cpid, "rc": code, "ee": u8::from(template.edge),
            "at": authentication(&device), "ds": code
        }))
    }
}

fn not_found(code: i64) -> Value {
    json!({"d": nothing(code)})
}

/// Every object null: the answer for a device that is not there.
fn nothing(code: i64) -> Map<String, Value> {
    object(json!({
        "sc": null, "p": null, "d": null, "att": null, "set": null, "r": null, "ota": null, "dtg": ZERO_GUID, "cpId": null,
        "rc": code, "ee": 0, "at": 0, "ds": code
    }))
}

//! Discovery and identity of 2.1 (IoTConnect device message 2.1, "discovery", "identity").
//!
//! Every answer is HTTP 200; its `ec` says what is wrong. Discovery knows the company and whether it has anything in 2.1,
//! identity the device: one that is unknown, not offered 2.1 or not in the hub yet is `ec` 1.

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{IotConnect, authentication, object, respond};
use crate::device::Device;
use crate::listen::Cut;
use crate::portal::{COMPANY_GUID, GATEWAY_GUID};
use crate::protocol::Protocol;
use crate::script::Endpoint;
use crate::topic;

/// What discovery and identity answer by (2.1 reference, identity codes; discovery's own 1 to 3 are about SIDs).
mod codes {
    pub(super) const INVALID_SID: i64 = 1;
    pub(super) const NOT_FOUND: i64 = 1;
    pub(super) const COMPANY_NOT_FOUND: i64 = 6;
    pub(super) const INVALID_ENVIRONMENT: i64 = 11;
    pub(super) const INVALID_PLATFORM: i64 = 12;
}

#[derive(Deserialize)]
pub(super) struct Platform {
    /// `az` or `aws`; the C library sends none.
    pf: Option<String>,
}

pub(super) async fn discovery_by_cpid(
    State(iotconnect): State<IotConnect>,
    Extension(cut): Extension<Cut>,
    Path((key, cpid, env)): Path<(String, String, String)>,
    Query(platform): Query<Platform>,
) -> Response {
    // `cpid` in one SDK, `cpId` in the others.
    if !key.eq_ignore_ascii_case("cpid") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let portal = &iotconnect.inner.portal;
    let code = if !cpid.eq_ignore_ascii_case(&portal.cpid) {
        codes::COMPANY_NOT_FOUND
    } else if env != *portal.env {
        codes::INVALID_ENVIRONMENT
    } else {
        0
    };
    discovery(&iotconnect, &cut, code, &platform).await
}

pub(super) async fn discovery_by_sid(
    State(iotconnect): State<IotConnect>,
    Extension(cut): Extension<Cut>,
    Path((key, sid)): Path<(String, String)>,
    Query(platform): Query<Platform>,
) -> Response {
    if !key.eq_ignore_ascii_case("sid") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let code = if sid == *iotconnect.inner.portal.sid { 0 } else { codes::INVALID_SID };
    discovery(&iotconnect, &cut, code, &platform).await
}

async fn discovery(iotconnect: &IotConnect, cut: &Cut, code: i64, platform: &Platform) -> Response {
    let scripted = iotconnect.visit(Endpoint::DiscoveryV21);
    let code = match (code, platform.pf.as_deref()) {
        (0, Some(pf)) if !pf.eq_ignore_ascii_case("az") => codes::INVALID_PLATFORM,
        (0, _) if !iotconnect.inner.portal.offers(Protocol::V21) => codes::COMPANY_NOT_FOUND,
        (code, _) => code,
    };
    tracing::info!(ec = code, pf = platform.pf, scripted = ?scripted, "discovery 2.1");
    let right = if code == 0 {
        json!({
            "d": {
                "ec": 0, "bu": format!("{}/api/2.1/agent/device-identity/cg/{COMPANY_GUID}", iotconnect.lock().base),
                "log:mqtt": {"hn": "", "un": "", "pwd": "", "topic": ""}, "log:https": "", "pf": "az", "dip": 1,
                "errorMsg": null
            },
            "status": 200, "message": "Success"
        })
    } else {
        no_base(code)
    };
    respond(scripted, right, no_base, cut).await
}

fn no_base(code: i64) -> Value {
    let message = match code {
        codes::INVALID_SID => "Invalid SID".to_owned(),
        codes::COMPANY_NOT_FOUND => "CpId not found".to_owned(),
        code => format!("Error code {code}"),
    };
    json!({"d": {"ec": code, "bu": null, "errorMsg": message}, "status": 200, "message": message})
}

pub(super) async fn identity(
    State(iotconnect): State<IotConnect>,
    Extension(cut): Extension<Cut>,
    Path((company, unique_id)): Path<(String, String)>,
) -> Response {
    let scripted = iotconnect.visit(Endpoint::Identity);
    let found = if company == COMPANY_GUID {
        iotconnect.identity_of(&unique_id).ok_or(codes::NOT_FOUND)
    } else {
        Err(codes::COMPANY_NOT_FOUND)
    };
    tracing::info!(unique_id, ec = found.as_ref().err(), scripted = ?scripted, "identity");
    let right = match found {
        Ok(d) => json!({"d": d, "status": 200, "message": "Device info loaded successfully."}),
        Err(code) => no_identity(code),
    };
    respond(scripted, right, no_identity, &cut).await
}

fn no_identity(code: i64) -> Value {
    json!({
        "d": {"ec": code, "ct": 200, "dt": Timestamp::now().to_string()}, "status": 200,
        "message": format!("Device information not available, error code {code}.")
    })
}

impl IotConnect {
    /// The `d` of an identity answer, which message 200 has as well.
    pub(super) fn identity_of(&self, unique_id: &str) -> Option<Map<String, Value>> {
        let portal = &self.inner.portal;
        let device = portal.get(unique_id).filter(|device| device.offer.includes(Protocol::V21))?;
        let id = portal.hub_id(&device);
        if !self.inner.hub.knows(&id) {
            return None;
        }
        let host = self.told_host(&id);
        let template = &device.template;
        let gateway = (!template.tag.is_empty()).then(|| json!({"tg": template.tag, "g": GATEWAY_GUID}));
        let pending = self.inner.post.waiting(unique_id).is_some() || self.lock().firmware.is_some();
        let is = |there: bool| u8::from(there);
        Some(object(json!({
            "ec": 0, "ct": 200,
            "meta": {
                "at": authentication(&device), "df": template.data_frequency_s, "cd": template.code, "gtw": gateway,
                "edge": is(template.edge), "pf": is(device.hub_device_id.is_none()), "hwv": "", "swv": "", "v": 2.1
            },
            "has": {
                "d": is(!template.children.is_empty()), "attr": is(!template.attributes.is_empty()),
                "set": is(!template.settings.is_empty()), "r": is(!template.rules.is_empty()),
                "ota": is(pending)
            },
            "p": {
                "n": "mqtt", "h": host, "p": self.inner.hub.told_port(), "id": id,
                "un": format!("{host}/{id}/?api-version=2018-06-30"), "topics": topics(&id, &device)
            },
            "dt": Timestamp::now().to_string()
        })))
    }
}

/// Every topic the device may use; those of windows and rule matches only for an edge device.
fn topics(id: &str, device: &Device) -> Value {
    let mut topics = json!({
        "c2d": format!("devices/{id}/messages/devicebound/#"),
        "set": {
            "pub": "$iothub/twin/PATCH/properties/reported/?$rid={version}",
            "sub": "$iothub/twin/PATCH/properties/desired/#", "pubForAll": "$iothub/twin/GET/?$rid=0",
            "subForAll": "$iothub/twin/res/#"
        }
    });
    for (name, property, edge_only) in topic::V21_TOPICS {
        if (!edge_only || device.template.edge)
            && let Some(topics) = topics.as_object_mut()
        {
            let topic = topic::v21_events(id, &device.template.code, property);
            topics.insert(name.to_owned(), topic.into());
        }
    }
    topics
}

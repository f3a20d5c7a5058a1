//! IoTConnect's own HTTPS services of the legacy protocol: discovery and sync (IoTConnect device message 1.0, "discovery", "sync").
//!
//! Sync answers only the keys its request asked for, others are null. The device's state decides the codes: unknown in the
//! portal is `rc` 3, known there but not in the hub `rc` 1, otherwise 0. No authentication, as in the real one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Map, Value, json};

use crate::changes::{Changes, TimedOut};
use crate::device::{Identity, Template};
use crate::hub::Hub;
use crate::limits::{CALL_LOG_MAX, REQUEST_BYTES_MAX};
use crate::listen::Cut;
use crate::portal::{HOST, Portal};
use crate::script::{Answer, Endpoint, HANG_MAX, Script};

/// Which key of the answer each option flag asks for.
const OPTIONS: [(&str, &str); 6] =
    [("attribute", "att"), ("setting", "set"), ("protocol", "p"), ("device", "d"), ("sdkConfig", "sc"), ("rule", "r")];
const ZERO_GUID: &str = "00000000-0000-0000-0000-000000000000";

/// The simulated IoTConnect. Cheap to clone.
#[derive(Clone)]
pub struct IotConnect {
    inner: Arc<Inner>,
}

struct Inner {
    portal: Portal,
    hub: Hub,
    changes: Changes,
    state: Mutex<Asked>,
}

struct Asked {
    discovery: Script<Answer>,
    sync: Script<Answer>,
    /// The `https://localhost:port` that discovery hands out.
    base: String,
    syncs: Vec<Value>,
    sync_count: usize,
    discovery_count: usize,
    old_host: bool,
    firmware: Value,
}

impl IotConnect {
    pub(crate) fn new(portal: Portal, hub: Hub, changes: Changes) -> Self {
        let asked = Asked {
            discovery: Script::new(),
            sync: Script::new(),
            base: String::new(),
            syncs: Vec::new(),
            sync_count: 0,
            discovery_count: 0,
            old_host: false,
            firmware: Value::Null,
        };
        Self { inner: Arc::new(Inner { portal, hub, changes, state: Mutex::new(asked) }) }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/api/sdk/cpid/{cpid}/lang/{lang}/ver/{ver}/env/{env}", get(discovery))
            .route("/api/2.0/agent/sync", post(sync))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .with_state(self.clone())
    }

    pub(crate) fn set_base(&self, base: &str) {
        self.lock().base = base.to_owned();
    }

    /// Scripts the next answers of an endpoint.
    ///
    /// # Errors
    /// When too many answers wait already.
    pub fn script(&self, endpoint: Endpoint, answers: impl IntoIterator<Item = Answer>) -> anyhow::Result<()> {
        let mut asked = self.lock();
        match endpoint {
            Endpoint::Discovery => asked.discovery.extend(answers),
            Endpoint::Sync => asked.sync.extend(answers),
        }
    }

    /// Forgets the scripted answers of both endpoints.
    pub fn clear_scripts(&self) {
        let mut asked = self.lock();
        asked.discovery.clear();
        asked.sync.clear();
    }

    /// How often discovery was asked.
    #[must_use]
    pub fn discoveries(&self) -> usize {
        self.lock().discovery_count
    }

    /// How often sync was asked.
    #[must_use]
    pub fn syncs(&self) -> usize {
        self.lock().sync_count
    }

    /// The bodies of the sync requests, oldest first (the first 1,000).
    #[must_use]
    pub fn sync_requests(&self) -> Vec<Value> {
        self.lock().syncs.clone()
    }

    /// Waits until sync has been asked `count` times.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_syncs(&self, count: usize, timeout: Duration) -> Result<(), TimedOut> {
        let look = || (self.syncs() >= count).then_some(());
        self.inner.changes.until(&format!("{count} syncs"), timeout, look).await
    }

    /// Changes a device's template; tell the device with `Hub::send_control` (`0x10` and so on) if it should know.
    ///
    /// # Errors
    /// When the portal does not know the device.
    pub fn edit_template(&self, unique_id: &str, edit: impl FnOnce(&mut Template)) -> anyhow::Result<()> {
        self.inner.portal.edit(unique_id, edit)
    }

    /// What sync says in `ota`; null for none.
    pub fn set_pending_firmware(&self, firmware: Value) {
        self.lock().firmware = firmware;
    }

    /// Lets sync go on naming the old hub after DPS has moved a device.
    pub fn answer_old_host(&self, old: bool) {
        self.lock().old_host = old;
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole sync answer, before the option filter.
    fn answer(&self, cpid: &str, unique_id: &str) -> Map<String, Value> {
        let portal = &self.inner.portal;
        if !cpid.eq_ignore_ascii_case(&portal.cpid) {
            return nothing(6);
        }
        let Some(device) = portal.get(unique_id) else { return nothing(3) };
        let id = portal.hub_id(&device);
        let in_hub = self.inner.hub.knows(&id);
        let code = if in_hub { 0 } else { 1 };
        let (old_host, firmware) = {
            let asked = self.lock();
            (asked.old_host, asked.firmware.clone())
        };
        let p = in_hub.then(|| {
            let known = if old_host { None } else { self.inner.hub.host(&id) };
            let host = known.unwrap_or_else(|| HOST.to_owned());
            json!({
                "n": "mqtt", "h": host, "p": self.inner.hub.told_port(), "id": id,
                "un": format!("{host}/{id}/?api-version=2018-06-30"), "pwd": "",
                "pub": format!("devices/{id}/messages/events/"), "sub": format!("devices/{id}/messages/devicebound/#")
            })
        });
        let template = &device.template;
        let at = match device.identity {
            Identity::Tpm { .. } => 4,
            Identity::SymmetricKey { .. } => 5,
        };
        let answer = json!({
            "sc": {
                "hb": {"fq": 10, "h": "", "un": "", "pwd": "", "pub": ""}, "log": {"h": "", "un": "", "pwd": "", "pub": ""},
                "sf": 5, "df": template.data_frequency_s
            },
            "p": p, "d": template.devices(unique_id), "att": template.att(), "set": template.set(), "r": [], "ota": firmware,
            "dtg": template.guid, "cpId": &*portal.cpid, "rc": code, "ee": u8::from(template.edge), "at": at, "ds": code
        });
        object(answer)
    }
}

async fn discovery(
    State(iotconnect): State<IotConnect>,
    Extension(cut): Extension<Cut>,
    Path((cpid, lang, ver, env)): Path<(String, String, String, String)>,
) -> Response {
    let (scripted, base) = {
        let mut asked = iotconnect.lock();
        asked.discovery_count += 1;
        (asked.discovery.next(), asked.base.clone())
    };
    iotconnect.inner.changes.ring();
    tracing::info!(cpid, lang, ver, env, "discovery");
    let right = json!({
        "baseUrl": format!("{base}/api/2.0/agent/"),
        "logInfo": "<logInfo><hostName /><user /><password /><topic /></logInfo>"
    });
    respond(scripted, right, &cut).await
}

async fn sync(State(iotconnect): State<IotConnect>, Extension(cut): Extension<Cut>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let scripted = {
        let mut asked = iotconnect.lock();
        asked.sync_count += 1;
        if asked.syncs.len() < CALL_LOG_MAX {
            asked.syncs.push(request.clone());
        }
        asked.sync.next()
    };
    iotconnect.inner.changes.ring();
    let text = |name| request.get(name).and_then(Value::as_str);
    let (Some(cpid), Some(unique_id), Some(options)) =
        (text("cpId"), text("uniqueId"), request.get("option").and_then(Value::as_object))
    else {
        return (StatusCode::BAD_REQUEST, Json(json!({"status": 400, "message": "invalid request"}))).into_response();
    };
    let mut answer = iotconnect.answer(cpid, unique_id);
    tracing::info!(cpid, unique_id, rc = ?answer.get("rc"), scripted = ?scripted, "sync");
    for (option, key) in OPTIONS {
        // Both styles are in use: only the wanted flags as true, or all six with false for the others.
        if options.get(option).and_then(Value::as_bool) != Some(true) {
            answer.insert(key.to_owned(), Value::Null);
        }
    }
    respond(scripted, json!({"d": answer}), &cut).await
}

async fn respond(scripted: Option<Answer>, mut right: Value, cut: &Cut) -> Response {
    match scripted {
        None | Some(Answer::Right) => Json(right).into_response(),
        Some(Answer::ResultCode(code)) => Json(json!({"d": nothing(code)})).into_response(),
        Some(Answer::Status { status, message }) => Json(json!({"status": status, "message": message})).into_response(),
        Some(Answer::NotJson) => "<html>this is not json</html>".into_response(),
        Some(Answer::Body(body)) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Some(Answer::Http(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, "<html>something went wrong</html>").into_response()
        }
        Some(Answer::HangMs(milliseconds)) => {
            tokio::time::sleep(Duration::from_millis(milliseconds).min(HANG_MAX)).await;
            cut.now().await
        }
        Some(Answer::Cut) => cut.now().await,
        Some(Answer::MissingSc) => {
            if let Some(answer) = right.get_mut("d").and_then(Value::as_object_mut) {
                answer.remove("sc");
            }
            Json(right).into_response()
        }
    }
}

/// Every object null: the answer for a device that is not there.
fn nothing(code: i64) -> Map<String, Value> {
    object(json!({
        "sc": null, "p": null, "d": null, "att": null, "set": null, "r": null, "ota": null, "dtg": ZERO_GUID, "cpId": null,
        "rc": code, "ee": 0, "at": 0, "ds": code
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

//! IoTConnect's own services: discovery and sync of the legacy protocol (`legacy.rs`), discovery and identity of 2.1 (`v21.rs`),
//! and the identity messages that a 2.1 device sends over the hub (`messages.rs`).
//!
//! Each endpoint answers by the portal's word about the device, unless an answer was scripted. No authentication, as in the
//! real ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value};

use crate::c2d::{Dialect, PendingFirmware, Post};
use crate::changes::{Changes, TimedOut};
use crate::device::{Device, Identity};
use crate::hub::Hub;
use crate::limits::{CALL_LOG_MAX, REQUEST_BYTES_MAX};
use crate::listen::Cut;
use crate::portal::{HOST, Portal};
use crate::protocol::Offer;
use crate::script::{Answer, Endpoint, HANG_MAX, Script};
use crate::template::Template;

mod legacy;
mod messages;
mod v21;

pub(crate) use messages::is_known as is_identity_message;

/// The simulated IoTConnect. Cheap to clone.
#[derive(Clone)]
pub struct IotConnect {
    inner: Arc<Inner>,
}

/// The same, for the hub, which must not keep alive what keeps it alive.
#[derive(Clone)]
pub(crate) struct WeakIotConnect(Weak<Inner>);

struct Inner {
    portal: Portal,
    hub: Hub,
    post: Post,
    changes: Changes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    endpoints: BTreeMap<Endpoint, Visits>,
    /// The `https://localhost:port` that discovery hands out.
    base: String,
    syncs: Vec<Value>,
    old_host: bool,
    firmware: Option<PendingFirmware>,
}

#[derive(Default)]
struct Visits {
    script: Script<Answer>,
    count: usize,
}

impl IotConnect {
    pub(crate) fn new(portal: Portal, hub: Hub, post: Post, changes: Changes) -> Self {
        Self { inner: Arc::new(Inner { portal, hub, post, changes, state: Mutex::default() }) }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/api/sdk/cpid/{cpid}/lang/{lang}/ver/{ver}/env/{env}", get(legacy::discovery))
            .route("/api/2.0/agent/sync", post(legacy::sync))
            .route("/api/v2.1/dsdk/{key}/{value}", get(v21::discovery_by_sid))
            .route("/api/v2.1/dsdk/{key}/{value}/env/{env}", get(v21::discovery_by_cpid))
            .route("/api/2.1/agent/device-identity/cg/{company}/uid/{unique_id}", get(v21::identity))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .with_state(self.clone())
    }

    pub(crate) fn downgrade(&self) -> WeakIotConnect {
        WeakIotConnect(Arc::downgrade(&self.inner))
    }

    pub(crate) fn set_base(&self, base: &str) {
        self.lock().base = base.to_owned();
    }

    /// Scripts the next answers of an endpoint.
    ///
    /// # Errors
    /// When too many answers wait already.
    pub fn script(&self, endpoint: Endpoint, answers: impl IntoIterator<Item = Answer>) -> anyhow::Result<()> {
        self.lock().endpoints.entry(endpoint).or_default().script.extend(answers)
    }

    /// Forgets the scripted answers of all endpoints.
    pub fn clear_scripts(&self) {
        self.lock().endpoints.values_mut().for_each(|visits| visits.script.clear());
    }

    /// How often an endpoint was asked.
    #[must_use]
    pub fn asked(&self, endpoint: Endpoint) -> usize {
        self.lock().endpoints.get(&endpoint).map_or(0, |visits| visits.count)
    }

    /// Waits until an endpoint has been asked `count` times.
    ///
    /// # Errors
    /// [`TimedOut`] after `timeout`.
    pub async fn wait_asked(&self, endpoint: Endpoint, count: usize, timeout: Duration) -> Result<(), TimedOut> {
        let look = || (self.asked(endpoint) >= count).then_some(());
        self.inner.changes.until(&format!("{endpoint:?} to be asked {count} times"), timeout, look).await
    }

    /// How often legacy discovery was asked.
    #[must_use]
    pub fn discoveries(&self) -> usize {
        self.asked(Endpoint::Discovery)
    }

    /// How often sync was asked.
    #[must_use]
    pub fn syncs(&self) -> usize {
        self.asked(Endpoint::Sync)
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
        self.wait_asked(Endpoint::Sync, count, timeout).await
    }

    /// Changes a device's template; tell the device (`CloudMessage::AttributesChanged` and so on) if it should know.
    ///
    /// # Errors
    /// When the portal does not know the device.
    pub fn edit_template(&self, unique_id: &str, edit: impl FnOnce(&mut Template)) -> anyhow::Result<()> {
        self.inner.portal.edit(unique_id, |device| edit(&mut device.template))
    }

    /// Changes which protocols a device is offered from now on.
    ///
    /// # Errors
    /// When the portal does not know the device.
    pub fn offer(&self, unique_id: &str, offer: Offer) -> anyhow::Result<()> {
        self.inner.portal.edit(unique_id, |device| device.offer = offer)
    }

    /// The firmware that waits for every device that asks and has no update of its own (`Cloud::set_pending_update`): `ota` of
    /// sync and of the identity message 205. Nothing is owed for it.
    pub fn set_pending_firmware(&self, firmware: Option<PendingFirmware>) {
        self.lock().firmware = firmware;
    }

    /// Lets sync and identity go on naming the old hub after DPS has moved a device.
    pub fn answer_old_host(&self, old: bool) {
        self.lock().old_host = old;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the device is told to be pending, which it owes an answer for from now on.
    fn tell_pending(&self, device: &Device, dialect: Dialect) -> Option<PendingFirmware> {
        let own = self.inner.post.tell_waiting(device, dialect);
        own.or_else(|| self.lock().firmware.clone())
    }

    /// Counts a visit and takes its scripted answer, if there is one.
    fn visit(&self, endpoint: Endpoint) -> Option<Answer> {
        let scripted = {
            let mut state = self.lock();
            let visits = state.endpoints.entry(endpoint).or_default();
            visits.count += 1;
            visits.script.next()
        };
        self.inner.changes.ring();
        scripted
    }

    fn log_sync(&self, request: &Value) {
        let mut state = self.lock();
        if state.syncs.len() < CALL_LOG_MAX {
            state.syncs.push(request.clone());
        }
    }

    /// The hub host that the device `id` is told.
    fn told_host(&self, id: &str) -> String {
        let old_host = self.lock().old_host;
        let known = if old_host { None } else { self.inner.hub.host(id) };
        known.unwrap_or_else(|| HOST.to_owned())
    }
}

impl WeakIotConnect {
    pub(crate) fn upgrade(&self) -> Option<IotConnect> {
        self.0.upgrade().map(|inner| IotConnect { inner })
    }
}

/// `at`.
fn authentication(device: &Device) -> u8 {
    match device.identity {
        Identity::Tpm { .. } => 4,
        Identity::SymmetricKey { .. } => 5,
    }
}

/// The scripted answer or the right one; `failed` makes the answer with a result code.
async fn respond(scripted: Option<Answer>, mut right: Value, failed: impl Fn(i64) -> Value, cut: &Cut) -> Response {
    match scripted {
        None | Some(Answer::Right) => Json(right).into_response(),
        Some(Answer::ResultCode(code)) => Json(failed(code)).into_response(),
        Some(Answer::Status { status, message }) => {
            Json(serde_json::json!({"status": status, "message": message})).into_response()
        }
        Some(Answer::NotJson) => NOT_JSON.into_response(),
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
        Some(Answer::Missing(key)) => {
            remove(&mut right, &key);
            Json(right).into_response()
        }
    }
}

const NOT_JSON: &str = "<html>this is not json</html>";

/// Takes `key` out of the answer's `d`, or, where there is none, out of the answer itself.
fn remove(answer: &mut Value, key: &str) {
    let nested = answer.get("d").is_some_and(Value::is_object);
    let object = if nested { answer.get_mut("d") } else { Some(answer) };
    if let Some(object) = object.and_then(Value::as_object_mut) {
        object.remove(key);
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

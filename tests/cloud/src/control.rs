//! The control API: what a test does in process, for `curl` and for other programs. Plain HTTP, loopback only, no
//! authentication; it hands out no keys.
//!
//! | call | does |
//! |---|---|
//! | `GET /control/status` | addresses, devices, connections, counts |
//! | `GET /control/records?after=N&limit=M` | what arrived, from record number N on |
//! | `GET /control/readings/{attribute}` · `/control/acks/{ack id}` | what reports and acks say |
//! | `GET /control/windows/{attribute}` · `/control/rule-matches/{guid}` | what an edge device made of its readings |
//! | `GET /control/complaints` | what IoTConnect would silently drop of it |
//! | `POST /control/devices` | creates a device: `{"unique_id","kind":"tpm"/"symmetric","offer":"1.0"/"2.1"/"both"?,"endorsement_key"?,"key"?,"template"?}` |
//! | `POST /control/devices/{id}/send` | any message of either protocol: `{"protocol":"1.0"/"2.1"/"2.1-number","message":{"type":"stop"},"times"?}`, see [`CloudMessage`] |
//! | `POST /control/devices/{id}/command` | legacy, `{"text","ack_id","ack"?}` |
//! | `POST /control/devices/{id}/message` | legacy, `{"kind":"0x10","data"?}` or any body with `{"raw":"…"}` |
//! | `GET /control/devices/{id}/acks` | acks owed for what `send` sent against those that came |
//! | `POST /control/devices/{id}/template` | replaces the template |
//! | `POST /control/devices/{id}/desired` | merges the body into the twin's desired section |
//! | `GET /control/devices/{id}/twin` · `…/twin-requests` | the twin, and what the device asked of it |
//! | `POST /control/devices/{id}/{cut,kick,expire,freeze,redeliver,revoke,remove}` | faults of one device |
//! | `GET /control/firmware` | the files of the firmware store |
//! | `PUT /control/firmware/{name}?sha256=right` · `DELETE …` | puts a file there, or another content; the metadata if asked for |
//! | `POST /control/firmware/{name}/url` | a signed URL: `{"life_s"?}`, below zero expired |
//! | `GET /control/firmware/{name}/requests` | who asked for what of it, and got what |
//! | `POST /control/devices/{id}/update` | sends a firmware update: `{"protocol","update":{…}}`, see [`Update`](crate::Update) |
//! | `POST /control/devices/{id}/pending-update` | lets one wait until the device asks; `null` takes it back |
//! | `POST /control/faults` | see [`Faults`] |
//! | `GET /control/dps/{registration id}` | calls that came |

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::c2d::{CloudMessage, Dialect};
use crate::cloud::Handles;
use crate::device::{Device, Identity};
use crate::dps::DpsFault;
use crate::hub::Pubacks;
use crate::key::Key;
use crate::limits::REQUEST_BYTES_MAX;
use crate::protocol::Offer;
use crate::script::{Answer, Endpoint};
use crate::template::Template;
use crate::topic::Properties;

mod firmware;

/// Most records one call hands out.
const PAGE_MAX: usize = 1_000;

pub(crate) fn router(handles: Handles) -> Router {
    Router::new()
        .route("/control/status", get(status))
        .route("/control/records", get(records))
        .route("/control/readings/{attribute}", get(readings))
        .route("/control/acks/{ack_id}", get(acks))
        .route("/control/windows/{attribute}", get(windows))
        .route("/control/rule-matches/{guid}", get(rule_matches))
        .route("/control/complaints", get(complaints))
        .route("/control/devices", post(create))
        .route("/control/devices/{device}/twin", get(twin))
        .route("/control/devices/{device}/twin-requests", get(twin_requests))
        .route("/control/devices/{device}/acks", get(ack_balance))
        .route("/control/devices/{device}/template", post(template))
        .route("/control/devices/{device}/send", post(send))
        .route("/control/devices/{device}/command", post(command))
        .route("/control/devices/{device}/message", post(message))
        .route("/control/devices/{device}/desired", post(desired))
        .route("/control/devices/{device}/{act}", post(act))
        .route("/control/faults", post(faults))
        .route("/control/dps/{registration}", get(dps))
        .merge(firmware::router())
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(handles)
}

/// Something that could not be done, as `{"error":"…"}` with status 400.
struct Failed(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({"error": format!("{:#}", self.0)}))).into_response()
    }
}

type Answered = Result<Json<Value>, Failed>;

fn done() -> Answered {
    Ok(Json(json!({"ok": true})))
}

async fn status(State(cloud): State<Handles>) -> Json<Value> {
    let devices: Vec<_> = cloud
        .portal
        .all()
        .iter()
        .map(|device| {
            let id = cloud.portal.hub_id(device);
            let (kind, enrolled) = match &device.identity {
                Identity::Tpm { endorsement_key } => ("tpm", endorsement_key.is_some()),
                Identity::SymmetricKey { .. } => ("symmetric", true),
            };
            json!({
                "unique_id": device.unique_id, "kind": kind, "enrolled": enrolled, "hub_device_id": id,
                "registration_id": cloud.portal.registration_id(device), "in_hub": cloud.hub.knows(&id),
                "connected": cloud.hub.connected(&id), "queued": cloud.hub.queued(&id),
                "connections": cloud.hub.connections(&id), "dps_calls": cloud.dps.calls(&cloud.portal.registration_id(device))
            })
        })
        .collect();
    Json(json!({
        "cpid": &*cloud.portal.cpid, "env": &*cloud.portal.env, "scope_id": &*cloud.portal.scope_id,
        "discovery_url": cloud.addresses.discovery_url, "dps_url": cloud.addresses.dps_url,
        "hub": cloud.hub.address().map(|address| address.to_string()),
        "hub_websocket": cloud.hub.websocket_address().map(|address| address.to_string()), "ca_file": cloud.addresses.ca_file,
        "devices": devices, "refusals": cloud.hub.refusals(), "records": cloud.recorder.len(),
        "duplicates": cloud.recorder.duplicates(), "unacknowledged": cloud.recorder.unacknowledged(),
        "discoveries": cloud.iotconnect.discoveries(), "syncs": cloud.iotconnect.syncs(),
        "discoveries_21": cloud.iotconnect.asked(Endpoint::DiscoveryV21), "identities": cloud.iotconnect.asked(Endpoint::Identity)
    }))
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: usize,
    #[serde(default = "page_max")]
    limit: usize,
}

fn page_max() -> usize {
    PAGE_MAX
}

async fn records(State(cloud): State<Handles>, Query(page): Query<Page>) -> Json<Value> {
    Json(json!(cloud.recorder.page(page.after, page.limit.min(PAGE_MAX))))
}

async fn readings(State(cloud): State<Handles>, Path(attribute): Path<String>) -> Json<Value> {
    Json(json!(cloud.recorder.readings(&attribute)))
}

async fn acks(State(cloud): State<Handles>, Path(ack_id): Path<String>) -> Json<Value> {
    Json(json!(cloud.recorder.acks(&ack_id)))
}

async fn windows(State(cloud): State<Handles>, Path(attribute): Path<String>) -> Json<Value> {
    Json(json!(cloud.recorder.windows(&attribute)))
}

async fn rule_matches(State(cloud): State<Handles>, Path(guid): Path<String>) -> Json<Value> {
    Json(json!(cloud.recorder.rule_matches(&guid)))
}

async fn complaints(State(cloud): State<Handles>) -> Json<Value> {
    Json(json!(cloud.complaints()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    unique_id: String,
    kind: Kind,
    #[serde(default)]
    offer: Offer,
    endorsement_key: Option<String>,
    key: Option<String>,
    template: Option<Template>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Tpm,
    Symmetric,
}

async fn create(State(cloud): State<Handles>, Json(wanted): Json<Create>) -> Answered {
    let mut device = match wanted.kind {
        Kind::Tpm => Device::tpm(&wanted.unique_id),
        Kind::Symmetric => Device::symmetric(&wanted.unique_id),
    }
    .offer(wanted.offer);
    if let Some(key) = &wanted.key {
        device = device.key(Key::from_base64(key)?);
    }
    if let Some(template) = wanted.template {
        device = device.template(template);
    }
    cloud.portal.create(device, &cloud.hub)?;
    if let Some(key) = &wanted.endorsement_key {
        cloud.dps.enrol_base64(&wanted.unique_id, key)?;
    }
    done()
}

async fn twin(State(cloud): State<Handles>, Path(device): Path<String>) -> Answered {
    cloud.hub.twin(&device).map(Json).ok_or_else(|| anyhow::anyhow!("the hub does not know {device}").into())
}

async fn twin_requests(State(cloud): State<Handles>, Path(device): Path<String>) -> Json<Value> {
    Json(json!(cloud.hub.twin_requests(&device)))
}

async fn ack_balance(State(cloud): State<Handles>, Path(device): Path<String>) -> Json<Value> {
    Json(json!(cloud.ack_balance(&device)))
}

async fn template(State(cloud): State<Handles>, Path(device): Path<String>, Json(new): Json<Template>) -> Answered {
    cloud.iotconnect.edit_template(&device, |template| *template = new)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Send {
    protocol: Dialect,
    message: CloudMessage,
    /// The same message more than once.
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

async fn send(State(cloud): State<Handles>, Path(device): Path<String>, Json(send): Json<Send>) -> Answered {
    for _ in 0..send.times {
        cloud.post.send(&device, send.protocol, &send.message)?;
    }
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    text: String,
    ack_id: String,
    #[serde(default = "yes")]
    ack: bool,
}

fn yes() -> bool {
    true
}

async fn command(State(cloud): State<Handles>, Path(device): Path<String>, Json(command): Json<Command>) -> Answered {
    match command.ack {
        true => cloud.hub.send_command(&device, &command.text, &command.ack_id)?,
        false => cloud.hub.send_command_without_ack(&device, &command.text, &command.ack_id)?,
    }
    done()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Control {
        kind: String,
        #[serde(default)]
        data: Value,
    },
    Raw {
        raw: String,
    },
}

async fn message(State(cloud): State<Handles>, Path(device): Path<String>, Json(message): Json<Message>) -> Answered {
    match message {
        Message::Control { kind, data } => {
            let data = if data.is_null() { json!({}) } else { data };
            cloud.hub.send_control(&device, &kind, &data)?;
        }
        Message::Raw { raw } => cloud.hub.send_raw(&device, raw, &Properties::new())?,
    }
    done()
}

async fn desired(State(cloud): State<Handles>, Path(device): Path<String>, Json(patch): Json<Value>) -> Answered {
    let version = cloud.hub.set_desired(&device, &patch)?;
    Ok(Json(json!({"ok": true, "version": version})))
}

async fn act(State(cloud): State<Handles>, Path((device, act)): Path<(String, String)>) -> Answered {
    match act.as_str() {
        "cut" => cloud.hub.cut(&device)?,
        "kick" => cloud.hub.kick(&device)?,
        "expire" => cloud.hub.expire_token(&device)?,
        "freeze" => cloud.hub.freeze(&device)?,
        "redeliver" => cloud.hub.redeliver(&device)?,
        "revoke" => cloud.hub.revoke(&device)?,
        "remove" => cloud.hub.remove(&device)?,
        other => {
            return Err(anyhow::anyhow!(
                "there is no {other}; try cut, kick, expire, freeze, redeliver, revoke, remove"
            )
            .into());
        }
    }
    done()
}

/// The body of `POST /control/faults`; every member is optional, what is absent stays as it is.
///
/// ```json
/// {"pubacks": "held", "drop_pubacks": 3, "duplicate_pubacks": 3, "told_port": 9883, "refuse_connects": {"count": 5, "code": 3}, "forget_sessions": true,
///  "ignore_c2d_pubacks": 1, "refuse_twin": {"count": 2, "status": 429}, "hub_listening": false, "iotconnect": {"endpoint": "sync", "answers": [{"result_code": 3}, "not_json", {"http": 500}]},
///  "dps": [{"challenge": "duplicate"}, {"too_many_requests": 5}, "drop_assigned"], "reassign": {"device": "GW", "host": "127.0.0.1"}}
/// ```
///
/// `pubacks` is `"at_once"`, `"held"`, `"dropped"`, `{"delayed_ms": 500}` or `{"reordered": 3}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Faults {
    pubacks: Option<PubacksWanted>,
    drop_pubacks: Option<u32>,
    duplicate_pubacks: Option<u32>,
    ignore_c2d_pubacks: Option<u32>,
    refuse_twin: Option<RefuseTwin>,
    told_port: Option<u16>,
    refuse_connects: Option<RefuseConnects>,
    forget_sessions: Option<bool>,
    hub_listening: Option<bool>,
    iotconnect: Option<ScriptWanted>,
    #[serde(default)]
    dps: Vec<DpsFault>,
    reassign: Option<Reassign>,
    trust_first_endorsement_key: Option<bool>,
    #[serde(default)]
    firmware: Vec<firmware::FaultWanted>,
    /// Files that nothing goes wrong with any more; before the faults above.
    #[serde(default)]
    clear_firmware: Vec<String>,
    /// Whether all URLs of the firmware store so far are refused.
    #[serde(default)]
    rotate_firmware_key: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PubacksWanted {
    AtOnce,
    Held,
    Dropped,
    DelayedMs(u64),
    Reordered(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefuseTwin {
    count: u32,
    status: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefuseConnects {
    count: u32,
    code: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptWanted {
    endpoint: Endpoint,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reassign {
    device: String,
    host: String,
}

async fn faults(State(cloud): State<Handles>, Json(faults): Json<Faults>) -> Answered {
    let hub = &cloud.hub;
    match faults.pubacks {
        None => {}
        Some(PubacksWanted::AtOnce) => hub.pubacks(Pubacks::AtOnce),
        Some(PubacksWanted::Held) => hub.pubacks(Pubacks::Held),
        Some(PubacksWanted::Dropped) => hub.pubacks(Pubacks::Dropped),
        Some(PubacksWanted::DelayedMs(milliseconds)) => hub.delay_pubacks(milliseconds),
        Some(PubacksWanted::Reordered(group)) => hub.reorder_pubacks(group),
    }
    if let Some(count) = faults.drop_pubacks {
        hub.drop_pubacks(count);
    }
    if let Some(count) = faults.duplicate_pubacks {
        hub.duplicate_pubacks(count);
    }
    if let Some(count) = faults.ignore_c2d_pubacks {
        hub.ignore_c2d_pubacks(count);
    }
    if let Some(refuse) = faults.refuse_twin {
        hub.refuse_twin(refuse.count, refuse.status);
    }
    if let Some(port) = faults.told_port {
        hub.tell_devices(Some(port));
    }
    if let Some(refuse) = faults.refuse_connects {
        hub.refuse_connects(refuse.count, refuse.code);
    }
    if let Some(forget) = faults.forget_sessions {
        hub.forget_sessions(forget);
    }
    match faults.hub_listening {
        Some(true) => hub.resume_listening().await,
        Some(false) => hub.stop_listening().await,
        None => {}
    }
    if let Some(script) = faults.iotconnect {
        cloud.iotconnect.script(script.endpoint, script.answers)?;
    }
    for fault in faults.dps {
        cloud.dps.fault(fault)?;
    }
    if let Some(reassign) = faults.reassign {
        cloud.dps.reassign(&reassign.device, &reassign.host)?;
    }
    if let Some(trust) = faults.trust_first_endorsement_key {
        cloud.dps.trust_first_endorsement_key(trust);
    }
    for name in &faults.clear_firmware {
        cloud.firmware.clear_faults(name)?;
    }
    for fault in faults.firmware {
        fault.apply(&cloud)?;
    }
    if faults.rotate_firmware_key {
        cloud.firmware.rotate_key();
    }
    done()
}

async fn dps(State(cloud): State<Handles>, Path(registration): Path<String>) -> Json<Value> {
    Json(json!({"calls": cloud.dps.calls(&registration), "log": cloud.dps.call_log(&registration)}))
}

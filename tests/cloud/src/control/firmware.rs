//! The firmware store's part of the control API.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::routing::{get, post};
use axum::{Router, routing};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answered, done};
use crate::c2d::{Dialect, Update};
use crate::cloud::Handles;
use crate::firmware::{FirmwareFault, Sha256Metadata, URL_LIFE};
use crate::limits::FIRMWARE_UPLOAD_BYTES_MAX;

pub(super) fn router() -> Router<Handles> {
    let upload = routing::put(put).delete(delete).layer(DefaultBodyLimit::max(FIRMWARE_UPLOAD_BYTES_MAX));
    Router::new()
        .route("/control/firmware", get(list))
        .route("/control/firmware/{name}", upload)
        .route("/control/firmware/{name}/url", post(url))
        .route("/control/firmware/{name}/requests", get(requests))
        .route("/control/devices/{device}/update", post(push))
        .route("/control/devices/{device}/pending-update", post(pend))
}

async fn list(State(cloud): State<Handles>) -> Json<Value> {
    Json(json!(cloud.firmware.files()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    /// `right`, or what the metadata is to say instead.
    sha256: Option<String>,
}

async fn put(
    State(cloud): State<Handles>,
    Path(name): Path<String>,
    Query(put): Query<Put>,
    content: Bytes,
) -> Answered {
    if cloud.firmware.sha256(&name).is_some() {
        cloud.firmware.replace(&name, content)?;
    } else {
        cloud.firmware.add(&name, content)?;
    }
    let metadata = match put.sha256 {
        None => Sha256Metadata::Absent,
        Some(text) if text == "right" => Sha256Metadata::Right,
        Some(text) => Sha256Metadata::Other(text),
    };
    cloud.firmware.tell_sha256(&name, metadata)?;
    done()
}

async fn delete(State(cloud): State<Handles>, Path(name): Path<String>) -> Answered {
    cloud.firmware.remove(&name)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Url {
    /// Below zero it is over already.
    life_s: Option<i64>,
}

async fn url(State(cloud): State<Handles>, Path(name): Path<String>, Json(url): Json<Url>) -> Json<Value> {
    let life_s = url.life_s.unwrap_or(i64::try_from(URL_LIFE.as_secs()).unwrap_or(i64::MAX));
    Json(json!({"url": cloud.firmware.url_for_s(&name, life_s)}))
}

async fn requests(State(cloud): State<Handles>, Path(name): Path<String>) -> Json<Value> {
    Json(json!(cloud.firmware.requests(&name)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Push {
    protocol: Dialect,
    update: Update,
}

async fn push(State(cloud): State<Handles>, Path(device): Path<String>, Json(push): Json<Push>) -> Answered {
    cloud.post.push_update(&device, push.protocol, &push.update)?;
    done()
}

async fn pend(
    State(cloud): State<Handles>,
    Path(device): Path<String>,
    Json(update): Json<Option<Update>>,
) -> Answered {
    cloud.post.set_pending(&device, update)?;
    done()
}

/// A fault of one file: of its next request, its next `times`, or `always`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultWanted {
    name: String,
    fault: FirmwareFault,
    times: Option<u32>,
    #[serde(default)]
    always: bool,
}

impl FaultWanted {
    pub(super) fn apply(self, cloud: &Handles) -> anyhow::Result<()> {
        match self.always {
            true => cloud.firmware.fault_always(&self.name, self.fault),
            false => cloud.firmware.fault_times(&self.name, self.fault, self.times.unwrap_or(1)),
        }
    }
}

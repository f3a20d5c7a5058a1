//! The one message of all measurements: ten readings of one device, as the portal's template makes it.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use edgeplug_protocol::definition::{Definition, Rounding};
use edgeplug_protocol::legacy::Sdk;
use edgeplug_protocol::legacy::sync::SyncReply;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::telemetry;
use edgeplug_protocol::time::Timestamp;
use serde_json::json;

pub(crate) const CPID: &str = "97FF86E8728645E9B89F7B07977E4B15";
pub(crate) const ENVIRONMENT: &str = "poc";
pub(crate) const UNIQUE_ID: &str = "gateway-1";
pub(crate) const LANGUAGE: &str = "M_PYTHON";

/// A sync reply whose template knows the readings of the guest, and whose hub is this port of this machine.
pub(crate) fn sync_reply(port: u16) -> Bytes {
    let device = format!("{CPID}-{UNIQUE_ID}");
    let attributes: Vec<_> =
        (0..crate::guest::READINGS).map(|n| json!({"ln": format!("r{n}"), "dt": 0, "dv": "", "tg": ""})).collect();
    json!({"d": {
        "sc": {"df": 0}, "rc": 0, "ds": 0, "at": 5, "ee": 0, "dtg": "891ed197-9621-44ea-819c-e7b2d40afafe", "cpId": CPID,
        "p": {"n": "mqtt", "h": "localhost", "p": port, "id": device,
              "un": format!("localhost/{device}/?api-version=2018-06-30"), "pwd": "",
              "pub": format!("devices/{device}/messages/events/"), "sub": format!("devices/{device}/messages/devicebound/#")},
        "d": [{"tg": "", "id": UNIQUE_ID}],
        "att": [{"p": "", "dt": null, "tg": "", "d": attributes}],
        "set": null, "r": null, "ota": null}})
    .to_string()
    .into()
}

/// What the cloud says in that reply.
pub(crate) fn definition(port: u16) -> anyhow::Result<Definition> {
    match SyncReply::parse(200, &sync_reply(port))? {
        SyncReply::Ready(definition) => Ok(*definition),
        SyncReply::NotRegistered => bail!("the made-up sync reply means something else"),
    }
}

/// The body that the session makes of what the guest returns.
pub(crate) fn encoded(samples: &[Sample]) -> anyhow::Result<Bytes> {
    let sdk = Sdk::new(LANGUAGE.to_owned(), ENVIRONMENT.to_owned());
    let now = Timestamp::from_unix_ms(1_795_392_000_123);
    let encoded = telemetry::encode(&definition(1)?.template(&Rounding::new()), &sdk, samples, &now);
    Ok(encoded.report.context("the guest's readings made no report")?.into())
}

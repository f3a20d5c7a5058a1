//! What a preview reads: the cloud's answers, and lines of readings.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use edgeplug_protocol::ack::StatusTable;
use edgeplug_protocol::c2d::CloudMessage;
use edgeplug_protocol::definition::{Definition, Rounding};
use edgeplug_protocol::legacy::sync::SyncReply;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;
use edgeplug_protocol::v21::identity::IdentityReply;
use edgeplug_protocol::version::Version;
use edgeplug_session::SessionConfig;
use edgeplug_session::config::{Durability, FrequencyPolicy, HardStopPolicy, ProtocolChoice, RegistrationName};
use serde_json::Value;

use crate::exit::{Exit, Problem};

/// Largest answer read; the daemon itself takes less.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A moment beyond this is a typing error.
const AT_S_MAX: f64 = 366.0 * 24.0 * 3600.0;

/// A device as the cloud describes it.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) definition: Box<Definition>,
    pub(super) session: SessionConfig,
}

/// What a plugin sends in one call.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    /// When, from the start.
    pub(super) at: Option<Duration>,
    pub(super) plugin: String,
    pub(super) samples: Vec<Sample>,
}

/// Reads a file with an answer of the cloud.
pub(super) fn read(file: &Path) -> Result<Value, Problem> {
    let failed = |reason: &dyn std::fmt::Display| {
        Problem::new(Exit::Failed, format!("{}: {reason}; name a file with the cloud's answer", file.display()))
    };
    let mut text = Vec::new();
    let opened = File::open(file).map_err(|error| failed(&error))?;
    opened.take(ANSWER_BYTES_MAX).read_to_end(&mut text).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&format!("not JSON: {error}")))
}

impl Setup {
    /// From an answer to sync, or its `d`, or something that holds it as `sync`.
    pub(super) fn from_sync(file: &Value) -> Result<Self, Problem> {
        let answer = whole(file.get("sync").unwrap_or(file));
        match SyncReply::parse(200, answer.to_string().as_bytes()) {
            Ok(SyncReply::Ready(definition)) => Ok(Self::new(definition)),
            Ok(SyncReply::NotRegistered) => {
                Err(unusable("--sync", "the cloud says that the device is not registered yet"))
            }
            Err(error) => Err(unusable("--sync", &error.to_string())),
        }
    }

    /// From an answer to the identity request, alone or as `identity` beside `replies` by number.
    pub(super) fn from_identity(file: &Value, unique_id: Option<&str>) -> Result<Self, Problem> {
        let answer = whole(file.get("identity").unwrap_or(file));
        let client_id = answer.pointer("/d/p/id").and_then(Value::as_str).unwrap_or_default();
        // On a shared hub the id is `cpid-uniqueId`; which company that is, nothing here says.
        let unique_id = unique_id.unwrap_or(client_id);
        let mut definition = match IdentityReply::parse(200, answer.to_string().as_bytes(), unique_id) {
            Ok(IdentityReply::Ready { definition, .. }) => definition,
            Ok(_) => return Err(unusable("--identity", "the device lives on AWS IoT, where this daemon cannot go")),
            Err(error) => return Err(unusable("--identity", &error.to_string())),
        };
        let replies = file.get("replies").and_then(Value::as_object);
        for (number, reply) in replies.into_iter().flatten() {
            match CloudMessage::parse(Version::V21, whole(reply).to_string().as_bytes()) {
                CloudMessage::Reply(reply) => {
                    for update in reply.updates {
                        definition.apply(update);
                    }
                }
                _ => return Err(unusable("--identity", &format!("reply {number:?} is no answer of the 2.1 cloud"))),
            }
        }
        Ok(Self::new(definition))
    }

    /// Takes what a configuration decides about readings.
    pub(super) fn configure(&mut self, configured: SessionConfig) {
        self.session = SessionConfig {
            environment: configured.environment,
            language: configured.language,
            frequency: configured.frequency,
            rounding: configured.rounding,
            ..self.session.clone()
        };
    }

    fn new(definition: Box<Definition>) -> Self {
        let unique_id = definition.devices.first().map(|device| device.id.clone()).unwrap_or_default();
        let session = SessionConfig {
            cpid: definition.cpid.clone(),
            environment: "PROD".into(),
            unique_id,
            language: "M_PYTHON".into(),
            // Nothing is asked of anybody.
            discovery_url: "https://discovery.invalid".into(),
            dps_url: "https://dps.invalid".into(),
            scope_id: None,
            registration: RegistrationName::Base32OfEndorsementKey,
            // No renewal interrupts a preview.
            token_life: Duration::from_secs(10 * 365 * 24 * 3600),
            boot_id: "preview".into(),
            window: 1_024,
            in_flight_max: 100,
            retry_max: Duration::from_secs(300),
            puback_timeout: Duration::from_secs(60),
            batch: None,
            backlog_per_s: 50,
            daily_bytes_max: None,
            time_to_live: None,
            durability: Durability::Stored,
            protocol: ProtocolChoice::Only(definition.version),
            sid: None,
            frequency: FrequencyPolicy::default(),
            hard_stop: HardStopPolicy::default(),
            hard_stop_wipes: false,
            rounding: Rounding::new(),
            ack_status: StatusTable::default(),
            transforms: edgeplug_session::config::Transforms::default(),
            ota: edgeplug_session::config::OtaPolicy::default(),
        };
        Self { definition, session }
    }
}

impl Call {
    /// Reads a line; `None` where it is empty.
    pub(super) fn parse(line: &str, own_id: &str) -> Result<Option<Self>, String> {
        if line.trim().is_empty() {
            return Ok(None);
        }
        let call: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
        let entries = match &call {
            Value::Array(entries) => entries.as_slice(),
            one => std::slice::from_ref(one),
        };
        let first = |name: &str| entries.iter().find_map(|entry| entry.get(name));
        let at = match first("at") {
            None => None,
            Some(at) => match at.as_f64().filter(|at| (0.0..=AT_S_MAX).contains(at)) {
                Some(at) => Some(Duration::from_secs_f64(at)),
                None => return Err(format!("\"at\" is {at}, no number of seconds from the start")),
            },
        };
        let plugin = match first("plugin") {
            None => "preview".to_owned(),
            Some(Value::String(name)) => name.clone(),
            Some(other) => return Err(format!("\"plugin\" is {other}, no name")),
        };
        let samples = entries.iter().map(|entry| sample(entry, own_id)).collect::<Result<_, _>>()?;
        Ok(Some(Self { at, plugin, samples }))
    }
}

fn sample(entry: &Value, own_id: &str) -> Result<Sample, String> {
    let Value::Object(members) = entry else { return Err(format!("{entry} is no sample")) };
    if let Some(unknown) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        return Err(format!("a sample has no {unknown:?}"));
    }
    let text = |names: [&str; 2]| match names.iter().find_map(|name| members.get(*name)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("{other} is no text")),
    };
    let time = match text(["time", "time"])? {
        Some(time) => Some(Timestamp::parse(&time).map_err(|error| error.to_string())?),
        None => None,
    };
    let values = match members.get("values").or_else(|| members.get("data")) {
        Some(Value::Object(values)) => values.clone().into_iter().collect(),
        Some(pairs @ Value::Array(_)) => {
            serde_json::from_value(pairs.clone()).map_err(|_| "\"values\" is no list of pairs".to_owned())?
        }
        _ => return Err("a sample needs \"values\"".to_owned()),
    };
    Ok(Sample { device: text(["device", "uniqueId"])?.filter(|id| id != own_id), time, values })
}

/// Everything a sample may have.
const MEMBERS: [&str; 7] = ["at", "plugin", "device", "uniqueId", "time", "values", "data"];

/// An answer with its `d`, also where only that was given.
fn whole(answer: &Value) -> Value {
    if answer.get("d").is_some_and(Value::is_object) { answer.clone() } else { serde_json::json!({ "d": answer }) }
}

fn unusable(option: &str, reason: &str) -> Problem {
    Problem::new(Exit::Protocol, format!("{option}: {reason}"))
}

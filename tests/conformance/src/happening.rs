//! What can be seen of a device from outside, in the one shape to which recorded events and the session's actions are
//! both brought.
//!
//! Upstream's callbacks carry whole cloud messages; ours carry what the plugin interface knows. What has no counterpart
//! for plugins is left out here and judged by the publishes that follow.

use std::fmt;

use edgeplug_protocol::c2d::{Ota, OtaFile};
use edgeplug_protocol::version::Version;
use serde_json::{Map, Value, json};

/// One thing seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happening {
    /// A message to the cloud.
    Publish {
        /// Where.
        topic: String,
        /// What it is.
        class: Class,
        /// Its body; what is not JSON is a text.
        body: Value,
    },
    /// Reported properties, without their request number.
    TwinReport(Value),
    /// The whole twin was asked for.
    TwinGet,
    /// A request to the portal.
    Http {
        /// Method.
        method: String,
        /// Path and query, in small letters where upstream's spelling varies.
        path: String,
        /// Body, null for none.
        body: Value,
    },
    /// A registration with DPS began.
    Registration {
        /// Host.
        endpoint: String,
        /// Scope id.
        scope: String,
        /// Registration id.
        registration_id: String,
    },
    /// Plugins were told whether there is a connection.
    Connection(bool),
    /// A command was handed over.
    Command {
        /// Its text.
        text: String,
        /// The child, `None` for the device itself.
        child: Option<String>,
    },
    /// A firmware update was understood: text, ack id, versions, files.
    Ota(Value),
    /// A module message was understood.
    Module,
    /// The whole twin was handed over: desired without what begins with `$`, and its version.
    TwinFull {
        /// Desired properties.
        desired: Value,
        /// Their version.
        version: Option<u64>,
    },
    /// A patch was handed over.
    TwinPatch {
        /// Changed properties.
        desired: Value,
        /// Version after the change.
        version: Option<u64>,
    },
    /// How the creation or deletion of a child went.
    Child {
        /// Creation, otherwise deletion.
        created: bool,
        /// Whether it worked.
        ok: bool,
    },
    /// Refused, by the SDK's number.
    Error(String),
    /// What a call returned.
    Result(Value),
}

/// Kinds of messages to the cloud; order is compared within each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Reports and faults, which keep their order.
    Reading {
        /// A fault.
        fault: bool,
    },
    /// Windows.
    EdgeReport,
    /// Rule matches.
    RuleMatch,
    /// Acknowledgements.
    Ack,
    /// Heartbeats.
    Heartbeat,
    /// Questions about the device.
    Question,
    /// Anything else.
    Other,
}

impl Class {
    /// Of a message: legacy by `mt` of the body, 2.1 by the topic.
    pub(crate) fn of(version: Version, topic: &str, body: &Value) -> Self {
        let number = match version {
            // Python passes 5.0 on as it is.
            Version::Legacy => body.get("mt").and_then(Value::as_f64).map(|number| number as u64),
            Version::V21 if topic.contains("&di=1&") => return Self::Question,
            Version::V21 => topic.split_once("&mt=").and_then(|(_, rest)| rest.split('&').next()?.parse().ok()),
        };
        match (version, number) {
            (_, Some(0)) => Self::Reading { fault: false },
            (Version::Legacy, Some(1)) | (Version::V21, Some(3)) => Self::Reading { fault: true },
            (Version::Legacy, Some(2)) | (Version::V21, Some(1)) => Self::EdgeReport,
            (Version::Legacy, Some(3)) | (Version::V21, Some(2)) => Self::RuleMatch,
            (Version::Legacy, Some(5 | 11)) | (Version::V21, Some(6)) => Self::Ack,
            (Version::V21, Some(5)) => Self::Heartbeat,
            _ => Self::Other,
        }
    }
}

/// Topic of reported properties, up to its query.
pub(crate) const REPORTED_TOPIC: &str = "$iothub/twin/PATCH/properties/reported/";
/// Topic of a question for the whole twin, up to its query.
pub(crate) const TWIN_GET_TOPIC: &str = "$iothub/twin/GET/";

impl Happening {
    /// A publish on any topic.
    pub(crate) fn publish(version: Version, topic: &str, body: Value) -> Self {
        if topic.starts_with(REPORTED_TOPIC) {
            return Self::TwinReport(body);
        }
        if topic.starts_with(TWIN_GET_TOPIC) {
            return Self::TwinGet;
        }
        let class = Class::of(version, topic, &body);
        Self::Publish { topic: topic.to_owned(), class, body }
    }

    /// A request to the portal.
    pub(crate) fn http(method: &str, path: &str, body: Value) -> Self {
        Self::Http { method: method.to_owned(), path: path.replace("/cpId/", "/cpid/"), body }
    }

    /// A firmware update in the shape both sides are brought to; empty texts count as none.
    pub(crate) fn ota(ota: &Ota) -> Self {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let file = |file: &OtaFile| {
            let (name, tag, child) = (some(&file.name), some(&file.tag), some(&file.unique_id));
            json!({"url": file.url, "name": name, "tag": tag, "child": child})
        };
        Self::Ota(json!({
            "text": ota.text, "ack": some(&ota.ack_id), "sw": ota.software, "hw": ota.hardware,
            "files": ota.files.iter().map(file).collect::<Vec<_>>(),
        }))
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { topic, body, .. } => write!(f, "publish {topic} {body}"),
            Self::TwinReport(body) => write!(f, "reported properties {body}"),
            Self::TwinGet => f.write_str("a question for the whole twin"),
            Self::Http { method, path, body } => write!(f, "{method} {path} {body}"),
            Self::Registration { endpoint, scope, registration_id } => {
                write!(f, "registration of {registration_id} in {scope} at {endpoint}")
            }
            Self::Connection(connected) => write!(f, "connected: {connected}"),
            Self::Command { text, child: None } => write!(f, "command {text:?}"),
            Self::Command { text, child: Some(child) } => write!(f, "command {text:?} for {child}"),
            Self::Ota(update) => write!(f, "firmware update {update}"),
            Self::Module => f.write_str("a module message"),
            Self::TwinFull { desired, version } => write!(f, "the whole twin, desired {desired} version {version:?}"),
            Self::TwinPatch { desired, version } => write!(f, "a desired patch {desired} version {version:?}"),
            Self::Child { created: true, ok } => write!(f, "child created: {ok}"),
            Self::Child { created: false, ok } => write!(f, "child deleted: {ok}"),
            Self::Error(code) => write!(f, "refused with {code}"),
            Self::Result(value) => write!(f, "result {value}"),
        }
    }
}

/// What is known of a case when its recorded events are read.
pub(crate) struct Reader<'a> {
    /// Of the case.
    pub(crate) version: Version,
    /// The device's own id.
    pub(crate) unique_id: &'a str,
    /// As configured and as synced: the cloud may prefix unique ids with it.
    pub(crate) cpids: &'a [&'a str],
    /// Every device there was before the step.
    pub(crate) devices: &'a [String],
    /// The `cmdType` of the message that the step delivers; callbacks may repeat another one or none.
    pub(crate) cmd_type: Option<&'a str>,
    /// Whether that message itself claims to tell of the connection, which only the SDK's own do.
    pub(crate) tells_of_connection: bool,
    /// Whether a twin callback of the step is about the whole twin.
    pub(crate) twin_is_full: bool,
}

impl Reader<'_> {
    /// A recorded event; `Ok(None)` where it is not compared, an error where the schema does not know it.
    pub(crate) fn read(&self, event: &Value) -> anyhow::Result<Option<Happening>> {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let value = |name: &str| event.get(name).cloned().unwrap_or_default();
        Ok(match text("kind").as_str() {
            "publish" => {
                let body = match event.get("body_text").and_then(Value::as_str) {
                    Some(raw) if value("body").is_null() => {
                        serde_json::from_str(raw).unwrap_or_else(|_| Value::String(raw.to_owned()))
                    }
                    _ => value("body"),
                };
                Some(Happening::publish(self.version, &text("topic"), body))
            }
            "twin_report" => Some(Happening::TwinReport(value("body"))),
            "http" => Some(Happening::http(&text("method"), &text("path"), value("body"))),
            "dps_register" => Some(Happening::Registration {
                endpoint: text("endpoint"),
                scope: text("scope"),
                registration_id: text("registration_id"),
            }),
            "callback" => self.callback(&text("name"), &value("payload")),
            "twin_callback" => self.twin(&value("payload")),
            // An exception without a number is an accident of the SDK's own.
            "error" if value("code").is_null() => None,
            "error" => Some(Happening::Error(text("code"))),
            "result" => Some(Happening::Result(value("value"))),
            "disposition" | "subscribe" | "hub_client" => None,
            kind if kind.starts_with("mqtt_") => None,
            other => anyhow::bail!("unknown kind of event {other:?}"),
        })
    }

    fn callback(&self, name: &str, payload: &Value) -> Option<Happening> {
        let created =
            |created| Some(Happening::Child { created, ok: payload.get("status") == Some(&Value::Bool(true)) });
        match name {
            "" => {
                let delivered = self.cmd_type.filter(|cmd_type| matches!(*cmd_type, "0x01" | "0x02" | "0x16"));
                match delivered.or_else(|| payload.get("cmdType").and_then(Value::as_str)) {
                    Some("0x01") => self.command(payload),
                    Some("0x02") => self.ota(payload),
                    Some("0x16") if delivered.is_none() => Self::connection(payload),
                    _ => None,
                }
            }
            "command" => self.command(payload),
            "ota" => self.ota(payload),
            "module" => Some(Happening::Module),
            "connection" if self.tells_of_connection => None,
            "connection" => Self::connection(payload),
            "twin" => self.twin(payload),
            "create_child" => created(true),
            "delete_child" => created(false),
            // attributes_changed, rules_changed, devices_changed: nothing a plugin is told in that moment.
            _ => None,
        }
    }

    fn connection(payload: &Value) -> Option<Happening> {
        let command = payload.get("command")?;
        Some(Happening::Connection(command == "True" || command == &Value::Bool(true)))
    }

    /// A command for nobody this device knows is never handed to a plugin, nor is one of 2.1 without a text.
    fn command(&self, payload: &Value) -> Option<Happening> {
        let payload = payload.as_object()?;
        let text = match payload.get("cmd").or_else(|| payload.get("command")) {
            Some(Value::String(text)) if self.version == Version::Legacy || !text.is_empty() => text.clone(),
            Some(Value::Number(number)) if self.version == Version::Legacy => number.to_string(),
            None | Some(Value::Null) if self.version == Version::Legacy => String::new(),
            _ => return None,
        };
        let id = if self.version == Version::Legacy { "uniqueId" } else { "id" };
        let named = payload.get(id).and_then(Value::as_str).filter(|id| !id.is_empty()).unwrap_or(self.unique_id);
        let prefixes = self.cpids.iter().map(|cpid| format!("{cpid}-"));
        let mut bare = prefixes.filter_map(|prefix| named.strip_prefix(&prefix));
        let bare = bare.next().unwrap_or(named);
        if bare == self.unique_id || named == self.unique_id {
            return Some(Happening::Command { text, child: None });
        }
        let is_known = self.devices.iter().any(|device| device == bare);
        is_known.then(|| Happening::Command { text, child: Some(bare.to_owned()) })
    }

    /// An update without a file that can be fetched never comes to anybody, nor one of 2.1 that cannot be answered.
    fn ota(&self, payload: &Value) -> Option<Happening> {
        let text = |value: Option<&Value>| match value? {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let is_legacy = self.version == Version::Legacy;
        let (command, ack, tag, child) =
            if is_legacy { ("command", "ackId", "tag", "uniqueId") } else { ("cmd", "ack", "tg", "id") };
        let urls = payload.get("urls")?.as_array().filter(|urls| !urls.is_empty())?;
        let file = |entry: &Value| {
            let url = text(entry.get("url")).or_else(|| Some(entry.as_str()?.to_owned()).filter(|_| is_legacy))?;
            let name = entry.get("fileName");
            if !is_legacy && name.is_some_and(|name| name == "") {
                return None;
            }
            // The legacy protocol knows no file names.
            let name = text(name).filter(|_| !is_legacy);
            Some(json!({"url": url, "name": name, "tag": text(entry.get(tag)), "child": text(entry.get(child))}))
        };
        if !is_legacy && text(payload.get(ack)).is_none() {
            return None;
        }
        let versions = payload.get("ver").or(if is_legacy { None } else { Some(payload) });
        let version = |name: &str| text(versions.and_then(|versions| versions.get(name))).unwrap_or_default();
        let default = if is_legacy { "" } else { "ota" };
        Some(Happening::Ota(json!({
            "text": text(payload.get(command)).unwrap_or_else(|| default.to_owned()),
            "ack": text(payload.get(ack)),
            "sw": version("sw"), "hw": version("hw"),
            "files": urls.iter().map(file).collect::<Option<Vec<_>>>()?,
        })))
    }

    /// Desired properties that are no object are handed to no plugin.
    fn twin(&self, payload: &Value) -> Option<Happening> {
        let desired = match payload.get("desired") {
            Some(desired) if self.twin_is_full || self.version == Version::V21 => desired.clone(),
            None if self.twin_is_full => Value::Object(Map::new()),
            // A legacy patch comes bare.
            _ => without(payload, &["uniqueId"]),
        };
        let version = version_of(&desired);
        let desired = Some(without(&desired, &["$version", "$metadata"])).filter(Value::is_object)?;
        Some(if self.twin_is_full {
            Happening::TwinFull { desired, version }
        } else {
            Happening::TwinPatch { desired, version }
        })
    }
}

/// `$version` of a part of a twin.
pub(crate) fn version_of(part: &Value) -> Option<u64> {
    part.get("$version").and_then(Value::as_u64)
}

/// An object without some members; anything else as it is.
pub(crate) fn without(value: &Value, names: &[&str]) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| !names.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

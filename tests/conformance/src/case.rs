//! One line of a vector file, read into types.
//!
//! Whatever the schema names is taken; anything else is an error that says what was not understood, because a case
//! that is half understood proves nothing. The schema: `tests/conformance/README.md`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use edgeplug_protocol::c2d::AckKind;
use edgeplug_protocol::version::Version;
use serde_json::{Map, Value};

/// A recorded case.
#[derive(Debug)]
pub(crate) struct Case {
    /// Unique in its file.
    pub(crate) id: String,
    /// What it is about.
    pub(crate) family: String,
    /// Which protocol it was recorded in.
    pub(crate) version: Version,
    /// Arguments of the constructor.
    pub(crate) config: Config,
    /// What the portal answers.
    pub(crate) portal: Portal,
    /// Whether the application registered callbacks.
    pub(crate) has_callback: bool,
    /// Whether a pending retry fires at once.
    pub(crate) retries: bool,
    /// What may differ.
    pub(crate) loose: Loose,
    /// Why it is left out, if it is.
    pub(crate) skipped: Option<String>,
    /// What connecting must show; `None` where that was not recorded.
    pub(crate) connect: Option<Vec<Value>>,
    /// What is done, and what must come of it.
    pub(crate) steps: Vec<Step>,
}

/// Arguments of the constructor.
#[derive(Debug)]
pub(crate) struct Config {
    /// Company id.
    pub(crate) cpid: String,
    /// The device.
    pub(crate) unique_id: String,
    /// Environment.
    pub(crate) environment: String,
    /// DPS scope.
    pub(crate) scope_id: Option<String>,
    /// 2.1: subscription.
    pub(crate) sid: Option<String>,
}

/// What the portal answers.
#[derive(Debug, Default)]
pub(crate) struct Portal {
    /// `d` of every sync answer.
    pub(crate) sync: Value,
    /// Full answers that come before it.
    pub(crate) sync_sequence: Vec<Value>,
    /// `d` of the identity answer.
    pub(crate) identity: Value,
    /// Answers to questions on the `di` topic, by `mt`.
    pub(crate) replies: BTreeMap<String, Value>,
}

/// What may differ from what was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Loose {
    /// Texts of faults are compared as numbers where both are.
    pub(crate) fault_text: bool,
    /// More faults of an edge device than were recorded.
    pub(crate) edge_faults: bool,
    /// Names in `cv` may or may not begin with a tag.
    pub(crate) cv_key: bool,
}

/// One step and what was recorded.
#[derive(Debug)]
pub(crate) struct Step {
    /// What is done.
    pub(crate) op: Op,
    /// What must come of it.
    pub(crate) expected: Vec<Value>,
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// The application sends readings in one call.
    Send(Vec<Value>),
    /// Every aggregation window elapses once.
    Window,
    /// The legacy acknowledgement with raw arguments.
    Ack {
        /// Message type as given, 5 or 11 if it is right.
        message_type: Value,
        /// Content as given.
        data: Value,
    },
    /// The 2.1 acknowledgement with raw arguments.
    AckOf {
        /// What it answers.
        kind: AckKind,
        /// Ack id.
        ack: Value,
        /// Status.
        st: Value,
        /// Message.
        msg: Value,
        /// Child.
        child: Value,
    },
    /// A message from the cloud.
    CloudToDevice {
        /// Its text.
        body: String,
        /// The full answer to the POST that follows.
        sync_response: Option<Value>,
        /// Answers on the `di` topic that change.
        replies: BTreeMap<String, Value>,
    },
    /// A desired patch.
    TwinPatch(String),
    /// The whole twin.
    TwinFull(String),
    /// The application reports a property.
    UpdateTwin {
        /// Its name.
        key: String,
        /// Its value.
        value: Value,
    },
    /// The application asks for the whole twin.
    GetTwins,
    /// The application asks for the attributes.
    GetAttributes,
    /// The application asks for the devices.
    GetDevices,
    /// A period of the heartbeat elapses.
    HeartbeatTick,
    /// A child is created.
    CreateChild {
        /// Unique id.
        id: String,
        /// Tag.
        tag: String,
        /// Name to show.
        name: String,
    },
    /// A child is deleted.
    DeleteChild {
        /// Unique id.
        id: String,
    },
    /// The application is done.
    Dispose,
}

impl Op {
    /// Its name in the schema.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Window => "window",
            Self::Ack { .. } => "ack",
            Self::AckOf { kind: AckKind::Command, .. } => "ack_command",
            Self::AckOf { kind: AckKind::Ota, .. } => "ack_ota",
            Self::AckOf { kind: AckKind::Module, .. } => "ack_module",
            Self::CloudToDevice { .. } => "c2d",
            Self::TwinPatch(_) => "twin patch",
            Self::TwinFull(_) => "twin full",
            Self::UpdateTwin { .. } => "update_twin",
            Self::GetTwins => "get_twins",
            Self::GetAttributes => "get_attributes",
            Self::GetDevices => "get_devices",
            Self::HeartbeatTick => "heartbeat_tick",
            Self::CreateChild { .. } => "create_child",
            Self::DeleteChild { .. } => "delete_child",
            Self::Dispose => "dispose",
        }
    }
}

/// Members of a case that say what a sane device does in place of what was recorded.
const SANE: [&str; 3] = ["sane", "sane_steps", "sane_connect_events"];

impl Case {
    /// Reads a line.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let case: Map<String, Value> = serde_json::from_str(line).context("not a JSON object")?;
        let id = text(&case, "id")?;
        Self::read(&case, id.clone()).with_context(|| format!("case {id}"))
    }

    fn read(case: &Map<String, Value>, id: String) -> Result<Self> {
        let sane: Vec<_> = case.keys().filter(|key| key.starts_with("sane")).collect();
        if let Some(unknown) = sane.iter().find(|key| !SANE.contains(&key.as_str())) {
            bail!("unknown member {unknown:?}");
        }
        let quirk = case.get("quirk").filter(|quirk| !quirk.is_null());
        let skipped = quirk.filter(|_| sane.is_empty()).map(|quirk| format!("quirk {quirk} without a sane result"));
        let version = if case.contains_key("identity") { Version::V21 } else { Version::Legacy };
        if version == Version::Legacy && !case.contains_key("sync") {
            bail!("neither \"sync\" nor \"identity\"");
        }
        let portal = Portal {
            sync: member(case, "sync"),
            sync_sequence: list(case, "sync_sequence")?,
            identity: member(case, "identity"),
            replies: replies(case)?,
        };
        let connect = ["sane_connect_events", "connect_events"].iter().find(|key| case.contains_key(**key));
        let connect = connect.map(|key| list(case, key)).transpose()?;
        // A constructor that failed did not try again.
        let failed = connect.iter().flatten().any(|event| event.get("kind") == Some(&"error".into()));
        Ok(Self {
            id,
            family: member(case, "family").as_str().unwrap_or_default().to_owned(),
            version,
            config: config(case)?,
            retries: !failed && (!portal.sync_sequence.is_empty() || note_tells_of_retries(case)),
            portal,
            has_callback: member(case, "no_callback") != Value::Bool(true),
            loose: loose(case)?,
            skipped,
            connect,
            steps: steps(case)?,
        })
    }
}

fn config(case: &Map<String, Value>) -> Result<Config> {
    let Some(Value::Object(config)) = case.get("config") else { bail!("no \"config\"") };
    let cpid = if config.contains_key("cpid") { "cpid" } else { "cpId" };
    let optional = |name| config.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Config {
        cpid: optional(cpid).unwrap_or_default(),
        unique_id: text(config, "uniqueId")?,
        environment: optional("env").unwrap_or_default(),
        scope_id: optional("scopeId"),
        sid: optional("sid").filter(|sid| !sid.is_empty()),
    })
}

fn loose(case: &Map<String, Value>) -> Result<Loose> {
    let mut loose = Loose::default();
    let names = match case.get("loose") {
        Some(Value::String(name)) => vec![Value::String(name.clone())],
        _ => list(case, "loose")?,
    };
    for name in names {
        match name.as_str() {
            Some("flt-text") => loose.fault_text = true,
            Some("edge-faults") => loose.edge_faults = true,
            Some("cv-key") => loose.cv_key = true,
            // Numbers are always compared as f64, and 1.0 is told from 1 here as it was there.
            Some("f64" | "number-kind") => {}
            _ => bail!("unknown value of \"loose\": {name}"),
        }
    }
    Ok(loose)
}

fn note_tells_of_retries(case: &Map<String, Value>) -> bool {
    let note = member(case, "note").as_str().unwrap_or_default().to_lowercase();
    ["asked again", "second answer", "later post", "another answer", "retr"].iter().any(|words| note.contains(words))
}

fn steps(case: &Map<String, Value>) -> Result<Vec<Step>> {
    if let Some(data) = case.get("send") {
        let recorded = if case.contains_key("sane") { "sane" } else { "bodies" };
        let publish = |mut message: Value| {
            if let Some(message) = message.as_object_mut() {
                message.insert("kind".into(), "publish".into());
            }
            message
        };
        let expected = list(case, recorded)?.into_iter().map(publish).collect();
        return Ok(vec![Step { op: Op::Send(samples(data)), expected }]);
    }
    let steps = list(case, "steps")?;
    let sane = if case.contains_key("sane_steps") { Some(list(case, "sane_steps")?) } else { None };
    if sane.as_ref().is_some_and(|sane| sane.len() != steps.len()) {
        bail!("\"sane_steps\" has another length than \"steps\"");
    }
    let step = |(index, step): (usize, &Value)| {
        let Value::Object(step) = step else { bail!("step {} is no object", index + 1) };
        let expected = match sane.as_ref().and_then(|sane| sane.get(index)) {
            Some(Value::Array(events)) => events.clone(),
            Some(other) => bail!("step {}: sane events are no list: {other}", index + 1),
            None => list(step, "events")?,
        };
        let op = op(step).with_context(|| format!("step {}", index + 1))?;
        Ok(Step { op, expected })
    };
    steps.iter().enumerate().map(step).collect()
}

fn op(step: &Map<String, Value>) -> Result<Op> {
    let name = text(step, "op")?;
    let ack = |kind| Op::AckOf {
        kind,
        ack: member(step, "ack"),
        st: member(step, "st"),
        msg: member(step, "msg"),
        child: member(step, "child"),
    };
    Ok(match name.as_str() {
        "send" => Op::Send(samples(&member(step, "data"))),
        "window" => Op::Window,
        "ack" => Op::Ack { message_type: member(step, "msgType"), data: member(step, "data") },
        "ack_command" => ack(AckKind::Command),
        "ack_ota" => ack(AckKind::Ota),
        "ack_module" => ack(AckKind::Module),
        "c2d" => Op::CloudToDevice {
            body: payload(step)?,
            sync_response: step.get("sync_response").cloned(),
            replies: replies(step)?,
        },
        "twin" if member(step, "complete") == Value::Bool(true) => Op::TwinFull(payload(step)?),
        "twin" | "twin_desired" => Op::TwinPatch(payload(step)?),
        "twin_full" => Op::TwinFull(payload(step)?),
        "update_twin" => Op::UpdateTwin { key: key(&member(step, "key")), value: member(step, "value") },
        "get_twins" => Op::GetTwins,
        "get_attributes" => Op::GetAttributes,
        "get_devices" => Op::GetDevices,
        "heartbeat_tick" => Op::HeartbeatTick,
        "create_child" => Op::CreateChild { id: text(step, "id")?, tag: text(step, "tag")?, name: text(step, "name")? },
        "delete_child" => Op::DeleteChild { id: text(step, "id")? },
        "dispose" => Op::Dispose,
        other => bail!("unknown op {other:?}"),
    })
}

/// `SendData` takes an array; a single object counts as one.
fn samples(data: &Value) -> Vec<Value> {
    match data {
        Value::Array(samples) => samples.clone(),
        Value::Object(_) => vec![data.clone()],
        _ => Vec::new(),
    }
}

fn payload(step: &Map<String, Value>) -> Result<String> {
    match (step.get("raw"), step.get("payload")) {
        (Some(Value::String(raw)), _) => Ok(raw.clone()),
        (None, Some(payload)) => Ok(payload.to_string()),
        _ => bail!("neither \"payload\" nor a text \"raw\""),
    }
}

fn replies(case: &Map<String, Value>) -> Result<BTreeMap<String, Value>> {
    match case.get("replies") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(replies)) => Ok(replies.clone().into_iter().collect()),
        Some(other) => bail!("\"replies\" is no object: {other}"),
    }
}

/// A key of a JSON object as Python writes it.
fn key(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn member(object: &Map<String, Value>, name: &str) -> Value {
    object.get(name).cloned().unwrap_or_default()
}

fn text(object: &Map<String, Value>, name: &str) -> Result<String> {
    match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => bail!("no text {name:?}"),
    }
}

fn list(object: &Map<String, Value>, name: &str) -> Result<Vec<Value>> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list.clone()),
        Some(other) => bail!("{name:?} is no list: {other}"),
    }
}

//! A case from its first step to its last: what each does to the device, and what must come of it.

use std::time::Duration;

use anyhow::Result;
use edgeplug_protocol::ack::{self, Ack};
use edgeplug_protocol::c2d::AckKind;
use edgeplug_protocol::definition::{Rounding, parse_window};
use edgeplug_protocol::legacy::Sdk;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::time::Timestamp;
use edgeplug_protocol::topics::Lane;
use edgeplug_protocol::version::Version;
use edgeplug_session::event::{Ask, OperatorRequest};
use serde_json::{Value, json};

use crate::attributes;
use crate::case::{Case, Op, Step};
use crate::device::{Device, version_before};
use crate::happening::{Happening, Reader};
use crate::judge::{self, Judge};

/// What came of a case.
#[derive(Debug)]
pub enum Verdict {
    /// As recorded.
    Passed,
    /// Not as recorded, in words.
    Failed(Vec<String>),
    /// Left out, and why.
    Skipped(String),
}

/// The SDK's number for "refused".
const REFUSED: &str = "00";
/// The longest aggregation window that is waited for.
const WINDOW_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Runs a case.
pub(crate) fn run(case: Case) -> Verdict {
    if let Some(why) = case.skipped {
        return Verdict::Skipped(why);
    }
    match Run::start(case).and_then(Run::finish) {
        Ok(differences) if differences.is_empty() => Verdict::Passed,
        Ok(differences) => Verdict::Failed(differences),
        Err(error) => Verdict::Failed(vec![format!("{error:#}")]),
    }
}

struct Run {
    case: Case,
    device: Device,
    /// Devices there were before the step.
    devices: Vec<String>,
    /// Tags that any answer of the portal names.
    tags: Vec<String>,
    /// Local commands by rule guid.
    rules: Vec<(String, String)>,
    /// The longest window any answer of the portal names.
    window: Duration,
    heartbeat: Duration,
    disposed: bool,
    differences: Vec<String>,
}

impl Run {
    fn start(mut case: Case) -> Result<Self> {
        let mut run = Self {
            device: Device::new(&mut case)?,
            case,
            devices: Vec::new(),
            tags: Vec::new(),
            rules: Vec::new(),
            window: Duration::ZERO,
            heartbeat: Duration::from_secs(1),
            disposed: false,
            differences: Vec::new(),
        };
        run.learn_from_answers();
        run.prepare_twin();
        run.device.connect()?;
        Ok(run)
    }

    fn finish(mut self) -> Result<Vec<String>> {
        let expected = self.case.connect.take();
        self.judge("connect", None, expected.as_deref(), false)?;
        for (index, step) in std::mem::take(&mut self.case.steps).into_iter().enumerate() {
            let was_connected = self.device.connected;
            let devices = self.device.definition.iter().flat_map(|definition| &definition.devices);
            self.devices = devices.map(|device| device.id.clone()).collect();
            if matches!(step.op, Op::TwinFull(_)) {
                self.device.forget_what_was_told();
            }
            self.act(&step)?;
            let title = format!("step {} ({})", index + 1, step.op.name());
            self.judge(&title, Some(&step.op), Some(&step.expected), was_connected)?;
        }
        Ok(self.differences)
    }

    /// Collects from every answer of the portal what the comparison needs to know.
    fn learn_from_answers(&mut self) {
        let answers = self.device.portal().everything();
        let responses = self.case.steps.iter().flat_map(|step| match &step.op {
            Op::CloudToDevice { sync_response, replies, .. } => {
                sync_response.iter().chain(replies.values()).cloned().collect()
            }
            _ => Vec::new(),
        });
        for answer in answers.into_iter().chain(responses.collect::<Vec<_>>()) {
            self.learn(&answer);
        }
    }

    fn learn(&mut self, answer: &Value) {
        match answer {
            Value::Array(list) => list.iter().for_each(|value| self.learn(value)),
            Value::Object(members) => {
                let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
                let window = text("tw").and_then(|text| parse_window(&text)).unwrap_or_default();
                self.window = self.window.max(window).min(WINDOW_MAX);
                self.tags.extend(text("tg"));
                self.rules.extend(text("g").zip(text("cmd")).filter(|_| members.contains_key("con")));
                members.values().for_each(|value| self.learn(value));
            }
            _ => {}
        }
    }

    /// The twin begins right before the first patch; a whole one that comes first is the answer to the first question.
    fn prepare_twin(&mut self) {
        let mut twins = self.case.steps.iter().filter_map(|step| match &step.op {
            Op::TwinPatch(patch) => Some(Some(version_before(patch))),
            Op::TwinFull(_) => Some(None),
            _ => None,
        });
        match twins.next() {
            Some(Some(version)) => self.device.twin = crate::portal::Twin::new(version),
            Some(None) => self.device.answers_twin_questions = false,
            None => {}
        }
    }

    fn act(&mut self, step: &Step) -> Result<()> {
        if self.disposed && !matches!(step.op, Op::Dispose) {
            self.refuse();
        }
        match &step.op {
            Op::Send(data) => self.device.offer(data.iter().map(sample).collect()),
            Op::Window => self.device.pass(self.window),
            Op::HeartbeatTick => self.device.pass(self.heartbeat),
            Op::Ack { message_type, data } => self.ack(message_type, data),
            Op::AckOf { kind, ack, st, msg, child } => self.ack_of(*kind, ack, st, msg, child),
            Op::CloudToDevice { body, sync_response, replies } => {
                self.device.portal().answer_next(sync_response.clone());
                self.device.portal().change_replies(replies.clone());
                let message: Value = serde_json::from_str(body).unwrap_or_default();
                if let Some(period) = message.get("f").and_then(Value::as_u64).filter(|period| *period > 0) {
                    self.heartbeat = Duration::from_secs(period);
                }
                self.device.cloud_says(body)
            }
            Op::TwinPatch(patch) => {
                self.device.answers_twin_questions = true;
                self.device.push_desired(patch)
            }
            Op::TwinFull(document) => {
                if !self.device.twin_is_asked_for() {
                    self.device.answers_twin_questions = false;
                    self.device.ask(Ask::TwinGet)?;
                }
                if let Ok(document) = serde_json::from_str(document) {
                    self.device.twin.replace(&document);
                }
                self.device.answer_twin_questions(document)?;
                self.device.answers_twin_questions = true;
                Ok(())
            }
            Op::UpdateTwin { key, value } => {
                self.device.ask(Ask::TwinReport { patch: json!({key.as_str(): value}).to_string() })
            }
            Op::GetTwins => {
                // Whoever answers it comes as a step of its own.
                self.device.answers_twin_questions = false;
                self.device.ask(Ask::TwinGet)
            }
            Op::GetAttributes | Op::GetDevices if self.disposed => Ok(()),
            Op::GetAttributes | Op::GetDevices if self.device.stopped => self.result(Value::Null),
            Op::GetAttributes => {
                let list = if self.case.version == Version::Legacy { attributes::by_device } else { attributes::all };
                let attributes = self.device.definition.as_ref().map(list);
                self.result(attributes.unwrap_or_default())
            }
            Op::GetDevices => {
                let devices = self.device.definition.as_ref().map(|definition| {
                    let entry =
                        |device: &edgeplug_protocol::template::Device| json!({"tg": device.tag, "id": device.id});
                    definition.devices.iter().map(entry).collect()
                });
                self.result(devices.unwrap_or_default())
            }
            Op::CreateChild { id, tag, name } => self.device.ask_for_child(OperatorRequest::CreateChild {
                id: id.clone(),
                tag: tag.clone(),
                name: name.clone(),
            }),
            Op::DeleteChild { id } => self.device.ask_for_child(OperatorRequest::DeleteChild { id: id.clone() }),
            Op::Dispose => {
                self.disposed = true;
                self.device.ask(Ask::Disconnect)?;
                self.result(Value::Bool(true))
            }
        }
    }

    /// `SendAck` takes the message types 5 and 11 and content that is true in Python, and passes it on unread.
    fn ack(&mut self, message_type: &Value, data: &Value) -> Result<()> {
        if self.device.stopped {
            return Ok(());
        }
        let kind = match message_type.as_f64() {
            Some(5.0) => AckKind::Command,
            Some(11.0) => AckKind::Ota,
            _ => {
                self.refuse();
                return Ok(());
            }
        };
        let is_empty = match data {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Bool(true) => false,
        };
        if is_empty {
            self.refuse();
            return Ok(());
        }
        self.publish_ack(kind, data.clone())
    }

    fn ack_of(&mut self, kind: AckKind, ack: &Value, st: &Value, msg: &Value, child: &Value) -> Result<()> {
        if self.device.stopped {
            return Ok(());
        }
        if ack.is_null() {
            self.refuse();
            return Ok(());
        }
        let is_none = matches!(child, Value::Null | Value::Bool(false)) || child == "" || child == 0;
        let known = self.device.definition.iter().flat_map(|definition| &definition.devices);
        let child_id = child.as_str().filter(|child| known.into_iter().any(|device| device.id == *child));
        if !is_none && child_id.is_none() {
            // The 2.1 SDK says nothing for a child it does not know.
            return Ok(());
        }
        match (ack.as_str(), st.as_i64(), msg.as_str()) {
            (Some(ack_id), Some(st), Some(msg)) => self.publish_encoded(&Ack { kind, ack_id, st, msg, child_id }),
            // What no table of ours would ever hold goes out as it is.
            _ => {
                let mut d = json!({"ack": ack, "type": kind_number(kind), "st": st, "msg": msg});
                if let (Some(child), Some(d)) = (child_id, d.as_object_mut()) {
                    d.insert("cid".to_owned(), child.into());
                }
                self.publish_ack(kind, d)
            }
        }
    }

    fn publish_ack(&mut self, kind: AckKind, d: Value) -> Result<()> {
        self.publish_with(|template, sdk, now| ack::envelope(template, kind, d, sdk, now))
    }

    fn publish_encoded(&mut self, ack: &Ack<'_>) -> Result<()> {
        self.publish_with(|template, sdk, now| ack::encode(template, ack, sdk, now))
    }

    /// Publishes what the codec makes of the session's own template, if the device may speak.
    fn publish_with(
        &mut self,
        encode: impl FnOnce(&edgeplug_protocol::template::Template, &Sdk, &Timestamp) -> String,
    ) -> Result<()> {
        let Some(definition) = self.device.definition.as_ref().filter(|_| self.device.is_online()) else {
            return Ok(());
        };
        let sdk = Sdk::new("M_PYTHON", self.case.config.environment.clone());
        let now = Timestamp::from_unix_ms(self.device.unix_ms());
        let body = encode(&definition.template(&Rounding::new()), &sdk, &now);
        let topic = definition.hub.topics.topic(Lane::Ack, false).to_owned();
        self.device.see(Happening::publish(self.case.version, &topic, serde_json::from_str(&body)?));
        Ok(())
    }

    fn refuse(&mut self) {
        self.device.see(Happening::Error(REFUSED.to_owned()));
    }

    fn result(&mut self, value: Value) -> Result<()> {
        self.device.see(Happening::Result(value));
        Ok(())
    }

    fn judge(&mut self, title: &str, op: Option<&Op>, expected: Option<&[Value]>, was_connected: bool) -> Result<()> {
        let (seen, remarks) = self.device.take_seen();
        let Some(expected) = expected else { return Ok(()) };
        let message: Value = match op {
            Some(Op::CloudToDevice { body, .. }) => serde_json::from_str(body).unwrap_or_default(),
            _ => Value::Null,
        };
        let synced = self.device.definition.as_ref().map(|definition| definition.cpid.clone()).unwrap_or_default();
        // C2D bodies spell the company's id in small letters.
        let cpids = [self.case.config.cpid.as_str(), &synced, &self.case.config.cpid.to_lowercase()];
        let reader = Reader {
            version: self.case.version,
            unique_id: &self.case.config.unique_id,
            cpids: &cpids,
            devices: &self.devices,
            cmd_type: message.get("cmdType").and_then(Value::as_str),
            tells_of_connection: message.get("ct").and_then(Value::as_i64) == Some(116),
            twin_is_full: matches!(op, Some(Op::TwinFull(_) | Op::GetTwins)),
        };
        let mut happenings = Vec::new();
        for event in expected {
            happenings.extend(reader.read(event)?);
        }
        let judge = Judge {
            version: self.case.version,
            loose: self.case.loose,
            tags: &self.tags,
            rules: &self.rules,
            op,
            twin: self.device.twin.desired(),
            was_connected,
            has_callback: self.case.has_callback,
            disposed: self.disposed,
        };
        let differences = judge.compare(happenings, seen);
        if !differences.is_empty() {
            self.differences.push(judge::render(title, &differences, &remarks));
        }
        Ok(())
    }
}

/// `type` of a 2.1 acknowledgement.
fn kind_number(kind: AckKind) -> u8 {
    match kind {
        AckKind::Command => 0,
        AckKind::Ota => 1,
        AckKind::Module => 2,
    }
}

/// One element of a `SendData` array. A time that cannot be read is none; content that is no object is empty.
fn sample(entry: &Value) -> Sample {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let values = match entry.get("data") {
        Some(Value::Object(values)) => values.clone().into_iter().collect(),
        _ => Vec::new(),
    };
    Sample {
        // A reading for nobody is no reading of the device itself.
        device: Some(text("uniqueId").unwrap_or_default().to_owned()),
        time: text("time").and_then(|time| Timestamp::parse(time).ok()),
        values,
    }
}

//! The far side in memory: what discovery, sync, identity and DPS answer, and the twin the hub keeps.

use std::collections::VecDeque;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeplug_protocol::version::Version;
use edgeplug_session::action::{HttpRequest, Method};
use serde_json::{Map, Value, json};

use crate::case;
use crate::happening::{Happening, version_of};

/// Where discovery is asked.
pub(crate) const DISCOVERY: &str = "https://discovery.example";
/// DPS as every SDK has it built in.
pub(crate) const DPS: &str = "https://global.azure-devices-provisioning.net";
const LEGACY_AGENT: &str = "https://agent.example/api/2.0/agent/";
const IDENTITY_AGENT: &str =
    "https://agent.example/api/2.1/agent/device-identity/cg/b892c353-e375-4cc3-8841-32e271e26122";

/// HTTPS: discovery, sync or identity, DPS.
pub(crate) struct Portal {
    version: Version,
    answers: case::Portal,
    sequence: VecDeque<Value>,
    /// What the next POST is answered.
    next: Option<Value>,
    /// Whether DPS was asked the first of its questions.
    registering: bool,
}

impl Portal {
    /// As a case has it.
    pub(crate) fn new(version: Version, answers: case::Portal) -> Self {
        let sequence = answers.sync_sequence.iter().cloned().collect();
        Self { version, answers, sequence, next: None, registering: false }
    }

    /// Every answer there may be.
    pub(crate) fn everything(&self) -> Vec<Value> {
        let case::Portal { sync, sync_sequence, identity, replies } = &self.answers;
        [sync, identity].into_iter().chain(sync_sequence).chain(replies.values()).cloned().collect()
    }

    /// The next POST gets this answer.
    pub(crate) fn answer_next(&mut self, answer: Option<Value>) {
        self.next = answer;
    }

    /// Answers of the `di` topic that change.
    pub(crate) fn change_replies(&mut self, replies: impl IntoIterator<Item = (String, Value)>) {
        self.answers.replies.extend(replies);
    }

    /// What the cloud says to a question on the `di` topic, if anything.
    pub(crate) fn reply(&self, question: &Value) -> Option<Value> {
        let number = question.get("mt")?.as_u64()?;
        self.answers.replies.get(&number.to_string()).cloned()
    }

    /// The reply to a request, and what was seen of it.
    pub(crate) fn answer(&mut self, request: &HttpRequest) -> (u16, String, Option<Happening>) {
        if let Some(rest) = request.url.strip_prefix(DPS) {
            let seen = self.registration(rest);
            let (status, body) = self.dps(request);
            return (status, body, seen);
        }
        let path = request.url.splitn(4, '/').nth(3).unwrap_or_default();
        let body = request.body.as_deref().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        let method = match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
        };
        let seen = Happening::http(method, &format!("/{path}"), body);
        (200, self.agent(&request.url), Some(seen))
    }

    fn agent(&mut self, url: &str) -> String {
        let answer = match self.version {
            Version::Legacy if url.starts_with(DISCOVERY) => json!({"baseUrl": LEGACY_AGENT, "logInfo": ""}),
            Version::V21 if url.starts_with(DISCOVERY) => json!({
                "d": {"ec": 0, "bu": IDENTITY_AGENT, "log:mqtt": {"hn": "", "un": "", "pwd": "", "topic": ""},
                      "log:https": "", "pf": "az", "dip": 1, "errorMsg": null},
                "status": 200, "message": "Success"}),
            Version::Legacy => match self.next.take().or_else(|| self.sequence.pop_front()) {
                // A text stands for what is not JSON.
                Some(Value::String(raw)) => return raw,
                Some(answer) => answer,
                None => json!({"d": self.answers.sync}),
            },
            Version::V21 => json!({"d": self.answers.identity, "status": 200, "message": ""}),
        };
        answer.to_string()
    }

    fn registration(&mut self, path: &str) -> Option<Happening> {
        let begun = std::mem::replace(&mut self.registering, true);
        let mut parts = path.trim_start_matches('/').split('/');
        let scope = parts.next()?.to_owned();
        let registration_id = parts.nth(1)?.replace("%3A", ":").replace("%3a", ":");
        let endpoint = DPS.trim_start_matches("https://").to_owned();
        (!begun).then_some(Happening::Registration { endpoint, scope, registration_id })
    }

    /// A TPM's registration: a challenge, then assigned.
    fn dps(&mut self, request: &HttpRequest) -> (u16, String) {
        let part = |len: u8| [&[0, len][..], &vec![7; usize::from(len)]].concat();
        let key = STANDARD.encode([part(52), part(200), part(142), part(200), part(48)].concat());
        if request.authorization.is_none() {
            return (401, json!({"authenticationKey": key, "keyName": "registration"}).to_string());
        }
        self.registering = false;
        let hub = self.answers.sync.get("p").cloned().unwrap_or_default();
        let state = json!({"assignedHub": hub.get("h"), "deviceId": hub.get("id"), "tpm": {"authenticationKey": key}});
        (200, json!({"operationId": "o", "status": "assigned", "registrationState": state}).to_string())
    }
}

/// The twin the hub keeps.
#[derive(Debug)]
pub(crate) struct Twin {
    desired: Map<String, Value>,
    desired_version: u64,
    reported: Map<String, Value>,
    reported_version: u64,
}

impl Twin {
    /// An empty one; the next patch of `desired` will have the version after this.
    pub(crate) fn new(desired_version: u64) -> Self {
        Self { desired: Map::new(), desired_version, reported: Map::new(), reported_version: 1 }
    }

    /// The whole document.
    pub(crate) fn document(&self) -> Value {
        let part = |members: &Map<String, Value>, version: u64| {
            let mut part = members.clone();
            part.insert("$version".into(), version.into());
            part
        };
        json!({
            "desired": part(&self.desired, self.desired_version),
            "reported": part(&self.reported, self.reported_version),
        })
    }

    /// Desired properties without their version.
    pub(crate) fn desired(&self) -> Value {
        Value::Object(self.desired.clone())
    }

    /// Takes a desired patch; says the version after it.
    pub(crate) fn patch_desired(&mut self, patch: &Value) -> u64 {
        self.desired_version = version_of(patch).unwrap_or(self.desired_version + 1);
        merge(&mut self.desired, patch);
        self.desired_version
    }

    /// Takes another document in place of this one.
    pub(crate) fn replace(&mut self, document: &Value) {
        let part = |name: &str| document.get(name).cloned().unwrap_or_default();
        (self.desired, self.reported) = (Map::new(), Map::new());
        merge(&mut self.desired, &part("desired"));
        merge(&mut self.reported, &part("reported"));
        self.desired_version = version_of(&part("desired")).unwrap_or(self.desired_version);
        self.reported_version = version_of(&part("reported")).unwrap_or(self.reported_version);
    }

    /// Takes a reported patch; says the version after it.
    pub(crate) fn patch_reported(&mut self, patch: &Value) -> u64 {
        merge(&mut self.reported, patch);
        self.reported_version += 1;
        self.reported_version
    }
}

/// A JSON merge patch that leaves out what begins with `$`; `null` removes.
fn merge(into: &mut Map<String, Value>, patch: &Value) {
    let Value::Object(patch) = patch else { return };
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        match (value, into.get_mut(name)) {
            (Value::Null, _) => drop(into.remove(name)),
            (Value::Object(_), Some(Value::Object(inner))) => merge(inner, value),
            _ => drop(into.insert(name.clone(), value.clone())),
        }
    }
}

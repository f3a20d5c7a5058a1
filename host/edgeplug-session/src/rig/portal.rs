//! The portal of the rig in both protocols: discovery, sync in whole and in part, identity, and the questions that 2.1 asks
//! over the link.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::Rig;
use crate::action::HttpRequest;
use crate::event::FailureKind;

/// What it offers and what it was asked.
pub(crate) struct Portal {
    /// Serves the legacy protocol.
    pub(crate) legacy: bool,
    /// Serves 2.1.
    pub(crate) v21: bool,
    /// `at` of both: 4 is a TPM, 5 a symmetric key.
    pub(crate) auth: i64,
    /// URLs and bodies of all requests but DPS's.
    pub(crate) asked: Vec<(String, Option<Value>)>,
    /// `ec` of the next identities, before the good one.
    pub(crate) identity_codes: VecDeque<i64>,
    /// `rc` of the next partial syncs, before the good one.
    pub(crate) part_codes: VecDeque<i64>,
    /// With every status but 200.
    pub(crate) retry_after_s: Option<u64>,
    /// Data frequency.
    pub(crate) df: u64,
    /// Windows and rules instead of readings.
    pub(crate) edge: bool,
    /// `att` of both, in place of `n`, `small` and what else is wished for.
    pub(crate) attributes: Option<Value>,
    /// Attributes in either protocol beside `n` and `small`.
    pub(crate) more_attributes: Vec<&'static str>,
    pub(crate) rules: Value,
    pub(crate) settings: Value,
    /// The update that waits, as each protocol says it.
    pub(crate) ota: Value,
    /// Children; the device is a gateway if there is a list.
    pub(crate) children: Option<Vec<&'static str>>,
    /// Host of the hub.
    pub(crate) hub: &'static str,
    /// No other hub answers any more.
    pub(crate) hub_moved: bool,
    /// `has` of the identity.
    pub(crate) has: Value,
    /// Questions over the link: body and when.
    pub(crate) questions: Vec<(Duration, Value)>,
    /// So many questions stay without an answer.
    pub(crate) silent_for: u32,
    /// `ec` of the next answers to questions.
    pub(crate) answer_codes: VecDeque<i64>,
    /// Heartbeats.
    pub(crate) heartbeats: Vec<Duration>,
}

impl Default for Portal {
    fn default() -> Self {
        Self {
            legacy: true,
            v21: false,
            auth: 4,
            asked: Vec::new(),
            identity_codes: VecDeque::new(),
            part_codes: VecDeque::new(),
            retry_after_s: None,
            df: 0,
            edge: false,
            attributes: None,
            more_attributes: Vec::new(),
            rules: Value::Null,
            settings: Value::Null,
            ota: Value::Null,
            children: None,
            hub: "hub",
            hub_moved: false,
            has: json!({"d": 0, "attr": 1, "set": 0, "r": 0, "ota": 0}),
            questions: Vec::new(),
            silent_for: 0,
            answer_codes: VecDeque::new(),
            heartbeats: Vec::new(),
        }
    }
}

/// The properties that the hub's 2.1 topics end with.
const PROPERTIES: &str = "&$.ct=application%2Fjson&$.ce=utf-8";

impl Rig {
    /// Answers an HTTPS request: status and body, or that TLS does not trust it.
    pub(super) fn portal(&mut self, request: &HttpRequest) -> Result<(u16, String), FailureKind> {
        let asked = request.body.as_deref().map(|body| serde_json::from_str(body).unwrap());
        self.cloud.portal.asked.push((request.url.clone(), asked.clone()));
        if let Some(answer) = self.cloud.portal_says {
            return answer.map(|(status, body)| (status, body.to_owned()));
        }
        let portal = &mut self.cloud.portal;
        let body = match request.url.as_str() {
            url if url.starts_with("https://discovery/api/v2.1/") && portal.v21 => {
                json!({"d": {"ec": 0, "bu": "https://identity/cg/1", "pf": "az"}, "status": 200, "message": "Success"})
            }
            url if url.starts_with("https://discovery/api/v2.1/") => {
                json!({"d": {"ec": 6, "bu": null, "errorMsg": "CpId not found"}, "status": 200})
            }
            url if url.starts_with("https://discovery/") && portal.legacy => {
                json!({"baseUrl": "https://agent/api/2.0/agent/"})
            }
            url if url.starts_with("https://discovery/") => return Ok((404, "not found".into())),
            "https://identity/cg/1/uid/GW" if portal.v21 => match portal.identity_codes.pop_front() {
                Some(code) => json!({"d": {"ec": code, "ct": 200}, "status": 200}),
                None => portal.identity(),
            },
            "https://agent/api/2.0/agent/sync" if portal.legacy => {
                let option = asked.unwrap()["option"].as_object().unwrap().clone();
                let whole = option.len() == 6;
                self.cloud.syncs += u32::from(whole);
                let codes = if whole { &mut self.cloud.sync_codes } else { &mut self.cloud.portal.part_codes };
                let scripted = codes.pop_front();
                let code = scripted.unwrap_or(if self.cloud.registered { 0 } else { 1 });
                let mut d = self.cloud.portal.sync(code, self.cloud.no_attributes);
                let keys = ["attribute", "setting", "protocol", "device", "sdkConfig", "rule"];
                for (option_name, key) in keys.iter().zip(["att", "set", "p", "d", "sc", "r"]) {
                    if option.get(*option_name) != Some(&json!(true)) {
                        d[key] = Value::Null;
                    }
                }
                json!({ "d": d })
            }
            _ => return Ok((404, "not found".into())),
        };
        Ok((200, body.to_string()))
    }

    /// A question over the link.
    pub(super) fn question(&mut self, body: &[u8]) {
        let asked: Value = serde_json::from_slice(body).unwrap();
        let portal = &mut self.cloud.portal;
        portal.questions.push((self.monotonic, asked.clone()));
        if portal.silent_for > 0 {
            portal.silent_for -= 1;
            return;
        }
        let number = asked["mt"].as_u64().unwrap();
        let code = portal.answer_codes.pop_front().unwrap_or(0);
        let children = || portal.children.iter().flatten().map(|id| json!({"tg": "c", "id": id})).collect::<Vec<_>>();
        let mut d = match number {
            201 => match &portal.attributes {
                Some(attributes) => json!({ "att": attributes }),
                None => json!({"att": [{"p": "", "dt": 0, "d": portal.scalars(1)}]}),
            },
            202 => json!({"set": portal.settings}),
            203 => json!({"r": portal.rules}),
            204 => json!({"d": children()}),
            205 => json!({"ota": portal.ota}),
            221 | 222 => json!({}),
            other => panic!("nobody asks {other}"),
        };
        (d["ec"], d["ct"]) = (code.into(), number.into());
        self.send_c2d(json!({ "d": d }).to_string());
    }

    /// Numbers of the questions asked over the link.
    pub(crate) fn questions(&self) -> Vec<u64> {
        self.cloud.portal.questions.iter().map(|(_, asked)| asked["mt"].as_u64().unwrap()).collect()
    }

    /// What partial syncs asked for.
    pub(crate) fn parts_asked(&self) -> Vec<String> {
        let options = self.cloud.portal.asked.iter().filter_map(|(_, body)| body.as_ref()?["option"].as_object());
        options.filter(|option| option.len() == 1).flat_map(|option| option.keys().cloned()).collect()
    }
}

impl Portal {
    fn scalars(&self, data_type: u8) -> Vec<Value> {
        let scalar = |name, dv| json!({"ln": name, "dt": data_type, "dv": dv, "tg": if self.children.is_some() { "gw" } else { "" }});
        let more = self.more_attributes.iter().map(|name| scalar(*name, ""));
        [scalar("n", ""), scalar("small", "0to9")].into_iter().chain(more).collect()
    }

    fn sync(&self, code: i64, no_attributes: bool) -> Value {
        let scalars = || json!([{"p": "", "dt": null, "tg": "", "d": self.scalars(0)}]);
        let attributes = self.attributes.clone().unwrap_or_else(scalars);
        let own = json!({"tg": if self.children.is_some() { "gw" } else { "" }, "id": "GW"});
        let children = self.children.iter().flatten().map(|id| json!({"tg": "c", "id": id}));
        let devices: Vec<_> = [own].into_iter().chain(children).collect();
        json!({
            "sc": {"df": self.df}, "rc": code, "ds": code, "at": self.auth, "ee": i32::from(self.edge), "dtg": "D", "cpId": "CP",
            "p": {"n": "mqtt", "h": self.hub, "p": 8883, "id": "CP-GW", "un": format!("{}/CP-GW/?api-version=2018-06-30", self.hub),
                  "pwd": "", "pub": "devices/CP-GW/messages/events/", "sub": "devices/CP-GW/messages/devicebound/#"},
            "d": devices,
            "att": if no_attributes { Value::Null } else { attributes },
            "set": self.settings, "r": self.rules, "ota": self.ota})
    }

    fn identity(&self) -> Value {
        let topic = |kind: &str| format!("devices/CP-GW/messages/events/cd=XG4E2CA&v=2.1&{kind}{PROPERTIES}");
        let gateway = self.children.as_ref().map(|_| json!({"tg": "gw", "g": "8D1F-GUID"}));
        json!({"d": {"ec": 0, "ct": 200,
            "meta": {"at": self.auth, "df": self.df, "cd": "XG4E2CA", "gtw": gateway, "edge": i32::from(self.edge), "pf": 1, "hwv": "", "swv": "", "v": 2.1},
            "has": self.has,
            "p": {"n": "mqtt", "h": self.hub, "p": 8883, "id": "CP-GW", "un": format!("{}/CP-GW/?api-version=2018-06-30", self.hub),
                "topics": {"rpt": topic("mt=0"), "erpt": topic("mt=1"), "erm": topic("mt=2"), "flt": topic("mt=3"), "od": topic("mt=4"), "hb": topic("mt=5"),
                    "ack": topic("mt=6"), "dl": topic("mt=7"), "di": topic("di=1"), "c2d": "devices/CP-GW/messages/devicebound/#"}},
            "dt": "2024-10-29T20:10:44.382Z"}, "status": 200, "message": "Device info loaded successfully."})
    }
}

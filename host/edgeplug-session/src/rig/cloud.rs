//! The rig's far side: portal, DPS and hub, and what they got.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::time::Timestamp;
use serde_json::{Value, json};

use super::Rig;
use super::portal::Portal;
use super::twin::HubTwin;
use crate::action::{ConnectTo, HttpRequest};
use crate::event::{Failure, FailureKind, HttpReply, LinkDownReason};

/// The far side.
#[derive(Default)]
pub(crate) struct Cloud {
    pub(crate) received: Vec<Value>,
    /// The topic of each.
    pub(crate) topics: Vec<String>,
    /// Entries of reports and faults in the order they came.
    pub(crate) arrivals: Vec<Arrival>,
    /// Keep no bodies: days of readings would fill the memory.
    pub(crate) forgets_bodies: bool,
    /// What discovery and sync answer instead: status and body, or that TLS does not trust it.
    pub(crate) portal_says: Option<Result<(u16, &'static str), FailureKind>>,
    pub(super) messages: u64,
    pub(crate) dps_calls: u32,
    pub(crate) syncs: u32,
    pub(crate) connects: u32,
    /// `rc`/`ds` answered next, before the good answer.
    pub(crate) sync_codes: VecDeque<i64>,
    pub(crate) registered: bool,
    /// Commands the hub holds until they are acknowledged.
    pub(crate) queue: BTreeMap<u64, Bytes>,
    pub(super) last_delivery: u64,
    pub(crate) refuse: bool,
    pub(crate) polls_left: u32,
    /// The template holds nothing.
    pub(crate) no_attributes: bool,
    /// The hub that DPS assigns, when not the portal's.
    pub(crate) other_hub: Option<&'static str>,
    /// Hosts that were connected to.
    pub(crate) hosts: Vec<String>,
    /// How the next connects end, before one succeeds.
    pub(crate) connect_failures: VecDeque<LinkDownReason>,
    /// When connections were tried.
    pub(crate) tried_at: Vec<Duration>,
    /// A second device of the same identity takes the place of the first so long after it connected.
    pub(crate) kicks_after: Option<Duration>,
    /// How long after its token's end a connection is closed.
    pub(crate) expiry_grace: Duration,
    /// When certificates are valid, Unix milliseconds; `None` is always.
    pub(crate) certificate: Option<std::ops::Range<i64>>,
    pub(crate) twin: HubTwin,
    pub(crate) portal: Portal,
}

/// One entry of a report or fault at the cloud.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) at: Duration,
    /// Counts connections, over crashes.
    pub(crate) connection: u32,
    /// Counts publishes.
    pub(crate) message: u64,
    /// Of the publish, topic included.
    pub(crate) bytes: usize,
    /// Attribute `n`.
    pub(crate) n: i64,
    /// Unix milliseconds.
    pub(crate) dt: i64,
    pub(crate) offline: bool,
}

impl Rig {
    /// What stands between a CONNECT and its CONNACK 0.
    pub(super) fn connect_answer(&mut self, to: &ConnectTo) -> Result<(), LinkDownReason> {
        let moved = self.cloud.portal.hub_moved && to.host != self.cloud.portal.hub;
        if !self.network_up || to.host == "dead" || moved {
            let failure = Failure { kind: FailureKind::Network, text: "no route to host".into() };
            return Err(LinkDownReason::Failed(failure));
        }
        self.check_certificate().map_err(LinkDownReason::Failed)?;
        let expired = token_end_unix_ms(&to.password) <= self.real_unix_ms;
        if self.cloud.refuse || expired {
            return Err(LinkDownReason::NotAuthorised);
        }
        self.cloud.connect_failures.pop_front().map_or(Ok(()), Err)
    }

    fn check_certificate(&self) -> Result<(), Failure> {
        let now = self.now();
        let at_zero = self.certificate_clock.unwrap_or(now.wall_unix_ms - now.monotonic_ms());
        match &self.cloud.certificate {
            Some(valid) if !valid.contains(&(at_zero + now.monotonic_ms())) => {
                Err(Failure { kind: FailureKind::Certificate, text: "the certificate is not valid now".into() })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn http(&mut self, request: &HttpRequest) -> Result<HttpReply, Failure> {
        if !self.network_up || !self.portal_up {
            return Err(Failure { kind: FailureKind::Network, text: format!("cannot reach {}", request.url) });
        }
        self.check_certificate()?;
        let (status, body) = if request.url.starts_with("https://dps/") {
            self.dps(request)
        } else {
            self.portal(request).map_err(|kind| Failure { kind, text: "said the portal".into() })?
        };
        let retry_after_s = (status != 200).then_some(self.cloud.portal.retry_after_s).flatten();
        Ok(HttpReply { status, retry_after_s, date_unix_s: Some(self.real_unix_ms / 1000), body: body.into() })
    }

    fn dps(&mut self, request: &HttpRequest) -> (u16, String) {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        self.cloud.dps_calls += 1;
        let part = |len: u8| [&[0, len][..], &vec![7; usize::from(len)]].concat();
        let key = STANDARD.encode([part(52), part(200), part(142), part(200), part(48)].concat());
        match (&request.authorization, request.url.contains("/operations/")) {
            (None, _) => (401, json!({"authenticationKey": key, "keyName": "registration"}).to_string()),
            (Some(_), true) if self.cloud.polls_left == 0 => {
                self.cloud.registered = true;
                let state = json!({"assignedHub": self.cloud.other_hub.unwrap_or("hub"), "deviceId": "CP-GW", "tpm": {"authenticationKey": key}});
                (200, json!({"operationId": "o", "status": "assigned", "registrationState": state}).to_string())
            }
            (Some(_), polling) => {
                self.cloud.polls_left -= u32::from(polling);
                (202, json!({"operationId": "o", "status": "assigning"}).to_string())
            }
        }
    }
}

impl Cloud {
    pub(super) fn take(&mut self, at: Duration, topic: &str, body: &[u8]) {
        let bytes = topic.len() + body.len();
        let body: Value = serde_json::from_slice(body).unwrap();
        self.messages += 1;
        for entry in body["d"].as_array().into_iter().flatten() {
            let dt = Timestamp::parse(entry["dt"].as_str().unwrap()).unwrap().unix_ms();
            let values = entry["d"].get(0).unwrap_or(&entry["d"]);
            let n = values["n"].as_i64().or_else(|| values["n"].as_f64().map(|n| n as i64));
            if let Some(n) = n {
                let offline = body["od"] == 1;
                self.arrivals.push(Arrival {
                    at,
                    connection: self.connects,
                    message: self.messages,
                    bytes,
                    n,
                    dt,
                    offline,
                });
            }
        }
        if !self.forgets_bodies {
            self.received.push(body);
            self.topics.push(topic.to_owned());
        }
    }
}

pub(super) fn token_end_unix_ms(token: &edgeplug_protocol::azure::sas::SasToken) -> i64 {
    let (_, end) = token.expose().split_once("&se=").unwrap();
    end.parse::<i64>().unwrap() * 1000
}

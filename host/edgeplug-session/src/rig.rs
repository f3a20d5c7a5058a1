//! The other party in tests: store, cloud, identity and plugins in memory, and a clock moved by hand.
//!
//! The rig carries out every action the way the real adapters do, with latencies, and can lose the link, the network
//! or the whole process. What the cloud got is kept apart from the session's own counters.

mod cloud;
mod disk;
pub(crate) mod ota;
mod portal;
mod twin;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::azure::registration::RegistrationId;
use edgeplug_protocol::model::DeviceModel;
use edgeplug_protocol::sample::Sample;
use proptest::test_runner::Config as ProptestConfig;
use serde_json::{Value, json};

use self::cloud::token_end_unix_ms;
pub(crate) use self::cloud::{Arrival, Cloud};
use self::disk::Disk;
use crate::action::{Answer, Connection, DesiredChange, NewRow, Outcome};
use crate::config::RegistrationName;
use crate::event::*;
use crate::*;

pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) disk: Disk,
    pub(crate) cloud: Cloud,
    pub(crate) config: SessionConfig,
    pub(crate) monotonic: Duration,
    /// What time it really is.
    pub(crate) real_unix_ms: i64,
    /// How far the device's wall clock is off.
    pub(crate) wall_off_by_ms: i64,
    /// Whether the system calls it synchronised.
    pub(crate) wall_trusted: bool,
    /// What certificates are checked with, if not the wall clock: milliseconds since 1970 at monotonic zero.
    certificate_clock: Option<i64>,
    /// Events that are on their way, by the time they arrive.
    coming: BTreeMap<(Duration, u64), Event>,
    order: u64,
    connection: Option<ConnectionId>,
    pub(crate) network_up: bool,
    /// Discovery, sync and DPS.
    pub(crate) portal_up: bool,
    pub(crate) hub_key: bool,
    pub(crate) tpm_busy: bool,
    /// What plugins were last told.
    pub(crate) told_connected: bool,
    /// How often they were told that the link is gone.
    pub(crate) told_disconnected: u32,
    pub(crate) outcomes: Vec<(OfferId, Vec<Outcome>)>,
    pub(crate) calls: Vec<String>,
    pub(crate) calls_by_id: Vec<(String, CallId)>,
    /// Plugins that were called, and for which child.
    pub(crate) called: Vec<(String, Option<String>)>,
    pub(crate) answers: Vec<(AskId, Answer)>,
    pub(crate) told: Vec<Connection>,
    pub(crate) told_templates: Vec<Arc<DeviceModel>>,
    pub(crate) told_desired: Vec<(Option<String>, DesiredChange)>,
    pub(crate) operator_answers: Vec<(RequestId, Result<String, String>)>,
    /// How plugins answer a command; `None` leaves it open.
    pub(crate) answer: fn(&str) -> Option<Result<Reply, CallFailure>>,
    pub(crate) sample: fn(&str, u64) -> Result<Vec<Sample>, CallFailure>,
    samples_taken: u64,
    /// How filters answer, and after what time; `None` leaves it open.
    pub(crate) transform: fn(&str, Vec<Sample>) -> Filtered,
    pub(crate) transform_delay: Duration,
    /// Filters that were called, and how many samples they got.
    pub(crate) transformed: Vec<(String, usize)>,
    /// Messages acknowledged to the hub.
    pub(crate) acknowledged: usize,
    pub(crate) stopped: bool,
    /// Whether telemetry can be stored.
    pub(crate) disk_fails: bool,
    /// Whether commands and outcomes cannot be written.
    pub(crate) ledger_fails: bool,
    /// Whether a crash leaves on disk what the process had not heard of.
    pub(crate) crash_keeps_unsaid: bool,
    /// Decides by its kind and body whether the store takes a row.
    pub(crate) refuses_row: fn(&NewRow) -> bool,
    /// Rows whose removal is asked for and not committed.
    removing: VecDeque<u64>,
    pub(crate) removal_delay: Duration,
    pub(crate) commit_delay: Duration,
    /// When the last commit and the last removal under way are done.
    committed_at: Duration,
    removed_at: Duration,
    /// Rows are shown until their removal is committed.
    pub(crate) shows_removing: bool,
    /// So many pages cannot be read.
    pub(crate) load_failures: u32,
    /// `None`: never.
    pub(crate) puback_delay: Option<Duration>,
    unacknowledged: BTreeSet<Ticket>,
    woken_in_vain: u32,
    pub(crate) ota: ota::OtaRig,
}

/// What a filter answers, if anything.
pub(crate) type Filtered = Option<Result<Vec<Sample>, CallFailure>>;

pub(crate) const LATENCY: Duration = Duration::from_millis(20);
/// 2026-11-23T00:00:00Z.
pub(crate) const START_UNIX_MS: i64 = 1_795_392_000_000;

pub(crate) fn config() -> SessionConfig {
    SessionConfig {
        cpid: "CP".into(),
        environment: "poc".into(),
        unique_id: "GW".into(),
        language: "M_PYTHON".into(),
        discovery_url: "https://discovery".into(),
        dps_url: "https://dps".into(),
        scope_id: Some("0ne00TEST".into()),
        registration: RegistrationName::Is(RegistrationId::iotconnect("CP", "GW").unwrap()),
        token_life: Duration::from_secs(3600),
        boot_id: "boot-1".into(),
        window: 256,
        in_flight_max: 100,
        retry_max: Duration::from_secs(300),
        puback_timeout: Duration::from_secs(60),
        batch: None,
        backlog_per_s: 1_000,
        daily_bytes_max: None,
        time_to_live: None,
        durability: crate::config::Durability::Stored,
        protocol: crate::config::ProtocolChoice::Only(edgeplug_protocol::version::Version::Legacy),
        sid: None,
        frequency: crate::config::FrequencyPolicy::KeepLatest,
        hard_stop: crate::config::HardStopPolicy::UntilRestart,
        hard_stop_wipes: false,
        rounding: edgeplug_protocol::definition::Rounding::new(),
        ack_status: edgeplug_protocol::ack::StatusTable::default(),
        transforms: crate::config::Transforms::default(),
        ota: crate::config::OtaPolicy::default(),
    }
}

/// So many cases of a property, or as many as `PROPTEST_CASES` says.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    // The library's own number, unless it has read another one.
    const UNASKED: u32 = 256;
    let config = ProptestConfig::default();
    if config.cases == UNASKED { ProptestConfig::with_cases(usual) } else { config }
}

/// A device that has been registered before, connected.
pub(crate) fn online() -> Rig {
    connected(Rig::new())
}

/// The same in 2.1, with what the test says of it before.
pub(crate) fn v21(prepare: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = Rig::new();
    rig.config.protocol = crate::config::ProtocolChoice::Only(edgeplug_protocol::version::Version::V21);
    rig.session = Session::new(rig.config.clone(), 7);
    (rig.cloud.portal.v21, rig.cloud.portal.auth) = (true, 5);
    prepare(&mut rig);
    connected(rig)
}

pub(crate) fn connected(mut rig: Rig) -> Rig {
    rig.boot();
    rig.handle(Event::PluginsScanned);
    rig.pass(Duration::from_secs(1));
    assert!(rig.is_online());
    rig
}

pub(crate) fn reading(name: &str, value: impl Into<Value>) -> Sample {
    Sample { device: None, time: None, values: vec![(name.to_owned(), value.into())] }
}

impl Rig {
    /// A device that has been registered before.
    pub(crate) fn new() -> Self {
        let mut rig = Self::unregistered();
        rig.hub_key = true;
        rig.cloud.registered = true;
        rig
    }

    pub(crate) fn unregistered() -> Self {
        Self {
            session: Session::new(config(), 7),
            config: config(),
            disk: Disk::default(),
            cloud: Cloud { polls_left: 2, ..Cloud::default() },
            // Not just booted.
            monotonic: Duration::from_secs(3600),
            real_unix_ms: START_UNIX_MS,
            wall_off_by_ms: 0,
            wall_trusted: true,
            certificate_clock: None,
            coming: BTreeMap::new(),
            order: 0,
            connection: None,
            network_up: true,
            portal_up: true,
            hub_key: false,
            tpm_busy: false,
            told_connected: false,
            told_disconnected: 0,
            outcomes: Vec::new(),
            calls: Vec::new(),
            calls_by_id: Vec::new(),
            called: Vec::new(),
            answers: Vec::new(),
            told: Vec::new(),
            told_templates: Vec::new(),
            told_desired: Vec::new(),
            operator_answers: Vec::new(),
            answer: |text| Some(Ok(Reply::Done(format!("did {text}")))),
            sample: |_, n| Ok(vec![reading("n", n)]),
            samples_taken: 0,
            transform: |_, samples| Some(Ok(samples)),
            transform_delay: LATENCY,
            transformed: Vec::new(),
            acknowledged: 0,
            stopped: false,
            disk_fails: false,
            ledger_fails: false,
            crash_keeps_unsaid: false,
            refuses_row: |_| false,
            removing: VecDeque::new(),
            removal_delay: Duration::from_millis(5),
            commit_delay: Duration::from_millis(5),
            committed_at: Duration::ZERO,
            removed_at: Duration::ZERO,
            shows_removing: false,
            load_failures: 0,
            puback_delay: Some(LATENCY),
            unacknowledged: BTreeSet::new(),
            woken_in_vain: 0,
            ota: ota::OtaRig::default(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let wall_unix_ms = self.real_unix_ms + self.wall_off_by_ms;
        Now { monotonic: self.monotonic, wall_unix_ms, wall_trusted: self.wall_trusted }
    }

    /// Opens the store and starts the session, as the daemon does.
    pub(crate) fn boot(&mut self) {
        let restored = self.disk.restored();
        self.handle(Event::Restored(restored));
    }

    /// An orderly stop and a start.
    pub(crate) fn restart(&mut self) {
        self.handle(Event::Stop);
        self.pass(Duration::from_secs(8));
        assert!(std::mem::take(&mut self.stopped), "a stop takes its time");
        // The store closes in order.
        self.disk.crash(true);
        self.crash();
    }

    /// `kill -9` and a start: what was on its way is gone, the disk stays.
    pub(crate) fn crash(&mut self) {
        self.disk.crash(self.crash_keeps_unsaid);
        self.coming.clear();
        self.unacknowledged.clear();
        self.removing.clear();
        (self.committed_at, self.removed_at) = (Duration::ZERO, Duration::ZERO);
        self.connection = None;
        self.certificate_clock = None;
        // Plugins begin without a link.
        self.told_connected = false;
        self.session = Session::new(self.config.clone(), 8);
        self.boot();
    }

    /// A power cut: the monotonic clock begins anew, the device's clock has lost `wall_lost_ms`.
    pub(crate) fn reboot(&mut self, wall_lost_ms: i64) {
        self.config.boot_id.push('+');
        self.monotonic = Duration::from_secs(90);
        self.wall_off_by_ms -= wall_lost_ms;
        self.wall_trusted = false;
        self.crash();
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.take(event);
        self.drain();
    }

    fn take(&mut self, event: Event) {
        match &event {
            Event::Delivered { tickets, .. } => self.unacknowledged.retain(|ticket| !tickets.contains(ticket)),
            Event::LinkDown { connection, .. } => {
                self.unacknowledged.clear();
                self.connection.take_if(|open| open == connection);
            }
            Event::Removed { rows } => {
                for row in self.removing.drain(..usize::try_from(*rows).unwrap()) {
                    self.disk.rows.remove(&row);
                }
            }
            _ => {}
        }
        self.disk.said(&event);
        self.session.handle(event, self.now());
    }

    fn drain(&mut self) {
        while let Some(action) = self.session.poll_action() {
            self.carry_out(action);
        }
        self.watch_fetches();
    }

    pub(crate) fn plugin_up(&mut self, plugin: &str, interval: Option<Duration>, commands: bool) {
        self.handle(Event::PluginUp(PluginUp {
            plugin: plugin.into(),
            interval,
            commands: commands.then(CommandScope::default),
            firmware: None,
        }));
    }

    pub(crate) fn offer(&mut self, offer: u64, samples: Vec<Sample>) {
        self.handle(Event::Offered { plugin: "p".into(), offer: OfferId(offer), samples });
    }

    /// A message from the portal.
    pub(crate) fn send_c2d(&mut self, body: impl Into<Bytes>) {
        self.cloud.last_delivery += 1;
        let delivery = self.cloud.last_delivery;
        self.cloud.queue.insert(delivery, body.into());
        self.deliver(delivery);
    }

    pub(crate) fn send_command(&mut self, text: &str, ack_id: &str) {
        let body = json!({"cmdType": "0x01", "data": {"cpid": "CP", "uniqueId": "GW", "command": text, "ack": true, "ackId": ack_id}});
        self.send_c2d(body.to_string());
    }

    /// Ends the connection without a word.
    pub(crate) fn cut(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.coming.retain(|_, event| !is_of_the_link(event));
            let failure = Failure { kind: FailureKind::Network, text: "connection reset".into() };
            self.handle(Event::LinkDown { connection, reason: LinkDownReason::Failed(failure) });
        }
    }

    pub(crate) fn network(&mut self, up: bool) {
        self.network_up = up;
        if !up {
            self.cut();
        }
    }

    /// Takes out of what is coming the first event of this kind, and when it would have come.
    pub(crate) fn hold_back(&mut self, is_meant: fn(&Event) -> bool) -> Option<(Duration, Event)> {
        let meant = self.coming.iter().find(|(_, event)| is_meant(event)).map(|(at, _)| *at)?;
        self.coming.remove(&meant).map(|event| (meant.0, event))
    }

    /// Lets time pass, event by event and timeout by timeout.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.monotonic + time;
        while self.pass_one(end) {}
        self.advance_to(end);
    }

    /// Goes on to the next event or timeout before `end`, if there is one.
    pub(crate) fn pass_one(&mut self, end: Duration) -> bool {
        let arrival = self.coming.keys().next().map(|(at, _)| *at);
        let next = [arrival, self.session.poll_timeout()].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= end) else { return false };
        self.advance_to(next);
        match self.coming.first_entry().filter(|entry| entry.key().0 <= next) {
            Some(entry) => {
                let event = entry.remove();
                // As the shell does: all that is ready, then what follows from it.
                self.take(event);
                while let Some(entry) = self.coming.first_entry().filter(|entry| entry.key().0 <= next) {
                    let event = entry.remove();
                    self.take(event);
                }
                self.drain();
            }
            None => {
                self.handle(Event::Woke);
                let again = self.session.poll_timeout().is_some_and(|at| at <= self.monotonic);
                self.woken_in_vain = if again { self.woken_in_vain + 1 } else { 0 };
                assert!(self.woken_in_vain < 100, "a time-out stays in the past");
            }
        }
        true
    }

    /// The hub acknowledges what it has so far.
    pub(crate) fn acknowledge_all(&mut self) {
        let tickets = std::mem::take(&mut self.unacknowledged).into_iter().collect();
        if let Some(connection) = self.connection {
            self.handle(Event::Delivered { connection, tickets });
        }
    }

    /// The hub acknowledges the oldest.
    pub(crate) fn acknowledge_one(&mut self) {
        if let (Some(ticket), Some(connection)) = (self.unacknowledged.pop_first(), self.connection) {
            self.handle(Event::Delivered { connection, tickets: vec![ticket] });
        }
    }

    /// The values of one attribute in the order the cloud got them, reports only.
    pub(crate) fn delivered(&self, name: &str) -> Vec<i64> {
        self.cloud
            .received
            .iter()
            .filter(|body| body["mt"] == 0)
            .flat_map(|body| body["d"].as_array().unwrap().iter())
            .filter_map(|entry| entry["d"][0][name].as_i64())
            .collect()
    }

    /// Acknowledgements the cloud got: ack id and status.
    pub(crate) fn acks(&self) -> Vec<(String, i64)> {
        let acks = self.cloud.received.iter().filter(|body| body["mt"] == 5);
        acks.map(|body| (body["d"]["ackId"].as_str().unwrap().to_owned(), body["d"]["st"].as_i64().unwrap())).collect()
    }

    /// As the hub sees it.
    pub(crate) fn has_connection(&self) -> bool {
        self.connection.is_some()
    }

    pub(crate) fn is_online(&self) -> bool {
        self.session.status(self.now()).link == LinkState::Online
    }

    fn advance_to(&mut self, to: Duration) {
        if to > self.monotonic {
            self.real_unix_ms += i64::try_from((to - self.monotonic).as_millis()).unwrap();
            self.monotonic = to;
        }
    }

    fn later(&mut self, wait: Duration, event: Event) {
        self.order += 1;
        self.coming.insert((self.monotonic + wait, self.order), event);
    }

    fn deliver(&mut self, delivery: u64) {
        let Some(connection) = self.connection else { return };
        let topic = "devices/CP-GW/messages/devicebound/%24.to=x".to_owned();
        let payload = self.cloud.queue[&delivery].clone();
        self.later(LATENCY, Event::Received { connection, delivery: DeliveryId(delivery), topic, payload });
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::OpenIdentity { ticket } => {
                let attestation = Attestation::Tpm { endorsement_key: vec![1], storage_root_key: vec![2] };
                let result = Ok(Registration { attestation, hub_key: self.hub_key });
                self.later(LATENCY, Event::IdentityOpened { ticket, result });
            }
            Action::Http { ticket, request } => {
                let result = self.http(&request);
                self.later(LATENCY, Event::HttpDone { ticket, result });
            }
            Action::Activate { ticket, slot, .. } => {
                self.hub_key |= slot == KeySlot::Hub;
                self.later(LATENCY, Event::Activated { ticket, slot, result: Ok(()) });
            }
            Action::Sign { ticket, .. } => {
                let busy = Failure { kind: FailureKind::TpmBusy, text: "the TPM is busy".into() };
                let result = if self.tpm_busy { Err(busy) } else { Ok(vec![0; 32]) };
                self.later(LATENCY, Event::Signed { ticket, result });
            }
            Action::Connect { connection, to } => {
                assert!(self.connection.is_none(), "a second connection would end the first");
                self.cloud.tried_at.push(self.monotonic);
                if let Err(reason) = self.connect_answer(&to) {
                    return self.later(LATENCY, Event::LinkDown { connection, reason });
                }
                self.cloud.hosts.push(to.host);
                self.cloud.connects += 1;
                self.connection = Some(connection);
                self.later(LATENCY, Event::LinkUp { connection });
                let expires_in = u64::try_from(token_end_unix_ms(&to.password) - self.real_unix_ms).unwrap();
                let expiry = Duration::from_millis(expires_in) + self.cloud.expiry_grace;
                for close_in in [Some(expiry), self.cloud.kicks_after].into_iter().flatten() {
                    self.later(close_in + LATENCY, Event::LinkDown { connection, reason: LinkDownReason::Closed });
                }
                for delivery in self.cloud.queue.keys().copied().collect::<BTreeSet<_>>() {
                    self.deliver(delivery);
                }
            }
            Action::Disconnect { connection } => {
                self.coming.retain(|_, event| !is_of_the_link(event));
                self.connection = None;
                self.later(LATENCY, Event::LinkDown { connection, reason: LinkDownReason::Asked });
            }
            Action::Publish { connection, ticket, topic, body }
                if self.connection == Some(connection) && (topic.contains("&di=1&") || topic.contains("&mt=5&")) =>
            {
                if let Some(delay) = self.puback_delay {
                    self.later(delay, Event::Delivered { connection, tickets: vec![ticket] });
                }
                match topic.contains("&di=1&") {
                    true => self.question(&body),
                    false => self.cloud.portal.heartbeats.push(self.monotonic),
                }
            }
            Action::Publish { connection, ticket, topic, body }
                if self.connection == Some(connection) && topic.starts_with("$iothub/twin/") =>
            {
                self.later(LATENCY, Event::Delivered { connection, tickets: vec![ticket] });
                self.ask_twin(connection, &topic, &body);
            }
            Action::Publish { connection, ticket, topic, body } if self.connection == Some(connection) => {
                assert!(body.len() <= 256 * 1024, "the hub takes no larger message");
                self.unacknowledged.insert(ticket);
                let held_max = 2 * usize::from(self.config.in_flight_max);
                assert!(self.unacknowledged.len() <= held_max, "more publishes than the link holds");
                self.cloud.take(self.monotonic, &topic, &body);
                if let Some(delay) = self.puback_delay {
                    self.later(delay, Event::Delivered { connection, tickets: vec![ticket] });
                }
            }
            Action::Acknowledge { delivery, .. } if delivery == twin::DELIVERY => {}
            Action::Acknowledge { connection, delivery } if self.connection == Some(connection) => {
                self.cloud.queue.remove(&delivery.0);
                self.acknowledged += 1;
            }
            Action::Publish { .. } | Action::Acknowledge { .. } => {}
            Action::Sample { plugin, call } => {
                self.samples_taken += 1;
                let result = (self.sample)(&plugin, self.samples_taken);
                self.later(LATENCY, Event::Sampled { plugin, call, result });
            }
            Action::Transform { plugin, call, samples } => {
                self.transformed.push((plugin.clone(), samples.len()));
                if let Some(result) = (self.transform)(&plugin, samples) {
                    self.later(self.transform_delay, Event::Transformed { plugin, call, result });
                }
            }
            Action::Call { plugin, call, id, text, child } => {
                self.called.push((plugin.clone(), child));
                self.calls.push(text.clone());
                self.calls_by_id.push((id, call));
                if let Some(result) = (self.answer)(&text) {
                    self.later(LATENCY, Event::Replied { plugin, call, result });
                }
            }
            Action::AnswerOffer { offer, outcomes } => self.outcomes.push((offer, outcomes)),
            Action::DiscardChallenge => {}
            Action::CorrectClock { unix_ms_at_zero } => self.certificate_clock = Some(unix_ms_at_zero),
            Action::TellConnected(connection) => {
                self.told_connected = connection == Connection::Connected;
                self.told_disconnected += u32::from(!self.told_connected);
                self.told.push(connection);
            }
            Action::TellTemplate(model) => self.told_templates.push(model),
            Action::TellDesired { to, change } => self.told_desired.push((to, change)),
            Action::AnswerOperator { request, result } => self.operator_answers.push((request, result)),
            Action::Answer { ask, answer } => self.answers.push((ask, answer)),
            Action::Stopped => self.stopped = true,
            other => {
                if let Some(other) = self.carry_out_update(other) {
                    self.store(other);
                }
            }
        }
    }
}

/// Whether it is over with the connection.
fn is_of_the_link(event: &Event) -> bool {
    matches!(event, Event::Delivered { .. } | Event::Received { .. })
        || matches!(event, Event::LinkDown { reason: LinkDownReason::Closed, .. })
}

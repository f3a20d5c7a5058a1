//! The other party in tests: store, cloud, identity and plugins in memory, and a clock moved by hand.
//!
//! The rig carries out every action the way the real adapters do, with latencies, and can lose the link, the network
//! or the whole process. What the cloud got is kept apart from the session's own counters.

mod cloud;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgeplug_protocol::azure::registration::RegistrationId;
use edgeplug_protocol::model::DeviceModel;
use edgeplug_protocol::sample::Sample;
use serde_json::{Value, json};

use self::cloud::token_end_unix_ms;
pub(crate) use self::cloud::{Arrival, Cloud};
use crate::action::{Answer, Connection, Fact, NewRow, Outcome};
use crate::config::RegistrationName;
use crate::event::*;
use crate::*;

/// What survives a crash.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) rows: BTreeMap<u64, NewRow>,
    pub(crate) last_row: u64,
    evicted_through: u64,
    pub(crate) acks: BTreeMap<u64, (Bytes, bool)>,
    last_ack: u64,
    pub(crate) commands: BTreeMap<String, (Bytes, bool)>,
    facts: HashMap<Fact, Bytes>,
}

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
    pub(crate) answers: Vec<(AskId, Answer)>,
    pub(crate) told: Vec<Connection>,
    pub(crate) told_templates: Vec<Arc<DeviceModel>>,
    /// Whether the ledger takes the end of a command.
    pub(crate) ledger_fails: bool,
    /// How plugins answer a command; `None` leaves it open.
    pub(crate) answer: fn(&str) -> Option<Result<Reply, CallFailure>>,
    pub(crate) sample: fn(&str, u64) -> Result<Vec<Sample>, CallFailure>,
    samples_taken: u64,
    /// Messages acknowledged to the hub.
    pub(crate) acknowledged: usize,
    pub(crate) stopped: bool,
    /// Whether the store answers.
    pub(crate) disk_fails: bool,
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
}

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
    }
}

pub(crate) fn reading(name: &str, value: impl Into<Value>) -> Sample {
    Sample { device: None, time: None, values: vec![(name.to_owned(), value.into())] }
}

impl Disk {
    pub(crate) fn forget_the_clock(&mut self) {
        self.facts.remove(&Fact::Clock);
    }
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
            answers: Vec::new(),
            told: Vec::new(),
            told_templates: Vec::new(),
            ledger_fails: false,
            answer: |text| Some(Ok(Reply::Done(format!("did {text}")))),
            sample: |_, n| Ok(vec![reading("n", n)]),
            samples_taken: 0,
            acknowledged: 0,
            stopped: false,
            disk_fails: false,
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
        }
    }

    pub(crate) fn now(&self) -> Now {
        let wall_unix_ms = self.real_unix_ms + self.wall_off_by_ms;
        Now { monotonic: self.monotonic, wall_unix_ms, wall_trusted: self.wall_trusted }
    }

    /// Opens the store and starts the session, as the daemon does.
    pub(crate) fn boot(&mut self) {
        let restored = Restored {
            rows: self.disk.rows.len() as u64,
            acks: self
                .disk
                .acks
                .iter()
                .map(|(id, (body, offline))| RestoredAck { id: AckId(*id), body: body.clone(), offline: *offline })
                .collect(),
            commands: self
                .disk
                .commands
                .iter()
                .filter(|(_, (_, finished))| !finished)
                .map(|(key, (body, _))| (key.clone(), body.clone()))
                .collect(),
            sync: self.disk.facts.get(&Fact::Sync).cloned(),
            assignment: self.disk.facts.get(&Fact::Assignment).cloned(),
            clock: self.disk.facts.get(&Fact::Clock).cloned(),
            budget: self.disk.facts.get(&Fact::Budget).cloned(),
            last_row: (self.disk.last_row > 0).then_some(RowId(self.disk.last_row)),
        };
        self.handle(Event::Restored(restored));
    }

    /// `kill -9` and a start: what was on its way is gone, the disk stays.
    pub(crate) fn crash(&mut self) {
        self.coming.clear();
        self.unacknowledged.clear();
        self.removing.clear();
        (self.committed_at, self.removed_at) = (Duration::ZERO, Duration::ZERO);
        self.connection = None;
        self.certificate_clock = None;
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
        self.session.handle(event, self.now());
        while let Some(action) = self.session.poll_action() {
            self.carry_out(action);
        }
    }

    pub(crate) fn plugin_up(&mut self, plugin: &str, interval: Option<Duration>, commands: bool) {
        self.handle(Event::PluginUp(PluginUp { plugin: plugin.into(), interval, commands }));
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
                self.handle(event);
            }
            None => self.handle(Event::Woke),
        }
        true
    }

    /// A row that another version wrote.
    pub(crate) fn put_row(&mut self, kind: u8, body: &str) {
        self.disk.last_row += 1;
        let body = Bytes::from(body.to_owned());
        self.disk.rows.insert(self.disk.last_row, NewRow { kind, offline: true, created_unix_ms: START_UNIX_MS, body });
    }

    pub(crate) fn put_fact(&mut self, fact: Fact, value: &str) {
        self.disk.facts.insert(fact, Bytes::from(value.to_owned()));
    }

    /// The hub acknowledges what it has so far.
    pub(crate) fn acknowledge_all(&mut self) {
        let tickets = std::mem::take(&mut self.unacknowledged).into_iter().collect();
        if let Some(connection) = self.connection {
            self.handle(Event::Delivered { connection, tickets });
        }
    }

    /// The store gives up its oldest rows.
    pub(crate) fn evict(&mut self, rows: usize) {
        let gone: Vec<_> = self.disk.rows.keys().copied().take(rows).collect();
        let Some(through) = gone.last().copied() else { return };
        gone.iter().for_each(|row| drop(self.disk.rows.remove(row)));
        self.disk.evicted_through = through;
        self.handle(Event::Evicted { through: RowId(through), rows: gone.len() as u64 });
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
            Action::Publish { connection, ticket, topic, body } if self.connection == Some(connection) => {
                assert!(body.len() <= 256 * 1024, "the hub takes no larger message");
                self.unacknowledged.insert(ticket);
                let in_flight_max = usize::from(self.config.in_flight_max);
                assert!(self.unacknowledged.len() <= in_flight_max, "more publishes than the link holds");
                self.cloud.take(self.monotonic, connection, topic.len() + body.len(), &body);
                if let Some(delay) = self.puback_delay {
                    self.later(delay, Event::Delivered { connection, tickets: vec![ticket] });
                }
            }
            Action::Acknowledge { connection, delivery } if self.connection == Some(connection) => {
                self.cloud.queue.remove(&delivery.0);
                self.acknowledged += 1;
            }
            Action::Publish { .. } | Action::Acknowledge { .. } => {}
            Action::Store { ticket, row } if self.disk_fails || (self.refuses_row)(&row) => {
                self.later(LATENCY, Event::NotStored { tickets: vec![ticket], reason: "disk full".into() });
            }
            Action::Store { ticket, row } => {
                self.disk.last_row += 1;
                let id = self.disk.last_row;
                self.disk.rows.insert(id, row);
                // Rows are committed in order, however slow the disk was in between.
                self.committed_at = self.committed_at.max(self.monotonic + self.commit_delay);
                let wait = self.committed_at - self.monotonic;
                self.later(wait, Event::Committed { rows: vec![(ticket, RowId(id))] });
            }
            Action::Remove { rows } => {
                for row in &rows {
                    let evicted = row.0 <= self.disk.evicted_through;
                    assert!(evicted || self.disk.rows.contains_key(&row.0), "a row was removed twice");
                    assert!(!self.removing.contains(&row.0), "a row was removed twice");
                    self.removing.push_back(row.0);
                }
                self.removed_at = self.removed_at.max(self.monotonic + self.removal_delay);
                let wait = self.removed_at - self.monotonic;
                self.later(wait, Event::Removed { rows: rows.len() as u64 });
            }
            Action::Load { ticket, .. } if self.load_failures > 0 => {
                self.load_failures -= 1;
                self.later(LATENCY, Event::Loaded { ticket, result: Err("disk I/O error".into()) });
            }
            Action::Load { ticket, after, rows_max, .. } => {
                // The store answers in order: what it was told to remove it does not show any more.
                let shown = |id: &u64| self.shows_removing || !self.removing.contains(id);
                let behind = self.disk.rows.range(after.0 + 1..).filter(|(id, _)| shown(id));
                let rows: Vec<_> = behind
                    .clone()
                    .take(rows_max)
                    .map(|(id, row)| LoadedRow {
                        id: RowId(*id),
                        kind: row.kind,
                        offline: row.offline,
                        created_unix_ms: row.created_unix_ms,
                        body: row.body.clone(),
                    })
                    .collect();
                let more = behind.take(rows_max + 1).count() > rows.len();
                self.later(Duration::from_millis(5), Event::Loaded { ticket, result: Ok(LoadedRows { rows, more }) });
            }
            Action::Record { ticket, key, body, .. } => {
                let recorded = match self.disk.commands.get(&key) {
                    Some((_, finished)) => Recorded::Seen { finished: *finished },
                    None => Recorded::New,
                };
                self.disk.commands.entry(key).or_insert((body, false));
                self.later(Duration::from_millis(5), Event::Recorded { ticket, result: Ok(recorded) });
            }
            Action::Finish { ticket, .. } if self.ledger_fails => {
                self.later(LATENCY, Event::Finished { ticket, result: Err("disk full".into()) });
            }
            Action::Finish { ticket, key, ack, offline, .. } => {
                let command = self.disk.commands.get_mut(&key).expect("finished commands were recorded");
                assert!(!std::mem::replace(&mut command.1, true), "a command was finished twice");
                let id = ack.map(|body| {
                    self.disk.last_ack += 1;
                    self.disk.acks.insert(self.disk.last_ack, (body, offline));
                    AckId(self.disk.last_ack)
                });
                self.later(Duration::from_millis(5), Event::Finished { ticket, result: Ok(id) });
            }
            Action::RemoveAcks { acks } => acks.iter().for_each(|ack| drop(self.disk.acks.remove(&ack.0))),
            Action::Keep { fact, value } => drop(self.disk.facts.insert(fact, value)),
            Action::Sample { plugin, call } => {
                self.samples_taken += 1;
                let result = (self.sample)(&plugin, self.samples_taken);
                self.later(LATENCY, Event::Sampled { plugin, call, result });
            }
            Action::Call { plugin, call, id, text, .. } => {
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
            Action::Answer { ask, answer } => self.answers.push((ask, answer)),
            Action::Stopped => self.stopped = true,
        }
    }
}

/// Whether it is over with the connection.
fn is_of_the_link(event: &Event) -> bool {
    matches!(event, Event::Delivered { .. } | Event::Received { .. })
        || matches!(event, Event::LinkDown { reason: LinkDownReason::Closed, .. })
}

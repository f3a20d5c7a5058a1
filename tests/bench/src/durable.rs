//! The durable path: guest call, encoding, commit with `synchronous=FULL`, publish, PUBACK, removal from the disk.
//!
//! Session, outbox, link and plugin runtime are the daemon's own; what carries the session's actions out is shaped as the
//! daemon's main loop is, without identity, HTTPS and commands, which a made-up sync reply replaces. A message counts once
//! its removal is committed. Readings are taken in as fast as rows go, never more than [`UNDER_WAY_MAX`] at once: more
//! would only make a backlog.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use edgeplug_link::{
    ConnectOptions, LinkClock, LinkEvent, Mqtt as _, PACKET_BYTES_MAX, RumqttcMqtt, Transport, tls_config,
};
use edgeplug_outbox::{Lane, NewRow, Outbox, OutboxEvent, OutboxOptions, Refused, Request, RowId, Written};
use edgeplug_protocol::ack::StatusTable;
use edgeplug_protocol::azure::registration::RegistrationId;
use edgeplug_protocol::definition::Rounding;
use edgeplug_protocol::sample::Sample;
use edgeplug_protocol::version::Version;
use edgeplug_session::action::{Method, Outcome};
use edgeplug_session::config::{Durability, FrequencyPolicy, HardStopPolicy, ProtocolChoice, RegistrationName};
use edgeplug_session::event::{Attestation, HttpReply, Registration, Restored};
use edgeplug_session::{
    Action, ConnectionId, DeliveryId, Event, LinkState, Now, OfferId, Session, SessionConfig, Ticket,
};
use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::figures::{Round, Stopwatch};
use crate::message;
use crate::source::Source;

/// Readings offered to the session whose rows are not gone from the disk yet: a window of them on the way out, and as many
/// on the way into the store.
const UNDER_WAY_MAX: u64 = 2 * WINDOW as u64;
/// As in the daemon.
const EVENTS_PER_TURN: usize = 1_024;
const APPEND_ROWS_MAX: usize = 1_000;
const WINDOW: u16 = 1_024;
/// How long a connection, or the rest of a round, may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Durable {
    session: Session,
    outbox: Outbox,
    outbox_events: mpsc::Receiver<OutboxEvent>,
    mqtt: RumqttcMqtt,
    link_events: mpsc::Receiver<LinkEvent>,
    source: Source,
    started: Instant,
    /// The clocks in this turn, once they were looked at.
    turn_now: Option<Now>,
    sync_reply: Bytes,
    /// Answers of adapters that are left out here.
    answers: VecDeque<Event>,
    /// Rows of this turn.
    rows: Vec<NewRow>,
    /// Requests that the outbox had no room for.
    waiting: VecDeque<Request>,
    offered: u64,
    removed: u64,
}

impl Durable {
    /// Connected, with an empty store in this directory.
    pub(crate) async fn start(
        directory: &Path,
        ca_file: &Path,
        port: u16,
        in_flight: u16,
        source: Source,
    ) -> anyhow::Result<Self> {
        let (outbox, _, outbox_events) = Outbox::open(OutboxOptions::new(directory))?;
        let (mqtt, link_events) =
            RumqttcMqtt::new(tls_config(Some(ca_file), &LinkClock::new())?, tokio::runtime::Handle::current());
        let mut path = Self {
            session: Session::new(configuration(in_flight)?, 1),
            outbox,
            outbox_events,
            mqtt,
            link_events,
            source,
            started: Instant::now(),
            turn_now: None,
            sync_reply: message::sync_reply(port),
            answers: VecDeque::new(),
            rows: Vec::new(),
            waiting: VecDeque::new(),
            offered: 0,
            removed: 0,
        };
        let sync = serde_json::to_vec(&message::definition(port)?)?;
        path.feed(Event::Restored(Restored { sync: Some(sync.into()), ..Restored::default() }));
        let end = Instant::now() + PATIENCE;
        while path.session.status(path.now()).link != LinkState::Online {
            ensure!(Instant::now() < end, "no connection to the broker");
            path.turn(false).await?;
        }
        Ok(path)
    }

    pub(crate) async fn measure(mut self, warm_up: Duration, time: Duration) -> anyhow::Result<(Round, Written)> {
        // A task on a worker, as the daemon's main loop; the caller's thread is none.
        tokio::spawn(async move {
            self.until(Instant::now() + warm_up).await?;
            let (watch, before) = (Stopwatch::start(), self.removed);
            self.until(Instant::now() + time).await?;
            let round = watch.stop(self.removed - before);
            self.drain().await?;
            let written = self.outbox.written();
            self.outbox.close();
            Ok((round, written))
        })
        .await?
    }

    async fn until(&mut self, end: Instant) -> anyhow::Result<()> {
        while Instant::now() < end {
            self.turn(true).await?;
        }
        Ok(())
    }

    async fn drain(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.removed < self.offered {
            ensure!(Instant::now() < end, "{} readings were not delivered", self.offered - self.removed);
            self.turn(false).await?;
        }
        Ok(())
    }

    async fn turn(&mut self, take: bool) -> anyhow::Result<()> {
        self.carry_out()?;
        let wake = self.session.poll_timeout().map_or(PATIENCE, |at| at.saturating_sub(self.started.elapsed()));
        let wake = if self.waiting.is_empty() { wake } else { Duration::from_millis(10) };
        self.turn_now = None;
        let room = take && self.offered - self.removed < UNDER_WAY_MAX;
        tokio::select! {
            event = self.outbox_events.recv() => self.on_outbox(event.context("the store ended")?)?,
            Some(event) = self.link_events.recv() => self.on_link(event)?,
            samples = self.source.next(), if room => {
                let samples = samples?;
                self.offer(samples);
            }
            () = tokio::time::sleep(wake.min(PATIENCE)) => self.feed(Event::Woke),
        }
        for _ in 0..EVENTS_PER_TURN {
            let mut idle = true;
            if let Ok(event) = self.outbox_events.try_recv() {
                self.on_outbox(event)?;
                idle = false;
            }
            if let Ok(event) = self.link_events.try_recv() {
                self.on_link(event)?;
                idle = false;
            }
            if take
                && self.offered - self.removed < UNDER_WAY_MAX
                && let Some(samples) = self.source.ready()?
            {
                self.offer(samples);
                idle = false;
            }
            if idle {
                break;
            }
        }
        Ok(())
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic: self.started.elapsed(),
            wall_unix_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            wall_trusted: true,
        }
    }

    fn feed(&mut self, event: Event) {
        // One reading of the clocks for each turn, as in the daemon.
        let now = match self.turn_now {
            Some(now) => now,
            None => *self.turn_now.insert(self.now()),
        };
        self.session.handle(event, now);
    }

    fn offer(&mut self, samples: Vec<Sample>) {
        self.offered += 1;
        let offer = OfferId(self.offered);
        self.feed(Event::Offered { plugin: "ten-readings".to_owned(), offer, samples });
    }

    fn on_outbox(&mut self, event: OutboxEvent) -> anyhow::Result<()> {
        let event = match event {
            OutboxEvent::Committed { rows } => Event::Committed {
                rows: rows
                    .into_iter()
                    .map(|row| (Ticket(row.ticket), edgeplug_session::RowId(row.id.0.unsigned_abs())))
                    .collect(),
            },
            OutboxEvent::Removed { store: edgeplug_outbox::Store::Telemetry, rows, .. } => {
                self.removed += rows;
                Event::Removed { rows }
            }
            OutboxEvent::Stored { .. } => return Ok(()),
            other => bail!("the store said {other:?}"),
        };
        self.feed(event);
        Ok(())
    }

    fn on_link(&mut self, event: LinkEvent) -> anyhow::Result<()> {
        let event = match event {
            LinkEvent::Up { connection, .. } => Event::LinkUp { connection: ConnectionId(connection.0) },
            LinkEvent::Delivered { connection, tickets } => Event::Delivered {
                connection: ConnectionId(connection.0),
                tickets: tickets.into_iter().map(Ticket).collect(),
            },
            LinkEvent::Received { connection, delivery, topic, payload } => Event::Received {
                connection: ConnectionId(connection.0),
                delivery: DeliveryId(delivery.0),
                topic,
                payload,
            },
            LinkEvent::Down { reason, .. } => bail!("the link went down: {reason}"),
        };
        self.feed(event);
        Ok(())
    }

    fn carry_out(&mut self) -> anyhow::Result<()> {
        loop {
            while let Some(action) = self.session.poll_action() {
                self.act(action)?;
            }
            self.flush()?;
            match self.answers.pop_front() {
                Some(event) => self.feed(event),
                None => return Ok(()),
            }
        }
    }

    fn act(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Store { ticket, row } => self.rows.push(NewRow {
                ticket: ticket.0,
                lane: Lane::Live,
                kind: row.kind,
                link_down: row.offline,
                created_unix_ms: row.created_unix_ms,
                body: row.body,
            }),
            Action::Publish { connection, ticket, topic, body } => {
                let link = edgeplug_link::ConnectionId(connection.0);
                self.mqtt.publish(link, ticket.0, &topic, body)?;
            }
            Action::Remove { rows } => {
                let rows = rows.into_iter().map(|row| RowId(row.0.cast_signed())).collect();
                self.waiting.push_back(Request::Remove(rows));
            }
            Action::AnswerOffer { outcomes, .. } => {
                ensure!(outcomes == [Outcome::Accepted], "a reading was not accepted: {outcomes:?}");
            }
            Action::OpenIdentity { ticket } => {
                let registration = Registration { attestation: Attestation::SymmetricKey, hub_key: true };
                self.answers.push_back(Event::IdentityOpened { ticket, result: Ok(registration) });
            }
            Action::Http { ticket, request } => {
                let discovery = Bytes::from_static(br#"{"baseUrl": "https://agent.invalid/api/2.0/agent/"}"#);
                let body = if request.method == Method::Get { discovery } else { self.sync_reply.clone() };
                let date_unix_s = Some(self.now().wall_unix_ms / 1000);
                let reply = HttpReply { status: 200, retry_after_s: None, date_unix_s, body };
                self.answers.push_back(Event::HttpDone { ticket, result: Ok(reply) });
            }
            Action::Sign { ticket, .. } => {
                self.answers.push_back(Event::Signed { ticket, result: Ok(vec![0; 32]) });
            }
            Action::Connect { connection, to } => {
                let options = ConnectOptions {
                    host: to.host,
                    port: to.port,
                    client_id: to.client_id,
                    username: to.user_name,
                    password: SecretString::from(to.password.expose().to_owned()),
                    keep_alive: Duration::from_secs(60),
                    window: to.window,
                    subscriptions: to.subscriptions,
                    packet_bytes_max: PACKET_BYTES_MAX,
                    connect_timeout: PATIENCE,
                    transport: Transport::Mqtts,
                    proxy: None,
                };
                self.mqtt.connect(edgeplug_link::ConnectionId(connection.0), options)?;
            }
            Action::Keep { .. }
            | Action::CorrectClock { .. }
            | Action::TellConnected(_)
            | Action::TellTemplate(_)
            | Action::TellDesired { .. }
            | Action::KeepJobs { .. } => {}
            other => bail!("the session wants {other:?}"),
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        while !self.rows.is_empty() {
            let mut group = std::mem::take(&mut self.rows);
            if group.len() > APPEND_ROWS_MAX {
                self.rows = group.split_off(APPEND_ROWS_MAX);
            } else {
                self.rows.reserve(group.len());
            }
            self.waiting.push_back(Request::Append(group));
        }
        while let Some(request) = self.waiting.pop_front() {
            match self.outbox.request(request) {
                Ok(()) => {}
                Err(Refused::Full(request)) => {
                    self.waiting.push_front(request);
                    break;
                }
                Err(refused) => bail!("{refused}"),
            }
        }
        Ok(())
    }
}

fn configuration(in_flight: u16) -> anyhow::Result<SessionConfig> {
    Ok(SessionConfig {
        cpid: message::CPID.to_owned(),
        environment: message::ENVIRONMENT.to_owned(),
        unique_id: message::UNIQUE_ID.to_owned(),
        language: message::LANGUAGE.to_owned(),
        discovery_url: "https://discovery.invalid".to_owned(),
        dps_url: "https://dps.invalid".to_owned(),
        scope_id: None,
        registration: RegistrationName::Is(RegistrationId::iotconnect(message::CPID, message::UNIQUE_ID)?),
        token_life: Duration::from_secs(3600),
        retry_max: Duration::from_secs(60),
        puback_timeout: Duration::from_secs(60),
        boot_id: "bench".to_owned(),
        window: WINDOW,
        in_flight_max: in_flight,
        // One message per call: what is compared is messages.
        batch: None,
        backlog_per_s: 50,
        daily_bytes_max: None,
        time_to_live: None,
        durability: Durability::Stored,
        protocol: ProtocolChoice::Only(Version::Legacy),
        sid: None,
        frequency: FrequencyPolicy::Drop,
        hard_stop: HardStopPolicy::UntilRestart,
        hard_stop_wipes: false,
        rounding: Rounding::new(),
        ack_status: StatusTable::default(),
        transforms: edgeplug_session::config::Transforms::default(),
        ota: edgeplug_session::config::OtaPolicy::default(),
    })
}

#[cfg(test)]
mod tests {
    use edgeplug_test_support::certificates::TestCa;
    use edgeplug_test_support::mosquitto::Mosquitto;

    use super::*;

    /// The session learns to want new things, and this loop has to know them.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_measured_runs_at_all() {
        let directory = tempfile::tempdir().expect("directory");
        let ca = TestCa::new().expect("authority");
        let mosquitto = Mosquitto::start(&ca).expect("mosquitto");
        let source = Source::direct().await.expect("the guest");
        let path = Durable::start(directory.path(), ca.ca_file(), mosquitto.tls_port(), 10, source).await;
        let (short, long) = (Duration::from_millis(50), Duration::from_millis(500));
        let (round, written) = path.expect("connected").measure(short, long).await.expect("a round");
        assert!(round.messages > 0 && written.commits > 0);
    }
}

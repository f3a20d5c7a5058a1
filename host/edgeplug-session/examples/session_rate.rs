//! What a message costs the session, storage and network left out:
//! `cargo run --release -p edgeplug-session --example session_rate`.
//!
//! Each round is one message of ten readings: Sampled, Store, Committed, Publish, Delivered, Remove, Removed.

use std::time::Duration;

use anyhow::{Context as _, bail};
use edgeplug_protocol::azure::registration::RegistrationId;
use edgeplug_protocol::sample::Sample;
use edgeplug_session::config::{Batch, Durability, RegistrationName};
use edgeplug_session::event::{Attestation, PluginUp, Registration, Restored};
use edgeplug_session::{Action, CallId, ConnectionId, Event, Now, RowId, Session, SessionConfig, Ticket};

const ROUNDS: u64 = 300_000;
/// Rounds that share one turn, as in a group commit.
const GROUP: u64 = 100;

fn main() -> anyhow::Result<()> {
    for (what, batch) in
        [("a message each", None), ("batched", Some(Batch { bytes_max: 4096, delay: Duration::from_millis(500) }))]
    {
        let mut device = Device::online(batch)?;
        let mut spent_ns = 0;
        for round in 0..ROUNDS / GROUP {
            let samples: Vec<_> = (0..GROUP).map(|n| ten_readings((round * GROUP + n) as f64)).collect();
            let started = cpu_ns()?;
            device.turn(samples.into_iter())?;
            spent_ns += cpu_ns()? - started;
        }
        device.now.monotonic += Duration::from_secs(1);
        device.turn(std::iter::empty())?;
        let (per_message, removed, publishes) = (spent_ns / ROUNDS, device.removed, device.publishes);
        println!("{what}: {per_message} ns of processor time a message, {removed} removed, {publishes} publishes");
    }
    Ok(())
}

/// What this thread has used of the processor, whatever else runs on it.
fn cpu_ns() -> anyhow::Result<u64> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(schedstat.split(' ').next().context("no processor time in schedstat")?.parse()?)
}

fn ten_readings(n: f64) -> Sample {
    Sample { device: None, time: None, values: (0..10).map(|at| (format!("reading{at}"), (n + 0.5).into())).collect() }
}

struct Device {
    session: Session,
    now: Now,
    connection: ConnectionId,
    last_row: u64,
    publishes: u64,
    removed: u64,
}

impl Device {
    fn online(batch: Option<Batch>) -> anyhow::Result<Self> {
        let now = Now { monotonic: Duration::from_secs(3600), wall_unix_ms: 1_795_392_000_000, wall_trusted: true };
        let mut device = Self {
            session: Session::new(config(batch)?, 1),
            now,
            connection: ConnectionId(0),
            last_row: 0,
            publishes: 0,
            removed: 0,
        };
        let restored = Restored { sync: Some(sync_reply().into()), ..Restored::default() };
        device.session.handle(Event::Restored(restored), now);
        for _ in 0..20 {
            let Some(action) = device.session.poll_action() else { break };
            let event = match action {
                Action::OpenIdentity { ticket } => {
                    let registration = Registration { attestation: Attestation::SymmetricKey, hub_key: true };
                    Event::IdentityOpened { ticket, result: Ok(registration) }
                }
                Action::Http { ticket, request } => {
                    let body = if request.url.starts_with("https://discovery") {
                        r#"{"baseUrl":"https://agent/"}"#.to_owned()
                    } else {
                        sync_reply()
                    };
                    let reply = edgeplug_session::event::HttpReply {
                        status: 200,
                        retry_after_s: None,
                        date_unix_s: None,
                        body: body.into(),
                    };
                    Event::HttpDone { ticket, result: Ok(reply) }
                }
                Action::Sign { ticket, .. } => Event::Signed { ticket, result: Ok(vec![0; 32]) },
                Action::Connect { connection, .. } => {
                    device.connection = connection;
                    Event::LinkUp { connection }
                }
                _ => continue,
            };
            device.session.handle(event, now);
        }
        if device.connection.0 == 0 {
            bail!("the session did not connect: {:?}", device.session.status(now));
        }
        let up = PluginUp { plugin: "p".into(), interval: None, commands: None, firmware: None };
        device.session.handle(Event::PluginUp(up), now);
        Ok(device)
    }

    /// One turn of the main loop and what follows from it.
    fn turn(&mut self, samples: impl Iterator<Item = Sample>) -> anyhow::Result<()> {
        for sample in samples {
            let sampled = Event::Sampled { plugin: "p".into(), call: CallId(0), result: Ok(vec![sample]) };
            self.session.handle(sampled, self.now);
        }
        loop {
            let (mut rows, mut delivered, mut removed) = (Vec::new(), Vec::<Ticket>::new(), 0);
            while let Some(action) = self.session.poll_action() {
                match action {
                    Action::Store { ticket, .. } => {
                        self.last_row += 1;
                        rows.push((ticket, RowId(self.last_row)));
                    }
                    Action::Publish { ticket, .. } => {
                        self.publishes += 1;
                        delivered.push(ticket);
                    }
                    Action::Remove { rows } => removed += rows.len() as u64,
                    _ => {}
                }
            }
            if rows.is_empty() && delivered.is_empty() && removed == 0 {
                return Ok(());
            }
            self.now.monotonic += Duration::from_micros(100);
            if !rows.is_empty() {
                self.session.handle(Event::Committed { rows }, self.now);
            }
            if !delivered.is_empty() {
                self.session.handle(Event::Delivered { connection: self.connection, tickets: delivered }, self.now);
            }
            if removed > 0 {
                self.removed += removed;
                self.session.handle(Event::Removed { rows: removed }, self.now);
            }
        }
    }
}

fn config(batch: Option<Batch>) -> anyhow::Result<SessionConfig> {
    Ok(SessionConfig {
        cpid: "CP".into(),
        environment: "poc".into(),
        unique_id: "GW".into(),
        language: "M_PYTHON".into(),
        discovery_url: "https://discovery".into(),
        dps_url: "https://dps".into(),
        scope_id: None,
        registration: RegistrationName::Is(RegistrationId::iotconnect("CP", "GW").context("a registration id")?),
        token_life: Duration::from_secs(3600),
        boot_id: "boot".into(),
        window: 256,
        in_flight_max: 100,
        retry_max: Duration::from_secs(300),
        puback_timeout: Duration::from_secs(60),
        batch,
        backlog_per_s: 50,
        daily_bytes_max: None,
        time_to_live: None,
        durability: Durability::Stored,
        protocol: edgeplug_session::config::ProtocolChoice::Only(edgeplug_protocol::version::Version::Legacy),
        sid: None,
        frequency: edgeplug_session::config::FrequencyPolicy::KeepLatest,
        hard_stop: edgeplug_session::config::HardStopPolicy::UntilRestart,
        hard_stop_wipes: false,
        rounding: edgeplug_protocol::definition::Rounding::new(),
        ack_status: edgeplug_protocol::ack::StatusTable::default(),
        transforms: edgeplug_session::config::Transforms::default(),
        ota: edgeplug_session::config::OtaPolicy::default(),
    })
}

fn sync_reply() -> String {
    let attributes: Vec<_> =
        (0..10).map(|n| serde_json::json!({"ln": format!("reading{n}"), "dt": 0, "dv": "", "tg": ""})).collect();
    serde_json::json!({"d": {
        "sc": {"df": 0}, "rc": 0, "ds": 0, "at": 4, "ee": 0, "dtg": "D", "cpId": "CP",
        "p": {"n": "mqtt", "h": "hub", "p": 8883, "id": "CP-GW", "un": "hub/CP-GW/", "pwd": "",
              "pub": "devices/CP-GW/messages/events/", "sub": "devices/CP-GW/messages/devicebound/#"},
        "d": [{"tg": "", "id": "GW"}], "att": [{"p": "", "dt": null, "tg": "", "d": attributes}],
        "set": null, "r": null, "ota": null}})
    .to_string()
}

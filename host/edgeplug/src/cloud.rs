//! The adapters that reach the cloud: identity, HTTPS, MQTT. `identity test` runs a session on these alone.

use std::time::Duration;

use edgeplug_identity::Identity;
use edgeplug_link::{
    ConnectOptions, HttpClient, HttpOptions, LinkClock, LinkEvent, Mqtt, PACKET_BYTES_MAX, RumqttcMqtt, Transport,
    tls_config,
};
use edgeplug_session::action::ConnectTo;
use edgeplug_session::event::{Event, LinkDownReason};
use edgeplug_session::{Action, ConnectionId, DeliveryId, Ticket};
use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::config::{Config, LinkConfig};
use crate::exit::{Exit, Problem, chain};
use crate::translate;

/// Results of tasks on their way back. The session has one step of its connection outstanding; the rest is room.
const COMPLETIONS_MAX: usize = 16;
const HTTP_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HTTP_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const MQTT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// MQTT over WebSocket (Azure IoT Hub MQTT docs, "Using the MQTT protocol over WebSockets").
const WSS_PORT: u16 = 443;

/// All three, and their answers.
pub(crate) struct Cloud {
    pub(crate) identity: Identity,
    http: HttpClient,
    mqtt: RumqttcMqtt,
    completions: mpsc::Sender<Event>,
    pub(crate) completed: mpsc::Receiver<Event>,
    pub(crate) link_events: mpsc::Receiver<LinkEvent>,
    /// The time by which certificates are judged.
    clock: LinkClock,
    link: LinkConfig,
    /// Connections of sessions before this one: each session counts from one, and the link wants no number twice.
    connections_before: u64,
    /// Connections of this session.
    connections: u64,
}

impl Cloud {
    /// Nothing is connected or opened yet.
    pub(crate) fn new(config: &Config) -> Result<Self, Problem> {
        let unusable = |error: &dyn std::error::Error| match &config.ca_file {
            Some(_) => {
                Problem::new(Exit::ConfigFileMissing, format!("cloud.ca_file: {}; mend or remove it", chain(error)))
            }
            None => Problem::new(Exit::Failed, chain(error)),
        };
        let clock = LinkClock::new();
        let tls = tls_config(config.ca_file.as_deref(), &clock).map_err(|error| unusable(&error))?;
        let options = HttpOptions {
            proxy: config.link.proxy.clone(),
            connect_timeout: HTTP_CONNECT_TIMEOUT,
            request_timeout: HTTP_REQUEST_TIMEOUT,
            user_agent: concat!("edgeplug/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let http = HttpClient::new(&tls, options).map_err(|error| unusable(&error))?;
        let (mqtt, link_events) = RumqttcMqtt::new(tls, tokio::runtime::Handle::current());
        let (completions, completed) = mpsc::channel(COMPLETIONS_MAX);
        Ok(Self {
            identity: Identity::open(config.identity.clone()),
            http,
            mqtt,
            completions,
            completed,
            link_events,
            clock,
            link: config.link.clone(),
            connections_before: 0,
            connections: 0,
        })
    }

    /// For downloads.
    pub(crate) fn http(&self) -> HttpClient {
        self.http.clone()
    }

    /// A new session begins: nothing that the one before asked for is answered to it.
    pub(crate) fn begin_anew(&mut self) {
        (self.completions, self.completed) = mpsc::channel(COMPLETIONS_MAX);
        self.connections_before += std::mem::take(&mut self.connections);
    }

    /// Carries out an action that concerns identity, HTTPS or MQTT.
    pub(crate) fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::OpenIdentity { ticket } => {
                let identity = self.identity.clone();
                self.spawn(async move {
                    let result = identity.registration().await;
                    let result = result.map(translate::registration).map_err(|e| translate::identity_failure(&e));
                    Event::IdentityOpened { ticket, result }
                });
            }
            Action::Http { ticket, request } => {
                let http = self.http.clone();
                self.spawn(async move {
                    let result = http.send(translate::http_request(request)).await;
                    let result = result.map(translate::http_reply).map_err(|error| translate::http_failure(&error));
                    Event::HttpDone { ticket, result }
                });
            }
            Action::Activate { ticket, slot, blob } => {
                let identity = self.identity.clone();
                self.spawn(async move {
                    let result = identity.activate(translate::key_slot(slot), &blob).await;
                    Event::Activated { ticket, slot, result: result.map_err(|e| translate::identity_failure(&e)) }
                });
            }
            Action::Sign { ticket, slot, bytes } => {
                let identity = self.identity.clone();
                self.spawn(async move {
                    let result = identity.sign(translate::key_slot(slot), &bytes).await;
                    let result = result.map(|signature| signature.as_bytes().to_vec());
                    Event::Signed { ticket, result: result.map_err(|e| translate::identity_failure(&e)) }
                });
            }
            Action::DiscardChallenge => {
                let identity = self.identity.clone();
                tokio::spawn(async move { identity.discard_challenge().await });
            }
            Action::Connect { connection, to } => {
                self.connections = self.connections.max(connection.0);
                if self.mqtt.connect(self.outward(connection), self.connect_options(to)).is_err() {
                    return Some(Event::LinkDown { connection, reason: LinkDownReason::Asked });
                }
            }
            Action::Disconnect { connection } => self.mqtt.disconnect(self.outward(connection)),
            Action::Publish { connection, ticket, topic, body } => {
                let link = self.outward(connection);
                if let Err(error) = self.mqtt.publish(link, ticket.0, &topic, body) {
                    // Custody lies with the store: a new connection sends everything again.
                    tracing::error!(%error, "a message could not be handed to the link; connecting anew");
                    self.mqtt.disconnect(link);
                }
            }
            Action::Acknowledge { connection, delivery } => {
                self.mqtt.acknowledge(self.outward(connection), edgeplug_link::DeliveryId(delivery.0));
            }
            Action::CorrectClock { unix_ms_at_zero } => self.clock.correct(unix_ms_at_zero),
            // `identity test` runs a session without store and plugins; what it would keep may be secret.
            _ => tracing::debug!("an action of the session has nobody to carry it out"),
        }
        None
    }

    /// A link event in the session's words; `None` if it is about a connection of a session before.
    pub(crate) fn link_event(&self, event: LinkEvent) -> Option<Event> {
        Some(match event {
            LinkEvent::Up { connection, .. } => Event::LinkUp { connection: self.inward(connection)? },
            LinkEvent::Down { connection, reason } => {
                Event::LinkDown { connection: self.inward(connection)?, reason: translate::down_reason(reason) }
            }
            LinkEvent::Delivered { connection, tickets } => Event::Delivered {
                connection: self.inward(connection)?,
                tickets: tickets.into_iter().map(Ticket).collect(),
            },
            LinkEvent::Received { connection, delivery, topic, payload } => Event::Received {
                connection: self.inward(connection)?,
                delivery: DeliveryId(delivery.0),
                topic,
                payload,
            },
        })
    }

    fn outward(&self, connection: ConnectionId) -> edgeplug_link::ConnectionId {
        edgeplug_link::ConnectionId(self.connections_before + connection.0)
    }

    fn inward(&self, connection: edgeplug_link::ConnectionId) -> Option<ConnectionId> {
        connection.0.checked_sub(self.connections_before).filter(|number| *number > 0).map(ConnectionId)
    }

    fn connect_options(&self, to: ConnectTo) -> ConnectOptions {
        ConnectOptions {
            host: to.host,
            port: self.link.port.unwrap_or(match self.link.transport {
                Transport::WebSocket => WSS_PORT,
                _ => to.port,
            }),
            client_id: to.client_id,
            username: to.user_name,
            password: SecretString::from(to.password.expose().to_owned()),
            keep_alive: self.link.keep_alive,
            window: to.window,
            subscriptions: to.subscriptions,
            packet_bytes_max: PACKET_BYTES_MAX,
            connect_timeout: MQTT_CONNECT_TIMEOUT,
            transport: self.link.transport,
            proxy: self.link.proxy.clone(),
        }
    }

    fn spawn(&self, work: impl Future<Output = Event> + Send + 'static) {
        let completions = self.completions.clone();
        tokio::spawn(async move {
            // The receiver lives as long as the loop does.
            let _ = completions.send(work.await).await;
        });
    }
}

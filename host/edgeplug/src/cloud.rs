//! The adapters that reach the cloud: identity, HTTPS, MQTT. `identity test` runs a session on these alone.

use std::time::Duration;

use edgeplug_identity::Identity;
use edgeplug_link::{
    ConnectOptions, HttpClient, HttpOptions, LinkEvent, Mqtt, PACKET_BYTES_MAX, RumqttcMqtt, TlsMode, tls_config,
};
use edgeplug_session::action::ConnectTo;
use edgeplug_session::event::{Event, LinkDownReason};
use edgeplug_session::{Action, ConnectionId, DeliveryId, Ticket};
use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::exit::{Exit, Problem, chain};
use crate::translate;

/// Results of tasks on their way back. The session has one step of its connection outstanding; the rest is room.
const COMPLETIONS_MAX: usize = 16;
const HTTP_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HTTP_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const MQTT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The old SDK's value, and well under the four minutes after which NATs on the way forget a silent connection.
const MQTT_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// All three, and their answers.
pub(crate) struct Cloud {
    pub(crate) identity: Identity,
    http: HttpClient,
    mqtt: RumqttcMqtt,
    completions: mpsc::Sender<Event>,
    pub(crate) completed: mpsc::Receiver<Event>,
    pub(crate) link_events: mpsc::Receiver<LinkEvent>,
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
        let tls = tls_config(config.ca_file.as_deref()).map_err(|error| unusable(&error))?;
        let http = HttpClient::new(HttpOptions {
            extra_root_ca: config.ca_file.clone(),
            connect_timeout: HTTP_CONNECT_TIMEOUT,
            request_timeout: HTTP_REQUEST_TIMEOUT,
            user_agent: concat!("edgeplug/", env!("CARGO_PKG_VERSION")).to_owned(),
        })
        .map_err(|error| unusable(&error))?;
        let (mqtt, link_events) = RumqttcMqtt::new(tls, tokio::runtime::Handle::current());
        let (completions, completed) = mpsc::channel(COMPLETIONS_MAX);
        Ok(Self { identity: Identity::open(config.identity.clone()), http, mqtt, completions, completed, link_events })
    }

    /// Carries out an action that concerns identity, HTTPS or MQTT.
    pub(crate) fn act(&self, action: Action) -> Option<Event> {
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
                if self.mqtt.connect(edgeplug_link::ConnectionId(connection.0), connect_options(to)).is_err() {
                    return Some(Event::LinkDown { connection, reason: LinkDownReason::Asked });
                }
            }
            Action::Disconnect { connection } => self.mqtt.disconnect(edgeplug_link::ConnectionId(connection.0)),
            Action::Publish { connection, ticket, topic, body } => {
                let link = edgeplug_link::ConnectionId(connection.0);
                if let Err(error) = self.mqtt.publish(link, ticket.0, topic, body) {
                    // Custody lies with the store: a new connection sends everything again.
                    tracing::error!(%error, "a message could not be handed to the link; connecting anew");
                    self.mqtt.disconnect(link);
                }
            }
            Action::Acknowledge { connection, delivery } => {
                let link = edgeplug_link::ConnectionId(connection.0);
                self.mqtt.acknowledge(link, edgeplug_link::DeliveryId(delivery.0));
            }
            // `identity test` runs a session without store and plugins; what it would keep may be secret.
            _ => tracing::debug!("an action of the session has nobody to carry it out"),
        }
        None
    }

    fn spawn(&self, work: impl Future<Output = Event> + Send + 'static) {
        let completions = self.completions.clone();
        tokio::spawn(async move {
            // The receiver lives as long as the loop does.
            let _ = completions.send(work.await).await;
        });
    }
}

/// A link event in the session's words.
pub(crate) fn link_event(event: LinkEvent) -> Event {
    match event {
        LinkEvent::Up { connection, .. } => Event::LinkUp { connection: ConnectionId(connection.0) },
        LinkEvent::Down { connection, reason } => {
            Event::LinkDown { connection: ConnectionId(connection.0), reason: translate::down_reason(reason) }
        }
        LinkEvent::Delivered { connection, tickets } => Event::Delivered {
            connection: ConnectionId(connection.0),
            tickets: tickets.into_iter().map(Ticket).collect(),
        },
        LinkEvent::Received { connection, delivery, topic, payload } => {
            Event::Received { connection: ConnectionId(connection.0), delivery: DeliveryId(delivery.0), topic, payload }
        }
    }
}

fn connect_options(to: ConnectTo) -> ConnectOptions {
    ConnectOptions {
        host: to.host,
        port: to.port,
        client_id: to.client_id,
        username: to.user_name,
        password: SecretString::from(to.password.expose().to_owned()),
        keep_alive: MQTT_KEEP_ALIVE,
        window: to.window,
        subscriptions: to.subscriptions,
        packet_bytes_max: PACKET_BYTES_MAX,
        connect_timeout: MQTT_CONNECT_TIMEOUT,
        tls: TlsMode::Verified,
    }
}

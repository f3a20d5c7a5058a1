//! A link, its events, and the custody that the daemon's outbox plays in real life.

use std::{
    collections::{BTreeSet, VecDeque},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use edgeplug_link::{
    ConnectOptions, ConnectionId, DeliveryId, DownReason, LinkClock, LinkEvent, Mqtt, PACKET_BYTES_MAX, PublishError,
    RumqttcMqtt, Transport, tls_config,
};
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

/// How long any one event may take before the test fails.
const EVENT_LIMIT: Duration = Duration::from_secs(20);

pub(crate) const TOPIC: &str = "devices/d1/messages/events/";

pub(crate) struct Rig {
    pub(crate) mqtt: RumqttcMqtt,
    pub(crate) events: mpsc::Receiver<LinkEvent>,
    connections: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) delivery: DeliveryId,
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
}

impl Rig {
    pub(crate) fn new(ca: Option<&Path>) -> Self {
        Self::at(ca, &LinkClock::new())
    }

    /// At this clock's time.
    pub(crate) fn at(ca: Option<&Path>, clock: &LinkClock) -> Self {
        let (mqtt, events) = RumqttcMqtt::new(tls_config(ca, clock).unwrap(), Handle::current());
        Self { mqtt, events, connections: 0 }
    }

    pub(crate) async fn event(&mut self) -> LinkEvent {
        timeout(EVENT_LIMIT, self.events.recv()).await.expect("an event in time").expect("a link")
    }

    pub(crate) fn connect(&mut self, options: ConnectOptions) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.mqtt.connect(connection, options).unwrap();
        connection
    }

    /// Connects and waits for `Up`; tells whether there was a session.
    pub(crate) async fn up(&mut self, options: ConnectOptions) -> (ConnectionId, bool) {
        let expected = self.connect(options);
        match self.event().await {
            LinkEvent::Up { connection, session_present } if connection == expected => (connection, session_present),
            other => panic!("expected {expected:?} to come up, found {other:?}"),
        }
    }

    /// Connects in vain.
    pub(crate) async fn refused(&mut self, options: ConnectOptions) -> DownReason {
        let connection = self.connect(options);
        self.down(connection).await
    }

    pub(crate) async fn down(&mut self, expected: ConnectionId) -> DownReason {
        match self.event().await {
            LinkEvent::Down { connection, reason } if connection == expected => reason,
            other => panic!("expected {expected:?} to go down, found {other:?}"),
        }
    }

    pub(crate) async fn delivered(&mut self, expected: ConnectionId) -> Vec<u64> {
        match self.event().await {
            LinkEvent::Delivered { connection, tickets } if connection == expected => tickets,
            other => panic!("expected tickets, found {other:?}"),
        }
    }

    pub(crate) async fn received(&mut self, expected: ConnectionId) -> Message {
        match self.event().await {
            LinkEvent::Received { connection, delivery, topic, payload } if connection == expected => {
                Message { delivery, topic, payload }
            }
            other => panic!("expected a message, found {other:?}"),
        }
    }

    pub(crate) async fn leave(&mut self, connection: ConnectionId) {
        self.mqtt.disconnect(connection);
        assert_eq!(self.down(connection).await, DownReason::Asked);
    }

    pub(crate) fn publish(&self, connection: ConnectionId, ticket: u64) -> Result<(), PublishError> {
        self.mqtt.publish(connection, ticket, TOPIC, Bytes::from(ticket.to_string()))
    }

    /// Plays custody: publishes tickets 1 to `count`, keeps each until it is delivered, and on every `Up` starts again
    /// with the oldest that is not; leaves in the end. Returns how many connections that took.
    pub(crate) async fn deliver(&mut self, count: u64, options: impl Fn() -> ConnectOptions) -> usize {
        let mut kept = (1..=count).collect::<BTreeSet<_>>();
        let mut connections = 0;
        while !kept.is_empty() {
            let (connection, _) = self.up(options()).await;
            connections += 1;
            let mut unsent = kept.iter().copied().collect::<VecDeque<_>>();
            while !kept.is_empty() {
                while let Some(&ticket) = unsent.front() {
                    match self.publish(connection, ticket) {
                        Ok(()) => unsent.pop_front(),
                        Err(PublishError::QueueFull(_)) => break,
                        Err(other) => panic!("{other}"),
                    };
                }
                match self.event().await {
                    LinkEvent::Delivered { connection: of, tickets } if of == connection => {
                        for ticket in tickets {
                            assert!(kept.remove(&ticket), "{ticket} was delivered twice or never sent");
                        }
                    }
                    LinkEvent::Down { connection: of, .. } if of == connection => break,
                    other => panic!("{other:?}"),
                }
            }
            if kept.is_empty() {
                self.leave(connection).await;
            }
        }
        connections
    }
}

/// Options without TLS.
pub(crate) fn plain(port: u16) -> ConnectOptions {
    ConnectOptions {
        host: "127.0.0.1".to_owned(),
        port,
        client_id: "d1".to_owned(),
        username: "hub/d1/?api-version=2021-04-12".to_owned(),
        password: "SharedAccessSignature secret".to_owned().into(),
        keep_alive: Duration::from_secs(60),
        window: 100,
        subscriptions: vec!["devices/d1/messages/devicebound/#".to_owned()],
        packet_bytes_max: PACKET_BYTES_MAX,
        connect_timeout: Duration::from_secs(10),
        transport: Transport::PlainForLoopbackTests,
        proxy: None,
    }
}

/// Options with TLS.
pub(crate) fn secure(port: u16) -> ConnectOptions {
    ConnectOptions { host: "localhost".to_owned(), transport: Transport::Mqtts, ..plain(port) }
}

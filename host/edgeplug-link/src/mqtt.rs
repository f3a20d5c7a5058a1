//! What the daemon says to an MQTT connection and hears from it.
//!
//! The contract, in the order a connection lives:
//! 1. The caller chooses a [`ConnectionId`] and calls [`Mqtt::connect`] with options that hold a freshly made password.
//! 2. [`LinkEvent::Up`] comes once the broker has accepted the connection *and* every subscription. It is the first
//!    event of a connection; messages that arrive earlier wait behind it.
//! 3. On every `Up`, whatever `session_present` says, the caller publishes again all it has not seen in a
//!    [`LinkEvent::Delivered`]. Nothing published before `Up` or on an older connection is sent.
//! 4. [`LinkEvent::Received`] is acknowledged by hand, once its effect is durable. What is not acknowledged comes again
//!    on a later connection of the same client id.
//! 5. [`LinkEvent::Down`] ends it: exactly one for each accepted `connect`, and the last event of that id. Nothing is
//!    promised about tickets that were outstanding. The link never reconnects by itself.
//!
//! Everything is sent with QoS 1 and `clean_session = 0` (MQTT 3.1.1 sections 3.1.2.4 and 4.3.2).
//!
//! The trait is the seam at which the client library can be swapped: the one in use has a single author and is pinned
//! exactly. It stays as small as the list above so that a second implementation, another client or a scripted link for
//! tests of the daemon, is an afternoon's work. No type of the library crosses it.

use std::{fmt, time::Duration};

use bytes::Bytes;
use secrecy::SecretString;

use crate::proxy::Proxy;

/// Largest packet in either direction unless the options say otherwise: a hub takes 256 KiB of body and properties
/// together (the "device-to-cloud messages" row of the Azure IoT Hub quotas page) and hangs up on more; nothing it sends
/// is larger. Topic and headers count here as well, so what passes here passes there.
pub const PACKET_BYTES_MAX: usize = 256 * 1024;

/// One attempt to be connected, chosen by the caller and never used twice. Every event carries it, so that an event of
/// an older connection that was still in the queue can be told from a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One message from the broker, unique within its connection. It is not the packet identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

/// All that a connection needs; made anew for each, since the password is.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// A DNS name, or an IP address; it is also the name that the server's certificate must carry.
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub username: String,
    /// Sent as the MQTT password; empty means none (a client certificate identifies the device instead).
    pub password: SecretString,
    /// Whole seconds; a PINGREQ goes out after this much silence, and the connection is given up when none was answered
    /// within as much again, or when for that long the other side takes nothing of what is to be sent. Zero turns it off.
    pub keep_alive: Duration,
    /// How many publishes may be unacknowledged on the wire at once, at least 1. As many again are taken to follow
    /// them, and [`BESIDE_MAX`].
    pub window: u16,
    /// Topic filters, subscribed with QoS 1 in one packet.
    pub subscriptions: Vec<String>,
    /// Largest packet in either direction, in bytes; see [`PACKET_BYTES_MAX`].
    pub packet_bytes_max: usize,
    /// For everything up to [`LinkEvent::Up`]: name look-up, TCP, proxy, TLS, WebSocket, CONNACK and SUBACK together.
    pub connect_timeout: Duration,
    pub transport: Transport,
    /// The way out; `None` is straight.
    pub proxy: Option<Proxy>,
}

/// What carries the MQTT bytes. TLS is 1.2 or 1.3 with the server's certificate verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TLS, usually on port 8883.
    Mqtts,
    /// WebSocket in TLS at `/$iothub/websocket`, usually on port 443, for networks that let nothing else out ("Communicate
    /// with an IoT hub using the MQTT protocol").
    WebSocket,
    /// No TLS, refused unless the host is this machine.
    PlainForLoopbackTests,
}

/// An MQTT connection that is told what to do and answers by [`LinkEvent`]s. No call blocks or waits.
pub trait Mqtt: Send + Sync {
    /// Starts a connection, which becomes the current one. A connection that is still alive is cut first, without a
    /// DISCONNECT, and reports `Down { reason: Asked }`; call [`disconnect`](Self::disconnect) and wait for its `Down`
    /// to leave in order.
    ///
    /// # Errors
    /// [`QueueFull`] when earlier connections have not ended yet; try again after the next `Down`.
    fn connect(&self, connection: ConnectionId, options: ConnectOptions) -> Result<(), QueueFull>;

    /// Queues one QoS 1 publish. Its `ticket` comes back in [`LinkEvent::Delivered`] once the broker has acknowledged
    /// it; tickets of one connection are sent in the order of these calls.
    ///
    /// On a connection that is not current or not up this is `Ok` and does nothing: its `Down`, or the `Up` after which
    /// everything is published again, is on its way to the caller.
    ///
    /// # Errors
    /// [`PublishError`], and nothing was queued.
    fn publish(&self, connection: ConnectionId, ticket: u64, topic: &str, payload: Bytes) -> Result<(), PublishError>;

    /// Tells the broker that a message is done with. Does nothing for an older connection, for a message that came with
    /// QoS 0, or when it was acknowledged before.
    fn acknowledge(&self, connection: ConnectionId, delivery: DeliveryId);

    /// Leaves in order: what was acknowledged so far goes out, publishes in flight get a few seconds to be
    /// acknowledged (they still come as `Delivered`), publishes that were queued but not sent are dropped, DISCONNECT
    /// is sent, and `Down { reason: Asked }` follows within a few seconds even on a dead link. Before `Up` the attempt is abandoned at once.
    fn disconnect(&self, connection: ConnectionId);
}

/// What became of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// Accepted, and subscribed to everything asked for.
    Up {
        connection: ConnectionId,
        /// The broker still had a session for this client id. A hint: it changes nothing about what must be replayed.
        session_present: bool,
    },
    /// Over; see [`DownReason`].
    Down { connection: ConnectionId, reason: DownReason },
    /// The broker has acknowledged these publishes, in the order of its acknowledgements.
    Delivered { connection: ConnectionId, tickets: Vec<u64> },
    /// A message from the broker, to be acknowledged by [`Mqtt::acknowledge`].
    Received { connection: ConnectionId, delivery: DeliveryId, topic: String, payload: Bytes },
}

/// Why a connection is over, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownReason {
    /// The CONNACK said no.
    #[error("the broker refused the connection: {0}")]
    Refused(Refusal),
    /// The other side hung up. IoT Hub does so on an expired token, on a second connection of the same device and on
    /// anything it does not like ("Azure IoT Hub MQTT docs").
    #[error("the broker closed the connection")]
    Closed,
    /// The text says what was waited for.
    #[error("the broker did not answer in time ({0})")]
    TimedOut(&'static str),
    /// The secure channel could not be made; the text names the host and the remedy.
    #[error("{0}")]
    Tls(String),
    /// No such name, no route, nobody listens, or the proxy gives no tunnel; the text names the host or the proxy.
    #[error("{0}")]
    Unreachable(String),
    /// The broker does not serve this topic filter to this client.
    #[error("the broker refused the subscription to {0}")]
    SubscriptionRefused(String),
    /// A packet was larger than [`ConnectOptions::packet_bytes_max`].
    #[error("a packet exceeded {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// The other side broke the rules of MQTT 3.1.1, or the options make no valid CONNECT.
    #[error("mqtt protocol error: {0}")]
    Protocol(String),
    /// [`Mqtt::disconnect`] or a newer [`Mqtt::connect`].
    #[error("disconnected as asked")]
    Asked,
}

/// The return codes of a refusing CONNACK (MQTT 3.1.1, section 3.2.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// 1
    ProtocolVersion,
    /// 2
    ClientId,
    /// 3
    ServerUnavailable,
    /// 4
    BadCredentials,
    /// 5; IoT Hub's answer to a bad or expired token and to a disabled device.
    NotAuthorized,
}

impl Refusal {
    /// The code on the wire, 1 to 5.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::ProtocolVersion => 1,
            Self::ClientId => 2,
            Self::ServerUnavailable => 3,
            Self::BadCredentials => 4,
            Self::NotAuthorized => 5,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::ProtocolVersion => "it does not speak this version of mqtt",
            Self::ClientId => "it rejects the client id",
            Self::ServerUnavailable => "it is unavailable for now",
            Self::BadCredentials => "it rejects the user name or password",
            Self::NotAuthorized => "not authorized; check the device's key, its clock and that it is enabled",
        };
        write!(f, "{words} (code {})", self.code())
    }
}

/// Publishes taken beyond two windows: heartbeats and questions about twin and device, which wait for no room among readings.
pub const BESIDE_MAX: usize = 128;

/// As much is under way as may be; a later [`LinkEvent`] makes room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the link's queue is full")]
pub struct QueueFull;

/// Why a publish was not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A window is unacknowledged, another one and [`BESIDE_MAX`] wait behind it; the next `Delivered` makes room.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// It can never be sent, and sending it would end the connection.
    #[error("a message of {bytes} bytes exceeds the packet limit of {bytes_max} bytes")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// Empty, or with a wildcard or a NUL in it: no topic to publish to (MQTT 3.1.1, section 4.7).
    #[error("the topic is empty, too long, or holds a wildcard or a NUL")]
    Topic,
}

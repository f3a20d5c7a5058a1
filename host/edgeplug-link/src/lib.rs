//! The cloud's two wires: HTTPS requests and downloads, and one MQTT connection at a time.
//!
//! An adapter. It takes ready-made requests and connect options and knows nothing of IoTConnect, Azure, topics or
//! tokens. It decides nothing either: it never retries, never reconnects and never keeps a message. What to send, when
//! to try again and what was lost are the caller's questions; a connection that breaks is reported once and is over.
//!
//! What must stay true:
//! - TLS is always verified, against the system's roots plus at most one extra root, by the `ring` provider and at the
//!   time of the [`LinkClock`] ([`tls_config`] is the only place where a TLS configuration is made);
//! - HTTPS and MQTT go out the same way: directly, or through the one configured [`Proxy`];
//! - no call blocks: requests are futures, MQTT calls put something into a bounded queue or say that it is full;
//! - tokens, passwords and the URLs of files appear in no log, error or `Debug` output;
//! - every answer and packet from outside has a size limit.

mod clock;
mod connection;
mod dial;
mod download;
mod failure;
mod gather;
mod http;
mod mqtt;
mod proxy;
mod rumqttc_mqtt;
mod stall;
mod tls;
mod websocket;

pub use clock::LinkClock;
pub use download::{
    Begun, Download, DownloadError, DownloadErrorKind, DownloadRequest, RedirectProblem, Unsound, Validator,
};
pub use http::{HttpClient, HttpError, HttpMethod, HttpOptions, HttpRequest, HttpResponse, HttpSetupError};
pub use mqtt::{
    BESIDE_MAX, ConnectOptions, ConnectionId, DeliveryId, DownReason, LinkEvent, Mqtt, PACKET_BYTES_MAX, PublishError,
    QueueFull, Refusal, Transport,
};
pub use proxy::{Proxy, ProxyFailure, ProxyUrlError};
pub use rumqttc_mqtt::{EVENTS_MAX, RumqttcMqtt, UNACKNOWLEDGED_MAX};
pub use tls::{CertificateProblem, TlsSetupError, tls_config};

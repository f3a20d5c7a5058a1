//! Turns the client library's errors into [`DownReason`]s.

use std::{error::Error as StdError, io};

use rumqttc::{ConnectReturnCode, ConnectionError, StateError, mqttbytes::Error as PacketError};

use crate::{
    dial::DialError,
    mqtt::{DownReason, Refusal},
    tls::{certificate_problem, find_rustls},
};

/// Length of a detail that may hold what the other side sent.
const DETAIL_CHARS_MAX: usize = 200;

/// What an operator should read when `error` ended a connection to `host`.
pub(crate) fn down_reason(host: &str, packet_bytes_max: usize, error: &ConnectionError) -> DownReason {
    // A TLS failure can surface as any of the variants below, depending on when it comes.
    if let Some(reason) = tls_reason(host, error) {
        return reason;
    }
    match error {
        ConnectionError::Io(source) => match source.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => dial_reason(error),
            None => unreachable(host, source),
        },
        ConnectionError::ConnectionRefused(code) => {
            refusal(*code).map_or_else(|| unexpected(error), DownReason::Refused)
        }
        ConnectionError::NetworkTimeout => DownReason::TimedOut("connecting"),
        ConnectionError::FlushTimeout => DownReason::TimedOut("sending"),
        ConnectionError::MqttState(source) => state_reason(packet_bytes_max, source),
        other => unexpected(other),
    }
}

fn state_reason(packet_bytes_max: usize, error: &StateError) -> DownReason {
    match error {
        // The other side takes nothing any more (`stall.rs`), or the kernel has given it up.
        StateError::Io(source) | StateError::Deserialization(PacketError::Io(source))
            if source.kind() == io::ErrorKind::TimedOut =>
        {
            DownReason::TimedOut("sending")
        }
        StateError::ConnectionAborted | StateError::Io(_) | StateError::Deserialization(PacketError::Io(_)) => {
            DownReason::Closed
        }
        StateError::AwaitPingResp => DownReason::TimedOut("keep-alive"),
        StateError::CollisionTimeout => DownReason::TimedOut("acknowledgement"),
        StateError::Deserialization(
            PacketError::PayloadSizeLimitExceeded(_)
            | PacketError::PayloadTooLong
            | PacketError::OutgoingPacketTooLarge { .. },
        ) => DownReason::TooLarge { bytes_max: packet_bytes_max },
        other => unexpected(other),
    }
}

fn dial_reason(error: &DialError) -> DownReason {
    match error {
        DialError::Unreachable { host, source } => unreachable(host, source),
        DialError::Proxy(failure) => DownReason::Unreachable(chain(failure)),
        DialError::Tls { host, .. } => DownReason::Tls(format!("{host} broke off the tls handshake; check the port")),
        DialError::WebSocket(text) => DownReason::Protocol(text.chars().take(DETAIL_CHARS_MAX).collect()),
    }
}

fn tls_reason(host: &str, error: &ConnectionError) -> Option<DownReason> {
    if let Some(problem) = certificate_problem(error) {
        return Some(DownReason::Tls(format!("the certificate of {host} {problem}")));
    }
    find_rustls(error).map(|source| DownReason::Tls(format!("tls to {host} failed: {source}")))
}

fn unreachable(host: &str, error: &io::Error) -> DownReason {
    DownReason::Unreachable(format!("cannot reach {host}: {error}"))
}

fn refusal(code: ConnectReturnCode) -> Option<Refusal> {
    Some(match code {
        ConnectReturnCode::Success => return None,
        ConnectReturnCode::RefusedProtocolVersion => Refusal::ProtocolVersion,
        ConnectReturnCode::BadClientId => Refusal::ClientId,
        ConnectReturnCode::ServiceUnavailable => Refusal::ServerUnavailable,
        ConnectReturnCode::BadUserNamePassword => Refusal::BadCredentials,
        ConnectReturnCode::NotAuthorized => Refusal::NotAuthorized,
    })
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// The library's words can quote what the broker sent.
fn unexpected(error: &(dyn StdError + 'static)) -> DownReason {
    DownReason::Protocol(error.to_string().chars().take(DETAIL_CHARS_MAX).collect())
}

//! MQTT packets on a TLS stream, bare or in WebSocket messages (MQTT 3.1.1, section 6). The codec is that of the MQTT client
//! library; a partial read or write survives being dropped.

use std::future::poll_fn;

use bytes::BytesMut;
use futures_util::{SinkExt as _, StreamExt as _};
use rumqttc::mqttbytes;
use rumqttc::mqttbytes::v4::Packet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use super::End;
use super::session::violation;
use crate::limits::PACKET_BYTES_MAX;

/// What packets travel on.
pub(super) enum Carrier {
    Tls(Box<TlsStream<TcpStream>>),
    WebSocket(Box<WebSocketStream<TlsStream<TcpStream>>>),
}

/// Packets over TLS, both ways buffered.
pub(super) struct Wire {
    carrier: Carrier,
    incoming: BytesMut,
    outgoing: BytesMut,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("cannot read from the connection")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Malformed(mqttbytes::Error),
    #[error("a websocket text message; mqtt goes in binary ones")]
    Text,
}

impl Wire {
    pub(super) fn new(carrier: Carrier) -> Self {
        Self { carrier, incoming: BytesMut::new(), outgoing: BytesMut::new() }
    }

    /// The next packet; `None` when the peer has closed. Nothing is lost when the future is dropped.
    pub(super) async fn packet(&mut self) -> Result<Option<Packet>, ReadError> {
        loop {
            if let Some(packet) = self.buffered().map_err(ReadError::Malformed)? {
                return Ok(Some(packet));
            }
            if !self.carrier.read(&mut self.incoming).await? {
                return Ok(None);
            }
        }
    }

    /// The next packet that has come in completely.
    pub(super) fn buffered(&mut self) -> Result<Option<Packet>, mqttbytes::Error> {
        match Packet::read(&mut self.incoming, PACKET_BYTES_MAX) {
            Ok(packet) => Ok(Some(packet)),
            Err(mqttbytes::Error::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn put(&mut self, packet: &Packet) -> Result<(), End> {
        packet.write(&mut self.outgoing, PACKET_BYTES_MAX).map_err(|error| violation(error.to_string()))?;
        Ok(())
    }

    /// Writes the outgoing buffer. Nothing is lost when the future is dropped.
    pub(super) async fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.carrier {
            Carrier::Tls(stream) => {
                while !self.outgoing.is_empty() {
                    stream.write_buf(&mut self.outgoing).await?;
                }
                stream.flush().await
            }
            Carrier::WebSocket(socket) => {
                poll_fn(|cx| socket.poll_ready_unpin(cx)).await.map_err(io_error)?;
                if !self.outgoing.is_empty() {
                    let message = Message::Binary(self.outgoing.split().freeze());
                    socket.start_send_unpin(message).map_err(io_error)?;
                }
                poll_fn(|cx| socket.poll_flush_unpin(cx)).await.map_err(io_error)
            }
        }
    }

    /// Writes what is left and ends the connection in good order.
    pub(super) async fn close(&mut self) {
        // The peer may be gone already, and then there is nobody to be polite to.
        if self.flush().await.is_ok() {
            match &mut self.carrier {
                Carrier::Tls(stream) => stream.shutdown().await.ok(),
                Carrier::WebSocket(socket) => socket.close().await.ok(),
            };
        }
    }
}

impl Carrier {
    /// Adds what comes to `incoming`; false when the peer has closed. Nothing is lost when the future is dropped.
    async fn read(&mut self, incoming: &mut BytesMut) -> Result<bool, ReadError> {
        match self {
            Self::Tls(stream) => Ok(stream.read_buf(incoming).await? > 0),
            Self::WebSocket(socket) => match socket.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    incoming.extend_from_slice(&bytes);
                    Ok(true)
                }
                // A pong goes out with the next flush.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(true),
                Some(Ok(Message::Text(_))) => Err(ReadError::Text),
                Some(Ok(Message::Close(_))) | None => Ok(false),
                Some(Err(error)) => Err(ReadError::Io(io_error(error))),
            },
        }
    }
}

fn io_error(error: tungstenite::Error) -> std::io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        error => std::io::Error::other(error),
    }
}

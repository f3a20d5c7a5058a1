//! MQTT packets on a TLS stream. The codec is that of the MQTT client library; a partial read or write survives being dropped.

use bytes::BytesMut;
use rumqttc::mqttbytes;
use rumqttc::mqttbytes::v4::Packet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::End;
use super::session::violation;
use crate::limits::PACKET_BYTES_MAX;

/// Packets over TLS, both ways buffered.
pub(super) struct Wire {
    stream: TlsStream<TcpStream>,
    incoming: BytesMut,
    outgoing: BytesMut,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("cannot read from the connection")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Malformed(mqttbytes::Error),
}

impl Wire {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, incoming: BytesMut::new(), outgoing: BytesMut::new() }
    }

    /// The next packet; `None` when the peer has closed. Nothing is lost when the future is dropped.
    pub(super) async fn packet(&mut self) -> Result<Option<Packet>, ReadError> {
        loop {
            if let Some(packet) = self.buffered().map_err(ReadError::Malformed)? {
                return Ok(Some(packet));
            }
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
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
        while !self.outgoing.is_empty() {
            let outgoing = &mut self.outgoing;
            self.stream.write_buf(outgoing).await?;
        }
        self.stream.flush().await
    }
    /// Writes what is left and ends the connection in good order.
    pub(super) async fn close(&mut self) {
        // The peer may be gone already, and then there is nobody to be polite to.
        if self.flush().await.is_ok() {
            self.stream.shutdown().await.ok();
        }
    }
}

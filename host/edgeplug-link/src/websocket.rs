//! MQTT bytes in WebSocket messages (MQTT 3.1.1, section 6): binary messages only, in whatever portions.
//!
//! Pings are answered by the library below as soon as anything is read or written, and never reach MQTT; a text message
//! ends the connection, as the section demands.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

use crate::mqtt::PACKET_BYTES_MAX;

/// Where IoT Hub takes WebSockets ("Communicate with an IoT hub using the MQTT protocol": MQTT over WebSockets, port 443).
const PATH: &str = "/$iothub/websocket";

/// MQTT 3.1.1, section 6.
const SUBPROTOCOL: &str = "mqtt";

/// A WebSocket message may hold several packets, so this is a bound on memory only.
const MESSAGE_BYTES_MAX: usize = 4 * PACKET_BYTES_MAX;

/// Asks the server on the other end of `stream` for a WebSocket; the error is for an operator.
pub(crate) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
) -> Result<WebSocketBytes<S>, String> {
    let failed = |error| match error {
        tungstenite::Error::Http(answer) => {
            format!("{host} takes no mqtt over websocket here (http status {}); check host and port", answer.status())
        }
        tungstenite::Error::Io(error) => format!("{host} broke off the websocket handshake: {error}"),
        error => format!("{host} made no websocket of the connection: {error}"),
    };
    let mut request = format!("wss://{host}{PATH}").into_client_request().map_err(failed)?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    let (inner, answer) = client_async_with_config(request, stream, Some(config)).await.map_err(failed)?;
    // The library refuses a subprotocol that was not asked for, but not the lack of one.
    if answer.headers().get(SEC_WEBSOCKET_PROTOCOL).is_none_or(|chosen| chosen != SUBPROTOCOL) {
        return Err(format!("{host} does not speak mqtt over websocket; check host and port"));
    }
    Ok(WebSocketBytes { inner, incoming: Bytes::new() })
}

/// The bytes inside a WebSocket.
pub(crate) struct WebSocketBytes<S> {
    inner: WebSocketStream<S>,
    /// The rest of a message that did not fit the reader's buffer.
    incoming: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketBytes<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // A read of nothing means the end, so an empty message is none.
        while self.incoming.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.incoming = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a websocket text message")));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(ended(error)),
            }
        }
        let count = self.incoming.len().min(buffer.remaining());
        buffer.put_slice(self.incoming.get(..count).unwrap_or_default());
        self.incoming.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = Pin::new(&mut self.inner);
        ready!(inner.as_mut().poll_ready(cx)).map_err(io_error)?;
        inner.start_send(Message::Binary(Bytes::copy_from_slice(bytes))).map_err(io_error)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx).map_err(io_error)
    }
}

fn ended(error: tungstenite::Error) -> io::Result<()> {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Ok(()),
        error => Err(io_error(error)),
    }
}

fn io_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

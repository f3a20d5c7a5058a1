//! A TLS and WebSocket server in front of a broker that knows neither: what an IoT Hub does on port 443, and what it must
//! not do.

use std::{net::Ipv4Addr, sync::Arc};

use edgeplug_test_support::certificates::ServerCertificate;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Callback, ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL},
    },
};

use crate::https_server::acceptor;

/// Messages that a test has put in and that are not sent yet.
const INJECTED_MAX: usize = 64;

/// How it answers a request for a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// As IoT Hub: its path and the subprotocol `mqtt`, or 404.
    Good,
    /// Agrees without naming a subprotocol.
    NoSubprotocol,
}

/// The server; it ends when dropped.
pub(crate) struct WebSocketFront {
    pub(crate) port: u16,
    inject: mpsc::Sender<Message>,
    task: JoinHandle<()>,
}

impl WebSocketFront {
    pub(crate) async fn start(certificate: &ServerCertificate, manners: Manners, broker: u16) -> Self {
        let acceptor = Arc::new(acceptor(certificate));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (inject, mut injected) = mpsc::channel(INJECTED_MAX);
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                serve(&acceptor, socket, manners, broker, &mut injected).await;
            }
        });
        Self { port, inject, task }
    }

    /// Puts a message into the stream to the client.
    pub(crate) async fn inject(&self, message: Message) {
        self.inject.send(message).await.unwrap();
    }
}

impl Drop for WebSocketFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    acceptor: &TlsAcceptor,
    socket: TcpStream,
    manners: Manners,
    broker: u16,
    injected: &mut mpsc::Receiver<Message>,
) {
    let Ok(stream) = acceptor.accept(socket).await else { return };
    let Ok(mut client) = accept_hdr_async(stream, Gate(manners)).await else { return };
    let mut broker = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await.unwrap();
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            message = client.next() => match message {
                Some(Ok(Message::Binary(bytes))) => broker.write_all(&bytes).await.unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            },
            count = broker.read(&mut buffer) => match count {
                Ok(count @ 1..) => send_in_pieces(&mut client, &buffer[..count]).await,
                _ => {
                    let _ = client.close(None).await;
                    return;
                }
            },
            message = injected.recv() => {
                let Some(message) = message else { return };
                let _ = client.send(message).await;
            }
        }
    }
}

/// Packets need not keep to messages, so here they never do.
async fn send_in_pieces(
    client: &mut WebSocketStream<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>,
    bytes: &[u8],
) {
    for piece in bytes.chunks(1000) {
        let _ = client.feed(Message::binary(piece.to_vec())).await;
    }
    let _ = client.flush().await;
}

/// What makes a request for a WebSocket a good one.
struct Gate(Manners);

impl Callback for Gate {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let asked = request.headers().get(SEC_WEBSOCKET_PROTOCOL).is_some_and(|asked| asked == "mqtt");
        if request.uri().path() != "/$iothub/websocket" || !asked {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = StatusCode::NOT_FOUND;
            return Err(refusal);
        }
        if self.0 == Manners::Good {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mqtt"));
        }
        Ok(response)
    }
}

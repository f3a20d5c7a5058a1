//! Taking in a WebSocket as IoT Hub does: one path, one subprotocol (Azure "Communicate with an IoT hub using the MQTT protocol",
//! MQTT over WebSockets).

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::limits::PACKET_BYTES_MAX;

const PATH: &str = "/$iothub/websocket";
const SUBPROTOCOL: &str = "mqtt";

/// A message may hold several packets; this bounds memory only.
const MESSAGE_BYTES_MAX: usize = 4 * PACKET_BYTES_MAX;

/// Answers the request for a WebSocket on a fresh TLS stream.
pub(super) async fn accept(stream: TlsStream<TcpStream>) -> anyhow::Result<WebSocketStream<TlsStream<TcpStream>>> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    Ok(accept_hdr_async_with_config(stream, Gate, Some(config)).await?)
}

/// 404 for another path, 400 for a client that does not offer `mqtt`.
struct Gate;

impl Callback for Gate {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        if request.uri().path() != PATH {
            return Err(refusal(StatusCode::NOT_FOUND));
        }
        let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|offer| offer.to_str().ok());
        if !offers.flat_map(|offer| offer.split(',')).any(|offer| offer.trim().eq_ignore_ascii_case(SUBPROTOCOL)) {
            return Err(refusal(StatusCode::BAD_REQUEST));
        }
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    }
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = status;
    response
}

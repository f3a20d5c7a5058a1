//! The commands' side of the local API.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use serde::Serialize;
use tokio::net::UnixStream;

use super::Refusal;

/// How long a client waits: the main loop answers within a turn, and the store within a few syncs of a slow disk.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Largest answer a client reads.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody listens.
    #[error("{0}")]
    NoDaemon(#[source] std::io::Error),
    /// Somebody listens and says no.
    #[error("the daemon refused: {0}")]
    Refused(String),
    /// Somebody listens and makes no sense.
    #[error("the daemon's answer broke off: {0}")]
    Broken(String),
}

/// Asks a running daemon.
pub(crate) async fn get(socket: &Path, path: &str) -> Result<serde_json::Value, AskError> {
    exchange(socket, Request::get(path), Bytes::new()).await
}

/// Tells a running daemon to do something.
pub(crate) async fn post(socket: &Path, path: &str, body: &impl Serialize) -> Result<serde_json::Value, AskError> {
    let body = serde_json::to_vec(body).map_err(|error| AskError::Broken(error.to_string()))?;
    exchange(socket, Request::post(path).header("content-type", "application/json"), body.into()).await
}

/// A name as one segment of a path: what may not stand there as it is (RFC 3986, 2.3) is escaped.
pub(crate) fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

async fn exchange(
    socket: &Path,
    request: hyper::http::request::Builder,
    body: Bytes,
) -> Result<serde_json::Value, AskError> {
    let stream = UnixStream::connect(socket).await.map_err(AskError::NoDaemon)?;
    tokio::time::timeout(ANSWER_TIME_MAX, answer(stream, request, body))
        .await
        .map_err(|_| AskError::Broken(format!("nothing came within {} s", ANSWER_TIME_MAX.as_secs())))?
}

async fn answer(
    stream: UnixStream,
    request: hyper::http::request::Builder,
    body: Bytes,
) -> Result<serde_json::Value, AskError> {
    fn broken(error: impl std::fmt::Display) -> AskError {
        AskError::Broken(error.to_string())
    }
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.map_err(broken)?;
    let connection = tokio::spawn(connection);
    let request = request.header("host", "edgeplug").body(Full::new(body)).map_err(broken)?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(broken)?.to_bytes();
    connection.abort();
    if status != hyper::StatusCode::OK {
        let refusal = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error);
        return Err(AskError::Refused(refusal.unwrap_or_else(|_| status.to_string())));
    }
    serde_json::from_slice(&body).map_err(broken)
}

#[cfg(test)]
mod tests;

//! The local API: versioned JSON over a unix socket, and the client the commands use.
//!
//! Whoever may open the socket may ask; it belongs to the daemon's user and group. Every answer is made by the main
//! loop in its own turn, so it never shows a half-changed state.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use edgeplug_plugins::PluginStatus;
use edgeplug_session::Status;
use http_body_util::{BodyExt as _, Empty, Limited};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// Longest path a unix socket can have on Linux.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// How long a client waits: the main loop answers within a turn.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Largest answer a client reads.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A question to the main loop, with the place for its answer.
pub(crate) enum Question {
    Status(oneshot::Sender<DaemonStatus>),
    Plugins(oneshot::Sender<Vec<PluginStatus>>),
}

/// `GET /v1/status`.
#[derive(Debug, Serialize)]
pub(crate) struct DaemonStatus {
    pub(crate) version: &'static str,
    pub(crate) uptime_s: f64,
    #[serde(flatten)]
    pub(crate) session: Status,
}

/// Listens until the returned task is aborted. A socket file that a killed daemon left behind is replaced.
pub(crate) fn serve(socket: &Path, questions: mpsc::Sender<Question>) -> std::io::Result<tokio::task::JoinHandle<()>> {
    if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "the path has more than {SOCKET_PATH_BYTES_MAX} bytes; choose a shorter one with `socket`"
        )));
    }
    if let Some(directory) = socket.parent() {
        std::fs::create_dir_all(directory)?;
    }
    if let Ok(there) = std::fs::symlink_metadata(socket) {
        if !there.file_type().is_socket() {
            return Err(std::io::Error::other(
                "something that is no socket lies there; move it or choose another path",
            ));
        }
        std::fs::remove_file(socket)?;
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o660))?;
    let router =
        Router::new().route("/v1/status", get(status)).route("/v1/plugins", get(plugins)).with_state(questions);
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the local API ended");
        }
    }))
}

async fn status(State(questions): State<mpsc::Sender<Question>>) -> Result<Json<DaemonStatus>, StatusCode> {
    ask(&questions, Question::Status).await
}

async fn plugins(State(questions): State<mpsc::Sender<Question>>) -> Result<Json<Vec<PluginStatus>>, StatusCode> {
    ask(&questions, Question::Plugins).await
}

async fn ask<T>(
    questions: &mpsc::Sender<Question>,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<Json<T>, StatusCode> {
    let (sender, answer) = oneshot::channel();
    // A full queue means many askers at once; let them ask again.
    questions.try_send(question(sender)).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    answer.await.map(Json).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// Asks a running daemon; the error says why nobody answered.
pub(crate) async fn get_json(socket: &Path, path: &str) -> anyhow::Result<serde_json::Value> {
    tokio::time::timeout(ANSWER_TIME_MAX, exchange(socket, path)).await?
}

async fn exchange(socket: &Path, path: &str) -> anyhow::Result<serde_json::Value> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", "edgeplug").body(Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    anyhow::ensure!(response.status() == hyper::StatusCode::OK, "the daemon answered {}", response.status());
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
    connection.abort();
    Ok(serde_json::from_slice(&body.to_bytes())?)
}

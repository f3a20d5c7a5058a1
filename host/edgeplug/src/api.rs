//! The local API: versioned JSON over a unix socket; `client` is what the commands use.
//!
//! Whoever may open the socket may ask; it belongs to the daemon's user and group. Every answer is made by the main
//! loop in its own turn, so it never shows a half-changed state.

pub(crate) mod client;

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use edgeplug_outbox::RowId;
use edgeplug_plugins::{LogPage, NotOperated, Operation, PluginStatus};
use edgeplug_session::event::OperatorRequest;
use edgeplug_session::{Status, UpdateStatus};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::exit::{Exit, Problem};
use crate::operators;
use crate::plugins::Operated;
use crate::store::{Dropped, StoreStatus, Through};

/// Longest path a unix socket can have on Linux.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Largest request; the longest name a child.
const REQUEST_BYTES_MAX: usize = 4 * 1024;
/// Lines of a plugin's log in one answer; as many as are kept.
pub(crate) const LOG_PAGE_LINES_MAX: usize = 1_000;

/// A question to the main loop, with the place for its answer.
pub(crate) enum Question {
    Status(oneshot::Sender<DaemonStatus>),
    Plugins(oneshot::Sender<Vec<PluginStatus>>),
    OperatePlugin(String, Operation, oneshot::Sender<Operated>),
    /// Of a plugin, lines behind a number; `None` if there is no such plugin.
    Logs(String, u64, oneshot::Sender<Option<LogPage>>),
    Drop(Through, oneshot::Sender<Result<Dropped, String>>),
    /// `None` before the cloud ever said anything.
    Children(oneshot::Sender<Option<Vec<edgeplug_protocol::model::Child>>>),
    Operator(OperatorRequest, oneshot::Sender<operators::Answer>),
}

/// `GET /v1/status`.
#[derive(Debug, Serialize)]
pub(crate) struct DaemonStatus {
    pub(crate) version: &'static str,
    pub(crate) uptime_s: f64,
    pub(crate) store: StoreStatus,
    /// Why no plugin can be started, if so.
    pub(crate) plugins_trouble: Option<String>,
    /// Why no firmware update is taken, if so.
    pub(crate) ota_refused: Option<String>,
    #[serde(flatten)]
    pub(crate) session: Status,
}

/// `GET /v1/plugins/NAME/logs?after=N`: the lines behind number N, from the oldest kept without it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsRequest {
    #[serde(default)]
    after: u64,
}

/// `POST /v1/outbox/drop`: gives rows up undelivered. Exactly one of the two.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DropRequest {
    /// Every row up to this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) through: Option<i64>,
    /// Every row there is when the request arrives.
    #[serde(default)]
    pub(crate) all: bool,
}

/// One of `GET /v1/children`; `POST /v1/children/create` has a `name` too, `POST /v1/children/delete` only the id.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Child {
    pub(crate) unique_id: String,
    #[serde(default)]
    pub(crate) tag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// What was done, in words.
#[derive(Debug, Serialize)]
struct Done {
    done: String,
}

/// What every answer but 200 holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: String,
}

type Answer<T> = Result<Json<T>, (StatusCode, Json<Refusal>)>;

/// Listens until the returned task is aborted. A socket file that a killed daemon left behind is replaced; one that
/// somebody answers on is not.
pub(crate) async fn serve(
    socket: &Path,
    questions: mpsc::Sender<Question>,
) -> Result<tokio::task::JoinHandle<()>, Problem> {
    if UnixStream::connect(socket).await.is_ok() {
        let text = format!(
            "{} is in use by another daemon; stop it, or give this one a `socket` and a `state_dir` of its own",
            socket.display()
        );
        return Err(Problem::new(Exit::AlreadyRunning, text));
    }
    let listener = listen(socket).map_err(|error| {
        Problem::new(Exit::SocketUnusable, format!("cannot listen on {}: {error}", socket.display()))
    })?;
    let router = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/plugins", get(plugins))
        .route("/v1/plugins/{name}", get(plugin))
        .route("/v1/plugins/{name}/logs", get(logs))
        .route("/v1/plugins/{name}/{operation}", post(operate_plugin))
        .route("/v1/outbox/drop", post(drop_rows))
        .route("/v1/cloud/{order}", post(order))
        .route("/v1/updates", get(updates))
        .route("/v1/children", get(children))
        .route("/v1/children/create", post(create_child))
        .route("/v1/children/delete", post(delete_child))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(questions);
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the local API ended");
        }
    }))
}

fn listen(socket: &Path) -> std::io::Result<UnixListener> {
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
    Ok(listener)
}

async fn status(State(questions): State<mpsc::Sender<Question>>) -> Answer<DaemonStatus> {
    ask(&questions, Question::Status).await.map(Json)
}

/// Firmware updates without an outcome.
async fn updates(State(questions): State<mpsc::Sender<Question>>) -> Answer<Vec<UpdateStatus>> {
    ask(&questions, Question::Status).await.map(|status| Json(status.session.updates))
}

async fn plugins(State(questions): State<mpsc::Sender<Question>>) -> Answer<Vec<PluginStatus>> {
    ask(&questions, Question::Plugins).await.map(Json)
}

async fn plugin(
    State(questions): State<mpsc::Sender<Question>>,
    UrlPath(name): UrlPath<String>,
) -> Answer<PluginStatus> {
    let mut plugins = ask(&questions, Question::Plugins).await?;
    match plugins.iter().position(|plugin| plugin.plugin == name) {
        Some(index) => Ok(Json(plugins.swap_remove(index))),
        None => {
            let known = plugins.into_iter().map(|plugin| plugin.plugin).collect();
            Err(refuse(StatusCode::NOT_FOUND, &NotOperated::Unknown { plugin: name, known }.to_string()))
        }
    }
}

/// `POST /v1/plugins/NAME/restart`, `…/enable`, `…/disable`.
async fn operate_plugin(
    State(questions): State<mpsc::Sender<Question>>,
    UrlPath((plugin, operation)): UrlPath<(String, String)>,
) -> Answer<Done> {
    let operation = match operation.as_str() {
        "restart" => Operation::Restart,
        "enable" => Operation::Enable,
        "disable" => Operation::Disable,
        _ => return Err(refuse(StatusCode::NOT_FOUND, "say restart, enable or disable")),
    };
    let operated = ask(&questions, |answer| Question::OperatePlugin(plugin, operation, answer)).await?;
    operated.map(|done| Json(Done { done })).map_err(|error| {
        let status = match error {
            NotOperated::Unknown { .. } => StatusCode::NOT_FOUND,
            NotOperated::Refused { .. } => StatusCode::CONFLICT,
            NotOperated::Busy | NotOperated::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        refuse(status, &error.to_string())
    })
}

async fn logs(
    State(questions): State<mpsc::Sender<Question>>,
    UrlPath(plugin): UrlPath<String>,
    Query(request): Query<LogsRequest>,
) -> Answer<LogPage> {
    let page = ask(&questions, |answer| Question::Logs(plugin.clone(), request.after, answer)).await?;
    page.map(Json).ok_or_else(|| refuse(StatusCode::NOT_FOUND, &format!("there is no plugin {plugin:?}")))
}

async fn drop_rows(
    State(questions): State<mpsc::Sender<Question>>,
    Json(request): Json<DropRequest>,
) -> Answer<Dropped> {
    let through = match (request.through, request.all) {
        (Some(row), false) => Through::Row(RowId(row)),
        (None, true) => Through::All,
        _ => return Err(refuse(StatusCode::BAD_REQUEST, "say either `through` or `all`")),
    };
    let dropped = ask(&questions, |answer| Question::Drop(through, answer)).await?;
    dropped.map(Json).map_err(|reason| refuse(StatusCode::SERVICE_UNAVAILABLE, &reason))
}

async fn order(State(questions): State<mpsc::Sender<Question>>, UrlPath(order): UrlPath<String>) -> Answer<Done> {
    let what = match order.as_str() {
        "connect" => OperatorRequest::Connect,
        "disconnect" => OperatorRequest::Disconnect,
        "resume" => OperatorRequest::Resume,
        "refresh" => OperatorRequest::Refresh,
        _ => return Err(refuse(StatusCode::NOT_FOUND, "say connect, disconnect, resume or refresh")),
    };
    operate(&questions, what).await
}

async fn children(State(questions): State<mpsc::Sender<Question>>) -> Answer<Vec<Child>> {
    let children = ask(&questions, Question::Children).await?;
    let unknown = || refuse(StatusCode::CONFLICT, "the cloud has not said yet which children this device has");
    let child =
        |child: edgeplug_protocol::model::Child| Child { unique_id: child.unique_id, tag: child.tag, name: None };
    children.map(|children| Json(children.into_iter().map(child).collect())).ok_or_else(unknown)
}

async fn create_child(State(questions): State<mpsc::Sender<Question>>, Json(child): Json<Child>) -> Answer<Done> {
    let Child { unique_id: id, tag, name } = child;
    let name = name.unwrap_or_else(|| id.clone());
    operate(&questions, OperatorRequest::CreateChild { id, tag, name }).await
}

async fn delete_child(State(questions): State<mpsc::Sender<Question>>, Json(child): Json<Child>) -> Answer<Done> {
    operate(&questions, OperatorRequest::DeleteChild { id: child.unique_id }).await
}

async fn operate(questions: &mpsc::Sender<Question>, what: OperatorRequest) -> Answer<Done> {
    let answer = ask(questions, |answer| Question::Operator(what, answer)).await?;
    answer.map(|done| Json(Done { done })).map_err(|reason| refuse(StatusCode::CONFLICT, &reason))
}

async fn ask<T>(
    questions: &mpsc::Sender<Question>,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, (StatusCode, Json<Refusal>)> {
    let (sender, answer) = oneshot::channel();
    let busy = || refuse(StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy or stopping; ask again");
    // A full queue means many askers at once.
    questions.try_send(question(sender)).map_err(|_| busy())?;
    answer.await.map_err(|_| busy())
}

fn refuse(status: StatusCode, error: &str) -> (StatusCode, Json<Refusal>) {
    (status, Json(Refusal { error: error.to_owned() }))
}

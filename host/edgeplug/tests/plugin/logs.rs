//! `logs`, against a socket that answers as the daemon does.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::rig::{Rig, Said};

/// Serves three lines, and one more with every question after the first.
async fn logs(
    State(questions): State<Arc<AtomicU64>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    if name != "roof station" {
        return Err((StatusCode::NOT_FOUND, Json(json!({ "error": format!("there is no plugin {name:?}") }))));
    }
    let question = questions.fetch_add(1, Ordering::Relaxed);
    let after: u64 = query.unwrap_or_default().trim_start_matches("after=").parse().unwrap();
    let last = 3 + question;
    let lines: Vec<Value> = (after + 1..=last).map(line).collect();
    // As if one had been over the rate.
    Ok(Json(json!({ "lines": lines, "next": last, "dropped": u64::from(question == 1) })))
}

fn line(number: u64) -> Value {
    let stream = if number == 2 { "stderr" } else { "log" };
    json!({ "number": number, "time": "2026-11-23T12:00:00.000Z", "level": "info", "stream": stream,
        "text": format!("line {number}") })
}

fn serve(rig: &Rig) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _context = runtime.enter();
    let listener = tokio::net::UnixListener::bind(rig.path("socket")).unwrap();
    let router = Router::new().route("/v1/plugins/{name}/logs", get(logs)).with_state(Arc::default());
    runtime.spawn(async move { axum::serve(listener, router).await });
    runtime
}

#[test]
fn the_last_lines_are_shown() {
    let rig = Rig::new();
    let _daemon = serve(&rig);
    let said = rig.plugin(["logs", "roof station", "--tail", "2", "--socket", "socket"]);
    let time = "2026-11-23T12:00:00.000Z";
    assert_eq!(said.out, format!("{time} info  stderr: line 2\n{time} info  line 3\n"), "{said:?}");
    let said = rig.plugin(["logs", "roof station", "--tail", "1", "--json", "--socket", "socket"]);
    assert_eq!(said.lines(), [line(4)]);
}

#[test]
fn a_follower_sees_what_comes_and_what_was_dropped() {
    let rig = Rig::new();
    let _daemon = serve(&rig);
    let mut command = rig.command(["logs", "roof station", "--follow", "--tail", "1", "--socket", "socket"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let lines: Vec<String> = lines.take(4).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(lines[1], "(1 lines were dropped)");
    let seen: Vec<_> = [&lines[0], &lines[2], &lines[3]].map(|line| line.rsplit(' ').next().unwrap()).into();
    assert_eq!(seen, ["3", "4", "5"]);
}

#[test]
fn no_such_plugin_and_no_daemon_are_two_things() {
    let rig = Rig::new();
    let Said { code, err, .. } = rig.plugin(["logs", "x", "--socket", "socket"]);
    assert!(code == 30 && err.contains("edgeplug run"), "{err}");
    let _daemon = serve(&rig);
    let Said { code, err, .. } = rig.plugin(["logs", "cellar", "--socket", "socket"]);
    assert!(code == 1 && err.contains("there is no plugin"), "{err}");
}

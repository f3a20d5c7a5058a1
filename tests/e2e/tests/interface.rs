//! What plugins ask of the daemon beside sending readings: commands that take longer, memory that lasts, the device's
//! template, the connection. The guest is `probe`, which does what a command says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use edgeplug_cloud::{Attribute, Template};
use edgeplug_e2e::{Edgeplug, PluginFiles, World, WorldOptions};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(60);
/// Nothing is sampled a second time while a test runs.
const QUIET: &str = "interval_s = 3600\n";

/// A device with the guest, allowed what `allow` says.
async fn world(manifest: &str, allow: &str) -> World {
    let attributes = vec![Attribute::number("calls"), Attribute::string("colour")];
    let options = WorldOptions {
        template: Template { attributes, ..Template::default() },
        symmetric_key: true,
        plugins: format!("[plugins.allow.probe]\n{allow}\n"),
        ..WorldOptions::default()
    };
    let world = World::new(options).await.unwrap();
    drop_probe(&world, manifest);
    world
}

fn drop_probe(world: &World, manifest: &str) {
    world.drop_plugin(PluginFiles { name: "probe", guest: "probe", manifest: Some(manifest) }).unwrap();
}

async fn start(world: &World) -> Edgeplug {
    let edgeplug = world.start().unwrap();
    edgeplug.wait_status(|status| status["link"] == "online", LONG).await.unwrap();
    edgeplug
}

/// Sends a command and waits for its acknowledgement: status and message.
async fn command(world: &World, id: &str, text: &str) -> (i64, String) {
    world.cloud.hub().send_command(&world.hub_device_id(), text, id).unwrap();
    let ack = world.cloud.recorder().wait_for_ack(id, LONG).await.unwrap();
    (ack.status, ack.message)
}

/// `GET` on the daemon's socket: status line and body.
fn get(world: &World, path: &str) -> (String, Value) {
    let mut stream = UnixStream::connect(world.directory().join("api.sock")).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: edgeplug\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_command_and_what_was_kept_survive_kill_9() {
    let world = world(QUIET, "").await;
    let edgeplug = start(&world).await;
    assert_eq!(command(&world, "set", "state set colour/of\u{2603} blue").await, (6, "kept".into()));
    assert_eq!(command(&world, "set-gone", "state set gone x").await, (6, "kept".into()));
    assert_eq!(command(&world, "delete", "state delete gone").await, (6, "gone".into()));
    world.cloud.hub().send_command(&world.hub_device_id(), "defer", "deferred").unwrap();
    let deferred = |status: &Value| status["deferred"][0]["id"] == "deferred";
    edgeplug.wait_status(deferred, LONG).await.unwrap();
    edgeplug.kill().await.unwrap();

    let edgeplug = start(&world).await;
    edgeplug.wait_status(deferred, LONG).await.unwrap();
    assert_eq!(command(&world, "get", "state get colour/of\u{2603}").await, (6, "blue".into()));
    assert_eq!(command(&world, "keys", "state keys").await, (6, "colour/of\u{2603}".into()));
    assert!(world.cloud.recorder().acks("deferred").is_empty());
    assert_eq!(command(&world, "finish", "finish deferred done at last").await, (6, "finished".into()));
    // The end was on disk when the guest heard of it.
    edgeplug.kill().await.unwrap();

    let edgeplug = start(&world).await;
    world.cloud.recorder().wait_for_ack("deferred", LONG).await.unwrap();
    let (status, _) = command(&world, "again", "finish deferred done once more").await;
    assert_eq!(status, 4, "it has its end");
    assert!(edgeplug.terminate().await.unwrap().success());
    let acks = world.cloud.recorder().acks("deferred");
    assert!(acks.iter().all(|ack| (ack.status, ack.message.as_str()) == (6, "at last")), "{acks:?}");
    assert!(world.cloud.complaints().is_empty(), "{:?}", world.cloud.complaints());
}

#[tokio::test(flavor = "multi_thread")]
async fn template_and_connection_reach_the_guest_and_its_log_the_operator() {
    let world = world(QUIET, "").await;
    let edgeplug = start(&world).await;
    let (_, template) = command(&world, "template", "device template").await;
    assert!(template.contains("calls") && template.contains("colour"), "{template}");
    assert_eq!(command(&world, "connected", "device connected").await, (6, "true".into()));
    world.log().wait_for("connected", 0, LONG).await.unwrap();
    world.cloud.hub().cut(&world.hub_device_id()).unwrap();
    world.log().wait_for("disconnected: ", 0, LONG).await.unwrap();

    let (status, page) = get(&world, "/v1/plugins/probe/logs");
    assert!(status.contains("200"), "{status}");
    let lines = page["lines"].as_array().unwrap();
    let told = lines.iter().position(|line| line["text"] == "connected").unwrap();
    let cut = lines.iter().position(|line| line["text"].as_str().unwrap().starts_with("disconnected: ")).unwrap();
    assert!(told < cut, "{lines:?}");
    let (_, rest) = get(&world, &format!("/v1/plugins/probe/logs?after={}", lines[cut]["number"]));
    assert!(rest["lines"].as_array().unwrap().len() < lines.len() - cut + 10, "{rest}");
    assert!(rest["next"].as_u64() >= page["next"].as_u64(), "{rest}");
    let (status, refusal) = get(&world, "/v1/plugins/nobody/logs");
    assert!(status.contains("404") && refusal["error"].as_str().unwrap().contains("nobody"), "{status} {refusal}");
    let mut stream = UnixStream::connect(world.directory().join("api.sock")).unwrap();
    write!(stream, "GET /v1/plugins/probe/logs?before=1 HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(edgeplug.terminate().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_with_the_right_ends_the_connection_and_lets_it_come_back() {
    let on_start = |command| format!("{QUIET}disconnect = true\n[config]\non_start = \"device {command}\"\n");
    let world = world(&on_start("disconnect"), "allow_disconnect = true").await;
    let edgeplug = world.start().unwrap();
    let status = edgeplug.wait_status(|status| status["disconnected_by"] == "probe", LONG).await.unwrap();
    edgeplug.wait_status(|status| status["link"] == "disconnected", LONG).await.unwrap();
    assert_eq!(status["trouble"], Value::Null);
    drop_probe(&world, &on_start("reconnect"));
    edgeplug.wait_status(|status| status["link"] == "online", LONG).await.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
}

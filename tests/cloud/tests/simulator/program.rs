//! The program and its control API, as a user drives them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use edgeplug_cloud::{Cloud, CloudOptions, Device};
use rumqttc::mqttbytes::QoS;
use serde_json::{Value, json};

use super::PATIENCE;
use super::device::{RawDevice, good_connect};
use super::iotconnect::client;

struct Control {
    http: reqwest::Client,
    url: String,
}

impl Control {
    async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}/control/{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.post(format!("{}/control/{path}", self.url)).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn the_control_api_drives_everything() {
    let cloud = Cloud::start(CloudOptions::new().device(Device::symmetric("GW"))).await.unwrap();
    let control = Control { http: client(&cloud), url: cloud.control_url() };
    let ok = (200, json!({"ok": true}));

    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.subscribe(&[("devices/CP-GW/messages/devicebound/#", QoS::AtLeastOnce)]).await;
    assert_eq!(control.post("devices/GW/command", json!({"text": "go", "ack_id": "1"})).await, ok);
    let command = device.expect_publish().await;
    assert!(std::str::from_utf8(&command.payload).unwrap().contains(r#""command":"go""#));
    let report = json!({"mt": 0, "d": [{"id": "GW", "dt": "t", "tg": "", "d": [{"temp": 7}]}]}).to_string();
    device.publish("devices/CP-GW/messages/events/", &report).await;
    device.expect_puback().await;
    assert_eq!(control.get("readings/temp").await[0]["value"], 7);
    assert_eq!(control.get("records?after=0&limit=5").await[0]["topic"], "devices/CP-GW/messages/events/");
    let (status, answer) = control.post("devices/GW/desired", json!({"fan": 1})).await;
    assert_eq!((status, &answer["version"]), (200, &json!(2)));
    assert_eq!(control.get("devices/GW/twin").await["desired"]["fan"], 1);

    let send = json!({"protocol": "1.0", "times": 2, "message": {"type": "command", "text": "twice", "ack_id": "2"}});
    assert_eq!(control.post("devices/GW/send", send).await, ok);
    for _ in 0..2 {
        let command = device.expect_publish().await;
        assert!(std::str::from_utf8(&command.payload).unwrap().contains(r#""command":"twice""#));
    }
    let balance = control.get("devices/GW/acks").await;
    assert_eq!((&balance["owed"], &balance["missing"][0]["ack_id"]), (&json!(1), &json!("2")));
    let unsendable = json!({"protocol": "1.0", "message": {"type": "send_log"}});
    assert_eq!(control.post("devices/GW/send", unsendable).await.0, 400);
    assert_eq!(control.get("devices/GW/twin-requests").await, json!([]));
    assert_eq!(control.get("windows/temp").await, json!([]));

    let faults = json!({
        "ignore_c2d_pubacks": 1, "refuse_twin": {"count": 1, "status": 429}, "pubacks": {"delayed_ms": 1}, "drop_pubacks": 1, "refuse_connects": {"count": 1, "code": 3}, "forget_sessions": true,
        "iotconnect": {"endpoint": "sync", "answers": [{"result_code": 3}, "not_json", {"http": 500}]},
        "dps": [{"challenge": "duplicate"}, {"too_many_requests": 5}, "drop_assigned"]
    });
    assert_eq!(control.post("faults", faults).await, ok);
    assert_eq!(control.post("devices/GW/cut", json!({})).await, ok);
    device.expect_closed().await;
    assert_eq!(RawDevice::try_connect(&cloud, good_connect(&cloud)).await.map(|code| code as u8), Some(3));
    assert_eq!(control.post("devices", json!({"unique_id": "NEW", "kind": "tpm", "offer": "2.1"})).await, ok);
    let status = control.get("status").await;
    assert_eq!(status["devices"].as_array().unwrap().len(), 2);
    assert_eq!(status["records"], 1);
    assert!(!status.to_string().contains(&cloud.symmetric_key("GW").unwrap()), "keys stay inside");

    let (status, answer) = control.post("devices/NOBODY/command", json!({"text": "go", "ack_id": "1"})).await;
    assert_eq!((status, &answer["error"]), (400, &json!("the hub does not know NOBODY")));
    assert_eq!(control.post("devices/GW/explode", json!({})).await.0, 400);
    assert_eq!(control.post("faults", json!({"hub_listening": false})).await, ok);
    assert!(tokio::net::TcpStream::connect(cloud.hub().address().unwrap()).await.is_err());
}

#[tokio::test]
async fn a_directory_keeps_what_the_hub_knew() {
    let directory = tempfile::tempdir().unwrap();
    let key = edgeplug_cloud::Key::random();
    let options = || CloudOptions::new().directory(directory.path()).device(Device::symmetric("GW").key(key.clone()));
    let cloud = Cloud::start(options()).await.unwrap();
    cloud.hub().set_desired("GW", &json!({"fan": 1})).unwrap();
    drop(cloud);
    let cloud = Cloud::start(options()).await.unwrap();
    assert_eq!(cloud.hub().twin("GW").unwrap()["desired"], json!({"fan": 1, "$version": 2}));
}

#[tokio::test]
async fn the_control_api_drives_the_firmware_store() {
    let cloud = Cloud::start(CloudOptions::new().device(Device::symmetric("GW"))).await.unwrap();
    let control = Control { http: client(&cloud), url: cloud.control_url() };
    let ok = (200, json!({"ok": true}));
    // Past the limit of all other bodies.
    for content in [vec![7_u8; 200_000], vec![8_u8; 200_000]] {
        let put = format!("{}/control/firmware/fw.bin?sha256=right", control.url);
        assert_eq!(control.http.put(put).body(content).send().await.unwrap().status(), 200);
    }
    let listed = control.get("firmware").await;
    assert_eq!((&listed[0]["name"], &listed[0]["bytes"]), (&json!("fw.bin"), &json!(200_000)));

    let faults = json!({"firmware": [
        {"name": "fw.bin", "fault": {"status": {"status": 500}}, "times": 1},
        {"name": "fw.bin", "fault": {"redirect": "loop"}, "always": true}
    ]});
    assert_eq!(control.post("faults", faults).await, ok);
    let (_, answer) = control.post("firmware/fw.bin/url", json!({})).await;
    let url = answer["url"].as_str().unwrap();
    assert_eq!(control.http.get(url).send().await.unwrap().status(), 500);
    assert!(control.http.get(url).send().await.is_err());
    assert_eq!(control.post("faults", json!({"clear_firmware": ["fw.bin"]})).await, ok);
    let answer = control.http.get(url).send().await.unwrap();
    assert_eq!(answer.headers()["x-ms-meta-sha256"].to_str().unwrap(), listed[0]["sha256"].as_str().unwrap());
    assert_eq!(answer.bytes().await.unwrap(), vec![8_u8; 200_000]);
    let log = control.get("firmware/fw.bin/requests").await;
    assert_eq!((&log[0]["status"], &log[0]["fault"]["status"]["status"]), (&json!(500), &json!(500)));
    assert_eq!(log.as_array().unwrap().last().unwrap()["sent"], 200_000);
    let (_, expired) = control.post("firmware/fw.bin/url", json!({"life_s": -1})).await;
    assert_eq!(control.http.get(expired["url"].as_str().unwrap()).send().await.unwrap().status(), 403);
    assert_eq!(control.post("faults", json!({"rotate_firmware_key": true})).await, ok);
    assert_eq!(control.http.get(url).send().await.unwrap().status(), 403);

    let update = json!({"ack_id": "f-1", "software": "1.5", "files": [{"stored": "fw.bin"}]});
    let push = json!({"protocol": "1.0", "update": update});
    assert_eq!(control.post("devices/GW/update", push).await, ok);
    assert_eq!(control.get("devices/GW/acks").await["missing"][0]["ack_id"], "f-1");
    assert_eq!(control.post("devices/GW/pending-update", update).await, ok);
    assert_eq!(control.post("devices/GW/pending-update", Value::Null).await, ok);
    let unknown = json!({"firmware": [{"name": "none.bin", "fault": "hang"}]});
    assert_eq!(control.post("faults", unknown).await, (400, json!({"error": "the store has no none.bin"})));
    let gone = control.http.delete(format!("{}/control/firmware/fw.bin", control.url)).send().await.unwrap();
    assert_eq!((gone.status().as_u16(), control.get("firmware").await), (200, json!([])));
}

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn the_program_says_where_it_listens_and_what_to_configure() {
    let directory = tempfile::tempdir().unwrap();
    let ports = [
        "--iotconnect-port",
        "0",
        "--dps-port",
        "0",
        "--hub-port",
        "0",
        "--hub-websocket-port",
        "0",
        "--control-port",
        "0",
    ];
    let mut child = Command::new(env!("CARGO_BIN_EXE_edgeplug-cloud"))
        .args(["--firmware", concat!("fw.toml=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .args([
            "--firmware-fault",
            r#"fw.toml={"cut_after":10}"#,
            "--device",
            "GW:sym",
            "--device",
            "TG:tpm",
            "--trust-first-ek",
            "--directory",
        ])
        .arg(directory.path())
        .args(ports)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let _program = Program(child);
    let reading = tokio::task::spawn_blocking(move || {
        BufReader::new(stdout)
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.starts_with("Ready"))
            .collect::<Vec<_>>()
    });
    let text = tokio::time::timeout(PATIENCE, reading).await.unwrap().unwrap().join("\n");

    let block = &text[text.find("[cloud]").unwrap()..];
    let block: toml::Table = block[..block.find("\n\n").unwrap()].parse().unwrap();
    let cloud = block["cloud"].as_table().unwrap();
    let names: Vec<_> = cloud.keys().map(String::as_str).collect();
    for name in ["cpid", "env", "unique_id", "scope_id", "discovery_url", "dps_url", "ca_file"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(std::fs::exists(cloud["ca_file"].as_str().unwrap()).unwrap());
    assert!(text.contains("is enrolled, unseen"));
    assert!(text.contains(r#""stored":"fw.toml""#), "{text}");
    let key = std::fs::read_to_string(directory.path().join("GW.key")).unwrap();
    assert!(!text.contains(key.trim()), "the key is not printed");
    let url = text.lines().find_map(|line| line.trim().strip_prefix("control (HTTP)")).unwrap().trim();
    let status: Value =
        reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(status["devices"].as_array().unwrap().len(), 2);
}

#[test]
fn the_program_refuses_what_it_cannot_understand() {
    let run = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_edgeplug-cloud")).args(arguments).output().unwrap();
    assert!(String::from_utf8(run(&["--help"]).stdout).unwrap().contains("--trust-first-ek"));
    for arguments in [["--protocol", "3.0"], ["--device", "GW:x509"], ["--device", "a/b:tpm"], ["--device", ":tpm"]] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

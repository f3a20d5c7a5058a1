//! 2.1: discovery, identity, and the identity messages over the hub.

use edgeplug_cloud::{
    Answer, Attribute, Cloud, CloudOptions, Device, Endpoint, Firmware, FirmwareFile, Kind, MessageKind, Offer,
    PendingFirmware, Rule,
};
use rumqttc::mqttbytes::QoS;
use serde_json::{Value, json};

use super::PATIENCE;
use super::device::{RawDevice, good_connect};
use super::iotconnect::client;

const C2D: &str = "devices/CP-GW/messages/devicebound/#";
const DI: &str = "devices/CP-GW/messages/events/cd=XG4E2CA&v=2.1&di=1&$.ct=application%2Fjson&$.ce=utf-8";
const GATEWAY: &str = "8d1f0000-0000-4000-8000-00000000000a";

fn gateway() -> Device {
    Device::symmetric("GW")
        .offer(Offer::V21)
        .tag("gw")
        .data_frequency_s(60)
        .attribute(Attribute::of(Kind::Integer, "i").tag("gw").valid("1 to 15").window("2s"))
        .attribute(Attribute::object("gyro", [Attribute::of(Kind::Integer, "x")]).tag("c").window("4s"))
        .setting(Attribute::of(Kind::Integer, "fan").valid("0to5"))
        .rule(Rule::new("R1", "i > 20").command("fan on"))
        .child("C1", "c")
}

async fn cloud() -> Cloud {
    let options = CloudOptions::new().device(gateway()).device(Device::symmetric("OLD"));
    Cloud::start(options.device(Device::tpm("NEW").offer(Offer::Both))).await.unwrap()
}

async fn get(cloud: &Cloud, path: &str) -> Value {
    client(cloud).get(format!("{}{path}", cloud.discovery_url())).send().await.unwrap().json().await.unwrap()
}

async fn identity(cloud: &Cloud, unique_id: &str) -> Value {
    let discovered = get(cloud, "/api/v2.1/dsdk/cpId/CP/env/poc?pf=az").await;
    let url = format!("{}/uid/{unique_id}", discovered["d"]["bu"].as_str().unwrap());
    client(cloud).get(url).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn discovery_knows_the_company_by_either_name() {
    let cloud = cloud().await;
    let base =
        format!("{}/api/2.1/agent/device-identity/cg/b892c353-e375-4cc3-8841-32e271e26122", cloud.discovery_url());
    for path in [
        "cpId/CP/env/poc?pf=az",
        "cpid/cp/env/poc",
        "CPID/CP/env/poc?pf=AZ&version=v2.1",
        "sid/TEST-SID?pf=az",
        "SID/TEST-SID",
    ] {
        let answer = get(&cloud, &format!("/api/v2.1/dsdk/{path}")).await;
        assert_eq!((&answer["d"]["ec"], &answer["d"]["bu"]), (&json!(0), &json!(base)), "{path}");
        assert_eq!(answer["status"], 200);
    }
    let cases = [
        ("cpId/XX/env/poc", 6),
        ("cpId/CP/env/POC", 11),
        ("cpId/CP/env/poc?pf=aws", 12),
        ("sid/OTHER", 1),
        ("sid/test-sid", 1),
    ];
    for (path, code) in cases {
        let answer = get(&cloud, &format!("/api/v2.1/dsdk/{path}")).await;
        assert_eq!((&answer["d"]["ec"], &answer["d"]["bu"]), (&json!(code), &Value::Null), "{path}");
    }
    let unknown = client(&cloud).get(format!("{}/api/v2.1/dsdk/name/CP", cloud.discovery_url())).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(cloud.iotconnect().asked(Endpoint::DiscoveryV21), 10);

    let legacy_only = Cloud::start(CloudOptions::new().device(Device::symmetric("GW"))).await.unwrap();
    assert_eq!(get(&legacy_only, "/api/v2.1/dsdk/cpId/CP/env/poc").await["d"]["ec"], 6);
}

#[tokio::test]
async fn a_gateway_is_told_its_connection_and_what_to_ask_for() {
    let cloud = cloud().await;
    let port = cloud.hub().address().unwrap().port();
    let mut answer = identity(&cloud, "GW").await;
    assert!(answer["d"].as_object_mut().unwrap().remove("dt").unwrap().as_str().unwrap().ends_with('Z'));
    let topic = |kind: &str| {
        format!("devices/CP-GW/messages/events/cd=XG4E2CA&v=2.1&{kind}&$.ct=application%2Fjson&$.ce=utf-8")
    };
    let mut expected = json!({
        "d": {
            "ec": 0, "ct": 200,
            "meta": {
                "at": 5, "df": 60, "cd": "XG4E2CA", "gtw": {"tg": "gw", "g": GATEWAY}, "edge": 0, "pf": 1, "hwv": "",
                "swv": "", "v": 2.1
            },
            "has": {"d": 1, "attr": 1, "set": 1, "r": 1, "ota": 0},
            "p": {
                "n": "mqtt", "h": "localhost", "p": port, "id": "CP-GW",
                "un": "localhost/CP-GW/?api-version=2018-06-30",
                "topics": {
                    "rpt": topic("mt=0"), "flt": topic("mt=3"), "od": topic("mt=4"), "hb": topic("mt=5"),
                    "ack": topic("mt=6"), "dl": topic("mt=7"), "di": topic("di=1"),
                    "c2d": "devices/CP-GW/messages/devicebound/#",
                    "set": {
                        "pub": "$iothub/twin/PATCH/properties/reported/?$rid={version}",
                        "sub": "$iothub/twin/PATCH/properties/desired/#", "pubForAll": "$iothub/twin/GET/?$rid=0",
                        "subForAll": "$iothub/twin/res/#"
                    }
                }
            }
        },
        "status": 200, "message": "Device info loaded successfully."
    });
    assert_eq!(answer, expected);

    cloud.iotconnect().edit_template("GW", |template| template.edge = true).unwrap();
    expected["d"]["p"]["topics"]["erpt"] = json!(topic("mt=1"));
    let edge = identity(&cloud, "GW").await;
    assert_eq!((&edge["d"]["meta"]["edge"], &edge["d"]["p"]["topics"]["erm"]), (&json!(1), &json!(topic("mt=2"))));
}

#[tokio::test]
async fn a_device_is_found_only_in_the_protocols_it_is_offered() {
    let cloud = cloud().await;
    for (unique_id, code) in [("GW", 0), ("OLD", 1), ("NOBODY", 1), ("NEW", 1)] {
        let answer = identity(&cloud, unique_id).await;
        assert_eq!((&answer["d"]["ec"], &answer["status"]), (&json!(code), &json!(200)), "{unique_id}");
    }
    let sync = async |unique_id: &str| {
        let body = json!({"uniqueId": unique_id, "cpId": "CP", "option": {"protocol": true}}).to_string();
        let answer = client(&cloud).post(format!("{}/api/2.0/agent/sync", cloud.discovery_url())).body(body);
        answer.send().await.unwrap().json::<Value>().await.unwrap()["d"]["rc"].clone()
    };
    assert_eq!((sync("GW").await, sync("OLD").await, sync("NEW").await), (json!(3), json!(0), json!(1)));
    cloud.iotconnect().offer("GW", Offer::Both).unwrap();
    assert_eq!(sync("GW").await, 0);
    assert_eq!(identity(&cloud, "GW").await["d"]["ec"], 0);
    let elsewhere = "/api/2.1/agent/device-identity/cg/00000000-0000-0000-0000-000000000000/uid/GW";
    assert_eq!(get(&cloud, elsewhere).await["d"]["ec"], 6);
}

#[tokio::test]
async fn scripted_answers_come_first_at_each_endpoint() {
    let cloud = cloud().await;
    cloud.iotconnect().script(Endpoint::DiscoveryV21, [Answer::ResultCode(3), Answer::Http(500)]).unwrap();
    let path = "/api/v2.1/dsdk/cpId/CP/env/poc";
    assert_eq!(get(&cloud, path).await["d"]["ec"], 3);
    let failed = client(&cloud).get(format!("{}{path}", cloud.discovery_url())).send().await.unwrap();
    assert_eq!(failed.status(), 500);

    let status = Answer::Status { status: 503, message: "busy".into() };
    let script = [Answer::ResultCode(8), Answer::Missing("p".into()), status, Answer::NotJson, Answer::Cut];
    cloud.iotconnect().script(Endpoint::Identity, script).unwrap();
    assert_eq!(identity(&cloud, "GW").await["d"]["ec"], 8);
    let missing = identity(&cloud, "GW").await;
    assert!(missing["d"].get("p").is_none() && missing["d"]["meta"].is_object());
    assert_eq!(identity(&cloud, "GW").await, json!({"status": 503, "message": "busy"}));
    let bu = get(&cloud, path).await["d"]["bu"].as_str().unwrap().to_owned();
    let ask = async || client(&cloud).get(format!("{bu}/uid/GW")).send().await;
    assert!(ask().await.unwrap().json::<Value>().await.is_err());
    assert!(ask().await.is_err());
    assert_eq!(ask().await.unwrap().json::<Value>().await.unwrap()["d"]["ec"], 0);
}

/// A connected gateway that asks on its `di` topic.
struct Asking(RawDevice);

impl Asking {
    async fn new(cloud: &Cloud) -> Self {
        let (mut device, _) = RawDevice::online(cloud, good_connect(cloud)).await;
        device.subscribe(&[(C2D, QoS::AtLeastOnce)]).await;
        Self(device)
    }

    /// The body of the answer, or the answer itself where it has none.
    async fn ask(&mut self, message: Value) -> Value {
        self.tell(&message).await;
        let answer = self.0.expect_publish().await;
        self.0.acknowledge(&answer).await;
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        answer.get("d").cloned().unwrap_or(answer)
    }

    async fn tell(&mut self, message: &Value) {
        self.0.publish(DI, &message.to_string()).await;
        // Which of PUBACK and answer comes first is up to the hub; the PUBACK does.
        self.0.expect_puback().await;
    }

    async fn code(&mut self, message: Value) -> i64 {
        self.ask(message).await["ec"].as_i64().unwrap()
    }
}

#[tokio::test]
async fn identity_messages_are_answered_over_the_hub() {
    let cloud = cloud().await;
    let mut device = Asking::new(&cloud).await;
    let cases = [
        (
            201,
            "att",
            json!([
                {"p": "", "dt": 0, "d": [{"ln": "i", "dt": 1, "dv": "1 to 15", "sq": 1, "tg": "gw", "tw": "2s"}]},
                {"p": "gyro", "dt": 11, "tg": "c", "d": [{"ln": "x", "dt": 1, "dv": "", "sq": 1, "tg": "c", "tw": "4s"}]}
            ]),
        ),
        (202, "set", json!([{"ln": "fan", "dt": 1, "dv": "0to5"}])),
        (203, "r", json!([{"g": "R1", "es": "R1-subscription", "con": "i > 20", "cmd": "fan on"}])),
        (204, "d", json!([{"tg": "c", "id": "C1"}])),
        (205, "ota", Value::Null),
        (206, "cmd", json!([])),
    ];
    for (kind, key, expected) in &cases {
        let answer = device.ask(json!({"mt": kind})).await;
        assert_eq!((&answer["ec"], &answer["ct"], &answer[*key]), (&json!(0), &json!(kind), expected));
        assert_eq!(answer.as_object().unwrap().len(), 4, "and dt: {answer}");
    }
    let everything = device.ask(json!({"mt": 210})).await;
    for (_, key, expected) in &cases {
        assert_eq!(&everything[*key], expected);
    }
    let answer = device.ask(json!({"mt": 200, "sid": "TEST-SID"})).await;
    assert_eq!((&answer["ct"], &answer["meta"]["cd"]), (&json!(200), &json!("XG4E2CA")));

    let files = vec![FirmwareFile { url: "https://x/f.bin".into(), tag: Some("c".into()), ..FirmwareFile::default() }];
    let (software, hardware, ack_id) = ("1.1".into(), "1.0".into(), "f-1".into());
    let firmware = Firmware { software, hardware, ack_id, files, plain_urls: false };
    cloud.iotconnect().set_pending_firmware(Some(PendingFirmware(firmware)));
    let ota = json!({
        "cmd": "ota", "ack": "f-1", "ver": {"sw": "1.1", "hw": "1.0"},
        "urls": [{"url": "https://x/f.bin", "fileName": "f.bin", "tg": "c"}]
    });
    assert_eq!(device.ask(json!({"mt": 205})).await["ota"], ota);
    assert_eq!(device.ask(json!({"mt": 209})).await["ota"], ota);

    let asked = cloud.recorder().of_kind(MessageKind::Identity);
    assert_eq!((asked.len(), cloud.iotconnect().asked(Endpoint::IdentityMessage)), (10, 10));
    assert!(cloud.recorder().all_readings().is_empty() && cloud.recorder().all_acks().is_empty());
    assert!(cloud.complaints().is_empty(), "{:?}", cloud.complaints());
}

#[tokio::test]
async fn children_come_and_go_by_message() {
    let cloud = cloud().await;
    let mut device = Asking::new(&cloud).await;
    let child =
        |id: &str, tag: &str, name: &str| json!({"mt": 221, "d": {"g": GATEWAY, "dn": name, "id": id, "tg": tag}});
    let long = "x".repeat(129);
    for (message, code) in [
        (child("C2", "", "two"), 1),
        (child("", "c", "two"), 2),
        (child("C2", "c", ""), 3),
        (json!({"mt": 221, "d": {"g": "other", "dn": "two", "id": "C2", "tg": "c"}}), 4),
        (child("C2", "nowhere", "two"), 6),
        (child("C2", "gw", "two"), 7),
        (child("C1", "c", "one"), 8),
        (child("GW", "c", "one"), 8),
        (child(&long, "c", "long"), 9),
        (child("C2", "c", "two"), 0),
        (child("C2", "c", "two"), 8),
        (json!({"mt": 222, "d": {"id": "C9"}}), 1),
        (json!({"mt": 222, "d": {"id": "C1"}}), 0),
    ] {
        assert_eq!(device.code(message.clone()).await, code, "{message}");
    }
    assert_eq!(device.ask(json!({"mt": 204, "sid": ""})).await["d"], json!([{"tg": "c", "id": "C2"}]));
    cloud.iotconnect().script(Endpoint::IdentityMessage, [Answer::ResultCode(5)]).unwrap();
    assert_eq!(device.code(child("C3", "c", "three")).await, 5);
    assert_eq!(device.ask(json!({"mt": 204})).await["d"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn identity_messages_can_go_wrong() {
    let cloud = cloud().await;
    let mut device = Asking::new(&cloud).await;
    let script = [Answer::HangMs(1), Answer::NotJson, Answer::Missing("att".into()), Answer::Cut];
    cloud.iotconnect().script(Endpoint::IdentityMessage, script).unwrap();
    device.tell(&json!({"mt": 201})).await;
    device.0.expect_nothing_waiting().await;
    device.tell(&json!({"mt": 201})).await;
    let answer = device.0.expect_publish().await;
    assert!(serde_json::from_slice::<Value>(&answer.payload).is_err());
    device.0.acknowledge(&answer).await;
    let without = device.ask(json!({"mt": 201})).await;
    assert!(without["ec"] == 0 && without.get("att").is_none());
    device.0.publish(DI, r#"{"mt":201}"#).await;
    device.0.expect_closed().await;
}

#[tokio::test]
async fn what_is_malformed_is_recorded_as_such_and_not_answered() {
    let cloud = cloud().await;
    let mut device = Asking::new(&cloud).await;
    let without_encoding = "devices/CP-GW/messages/events/cd=XG4E2CA&v=2.1&di=1";
    for (topic, body) in [(without_encoding, r#"{"mt":201}"#), (DI, r#"{"mt":299}"#), (DI, "not json")] {
        device.0.publish(topic, body).await;
        device.0.expect_puback().await;
    }
    device.0.expect_nothing_waiting().await;
    assert_eq!(cloud.recorder().of_kind(MessageKind::Malformed).len(), 3);
    let complaints = cloud.complaints();
    assert!(complaints.len() == 3 && complaints.iter().all(|complaint| complaint.what.starts_with("malformed: ")));
    cloud.recorder().wait_for_kind(MessageKind::Malformed, 3, PATIENCE).await.unwrap();
}

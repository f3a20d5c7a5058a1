//! Firmware updates made of files of the store, sent and pending, and what is owed for them.

use edgeplug_cloud::{AckBalance, AckKind, Cloud, CloudOptions, Device, Dialect, Offer, Owed, Update};
use rumqttc::mqttbytes::QoS;
use serde_json::{Value, json};

use super::PATIENCE;
use super::device::{RawDevice, good_connect};
use super::iotconnect::client;

const C2D: &str = "devices/CP-GW/messages/devicebound/#";
const EVENTS: &str = "devices/CP-GW/messages/events/";
const BAG: &str = "cd=XG4E2CA&v=2.1&{}&$.ct=application%2Fjson&$.ce=utf-8";

struct Rig {
    cloud: Cloud,
    device: RawDevice,
}

impl Rig {
    async fn new(offer: Offer) -> Self {
        let gateway = Device::symmetric("GW").offer(offer).tag("gw").child("C1", "c").child("C2", "c");
        let cloud = Cloud::start(CloudOptions::new().device(gateway)).await.unwrap();
        for name in ["gw.bin", "c.bin"] {
            cloud.firmware().add(name, name.as_bytes().to_vec()).unwrap();
        }
        let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
        device.subscribe(&[(C2D, QoS::AtLeastOnce)]).await;
        Self { cloud, device }
    }

    async fn told(&mut self) -> Value {
        let message = self.device.expect_publish().await;
        self.device.acknowledge(&message).await;
        serde_json::from_slice(&message.payload).unwrap()
    }

    async fn say(&mut self, topic: &str, body: Value) {
        self.device.publish(topic, &body.to_string()).await;
        self.device.expect_puback().await;
    }

    /// In 2.1.
    async fn ack(&mut self, id: &str, status: i64, child: Option<&str>) {
        let mut d = json!({"ack": id, "type": 1, "st": status, "msg": "m"});
        if let Some(child) = child {
            d["cid"] = json!(child);
        }
        self.say(&format!("{EVENTS}{}", BAG.replace("{}", "mt=6")), json!({"d": d})).await;
    }

    async fn legacy_ack(&mut self, id: &str, status: i64, child: &str) {
        let d = json!({"ackId": id, "st": status, "msg": "m", "childId": child});
        let sdk = json!({"l": "M_PYTHON", "v": "2.0", "e": "poc"});
        let t = "2026-11-23T03:32:00.000Z";
        self.say(EVENTS, json!({"cpId": "CP", "uniqueId": "GW", "t": t, "mt": 11, "d": d, "sdk": sdk})).await;
    }

    /// `ota` of an answer to the identity message 205.
    async fn asked_205(&mut self) -> Value {
        let topic = format!("{EVENTS}{}", BAG.replace("{}", "di=1"));
        self.device.publish(&topic, r#"{"mt":205}"#).await;
        // Answer and PUBACK come in either order.
        let mut answer = None;
        for _ in 0..2 {
            match self.device.packet().await {
                Some(rumqttc::mqttbytes::v4::Packet::Publish(publish)) => {
                    self.device.acknowledge(&publish).await;
                    answer = serde_json::from_slice::<Value>(&publish.payload).ok();
                }
                Some(rumqttc::mqttbytes::v4::Packet::PubAck(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        answer.unwrap()["d"]["ota"].clone()
    }

    /// `ota` of a sync answer.
    async fn synced(&self) -> Value {
        let url = format!("{}/api/2.0/agent/sync", self.cloud.discovery_url());
        let body = json!({"uniqueId": "GW", "cpId": "CP", "option": {"protocol": true}}).to_string();
        let answer = client(&self.cloud).post(url).header("content-type", "application/json").body(body).send().await;
        answer.unwrap().json::<Value>().await.unwrap()["d"]["ota"].clone()
    }

    /// `has.ota` of the 2.1 identity.
    async fn has_update(&self) -> bool {
        const COMPANY: &str = "b892c353-e375-4cc3-8841-32e271e26122";
        let url = format!("{}/api/2.1/agent/device-identity/cg/{COMPANY}/uid/GW", self.cloud.discovery_url());
        let answer: Value = client(&self.cloud).get(url).send().await.unwrap().json().await.unwrap();
        answer["d"]["has"]["ota"] == 1
    }

    async fn content(&self, url: &Value) -> (u16, String) {
        let answer = client(&self.cloud).get(url.as_str().unwrap()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    fn balance(&self) -> AckBalance {
        self.cloud.ack_balance("GW")
    }
}

fn owed(child: Option<&str>) -> Owed {
    Owed { ack_id: "f-1".to_owned(), child: child.map(str::to_owned), kind: AckKind::Firmware }
}

fn update() -> Update {
    Update::new("f-1", "1.5").file("gw.bin").file_for_tag("c.bin", "c")
}

#[tokio::test]
async fn an_update_is_sent_with_urls_that_open_its_files() {
    let mut rig = Rig::new(Offer::Both).await;
    rig.cloud.push_update("GW", Dialect::V21, &update()).unwrap();
    let message = rig.told().await;
    assert_eq!((&message["ct"], &message["ack"], &message["sw"]), (&json!(1), &json!("f-1"), &json!("1.5")));
    let urls = &message["urls"];
    assert_eq!((&urls[0]["fileName"], urls[0].get("tg")), (&json!("gw.bin"), None));
    assert_eq!((&urls[1]["fileName"], &urls[1]["tg"]), (&json!("c.bin"), &json!("c")));
    assert_eq!(rig.content(&urls[0]["url"]).await, (200, "gw.bin".to_owned()));
    assert_eq!(rig.content(&urls[1]["url"]).await, (200, "c.bin".to_owned()));

    let legacy = Update::new("f-2", "1.5").file("gw.bin").file_for_child("c.bin", "C1").expired_urls().sha256_in_urls();
    rig.cloud.push_update("GW", Dialect::Legacy, &legacy).unwrap();
    let message = rig.told().await["data"].clone();
    assert_eq!((&message["command"], &message["ackId"]), (&json!("ota"), &json!("f-2")));
    assert_eq!(message["urls"][1]["uniqueId"], "C1");
    let url = message["urls"][1]["url"].as_str().unwrap();
    assert!(url.ends_with(&format!("#sha256={}", rig.cloud.firmware().sha256("c.bin").unwrap())), "{url}");
    assert_eq!(rig.content(&message["urls"][1]["url"]).await.0, 403);
    rig.cloud.push_update("GW", Dialect::Legacy, &Update::new("f-3", "1.6").file("gw.bin").plain_urls()).unwrap();
    let message = rig.told().await["data"].clone();
    assert_eq!(message["command"], format!("ota {}", message["urls"][0].as_str().unwrap()));

    for (dialect, wrong) in [
        (Dialect::V21, Update::new("x", "1").file_for_child("c.bin", "C1")),
        (Dialect::V21, Update::new("x", "1").file("c.bin").plain_urls()),
        (Dialect::Legacy, Update::new("x", "1").file_for_tag("c.bin", "c").plain_urls()),
    ] {
        assert!(rig.cloud.push_update("GW", dialect, &wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(rig.balance().owed, 6);
}

#[tokio::test]
async fn a_pending_update_has_fresh_urls_and_is_owed_once_it_was_told() {
    let mut rig = Rig::new(Offer::V21).await;
    assert_eq!(rig.asked_205().await, Value::Null);
    assert!(!rig.has_update().await);
    rig.cloud.set_pending_update("GW", Some(update())).unwrap();
    assert!(rig.has_update().await);
    assert_eq!(rig.balance().owed, 0);
    let (first, second) = (rig.asked_205().await, rig.asked_205().await);
    assert_eq!((&first["ack"], &first["ver"]), (&json!("f-1"), &json!({"sw": "1.5", "hw": "1.0"})));
    assert_ne!(first["urls"][0]["url"], second["urls"][0]["url"]);
    for urls in [&first["urls"], &second["urls"]] {
        assert_eq!(rig.content(&urls[1]["url"]).await, (200, "c.bin".to_owned()));
    }
    assert_eq!(rig.balance().missing, [owed(None), owed(Some("C1")), owed(Some("C2"))]);
    for child in [None, Some("C1")] {
        rig.ack("f-1", 3, child).await;
        assert_eq!(rig.asked_205().await["ack"], "f-1", "one is still open");
    }
    rig.ack("f-1", 4, Some("C2")).await;
    assert_eq!(rig.asked_205().await, Value::Null);
    assert!(rig.balance().is_clean() && !rig.has_update().await);
    rig.cloud.set_pending_update("GW", Some(update().offered_after_ack())).unwrap();
    assert_eq!(rig.asked_205().await["ack"], "f-1");
    rig.cloud.set_pending_update("GW", None).unwrap();
    assert_eq!(rig.asked_205().await, Value::Null);
    assert!(rig.cloud.set_pending_update("NOBODY", None).is_err());
    assert!(rig.cloud.set_pending_update("GW", Some(Update::new("x", "1").file_for_child("c.bin", "C1"))).is_err());
}

#[tokio::test]
async fn what_sync_says_to_be_pending_is_for_whom_the_message_was() {
    let mut rig = Rig::new(Offer::Legacy).await;
    rig.cloud.set_pending_update("GW", Some(Update::new("f-0", "1.4").file("gw.bin"))).unwrap();
    let ota = rig.synced().await;
    assert_eq!((&ota["guid"], &ota["ver"]["sw"]), (&json!("f-0"), &json!("1.4")));
    assert_eq!(rig.content(&ota["urls"][0]).await.0, 200);
    assert_eq!(rig.balance().missing[0].ack_id, "f-0");
    rig.legacy_ack("f-0", 7, "").await;
    assert_eq!(rig.synced().await, Value::Null);

    rig.cloud.push_update("GW", Dialect::Legacy, &update().expired_urls()).unwrap();
    rig.told().await;
    rig.cloud.set_pending_update("GW", Some(update())).unwrap();
    assert_eq!(rig.synced().await["urls"].as_array().unwrap().len(), 2);
    assert_eq!(rig.balance().missing, [owed(None), owed(Some("C1")), owed(Some("C2"))]);
    for child in ["", "C1", "C2"] {
        rig.legacy_ack("f-1", 7, child).await;
    }
    assert!(rig.balance().is_clean());
    assert_eq!(rig.synced().await, Value::Null);
    assert!(rig.cloud.complaints().is_empty(), "{:?}", rig.cloud.complaints());
}

#[tokio::test]
async fn the_balance_notices_a_missing_a_double_and_a_wrong_ack() {
    let mut rig = Rig::new(Offer::V21).await;
    rig.cloud.push_update("GW", Dialect::V21, &update()).unwrap();
    rig.told().await;
    for child in [None, Some("C1")] {
        rig.ack("f-1", 2, child).await;
    }
    rig.ack("f-1", 2, None).await;
    let balance = rig.balance();
    assert_eq!(balance.missing.len(), 3);
    let downloading: Vec<_> = balance.downloading.into_iter().map(|told| (told.owed, told.times)).collect();
    assert_eq!(downloading, [(owed(None), 2), (owed(Some("C1")), 1)]);
    assert!(balance.unasked.is_empty() && balance.late.is_empty());

    rig.ack("f-1", 3, None).await;
    rig.ack("f-1", 3, Some("C1")).await;
    let end = rig.cloud.recorder().wait_for_terminal_ack("f-1", Some("C1"), PATIENCE).await.unwrap();
    assert_eq!(end.status, 3);
    // Of a child that is not a target: C2's is still missing.
    rig.ack("f-1", 3, Some("C9")).await;
    let balance = rig.balance();
    assert_eq!((balance.missing, balance.unasked.len()), (vec![owed(Some("C2"))], 1));
    assert_eq!(balance.unasked[0].child.as_deref(), Some("C9"));
    assert!(rig.cloud.complaints().iter().any(|complaint| complaint.what.contains("C9")));
    // Progress of what nobody asked for, and after the end.
    rig.ack("f-9", 2, None).await;
    rig.ack("f-1", 2, Some("C1")).await;
    rig.ack("f-1", 3, Some("C2")).await;
    let balance = rig.cloud.wait_acks("GW", PATIENCE).await.unwrap();
    assert_eq!((balance.double.len(), balance.unasked.len(), balance.late.len()), (0, 2, 1));
    // Done and failed are two ends.
    rig.ack("f-1", 4, Some("C2")).await;
    assert_eq!(rig.balance().double, [owed(Some("C2"))]);
    assert!(!rig.balance().is_clean());
}

#[tokio::test]
async fn the_balance_knows_children_in_legacy_acks() {
    let mut rig = Rig::new(Offer::Legacy).await;
    rig.cloud.push_update("GW", Dialect::Legacy, &update()).unwrap();
    rig.told().await;
    // Two of the device itself, where one is C1's.
    for child in ["", "", "C2"] {
        rig.legacy_ack("f-1", 7, child).await;
    }
    let balance = rig.balance();
    assert_eq!((balance.missing, balance.double), (vec![owed(Some("C1"))], vec![owed(None)]));
    rig.legacy_ack("f-1", 7, "C3").await;
    assert_eq!(rig.balance().unasked.len(), 1);
    assert_eq!(rig.cloud.complaints()[0].what, "childId C3 is not a child");
}

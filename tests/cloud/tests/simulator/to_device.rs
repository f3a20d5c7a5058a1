//! What the simulator sends to devices and what it is owed for it: redelivery, the balance of acks, refused twin requests.

use edgeplug_cloud::{
    AckKind, Child, Cloud, CloudMessage, CloudOptions, Device, Dialect, Firmware, FirmwareFile, Offer, Owed,
};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use serde_json::{Value, json};

use super::PATIENCE;
use super::device::{RawDevice, good_connect};

const C2D: &str = "devices/CP-GW/messages/devicebound/#";
const ACKS: &str = "devices/CP-GW/messages/events/cd=XG4E2CA&v=2.1&mt=6&$.ct=application%2Fjson&$.ce=utf-8";

async fn online() -> (Cloud, RawDevice) {
    let gateway = Device::symmetric("GW").offer(Offer::V21).tag("gw").child("C1", "c").child("C2", "c");
    let cloud = Cloud::start(CloudOptions::new().device(gateway)).await.unwrap();
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.subscribe(&[(C2D, QoS::AtLeastOnce)]).await;
    (cloud, device)
}

async fn ack(device: &mut RawDevice, id: &str, kind: i64, status: i64, child: Option<&str>) {
    let mut d = json!({"ack": id, "type": kind, "st": status, "msg": "ok"});
    if let Some(child) = child {
        d["cid"] = json!(child);
    }
    device.publish(ACKS, &json!({"d": d}).to_string()).await;
    device.expect_puback().await;
}

fn owed(ack_id: &str, child: Option<&str>, kind: AckKind) -> Owed {
    Owed { ack_id: ack_id.to_owned(), child: child.map(str::to_owned), kind }
}

#[tokio::test]
async fn a_message_comes_again_while_its_puback_is_ignored() {
    let (cloud, mut device) = online().await;
    cloud.hub().ignore_c2d_pubacks(1);
    cloud.send("GW", Dialect::V21, &CloudMessage::command("go", "a-1")).unwrap();
    let first = device.expect_publish().await;
    device.acknowledge(&first).await;
    device.expect_nothing_waiting().await;
    assert_eq!(cloud.hub().queued("GW"), 1);
    cloud.hub().redeliver("GW").unwrap();
    let again = device.expect_publish().await;
    assert!(again.dup && again.payload == first.payload);
    device.acknowledge(&again).await;
    cloud.hub().wait_queue_empty("GW", PATIENCE).await.unwrap();
}

#[tokio::test]
async fn acks_are_held_against_what_was_sent() {
    let (cloud, mut device) = online().await;
    let file = FirmwareFile { url: "https://x/f.bin".into(), tag: Some("c".into()), ..FirmwareFile::default() };
    let (software, hardware, ack_id) = ("1.1".into(), "1.0".into(), "f-1".into());
    let firmware = Firmware { software, hardware, ack_id, files: vec![file], plain_urls: false };
    for message in [
        CloudMessage::command("go", "a-1"),
        // The same id twice is one debt.
        CloudMessage::command("go", "a-1"),
        CloudMessage::child_command("C1", "go", "a-2"),
        CloudMessage::command_without_ack("go", "a-3"),
        CloudMessage::Firmware(firmware),
        CloudMessage::Stop,
    ] {
        cloud.send("GW", Dialect::V21, &message).unwrap();
    }
    assert_eq!(
        cloud.sent("GW").iter().map(|sent| sent.row).collect::<Vec<_>>(),
        ["0", "0", "0", "0", "1", "109"].map(Some)
    );
    for _ in 0..6 {
        let message = device.expect_publish().await;
        device.acknowledge(&message).await;
    }
    ack(&mut device, "a-1", 0, 2, None).await;
    // Of the device instead of the child, and of the wrong type.
    ack(&mut device, "a-2", 0, 2, None).await;
    ack(&mut device, "f-1", 0, 1, Some("C1")).await;
    // Downloading is no end.
    ack(&mut device, "f-1", 1, 2, Some("C2")).await;
    let balance = cloud.ack_balance("GW");
    let firmware = [owed("f-1", Some("C1"), AckKind::Firmware), owed("f-1", Some("C2"), AckKind::Firmware)];
    assert_eq!(balance.owed, 4);
    assert_eq!(balance.missing, [&[owed("a-2", Some("C1"), AckKind::Command)], &firmware[..]].concat());
    assert_eq!((balance.double.len(), balance.unasked.len()), (0, 2));

    ack(&mut device, "a-2", 0, 2, Some("C1")).await;
    ack(&mut device, "f-1", 1, 3, Some("C1")).await;
    ack(&mut device, "f-1", 1, 1, Some("C2")).await;
    let balance = cloud.wait_acks("GW", PATIENCE).await.unwrap();
    assert!(balance.double.is_empty());
    ack(&mut device, "f-1", 1, 1, Some("C2")).await;
    ack(&mut device, "a-3", 0, 2, None).await;
    let balance = cloud.ack_balance("GW");
    assert_eq!((balance.double, balance.unasked.len()), (vec![firmware[1].clone()], 3));
}

#[tokio::test]
async fn an_ack_that_got_no_puback_may_come_again() {
    let (cloud, mut device) = online().await;
    cloud.send("GW", Dialect::V21Number, &CloudMessage::command("go", "a-1")).unwrap();
    cloud.hub().drop_pubacks(1);
    let body = json!({"d": {"ack": "a-1", "type": 0, "st": 2, "msg": "ok"}}).to_string();
    device.publish(ACKS, &body).await;
    cloud.recorder().wait_for_ack("a-1", PATIENCE).await.unwrap();
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    let command = device.expect_publish().await;
    device.acknowledge(&command).await;
    ack(&mut device, "a-1", 0, 2, None).await;
    assert!(cloud.ack_balance("GW").double.is_empty());
    // This one had its PUBACK.
    ack(&mut device, "a-1", 0, 2, None).await;
    assert_eq!(cloud.ack_balance("GW").double.len(), 1);
    ack(&mut device, "a-1", 0, 1, None).await;
    assert_eq!(cloud.ack_balance("GW").double.len(), 1);
}

#[tokio::test]
async fn what_a_protocol_does_not_have_cannot_be_sent_in_it() {
    let (cloud, _device) = online().await;
    assert!(cloud.send("GW", Dialect::Legacy, &CloudMessage::StopHeartbeat).is_err());
    assert!(cloud.send("GW", Dialect::V21, &CloudMessage::FullSync).is_err());
    assert!(cloud.send("GW", Dialect::V21, &CloudMessage::Unknown { kind: "0x55".into() }).is_err());
    assert!(cloud.send("NOBODY", Dialect::V21, &CloudMessage::Stop).is_err());
    assert!(cloud.sent("GW").is_empty());
    cloud
        .iotconnect()
        .edit_template("GW", |template| template.children.push(Child { id: "C3".into(), tag: "c".into() }))
        .unwrap();
}

#[tokio::test]
async fn twin_requests_are_logged_and_can_be_refused() {
    let (cloud, mut device) = online().await;
    device.subscribe(&[("$iothub/twin/res/#", QoS::AtMostOnce)]).await;
    let mut ask = async |topic: &str, body: &str| {
        device.send(Packet::Publish(Publish::new(topic, QoS::AtMostOnce, body))).await;
        String::from_utf8(device.expect_publish().await.topic.to_vec()).unwrap()
    };
    let reported = "$iothub/twin/PATCH/properties/reported/?$rid=8";
    cloud.hub().refuse_twin(2, 429);
    assert_eq!(ask("$iothub/twin/GET/?$rid=7", "").await, "$iothub/twin/res/429/?$rid=7");
    assert_eq!(ask(reported, r#"{"fan":1}"#).await, "$iothub/twin/res/429/?$rid=8");
    assert_eq!(ask(reported, r#"{"fan":2}"#).await, "$iothub/twin/res/204/?$rid=8&$version=2");
    assert_eq!(ask(reported, "[]").await, "$iothub/twin/res/400/?$rid=8");
    assert_eq!(ask("$iothub/twin/GET/?$rid=9", "").await, "$iothub/twin/res/200/?$rid=9");
    assert_eq!(cloud.hub().twin("GW").unwrap()["reported"], json!({"fan": 2, "$version": 2}));
    let log: Vec<(bool, Option<Value>, u16, Option<u64>)> = cloud
        .hub()
        .twin_requests("GW")
        .into_iter()
        .map(|request| (request.whole, request.patch, request.status, request.version))
        .collect();
    assert_eq!(
        log,
        [
            (true, None, 429, None),
            (false, Some(json!({"fan": 1})), 429, None),
            (false, Some(json!({"fan": 2})), 204, Some(2)),
            (false, Some(json!([])), 400, None),
            (true, None, 200, None),
        ]
    );
}

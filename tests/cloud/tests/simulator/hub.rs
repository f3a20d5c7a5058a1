//! IoT Hub's rules, one test each.

use std::time::Duration;

use edgeplug_cloud::{
    Cloud, CloudOptions, Device, End, Key, MessageKind, Properties, Pubacks, SubscriptionRefusal, sas,
};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{ConnectReturnCode, LastWill, Packet, Publish, SubscribeReasonCode};
use serde_json::{Value, json};

use super::PATIENCE;
use super::device::{RawDevice, connect_with, good_connect};

const EVENTS: &str = "devices/CP-GW/messages/events/";
const C2D: &str = "devices/CP-GW/messages/devicebound/#";

async fn cloud() -> Cloud {
    Cloud::start(CloudOptions::new().device(Device::symmetric("GW"))).await.unwrap()
}

fn soon() -> u64 {
    sas::now_unix_s() + 3600
}

#[tokio::test]
async fn a_good_device_is_let_in_and_its_message_recorded() {
    let cloud = cloud().await;
    let (mut device, ack) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    assert!(!ack.session_present);
    let id = device.publish("devices/CP-GW/messages/events/a=b%20c&%24.ct=application%2Fjson", r#"{"mt":0}"#).await;
    assert_eq!(device.expect_puback().await, id);
    cloud.recorder().wait_for(|records| records.iter().any(|record| record.acknowledged), PATIENCE).await.unwrap();
    let record = cloud.recorder().records().remove(0);
    assert_eq!((record.device.as_str(), record.connection, record.kind()), ("CP-GW", 1, MessageKind::Report));
    assert_eq!(record.properties()["a"].as_deref(), Some("b c"));
    assert_eq!(record.properties()["$.ct"].as_deref(), Some("application/json"));
    device.send(Packet::Disconnect).await;
    cloud.hub().wait_disconnected("GW", PATIENCE).await.unwrap();
    assert_eq!(cloud.hub().connections("GW")[0].ended.as_ref().unwrap().1, End::Disconnected);
}

#[tokio::test]
async fn tokens_are_checked_to_the_letter() {
    let cloud = cloud().await;
    let key = cloud.hub().key("GW").unwrap();
    let refused = [
        ("another device", connect_with(&key, "localhost/devices/CP-OTHER", soon())),
        ("another host", connect_with(&key, "example.org/devices/CP-GW", soon())),
        ("the whole hub", connect_with(&key, "localhost", soon())),
        ("the device id in another case", connect_with(&key, "localhost/devices/cp-gw", soon())),
        ("expired", connect_with(&key, "localhost/devices/CP-GW", sas::now_unix_s() - 1)),
        ("another key", connect_with(&Key::random(), "localhost/devices/CP-GW", soon())),
    ];
    for (what, connect) in refused {
        let code = RawDevice::try_connect(&cloud, connect).await;
        assert_eq!(code, Some(ConnectReturnCode::NotAuthorized), "{what}");
    }
    let password = sas::sign(&key, "localhost/devices/CP-GW", soon(), Some("device"));
    let mut policy = good_connect(&cloud);
    policy.set_credentials("localhost/CP-GW/?api-version=1", password.into_bytes());
    assert_eq!(RawDevice::try_connect(&cloud, policy).await, Some(ConnectReturnCode::NotAuthorized));

    // The host is a name: its case does not matter.
    let accepted = RawDevice::try_connect(&cloud, connect_with(&key, "LocalHost/devices/CP-GW", soon())).await;
    assert_eq!(accepted, Some(ConnectReturnCode::Success));
    assert_eq!(cloud.hub().refusals().len(), 7);
}

#[tokio::test]
async fn names_in_connect_must_agree() {
    let cloud = cloud().await;
    let password = sas::sign(&cloud.hub().key("GW").unwrap(), "localhost/devices/CP-GW", soon(), None);
    let cases = [
        ("CP-OTHER", "localhost/CP-GW/?api-version=1", Some(ConnectReturnCode::NotAuthorized)),
        ("CP-GW", "example.org/CP-GW/?api-version=1", Some(ConnectReturnCode::NotAuthorized)),
        ("CP-NEW", "localhost/CP-NEW/?api-version=1", Some(ConnectReturnCode::NotAuthorized)),
        ("CP-GW", "localhost/CP-GW", None),
        ("CP-GW", "CP-GW", None),
        ("CP-GW", "localhost/CP-GW/api-version=1", Some(ConnectReturnCode::Success)),
    ];
    for (client_id, username, expected) in cases {
        let mut connect = good_connect(&cloud);
        connect.client_id = client_id.to_owned();
        connect.set_credentials(username, password.clone().into_bytes());
        assert_eq!(RawDevice::try_connect(&cloud, connect).await, expected, "{client_id} {username}");
    }
    let mut anonymous = good_connect(&cloud);
    anonymous.clear_auth();
    assert_eq!(RawDevice::try_connect(&cloud, anonymous).await, None);
}

#[tokio::test]
async fn an_expired_token_ends_the_connection() {
    let cloud = cloud().await;
    let key = cloud.hub().key("GW").unwrap();
    let connect = connect_with(&key, "localhost/devices/CP-GW", sas::now_unix_s() + 2);
    let (mut device, _) = RawDevice::online(&cloud, connect).await;
    device.expect_closed().await;
    cloud.hub().wait_disconnected("GW", PATIENCE).await.unwrap();
    assert_eq!(cloud.hub().connections("GW")[0].ended.as_ref().unwrap().1, End::TokenExpired);
}

#[tokio::test]
async fn a_silent_device_is_dropped_after_one_and_a_half_keepalives() {
    let cloud = cloud().await;
    let mut connect = good_connect(&cloud);
    connect.keep_alive = 1;
    let started = std::time::Instant::now();
    let (mut device, _) = RawDevice::online(&cloud, connect).await;
    device.expect_closed().await;
    assert!(started.elapsed() >= Duration::from_millis(1400));
    cloud.hub().wait_disconnected("GW", PATIENCE).await.unwrap();
    assert_eq!(cloud.hub().connections("GW")[0].ended.as_ref().unwrap().1, End::KeepaliveMissed);
}

#[tokio::test]
async fn a_second_connection_kicks_the_first() {
    let cloud = cloud().await;
    let (mut first, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    let (mut second, ack) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    assert!(ack.session_present);
    first.expect_closed().await;
    second.expect_nothing_waiting().await;
    assert!(cloud.hub().connected("GW"));
    let kicked = cloud.hub().wait_connections("GW", 2, PATIENCE).await.unwrap();
    assert_eq!(kicked[1].ended, None);
    cloud.recorder().wait_for(|_| cloud.hub().connections("GW")[0].ended.is_some(), PATIENCE).await.unwrap();
    assert_eq!(cloud.hub().connections("GW")[0].ended.as_ref().unwrap().1, End::Kicked);
}

#[tokio::test]
async fn a_sixth_subscription_is_refused_and_unknown_filters_too() {
    let cloud = cloud().await;
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    let five = [
        (C2D, QoS::ExactlyOnce),
        ("$iothub/twin/res/#", QoS::AtMostOnce),
        ("$iothub/twin/PATCH/properties/desired/#", QoS::AtLeastOnce),
        ("$iothub/methods/POST/#", QoS::AtMostOnce),
        ("$iothub/streams/POST/#", QoS::AtMostOnce),
    ];
    let granted = device.subscribe(&five).await;
    assert_eq!(granted[0], SubscribeReasonCode::Success(QoS::AtLeastOnce), "QoS 2 is granted as 1");
    assert!(granted.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))));
    let sixth = [("$iothub/streams/res/#", QoS::AtMostOnce)];
    assert_eq!(device.subscribe(&sixth).await, [SubscribeReasonCode::Failure]);
    let again = [(C2D, QoS::AtLeastOnce)];
    assert_eq!(device.subscribe(&again).await, [SubscribeReasonCode::Success(QoS::AtLeastOnce)]);

    let (mut device, _) = RawDevice::online(&cloud, {
        let mut connect = good_connect(&cloud);
        connect.clean_session = true;
        connect
    })
    .await;
    for filter in ["#", "devices/CP-OTHER/messages/devicebound/#", "devices/+/messages/devicebound/#", "hello"] {
        assert_eq!(device.subscribe(&[(filter, QoS::AtMostOnce)]).await, [SubscribeReasonCode::Failure], "{filter}");
    }
}

#[tokio::test]
async fn a_refused_subscription_can_close_the_connection() {
    let options = CloudOptions::new().device(Device::symmetric("GW")).subscription_refusal(SubscriptionRefusal::Close);
    let cloud = Cloud::start(options).await.unwrap();
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    let mut subscribe = rumqttc::mqttbytes::v4::Subscribe::new("hello", QoS::AtMostOnce);
    subscribe.pkid = 1;
    device.send(Packet::Subscribe(subscribe)).await;
    device.expect_closed().await;
}

#[tokio::test]
async fn forbidden_publishes_end_the_connection() {
    let cloud = cloud().await;
    let big = "x".repeat(256 * 1024 + 1);
    // Properties count.
    let with_properties = format!("{EVENTS}a=b");
    let cases = [
        (EVENTS, QoS::ExactlyOnce, "{}"),
        ("devices/CP-OTHER/messages/events/", QoS::AtLeastOnce, "{}"),
        ("devices/CP-GW/messages/devicebound/", QoS::AtLeastOnce, "{}"),
        ("hello", QoS::AtMostOnce, "{}"),
        (EVENTS, QoS::AtLeastOnce, big.as_str()),
        (&with_properties, QoS::AtLeastOnce, &big[..256 * 1024 - 2]),
    ];
    for (topic, qos, body) in cases {
        let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
        let mut publish = Publish::new(topic, qos, body);
        publish.pkid = if qos == QoS::AtMostOnce { 0 } else { 1 };
        device.send(Packet::Publish(publish)).await;
        device.expect_closed().await;
    }
    assert!(cloud.recorder().is_empty());

    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.publish(EVENTS, &big[..256 * 1024]).await;
    device.expect_puback().await;
    device.publish(&with_properties, &big[..256 * 1024 - 3]).await;
    device.expect_puback().await;
}

#[tokio::test]
async fn a_second_connect_packet_ends_the_connection() {
    let cloud = cloud().await;
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.send(Packet::Connect(good_connect(&cloud))).await;
    device.expect_closed().await;
}

#[tokio::test]
async fn a_command_is_redelivered_until_it_is_acknowledged() {
    let cloud = cloud().await;
    cloud.hub().send_command("GW", "first", "a-1").unwrap();
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.expect_nothing_waiting().await;
    device.subscribe(&[(C2D, QoS::AtLeastOnce)]).await;
    let first = device.expect_publish().await;
    assert_eq!(
        std::str::from_utf8(&first.topic).unwrap(),
        "devices/CP-GW/messages/devicebound/%24.to=%2Fdevices%2FCP-GW%2Fmessages%2FdeviceBound"
    );
    assert_eq!((first.qos, first.dup), (QoS::AtLeastOnce, false));
    let body: Value = serde_json::from_slice(&first.payload).unwrap();
    assert_eq!(body["cmdType"], "0x01");
    assert_eq!(body["data"]["command"], "first");
    assert_eq!(body["data"]["ackId"], "a-1");
    drop(device);

    // The subscription is part of the session, so it comes by itself on the next connection.
    let (mut device, ack) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    assert!(ack.session_present);
    let again = device.expect_publish().await;
    assert!(again.dup);
    assert_eq!(again.payload, first.payload);
    device.acknowledge(&again).await;
    cloud.hub().wait_queue_empty("GW", PATIENCE).await.unwrap();
    drop(device);

    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.expect_nothing_waiting().await;
    cloud.hub().send_command("GW", "second", "a-2").unwrap();
    let second = device.expect_publish().await;
    cloud.hub().redeliver("GW").unwrap();
    let twice = device.expect_publish().await;
    assert!(twice.dup && twice.payload == second.payload);
}

#[tokio::test]
async fn fifty_messages_wait_and_no_more() {
    let cloud = cloud().await;
    for n in 0..50 {
        cloud.hub().send_command("GW", "go", &n.to_string()).unwrap();
    }
    assert!(cloud.hub().send_command("GW", "go", "50").is_err());
    assert!(cloud.hub().send_raw("GW", vec![0; 64 * 1024 + 1], &Properties::new()).is_err());
    assert!(cloud.hub().send_command("NOBODY", "go", "x").is_err());
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.subscribe(&[(C2D, QoS::AtLeastOnce)]).await;
    for n in 0..50 {
        let publish = device.expect_publish().await;
        let body: Value = serde_json::from_slice(&publish.payload).unwrap();
        assert_eq!(body["data"]["ackId"], n.to_string());
        device.acknowledge(&publish).await;
    }
    cloud.hub().wait_queue_empty("GW", PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_forgotten_session_loses_subscriptions_but_no_message() {
    let cloud = cloud().await;
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.subscribe(&[(C2D, QoS::AtLeastOnce)]).await;
    drop(device);
    cloud.hub().forget_sessions(true);
    cloud.hub().send_command("GW", "go", "1").unwrap();
    let (mut device, ack) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    assert!(!ack.session_present);
    device.expect_nothing_waiting().await;
    device.subscribe(&[(C2D, QoS::AtLeastOnce)]).await;
    device.expect_publish().await;
}

#[tokio::test]
async fn the_twin_is_read_patched_and_pushed() {
    let cloud = cloud().await;
    cloud.hub().set_desired("GW", &json!({"fan": 1})).unwrap();
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device
        .subscribe(&[
            ("$iothub/twin/res/#", QoS::AtMostOnce),
            ("$iothub/twin/PATCH/properties/desired/#", QoS::AtMostOnce),
        ])
        .await;
    device.send(Packet::Publish(Publish::new("$iothub/twin/GET/?$rid=7", QoS::AtMostOnce, ""))).await;
    let twin = device.expect_publish().await;
    assert_eq!(&twin.topic[..], b"$iothub/twin/res/200/?$rid=7");
    assert_eq!(
        serde_json::from_slice::<Value>(&twin.payload).unwrap(),
        json!({"desired": {"fan": 1, "$version": 2}, "reported": {"$version": 1}})
    );

    let reported = "$iothub/twin/PATCH/properties/reported/?$rid=8";
    device.send(Packet::Publish(Publish::new(reported, QoS::AtMostOnce, r#"{"fan":1,"gone":null}"#))).await;
    let answer = device.expect_publish().await;
    assert_eq!(&answer.topic[..], b"$iothub/twin/res/204/?$rid=8&$version=2");
    assert!(answer.payload.is_empty());
    assert_eq!(cloud.hub().twin("GW").unwrap()["reported"], json!({"fan": 1, "$version": 2}));

    let big = json!({"big": "x".repeat(33 * 1024)}).to_string();
    for body in ["not json", "[]", &big] {
        device.send(Packet::Publish(Publish::new(reported, QoS::AtMostOnce, body))).await;
        assert_eq!(&device.expect_publish().await.topic[..], b"$iothub/twin/res/400/?$rid=8");
    }

    cloud.hub().set_desired("GW", &json!({"fan": null, "led": true})).unwrap();
    let push = device.expect_publish().await;
    assert_eq!(&push.topic[..], b"$iothub/twin/PATCH/properties/desired/?$version=3");
    assert_eq!(
        serde_json::from_slice::<Value>(&push.payload).unwrap(),
        json!({"fan": null, "led": true, "$version": 3})
    );
}

#[tokio::test]
async fn a_direct_method_is_called_and_answered() {
    let cloud = cloud().await;
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.subscribe(&[("$iothub/methods/POST/#", QoS::AtMostOnce)]).await;
    let argument = json!({"in": 1});
    let call = cloud.hub().call_method("GW", "reboot", &argument, PATIENCE);
    let answer = async {
        let publish = device.expect_publish().await;
        assert_eq!(&publish.topic[..], b"$iothub/methods/POST/reboot/?$rid=1");
        let answer = Publish::new("$iothub/methods/res/200/?$rid=1", QoS::AtMostOnce, r#"{"ok":true}"#);
        device.send(Packet::Publish(answer)).await;
    };
    let (answered, ()) = tokio::join!(call, answer);
    assert_eq!(answered.unwrap(), (200, json!({"ok": true})));
}

#[tokio::test]
async fn pubacks_can_be_held_dropped_and_reordered() {
    let cloud = cloud().await;
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;

    cloud.hub().hold_pubacks();
    device.publish(EVENTS, "1").await;
    device.publish(EVENTS, "2").await;
    cloud.recorder().wait_for(|records| records.len() == 2, PATIENCE).await.unwrap();
    device.expect_nothing_waiting().await;
    cloud.hub().release_pubacks();
    assert_eq!((device.expect_puback().await, device.expect_puback().await), (1, 2));

    cloud.hub().drop_pubacks(1);
    device.publish(EVENTS, "3").await;
    device.publish(EVENTS, "4").await;
    assert_eq!(device.expect_puback().await, 4);

    cloud.hub().reorder_pubacks(3);
    for body in ["5", "6", "7"] {
        device.publish(EVENTS, body).await;
    }
    assert_eq!((device.expect_puback().await, device.expect_puback().await, device.expect_puback().await), (7, 6, 5));

    cloud.hub().pubacks(Pubacks::Delayed(Duration::from_millis(300)));
    let started = std::time::Instant::now();
    device.publish(EVENTS, "8").await;
    device.expect_puback().await;
    assert!(started.elapsed() >= Duration::from_millis(300));

    cloud.recorder().wait_for(|records| records[7].acknowledged, PATIENCE).await.unwrap();
    assert_eq!(cloud.recorder().unacknowledged_at_disconnect(1), 1);
}

#[tokio::test]
async fn a_group_of_reordered_pubacks_that_does_not_fill_up_goes_out_all_the_same() {
    let cloud = cloud().await;
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    cloud.hub().reorder_pubacks(10);
    device.publish(EVENTS, "1").await;
    device.publish(EVENTS, "2").await;
    assert_eq!((device.expect_puback().await, device.expect_puback().await), (2, 1));
}

#[tokio::test]
async fn pubacks_can_be_duplicated() {
    let cloud = cloud().await;
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    cloud.hub().duplicate_pubacks(2);
    for body in ["1", "2", "3"] {
        device.publish(EVENTS, body).await;
    }
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(device.expect_puback().await);
    }
    assert_eq!(ids, [1, 1, 2, 2, 3]);
    device.expect_nothing_waiting().await;
}

#[tokio::test]
async fn a_connection_can_be_ended_as_if_kicked_or_expired() {
    let cloud = cloud().await;
    for (number, end) in [End::Kicked, End::TokenExpired].into_iter().enumerate() {
        let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
        match end {
            End::Kicked => cloud.hub().kick("GW").unwrap(),
            _ => cloud.hub().expire_token("GW").unwrap(),
        }
        device.expect_closed().await;
        cloud.hub().wait_disconnected("GW", PATIENCE).await.unwrap();
        assert_eq!(cloud.hub().connections("GW")[number].ended.as_ref().unwrap().1, end);
    }
    assert!(cloud.hub().kick("GW").is_err());
}

#[tokio::test]
async fn forgotten_sessions_are_not_present_and_not_subscribed() {
    let cloud = cloud().await;
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.subscribe(&[(C2D, QoS::AtLeastOnce)]).await;
    cloud.hub().forget_sessions(true);
    let (mut device, ack) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    assert!(!ack.session_present);
    cloud.hub().send_command("GW", "still queued", "a-1").unwrap();
    device.expect_nothing_waiting().await;
    device.subscribe(&[(C2D, QoS::AtLeastOnce)]).await;
    device.expect_publish().await;
}

#[tokio::test]
async fn a_cut_after_a_message_leaves_it_recorded_and_unacknowledged() {
    let cloud = cloud().await;
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    cloud.hub().cut_after("GW", 2).unwrap();
    device.publish(EVENTS, "1").await;
    device.expect_puback().await;
    device.publish(EVENTS, "2").await;
    device.expect_closed().await;
    cloud.hub().wait_disconnected("GW", PATIENCE).await.unwrap();
    assert_eq!(cloud.recorder().len(), 2);
    assert_eq!(cloud.recorder().unacknowledged_at_disconnect(1), 1);

    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.publish(EVENTS, "2").await;
    device.expect_puback().await;
    assert_eq!(cloud.recorder().duplicates(), 1);
    cloud.hub().cut("GW").unwrap();
    device.expect_closed().await;
    cloud.hub().wait_disconnected("GW", PATIENCE).await.unwrap();
    assert!(cloud.hub().cut("GW").is_err());
}

#[tokio::test]
async fn connects_can_be_refused_for_a_while() {
    let cloud = cloud().await;
    cloud.hub().refuse_connects(2, 3);
    for expected in
        [ConnectReturnCode::ServiceUnavailable, ConnectReturnCode::ServiceUnavailable, ConnectReturnCode::Success]
    {
        assert_eq!(RawDevice::try_connect(&cloud, good_connect(&cloud)).await, Some(expected));
    }
    cloud.hub().revoke("GW").unwrap();
    let connect = connect_with(&Key::random(), "localhost/devices/CP-GW", soon());
    assert_eq!(RawDevice::try_connect(&cloud, connect).await, Some(ConnectReturnCode::NotAuthorized));
}

#[tokio::test]
async fn an_outage_ends_connections_and_keeps_the_port() {
    let cloud = cloud().await;
    let address = cloud.hub().address().unwrap();
    for _ in 0..3 {
        let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
        cloud.stop_listening().await;
        device.expect_closed().await;
        assert!(!cloud.hub().connected("GW"));
        let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        cloud.resume_listening().await;
    }
    let (mut device, ack) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    assert!(ack.session_present);
    device.expect_nothing_waiting().await;
}

#[tokio::test]
async fn a_frozen_connection_stays_open_and_silent() {
    let cloud = cloud().await;
    let (mut device, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    cloud.hub().freeze("GW").unwrap();
    // The next connection takes its place; until then nothing comes.
    device.publish(EVENTS, "1").await;
    let (mut second, _) = RawDevice::online(&cloud, good_connect(&cloud)).await;
    device.expect_closed().await;
    second.expect_nothing_waiting().await;
    assert!(cloud.recorder().is_empty());
}

#[tokio::test]
async fn a_will_comes_when_a_device_drops_off() {
    let cloud = cloud().await;
    let mut connect = good_connect(&cloud);
    connect.last_will = Some(LastWill::new(EVENTS, "gone", QoS::AtMostOnce, false));
    let (device, _) = RawDevice::online(&cloud, connect).await;
    drop(device);
    cloud.recorder().wait_for(|records| records.len() == 1, PATIENCE).await.unwrap();
    let record = cloud.recorder().records().remove(0);
    assert!(record.will);
    assert_eq!(record.properties()["iothub-MessageType"].as_deref(), Some("Will"));
}

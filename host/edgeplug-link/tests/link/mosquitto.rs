//! Against a real broker, over TLS.

use bytes::Bytes;
use edgeplug_link::{ConnectOptions, DownReason, LinkEvent, Mqtt};
use edgeplug_test_support::{certificates::TestCa, mosquitto::Mosquitto};

use crate::rig::{Rig, TOPIC, plain, secure};

#[tokio::test]
async fn a_thousand_publishes_through_a_window_of_a_hundred_all_arrive() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let mut listener = Rig::new(None);
    let options = ConnectOptions {
        client_id: "listener".into(),
        subscriptions: vec![TOPIC.into()],
        ..plain(broker.plain_port())
    };
    let (listening, _) = listener.up(options).await;

    let mut device = Rig::new(Some(ca.ca_file()));
    let (connections, payloads) = tokio::join!(device.deliver(1000, || secure(broker.tls_port())), async {
        let mut payloads = Vec::new();
        while payloads.len() < 1000 {
            let message = listener.received(listening).await;
            assert_eq!(message.topic, TOPIC);
            listener.mqtt.acknowledge(listening, message.delivery);
            payloads.push(message.payload);
        }
        payloads
    });

    assert_eq!(connections, 1);
    assert_eq!(payloads, (1..=1000).map(|ticket| Bytes::from(ticket.to_string())).collect::<Vec<_>>());
}

#[tokio::test]
async fn only_what_was_not_acknowledged_comes_again() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let topic = "devices/d1/messages/devicebound/x";
    let mut cloud = Rig::new(None);
    let options = ConnectOptions { client_id: "cloud".into(), subscriptions: vec![], ..plain(broker.plain_port()) };
    let (cloud_up, _) = cloud.up(options).await;
    let send = |ticket, text: &'static str| {
        cloud.mqtt.publish(cloud_up, ticket, topic, Bytes::from_static(text.as_bytes())).unwrap();
    };
    let mut device = Rig::new(Some(ca.ca_file()));

    let (first, session_present) = device.up(secure(broker.tls_port())).await;
    assert!(!session_present);
    send(1, "acknowledged");
    send(2, "forgotten");
    let acknowledged = device.received(first).await;
    assert_eq!((&acknowledged.topic[..], &acknowledged.payload[..]), (topic, &b"acknowledged"[..]));
    assert_eq!(device.received(first).await.payload, "forgotten");
    device.mqtt.acknowledge(first, acknowledged.delivery);
    device.leave(first).await;

    let (second, session_present) = device.up(secure(broker.tls_port())).await;
    assert!(session_present);
    let again = device.received(second).await;
    assert_eq!(again.payload, "forgotten");
    device.mqtt.acknowledge(second, again.delivery);
    device.leave(second).await;

    let (third, _) = device.up(secure(broker.tls_port())).await;
    send(3, "new");
    assert_eq!(device.received(third).await.payload, "new");
}

#[tokio::test]
async fn two_hundred_kilobytes_pass_each_way() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let mut device = Rig::new(Some(ca.ca_file()));
    let options = ConnectOptions { subscriptions: vec![TOPIC.to_owned()], ..secure(broker.tls_port()) };
    let (connection, _) = device.up(options).await;
    let large = Bytes::from((0..200_000_u32).map(|n| n as u8).collect::<Vec<_>>());

    device.mqtt.publish(connection, 7, TOPIC, large.clone()).unwrap();

    let (mut delivered, mut received) = (false, false);
    while !(delivered && received) {
        match device.event().await {
            LinkEvent::Delivered { tickets, .. } => delivered = tickets == [7],
            LinkEvent::Received { payload, .. } => received = payload == large,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_second_connection_with_the_same_client_id_closes_the_first() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let mut device = Rig::new(Some(ca.ca_file()));
    let (connection, _) = device.up(secure(broker.tls_port())).await;

    let mut thief = Rig::new(Some(ca.ca_file()));
    thief.up(secure(broker.tls_port())).await;

    assert_eq!(device.down(connection).await, DownReason::Closed);
}

#[tokio::test]
async fn a_broker_that_cannot_be_trusted_is_named_with_the_reason() {
    let ca = TestCa::new().unwrap();
    let stranger = TestCa::new().unwrap();
    for (server, trusted, expected) in [
        (ca.server().unwrap(), &stranger, "the certificate of localhost comes from an unknown issuer"),
        (ca.expired_server().unwrap(), &ca, "the certificate of localhost has expired"),
        (ca.misnamed_server().unwrap(), &ca, "the certificate of localhost is for another name"),
    ] {
        let broker = Mosquitto::start_with(&ca, &server).unwrap();
        let reason = Rig::new(Some(trusted.ca_file())).refused(secure(broker.tls_port())).await;
        assert!(matches!(&reason, DownReason::Tls(text) if text.starts_with(expected)), "{reason}");
    }
}

#[tokio::test]
async fn tls_to_a_port_without_tls_says_so() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let reason = Rig::new(Some(ca.ca_file())).refused(secure(broker.plain_port())).await;
    assert!(matches!(&reason, DownReason::Tls(text) if text.contains("localhost")), "{reason}");
}

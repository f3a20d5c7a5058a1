//! MQTT over WebSocket.

use bytes::Bytes;
use edgeplug_link::{ConnectOptions, DownReason, Transport};
use edgeplug_test_support::{
    certificates::TestCa,
    mosquitto::Mosquitto,
    scripted_broker::{Script, ScriptedBroker},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    https_server::HttpsServer,
    rig::{Rig, TOPIC, secure},
    websocket_front::{Manners, WebSocketFront},
};

fn options(port: u16) -> ConnectOptions {
    ConnectOptions { transport: Transport::WebSocket, ..secure(port) }
}

#[tokio::test]
async fn a_thousand_publishes_arrive_and_large_messages_pass_each_way() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let front = WebSocketFront::start(&ca.server().unwrap(), Manners::Good, broker.plain_port()).await;
    let mut rig = Rig::new(Some(ca.ca_file()));

    assert_eq!(rig.deliver(1000, || options(front.port)).await, 1);

    let subscriptions = vec![TOPIC.to_owned()];
    let (connection, _) = rig.up(ConnectOptions { subscriptions, client_id: "d2".into(), ..options(front.port) }).await;
    let large = Bytes::from((0..200_000).map(|index| (index % 251) as u8).collect::<Vec<_>>());
    edgeplug_link::Mqtt::publish(&rig.mqtt, connection, 1, TOPIC, large.clone()).unwrap();
    let mut came = false;
    let mut delivered = false;
    while !(came && delivered) {
        match rig.event().await {
            edgeplug_link::LinkEvent::Received { payload, .. } => {
                assert_eq!(payload, large);
                came = true;
            }
            edgeplug_link::LinkEvent::Delivered { .. } => delivered = true,
            other => panic!("{other:?}"),
        }
    }
    rig.leave(connection).await;
}

#[tokio::test]
async fn pings_and_empty_messages_never_reach_mqtt() {
    let ca = TestCa::new().unwrap();
    let broker = ScriptedBroker::start([Script::default()]).await.unwrap();
    let front = WebSocketFront::start(&ca.server().unwrap(), Manners::Good, broker.port()).await;
    let mut rig = Rig::new(Some(ca.ca_file()));
    let (connection, _) = rig.up(options(front.port)).await;
    for message in [
        Message::Ping(Bytes::new()),
        Message::Ping(Bytes::from_static(b"\x20\x02\x00\x00")),
        Message::Pong(Bytes::from_static(b"x")),
        Message::binary(Vec::new()),
    ] {
        front.inject(message).await;
    }
    rig.publish(connection, 1).unwrap();
    assert_eq!(rig.delivered(connection).await, [1]);
    broker.push("t", "still here").unwrap();
    assert_eq!(rig.received(connection).await.payload, "still here");
}

#[tokio::test]
async fn the_end_of_the_websocket_is_a_closed_connection_and_text_a_broken_one() {
    let ca = TestCa::new().unwrap();
    let broker = ScriptedBroker::start([Script::default()]).await.unwrap();
    let front = WebSocketFront::start(&ca.server().unwrap(), Manners::Good, broker.port()).await;
    let mut rig = Rig::new(Some(ca.ca_file()));

    let (connection, _) = rig.up(options(front.port)).await;
    broker.cut().unwrap();
    assert_eq!(rig.down(connection).await, DownReason::Closed);

    let (connection, _) = rig.up(options(front.port)).await;
    front.inject(Message::text("hello")).await;
    let reason = rig.down(connection).await;
    assert!(matches!(reason, DownReason::Closed | DownReason::Protocol(_)), "{reason}");
}

#[tokio::test]
async fn a_server_without_mqtt_over_websocket_is_named_with_the_reason() {
    let ca = TestCa::new().unwrap();
    let nowhere = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let portal = HttpsServer::start(&ca.server().unwrap(), Some(nowhere)).await;
    let other = HttpsServer::start(&ca.server().unwrap(), Some("SSH-2.0-OpenSSH\r\n")).await;
    let nameless = WebSocketFront::start(&ca.server().unwrap(), Manners::NoSubprotocol, 1).await;
    for (port, expected) in [
        (portal.port, "localhost takes no mqtt over websocket here (http status 404 Not Found); check host and port"),
        (other.port, "localhost made no websocket of the connection"),
        (nameless.port, "localhost made no websocket of the connection"),
    ] {
        match Rig::new(Some(ca.ca_file())).refused(options(port)).await {
            DownReason::Protocol(text) => assert!(text.starts_with(expected), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    let request = portal.requests().remove(0);
    assert!(request.starts_with("GET /$iothub/websocket HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{request}");
}

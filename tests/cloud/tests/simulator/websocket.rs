//! The hub over WebSocket.

use bytes::{Bytes, BytesMut};
use edgeplug_cloud::{Cloud, CloudOptions, Device, End};
use futures_util::{SinkExt as _, StreamExt as _};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::PATIENCE;
use super::device::{good_connect, tls};

const PATH: &str = "/$iothub/websocket";

async fn cloud() -> Cloud {
    Cloud::start(CloudOptions::new().device(Device::symmetric("GW"))).await.unwrap()
}

struct WebDevice {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    incoming: BytesMut,
}

impl WebDevice {
    async fn open(cloud: &Cloud, path: &str, subprotocol: Option<&str>) -> Result<Self, Error> {
        let stream = tls(cloud, cloud.hub().websocket_address().unwrap()).await;
        let mut request = format!("wss://localhost{path}").into_client_request().unwrap();
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol.parse().unwrap());
        }
        let (socket, answer) = client_async(request, stream).await?;
        assert_eq!(answer.headers()[SEC_WEBSOCKET_PROTOCOL], "mqtt");
        Ok(Self { socket, incoming: BytesMut::new() })
    }

    async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, 1024 * 1024).unwrap();
        // Packets need not keep to messages.
        for piece in bytes.chunks(7) {
            self.socket.send(Message::binary(piece.to_vec())).await.unwrap();
        }
    }

    /// `None` when the hub has closed the connection.
    async fn packet(&mut self) -> Option<Packet> {
        loop {
            if let Ok(packet) = Packet::read(&mut self.incoming, 1024 * 1024) {
                return Some(packet);
            }
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the hub says nothing") {
                Some(Ok(Message::Binary(bytes))) => self.incoming.extend_from_slice(&bytes),
                Some(Ok(Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    async fn online(cloud: &Cloud) -> Self {
        let mut device = Self::open(cloud, PATH, Some("mqtt")).await.unwrap();
        device.send(Packet::Connect(good_connect(cloud))).await;
        assert!(matches!(device.packet().await, Some(Packet::ConnAck(_))));
        device
    }
}

#[tokio::test]
async fn it_is_the_same_hub_behind_the_websocket() {
    let cloud = cloud().await;
    let mut device = WebDevice::online(&cloud).await;
    let mut publish = Publish::new("devices/CP-GW/messages/events/", QoS::AtLeastOnce, vec![b'x'; 200_000]);
    publish.pkid = 7;
    device.send(Packet::Publish(publish)).await;
    assert!(matches!(device.packet().await, Some(Packet::PubAck(ack)) if ack.pkid == 7));
    assert_eq!(cloud.recorder().records()[0].body.len(), 200_000);

    device.socket.send(Message::Ping(Bytes::from_static(b"x"))).await.unwrap();
    device.send(Packet::PingReq).await;
    assert!(matches!(device.packet().await, Some(Packet::PingResp)));

    cloud.hub().cut("GW").unwrap();
    assert!(device.packet().await.is_none());
    cloud.hub().wait_disconnected("GW", PATIENCE).await.unwrap();
    assert_eq!(cloud.hub().connections("GW")[0].ended.as_ref().unwrap().1, End::Cut);
}

#[tokio::test]
async fn another_path_or_subprotocol_is_refused_and_text_ends_the_connection() {
    let cloud = cloud().await;
    for (path, subprotocol, status) in [
        ("/", Some("mqtt"), 404),
        ("/mqtt", Some("mqtt"), 404),
        (PATH, None, 400),
        (PATH, Some("amqp"), 400),
        (PATH, Some("mqttv5"), 400),
    ] {
        match WebDevice::open(&cloud, path, subprotocol).await.err() {
            Some(Error::Http(answer)) => assert_eq!(answer.status(), status, "{path} {subprotocol:?}"),
            other => panic!("{path} {subprotocol:?}: {other:?}"),
        }
    }
    WebDevice::open(&cloud, "/$iothub/websocket?iothub-no-client-cert=true", Some("mqtt")).await.unwrap();

    let mut device = WebDevice::online(&cloud).await;
    device.socket.send(Message::text("hello")).await.unwrap();
    assert!(device.packet().await.is_none());
    cloud.hub().wait_disconnected("GW", PATIENCE).await.unwrap();
    assert!(matches!(cloud.hub().connections("GW")[0].ended.as_ref().unwrap().1, End::Violation(_)));
}

#[tokio::test]
async fn an_outage_closes_both_doors_and_both_open_again() {
    let cloud = cloud().await;
    let mut device = WebDevice::online(&cloud).await;
    cloud.hub().stop_listening().await;
    assert!(device.packet().await.is_none());
    for address in [cloud.hub().address(), cloud.hub().websocket_address()] {
        assert!(TcpStream::connect(address.unwrap()).await.is_err());
    }
    cloud.hub().resume_listening().await;
    WebDevice::online(&cloud).await;
    assert_eq!(cloud.wss_port(), cloud.hub().websocket_address().unwrap().port());
}

//! A device that speaks raw MQTT packets, so that a test decides about every one of them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use edgeplug_cloud::{Cloud, Key, sas};
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, SubAck, Subscribe, SubscribeFilter,
    SubscribeReasonCode,
};
use rumqttc::mqttbytes::{Error, QoS};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::PATIENCE;

const PACKET_MAX: usize = 1024 * 1024;

pub(super) struct RawDevice {
    stream: TlsStream<TcpStream>,
    incoming: BytesMut,
    last_packet_id: u16,
}

/// A CONNECT that a good device would send; tests spoil it.
pub(super) fn good_connect(cloud: &Cloud) -> Connect {
    let key = cloud.hub().key("GW").unwrap();
    connect_with(&key, "localhost/devices/CP-GW", sas::now_unix_s() + 3600)
}

pub(super) fn connect_with(key: &Key, resource: &str, expiry: u64) -> Connect {
    let mut connect = Connect::new("CP-GW");
    connect.keep_alive = 60;
    connect.clean_session = false;
    connect.set_credentials(
        "localhost/CP-GW/?api-version=2018-06-30",
        sas::sign(key, resource, expiry, None).into_bytes(),
    );
    connect
}

impl RawDevice {
    /// Opens the connection, sends the CONNECT and expects it to be accepted.
    pub(super) async fn online(cloud: &Cloud, connect: Connect) -> (Self, ConnAck) {
        let mut device = Self::open(cloud).await;
        device.send(Packet::Connect(connect)).await;
        let Some(Packet::ConnAck(ack)) = device.packet().await else { panic!("no CONNACK") };
        assert_eq!(ack.code, ConnectReturnCode::Success);
        (device, ack)
    }

    /// The CONNACK code, or `None` when the connection was closed without one.
    pub(super) async fn try_connect(cloud: &Cloud, connect: Connect) -> Option<ConnectReturnCode> {
        let mut device = Self::open(cloud).await;
        device.send(Packet::Connect(connect)).await;
        match device.packet().await {
            Some(Packet::ConnAck(ack)) => {
                assert!(!ack.session_present || ack.code == ConnectReturnCode::Success);
                Some(ack.code)
            }
            Some(other) => panic!("{other:?} instead of CONNACK"),
            None => None,
        }
    }

    pub(super) async fn open(cloud: &Cloud) -> Self {
        let stream = tls(cloud, cloud.hub().address().unwrap()).await;
        Self { stream, incoming: BytesMut::new(), last_packet_id: 0 }
    }

    pub(super) async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, PACKET_MAX).unwrap();
        // A write to a connection that the hub has just closed may fail; what counts is what is read next.
        if self.stream.write_all(&bytes).await.is_ok() {
            self.stream.flush().await.ok();
        }
    }

    /// The next packet; `None` when the hub has closed the connection.
    pub(super) async fn packet(&mut self) -> Option<Packet> {
        let next = async {
            loop {
                match Packet::read(&mut self.incoming, PACKET_MAX) {
                    Ok(packet) => return Some(packet),
                    Err(Error::InsufficientBytes(_)) => {}
                    Err(error) => panic!("the hub sent something malformed: {error}"),
                }
                match self.stream.read_buf(&mut self.incoming).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("the hub neither answered nor closed")
    }

    /// Publishes without waiting; the packet id.
    pub(super) async fn publish(&mut self, topic: &str, body: &str) -> u16 {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, body);
        self.last_packet_id += 1;
        publish.pkid = self.last_packet_id;
        self.send(Packet::Publish(publish)).await;
        self.last_packet_id
    }

    pub(super) async fn expect_puback(&mut self) -> u16 {
        match self.packet().await {
            Some(Packet::PubAck(PubAck { pkid })) => pkid,
            other => panic!("{other:?} instead of PUBACK"),
        }
    }

    pub(super) async fn expect_publish(&mut self) -> Publish {
        match self.packet().await {
            Some(Packet::Publish(publish)) => publish,
            other => panic!("{other:?} instead of PUBLISH"),
        }
    }

    pub(super) async fn expect_closed(&mut self) {
        let packet = self.packet().await;
        assert!(packet.is_none(), "{packet:?} instead of the end of the connection");
    }

    /// The hub answers a PINGREQ, and nothing else comes before the answer.
    pub(super) async fn expect_nothing_waiting(&mut self) {
        self.send(Packet::PingReq).await;
        let packet = self.packet().await;
        assert!(matches!(packet, Some(Packet::PingResp)), "{packet:?}");
    }

    pub(super) async fn subscribe(&mut self, filters: &[(&str, QoS)]) -> Vec<SubscribeReasonCode> {
        let filters = filters.iter().map(|(path, qos)| SubscribeFilter::new((*path).to_owned(), *qos));
        let mut subscribe = Subscribe::new_many(filters);
        self.last_packet_id += 1;
        subscribe.pkid = self.last_packet_id;
        self.send(Packet::Subscribe(subscribe)).await;
        match self.packet().await {
            Some(Packet::SubAck(SubAck { pkid, return_codes })) if pkid == self.last_packet_id => return_codes,
            other => panic!("{other:?} instead of SUBACK"),
        }
    }

    pub(super) async fn acknowledge(&mut self, publish: &Publish) {
        self.send(Packet::PubAck(PubAck::new(publish.pkid))).await;
    }
}

/// A TLS connection to one of the hub's ports.
pub(super) async fn tls(cloud: &Cloud, address: SocketAddr) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cloud.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

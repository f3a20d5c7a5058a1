//! Through a relay that is a bad network.

use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use edgeplug_link::{ConnectOptions, DownReason, LinkEvent, Mqtt as _, PublishError, Transport};
use edgeplug_test_support::{
    certificates::TestCa,
    chaos_relay::{ChaosRelay, Script as Chaos},
    mosquitto::Mosquitto,
};
use tokio::time::{Instant, interval, sleep};

use crate::{
    rig::{Rig, TOPIC, plain, secure},
    websocket_front::{Manners, WebSocketFront},
};

const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Far less than the minutes that the kernel would wait, far more than a busy machine needs.
const LIMIT: Duration = Duration::from_secs(20);

async fn relay(port: u16) -> ChaosRelay {
    ChaosRelay::start(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap()
}

/// A link that is up through the relay, and the reason why it went down.
async fn half_open(transport: Transport, in_flight: usize) -> (DownReason, Duration) {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let front = WebSocketFront::start(&ca.server().unwrap(), Manners::Good, broker.plain_port()).await;
    let port = if transport == Transport::WebSocket { front.port } else { broker.tls_port() };
    let relay = relay(port).await;
    let mut rig = Rig::new(Some(ca.ca_file()));
    let options = ConnectOptions { transport, keep_alive: KEEP_ALIVE, ..secure(relay.port()) };
    let (connection, _) = rig.up(options).await;
    relay.black_hole(true);
    let start = Instant::now();
    for ticket in 0..in_flight {
        let payload = Bytes::from(vec![0; 200_000]);
        rig.mqtt.publish(connection, ticket as u64, TOPIC, payload).unwrap();
    }
    (rig.down(connection).await, start.elapsed())
}

#[tokio::test]
async fn a_half_open_link_is_ended_by_the_keep_alive() {
    for transport in [Transport::Mqtts, Transport::WebSocket] {
        let (reason, took) = half_open(transport, 0).await;
        assert_eq!(reason, DownReason::TimedOut("keep-alive"));
        assert!(took < LIMIT, "{took:?}");
    }
}

#[tokio::test]
async fn a_half_open_link_is_ended_even_when_more_is_in_flight_than_its_socket_holds() {
    for transport in [Transport::Mqtts, Transport::WebSocket] {
        let (reason, took) = half_open(transport, 100).await;
        assert!(matches!(reason, DownReason::TimedOut(_)), "{reason}");
        assert!(took < LIMIT, "{took:?}");
    }
}

#[tokio::test]
async fn leaving_a_dead_link_ends_in_time() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let relay = relay(broker.tls_port()).await;
    let mut rig = Rig::new(Some(ca.ca_file()));
    let (connection, _) = rig.up(secure(relay.port())).await;
    relay.black_hole(true);
    for ticket in 1..=100 {
        rig.mqtt.publish(connection, ticket, TOPIC, Bytes::from(vec![0; 200_000])).unwrap();
    }
    let start = Instant::now();
    rig.leave(connection).await;
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_packet_is_a_closed_connection() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let relay = relay(broker.tls_port()).await;
    let mut rig = Rig::new(Some(ca.ca_file()));
    let (connection, _) = rig.up(secure(relay.port())).await;
    relay.cut_after(10_000);
    rig.mqtt.publish(connection, 1, TOPIC, Bytes::from(vec![0; 200_000])).unwrap();
    assert_eq!(rig.down(connection).await, DownReason::Closed);
}

/// A cut at any point between the first byte and `Up` is one `Down`, in words that fit, and the next attempt works.
#[tokio::test]
async fn a_cut_at_any_point_of_coming_up_is_one_down() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let front = WebSocketFront::start(&ca.server().unwrap(), Manners::Good, broker.plain_port()).await;
    for (port, transport) in [(broker.tls_port(), Transport::Mqtts), (front.port, Transport::WebSocket)] {
        let relay = relay(port).await;
        let mut rig = Rig::new(Some(ca.ca_file()));
        let options = || ConnectOptions { transport, ..secure(relay.port()) };
        let (connection, _) = rig.up(options()).await;
        let up_bytes = relay.counts().bytes_up + relay.counts().bytes_down;
        rig.leave(connection).await;
        for bytes in (1..up_bytes).step_by(usize::try_from(up_bytes / 20).unwrap().max(1)) {
            relay.cut_after(bytes);
            let connection = rig.connect(options());
            match rig.event().await {
                LinkEvent::Up { .. } => {
                    // Session tickets of TLS 1.3 vary in number, so the last of it may lie behind `Up`.
                    relay.cut();
                    rig.down(connection).await;
                }
                LinkEvent::Down {
                    reason: DownReason::Closed | DownReason::Tls(_) | DownReason::Unreachable(_),
                    ..
                } => {}
                LinkEvent::Down { reason: DownReason::Protocol(text), .. } if text.contains("websocket") => {}
                other => panic!("after {bytes} bytes: {other:?}"),
            }
            relay.calm();
        }
        let (connection, _) = rig.up(options()).await;
        rig.leave(connection).await;
    }
}

#[tokio::test]
async fn with_custody_nothing_is_lost_under_scripted_chaos() {
    let ca = TestCa::new().unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let relay = relay(broker.tls_port()).await;
    let mut listener = Rig::new(None);
    let options = ConnectOptions {
        client_id: "listener".into(),
        subscriptions: vec![TOPIC.into()],
        ..plain(broker.plain_port())
    };
    let (listening, _) = listener.up(options).await;
    let script = Chaos::from_seed(7, Duration::from_secs(6));
    let chaos = relay.chaos();
    let mut device = Rig::new(Some(ca.ca_file()));
    let connect_timeout = Duration::from_secs(2);
    let options = || ConnectOptions { keep_alive: KEEP_ALIVE, connect_timeout, window: 20, ..secure(relay.port()) };

    let (connections, (), arrived) = tokio::join!(deliver(&mut device, 400, options), chaos.play(&script), async {
        let mut arrived = BTreeSet::new();
        while arrived.len() < 400 {
            let message = listener.received(listening).await;
            listener.mqtt.acknowledge(listening, message.delivery);
            arrived.insert(message.payload);
        }
        arrived.len()
    });

    assert_eq!(arrived, 400);
    assert!(connections > 1, "the script did nothing");
}

/// Like [`Rig::deliver`], but attempts may fail, and a message is due every few milliseconds.
async fn deliver(rig: &mut Rig, count: u64, options: impl Fn() -> ConnectOptions) -> usize {
    let mut kept = (1..=count).collect::<BTreeSet<_>>();
    let mut due = interval(Duration::from_millis(12));
    let mut connections = 0;
    while !kept.is_empty() {
        let connection = rig.connect(options());
        connections += 1;
        if let LinkEvent::Down { .. } = rig.event().await {
            sleep(Duration::from_millis(50)).await;
            continue;
        }
        let mut unsent = kept.iter().copied().collect::<VecDeque<_>>();
        while !kept.is_empty() {
            tokio::select! {
                _ = due.tick(), if !unsent.is_empty() => match rig.publish(connection, unsent[0]) {
                    Ok(()) => drop(unsent.pop_front()),
                    Err(PublishError::QueueFull(_)) => {}
                    Err(other) => panic!("{other}"),
                },
                event = rig.event() => match event {
                    LinkEvent::Delivered { connection: of, tickets } if of == connection => {
                        for ticket in tickets {
                            assert!(kept.remove(&ticket), "{ticket} was delivered twice or never sent");
                        }
                    }
                    LinkEvent::Down { connection: of, .. } if of == connection => break,
                    other => panic!("{other:?}"),
                },
            }
        }
    }
    connections
}

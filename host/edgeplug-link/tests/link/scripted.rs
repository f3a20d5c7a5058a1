//! Against a broker that misbehaves by script.

use std::time::Duration;

use bytes::Bytes;
use edgeplug_link::{
    ConnectOptions, ConnectionId, DownReason, LinkEvent, Mqtt, PublishError, QueueFull, Refusal, Transport,
    UNACKNOWLEDGED_MAX,
};
use edgeplug_test_support::scripted_broker::{Acks, Script, ScriptedBroker};
use tokio::net::TcpListener;

use crate::rig::{Rig, TOPIC, plain};

pub(crate) async fn broker<const N: usize>(scripts: [Script; N]) -> ScriptedBroker {
    ScriptedBroker::start(scripts).await.unwrap()
}

#[tokio::test]
async fn the_broker_is_told_who_connects_and_what_for() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    let (connection, session_present) = rig.up(plain(broker.port())).await;
    rig.publish(connection, 1).unwrap();
    rig.delivered(connection).await;

    assert!(!session_present);
    let record = broker.records().remove(0);
    assert_eq!(record.client_id, "d1");
    assert_eq!(record.username.as_deref(), Some("hub/d1/?api-version=2021-04-12"));
    assert_eq!(record.password.as_deref(), Some("SharedAccessSignature secret"));
    assert!(!record.clean_session);
    assert_eq!(record.keep_alive_s, 60);
    assert_eq!(record.subscriptions, ["devices/d1/messages/devicebound/#"]);
    assert_eq!((&record.publishes[0].topic[..], record.publishes[0].qos, record.publishes[0].dup), (TOPIC, 1, false));
}

#[tokio::test]
async fn every_refusing_code_is_named() {
    for (code, refusal) in [
        (1, Refusal::ProtocolVersion),
        (2, Refusal::ClientId),
        (3, Refusal::ServerUnavailable),
        (4, Refusal::BadCredentials),
        (5, Refusal::NotAuthorized),
    ] {
        let broker = broker([Script { refuse: Some(code), ..Script::default() }]).await;
        let reason = Rig::new(None).refused(plain(broker.port())).await;
        assert_eq!(reason, DownReason::Refused(refusal));
        assert_eq!(refusal.code(), code);
        assert!(reason.to_string().ends_with(&format!("(code {code})")), "{reason}");
    }
}

#[tokio::test]
async fn a_refused_subscription_is_named_and_ends_the_connection() {
    let filter = "$iothub/methods/POST/#";
    let broker = broker([Script { refuse_filter: Some(filter.to_owned()), ..Script::default() }]).await;
    let subscriptions = vec!["a/#".to_owned(), filter.to_owned()];

    let reason = Rig::new(None).refused(ConnectOptions { subscriptions, ..plain(broker.port()) }).await;

    assert_eq!(reason, DownReason::SubscriptionRefused(filter.to_owned()));
    broker.wait_until("the connection is closed", |records| records[0].closed).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_never_answers_is_given_up_in_time() {
    let connect_timeout = Duration::from_millis(300);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = broker([Script { silent: true, ..Script::default() }]).await;
    let deaf = broker([Script { ignore_subscribe: true, ..Script::default() }]).await;
    for (port, waiting_for) in [
        (listener.local_addr().unwrap().port(), "connecting"),
        (silent.port(), "connecting"),
        (deaf.port(), "subscribing"),
    ] {
        let reason = Rig::new(None).refused(ConnectOptions { connect_timeout, ..plain(port) }).await;
        assert_eq!(reason, DownReason::TimedOut(waiting_for));
    }
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_by_the_keep_alive() {
    let broker = broker([Script { silent_once_connected: true, ..Script::default() }]).await;
    let keep_alive = Duration::from_secs(1);
    let mut rig = Rig::new(None);
    let options = ConnectOptions { keep_alive, subscriptions: vec![], ..plain(broker.port()) };
    let (connection, _) = rig.up(options).await;
    assert_eq!(rig.down(connection).await, DownReason::TimedOut("keep-alive"));
}

#[tokio::test]
async fn an_idle_connection_stays_up_by_pings() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(ConnectOptions { keep_alive: Duration::from_secs(1), ..plain(broker.port()) }).await;
    broker.wait_until("there were two pings", |records| records[0].pings == 2).await.unwrap();
    rig.publish(connection, 1).unwrap();
    assert_eq!(rig.delivered(connection).await, [1]);
}

#[tokio::test]
async fn nobody_listening_and_no_such_name_are_unreachable() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let reason = Rig::new(None).refused(plain(closed)).await;
    assert!(matches!(&reason, DownReason::Unreachable(text) if text.contains("127.0.0.1")), "{reason}");

    let options = ConnectOptions { host: "nowhere.invalid".to_owned(), transport: Transport::Mqtts, ..plain(8883) };
    let reason = Rig::new(None).refused(options).await;
    assert!(matches!(&reason, DownReason::Unreachable(text) if text.contains("nowhere.invalid")), "{reason}");
}

#[tokio::test]
async fn plain_text_is_refused_off_this_machine() {
    let options = ConnectOptions { host: "broker.example.com".to_owned(), ..plain(1883) };
    let reason = Rig::new(None).refused(options).await;
    assert_eq!(reason, DownReason::Tls("refused to talk to broker.example.com in plain text".to_owned()));
}

#[tokio::test]
async fn options_that_make_no_connect_packet_are_a_down_not_a_panic() {
    for options in [
        ConnectOptions { client_id: String::new(), ..plain(1) },
        ConnectOptions { window: 0, ..plain(1) },
        ConnectOptions { packet_bytes_max: 0, ..plain(1) },
    ] {
        let reason = Rig::new(None).refused(options).await;
        assert!(matches!(reason, DownReason::Protocol(_)), "{reason}");
    }
    let options = ConnectOptions { subscriptions: vec!["a/#/b".to_owned()], ..plain(1) };
    assert_eq!(Rig::new(None).refused(options).await, DownReason::SubscriptionRefused("a/#/b".to_owned()));
}

#[tokio::test]
async fn messages_that_come_before_the_suback_wait_behind_up() {
    // A PUBLISH of "early" to topic "t" with packet identifier 9, on the heels of the CONNACK.
    let early = Bytes::from_static(b"\x32\x0a\x00\x01t\x00\x09early");
    let broker = broker([Script { garbage: Some(early), session_present: true, ..Script::default() }]).await;
    let mut rig = Rig::new(None);

    let (connection, session_present) = rig.up(plain(broker.port())).await;

    assert!(session_present);
    let message = rig.received(connection).await;
    assert_eq!((&message.topic[..], &message.payload[..]), ("t", &b"early"[..]));
    rig.mqtt.acknowledge(connection, message.delivery);
    broker.wait_until("it is acknowledged", |records| records[0].acknowledged == [9]).await.unwrap();
}

#[tokio::test]
async fn bytes_that_are_no_mqtt_end_the_connection_in_plain_words() {
    for garbage in [
        &b"\x00\x00"[..],             // packet type 0
        b"\x20\x02\x00\x00",          // a second CONNACK
        b"\x40\x02\x00\x07",          // PUBACK of nothing
        b"\x34\x05\x00\x01t\x00\x01", // a publish with QoS 2
        b"\x32\x05\x00\x01t\x00\x00", // packet identifier 0
        b"\x30\x04\x00\x02\xff\xfe",  // a topic that is not UTF-8
        b"\xff\xff\xff\xff\xff",      // a length that never ends
    ] {
        let script = Script { garbage: Some(Bytes::from_static(garbage)), ..Script::default() };
        let broker = broker([script]).await;
        let reason = Rig::new(None).refused(plain(broker.port())).await;
        assert!(matches!(reason, DownReason::Protocol(_)), "{garbage:?}: {reason}");
    }
}

#[tokio::test]
async fn a_packet_above_the_limit_ends_the_connection() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(ConnectOptions { packet_bytes_max: 1000, ..plain(broker.port()) }).await;
    broker.push("t", vec![0; 1000]).unwrap();
    assert_eq!(rig.down(connection).await, DownReason::TooLarge { bytes_max: 1000 });
}

#[tokio::test]
async fn a_publish_that_cannot_be_sent_is_refused_and_the_connection_lives() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(ConnectOptions { packet_bytes_max: 1000, ..plain(broker.port()) }).await;

    let large = rig.mqtt.publish(connection, 1, "t", Bytes::from(vec![0; 991]));
    assert_eq!(large, Err(PublishError::TooLarge { bytes: 1001, bytes_max: 1000 }));
    for topic in ["", "a/+", "#", "a\0b", &"t".repeat(70_000)] {
        let refused = rig.mqtt.publish(connection, 2, topic, Bytes::new());
        assert!(refused.is_err(), "{topic}");
    }

    rig.mqtt.publish(connection, 3, "t", Bytes::from(vec![0; 990])).unwrap();
    assert_eq!(rig.delivered(connection).await, [3]);
}

#[tokio::test]
async fn two_hundred_kilobytes_pass_each_way() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(plain(broker.port())).await;
    let large = Bytes::from(vec![b'x'; 200_000]);

    rig.mqtt.publish(connection, 1, TOPIC, large.clone()).unwrap();
    assert_eq!(rig.delivered(connection).await, [1]);
    broker.push("t", large.clone()).unwrap();

    assert_eq!(rig.received(connection).await.payload, large);
    assert_eq!(broker.records()[0].publishes[0].payload, large);
}

#[tokio::test]
async fn leaving_sends_the_acknowledgements_first_and_waits_for_what_is_in_flight() {
    let broker = broker([Script { acks: Acks::Held, ..Script::default() }]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(plain(broker.port())).await;
    rig.publish(connection, 77).unwrap();
    for _ in 0..3 {
        broker.push("t", "c2d").unwrap();
        let message = rig.received(connection).await;
        rig.mqtt.acknowledge(connection, message.delivery);
    }
    broker.wait_until("it is in flight", |records| records[0].publishes.len() == 1).await.unwrap();

    rig.mqtt.disconnect(connection);
    let acknowledged = broker.wait_until("acknowledged", |records| records[0].acknowledged == [1, 2, 3]).await.unwrap();
    assert!(!acknowledged[0].disconnected);
    broker.release().unwrap();

    assert_eq!(rig.delivered(connection).await, [77]);
    assert_eq!(rig.down(connection).await, DownReason::Asked);
    broker.wait_until("it has left", |records| records[0].disconnected).await.unwrap();
}

#[tokio::test]
async fn leaving_does_not_wait_for_ever() {
    let broker = broker([Script { acks: Acks::Held, ..Script::default() }]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(plain(broker.port())).await;
    rig.publish(connection, 1).unwrap();
    broker.wait_until("it is in flight", |records| records[0].publishes.len() == 1).await.unwrap();
    rig.leave(connection).await;
    broker.wait_until("the connection is closed", |records| records[0].closed).await.unwrap();
}

#[tokio::test]
async fn leaving_before_up_abandons_the_attempt() {
    let broker = broker([Script { silent: true, ..Script::default() }]).await;
    let mut rig = Rig::new(None);
    let connection = rig.connect(plain(broker.port()));
    broker.wait_until("it has connected", |records| !records.is_empty()).await.unwrap();
    rig.leave(connection).await;
    broker.wait_until("the connection is closed", |records| records[0].closed).await.unwrap();
}

#[tokio::test]
async fn a_new_connection_cuts_the_old_one_before_it_dials() {
    let broker = broker([Script { acks: Acks::Held, ..Script::default() }, Script::default()]).await;
    let mut rig = Rig::new(None);
    let (old, _) = rig.up(plain(broker.port())).await;
    rig.publish(old, 1).unwrap();

    let new = rig.connect(plain(broker.port()));

    assert_eq!(rig.down(old).await, DownReason::Asked);
    assert_eq!(rig.event().await, LinkEvent::Up { connection: new, session_present: false });
    rig.publish(new, 2).unwrap();
    assert_eq!(rig.delivered(new).await, [2]);
    assert_eq!(broker.records()[1].payloads(), ["2"]);
}

#[tokio::test]
async fn connections_that_have_not_ended_are_bounded() {
    let broker = broker([Script { silent: true, ..Script::default() }]).await;
    let mut rig = Rig::new(None);
    rig.connect(plain(broker.port()));
    rig.connect(plain(broker.port()));
    // The test's runtime has one thread, so nothing has ended in between.
    assert_eq!(rig.mqtt.connect(ConnectionId(3), plain(broker.port())), Err(QueueFull));
}

#[tokio::test]
async fn calls_for_an_older_connection_do_nothing() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    let (old, _) = rig.up(plain(broker.port())).await;
    broker.push("t", "first").unwrap();
    let message = rig.received(old).await;
    broker.cut().unwrap();
    assert_eq!(rig.down(old).await, DownReason::Closed);
    let (new, _) = rig.up(plain(broker.port())).await;
    broker.push("t", "first again").unwrap();
    rig.received(new).await;

    rig.publish(old, 1).unwrap();
    rig.mqtt.acknowledge(old, message.delivery);
    rig.mqtt.disconnect(old);

    rig.publish(new, 2).unwrap();
    assert_eq!(rig.delivered(new).await, [2]);
    let record = broker.records().remove(1);
    assert_eq!(record.payloads(), ["2"]);
    assert!(record.acknowledged.is_empty());
}

#[tokio::test]
async fn publishing_before_up_does_nothing() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    let connection = rig.connect(plain(broker.port()));
    rig.publish(connection, 1).unwrap();
    assert!(matches!(rig.event().await, LinkEvent::Up { .. }));
    rig.publish(connection, 2).unwrap();
    assert_eq!(rig.delivered(connection).await, [2]);
    assert_eq!(broker.records()[0].payloads(), ["2"]);
}

#[tokio::test]
async fn a_repeated_packet_identifier_and_a_second_acknowledgement_harm_nothing() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(plain(broker.port())).await;
    broker.push_as("t", "once", 5).unwrap();
    broker.push_as("t", "twice", 5).unwrap();
    let (first, second) = (rig.received(connection).await, rig.received(connection).await);
    assert_ne!(first.delivery, second.delivery);

    for delivery in [first.delivery, second.delivery, second.delivery] {
        rig.mqtt.acknowledge(connection, delivery);
    }

    rig.publish(connection, 1).unwrap();
    assert_eq!(rig.delivered(connection).await, [1]);
    assert_eq!(broker.records()[0].acknowledged, [5]);
}

#[tokio::test]
async fn a_flood_of_messages_ends_the_connection_instead_of_filling_memory() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(plain(broker.port())).await;
    for _ in 0..=UNACKNOWLEDGED_MAX {
        broker.push("t", "flood").unwrap();
    }
    for _ in 0..UNACKNOWLEDGED_MAX {
        rig.received(connection).await;
    }
    assert!(matches!(rig.down(connection).await, DownReason::Protocol(_)));
}

#[tokio::test]
async fn dropping_the_link_closes_the_connection() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    rig.up(plain(broker.port())).await;
    drop(rig);
    broker.wait_until("the connection is closed", |records| records[0].closed).await.unwrap();
}

#[tokio::test]
async fn dropping_the_events_closes_the_connection() {
    let broker = broker([Script::default()]).await;
    let mut rig = Rig::new(None);
    rig.up(plain(broker.port())).await;
    let Rig { mqtt: _still_there, events, .. } = rig;
    drop(events);
    broker.wait_until("the connection is closed", |records| records[0].closed).await.unwrap();
}

#[test]
fn debug_output_holds_no_password() {
    let shown = format!("{:?}", plain(1));
    assert!(!shown.contains("secret"), "{shown}");
}

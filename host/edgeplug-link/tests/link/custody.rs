//! Nothing is lost, whatever becomes of acknowledgements and sessions, as long as the caller keeps what is not delivered.

use std::collections::BTreeSet;

use edgeplug_link::{BESIDE_MAX, ConnectOptions, PublishError, QueueFull};
use edgeplug_test_support::scripted_broker::{Acks, Record, Script};

use crate::{
    rig::{Rig, plain},
    scripted::broker,
};

/// Every ticket 1 to `count` reached the broker, and on each connection oldest first.
fn assert_all_arrived(records: &[Record], count: u64) {
    let mut arrived = BTreeSet::new();
    for record in records {
        let tickets = record.payloads().iter().map(|payload| payload.parse().unwrap()).collect::<Vec<u64>>();
        assert!(tickets.is_sorted(), "out of order: {tickets:?}");
        arrived.extend(tickets);
    }
    assert_eq!(arrived, (1..=count).collect());
}

#[tokio::test]
async fn a_cut_and_a_lost_session_lose_nothing_with_custody() {
    let cut = Script { acks: Acks::Held, cut_after_publishes: Some(20), ..Script::default() };
    let broker = broker([cut, Script::default()]).await;
    let mut rig = Rig::new(None);

    let connections = rig.deliver(50, || plain(broker.port())).await;

    assert_eq!(connections, 2);
    let records = broker.records();
    assert_all_arrived(&records, 50);
    assert_eq!(records[1].publishes.len(), 50, "nothing of the first connection leaks into the second");
    assert!(records[1].publishes.iter().all(|publish| !publish.dup));
    assert!(records.iter().all(|record| record.subscriptions.len() == 1), "subscribed on every connection");
}

#[tokio::test]
async fn a_cut_with_the_session_kept_sends_each_message_once_more_and_no_more() {
    let cut = Script { acks: Acks::Held, cut_after_publishes: Some(20), ..Script::default() };
    let kept = Script { session_present: true, ..Script::default() };
    let broker = broker([cut, kept]).await;
    let mut rig = Rig::new(None);

    rig.deliver(50, || plain(broker.port())).await;

    let records = broker.records();
    assert_all_arrived(&records, 50);
    assert_eq!(records[1].publishes.len(), 50);
}

#[tokio::test]
async fn two_thousand_messages_survive_a_cut_every_three_hundred() {
    let cut = Script { cut_after_publishes: Some(300), ..Script::default() };
    let broker = broker([cut.clone(), cut.clone(), cut.clone(), cut.clone(), cut, Script::default()]).await;
    let mut rig = Rig::new(None);

    let connections = rig.deliver(2000, || plain(broker.port())).await;

    assert_eq!(connections, 6);
    let records = broker.records();
    assert_all_arrived(&records, 2000);
    let sent = records.iter().map(|record| record.publishes.len()).sum::<usize>();
    assert!(sent <= 2000 + 5 * 100, "at most a window of duplicates per cut, {sent} sent");
}

#[tokio::test]
async fn reordered_pubacks_confirm_the_right_tickets() {
    let broker = broker([Script { acks: Acks::Reversed(10), ..Script::default() }]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(plain(broker.port())).await;
    for ticket in 1..=20 {
        rig.publish(connection, ticket).unwrap();
    }

    let mut delivered = Vec::new();
    while delivered.len() < 20 {
        delivered.extend(rig.delivered(connection).await);
    }

    assert_eq!(delivered, (1..=10).rev().chain((11..=20).rev()).collect::<Vec<_>>());
}

#[tokio::test]
async fn reordered_pubacks_and_a_lost_session_neither_wedge_nor_lose() {
    let reversed = Script { acks: Acks::Reversed(10), cut_after_publishes: Some(75), ..Script::default() };
    let missing = Script { acks: Acks::AllButFirst, cut_after_publishes: Some(60), ..Script::default() };
    let broker = broker([reversed, missing, Script::default()]).await;
    let mut rig = Rig::new(None);

    let connections = rig.deliver(200, || ConnectOptions { window: 20, ..plain(broker.port()) }).await;

    assert_eq!(connections, 3);
    assert_all_arrived(&broker.records(), 200);
}

#[tokio::test]
async fn duplicate_pubacks_end_the_connection_and_lose_nothing() {
    let twice = Script { acks: Acks::Twice, ..Script::default() };
    let broker = broker([twice.clone(), twice, Script::default()]).await;
    let mut rig = Rig::new(None);

    let connections = rig.deliver(200, || ConnectOptions { window: 20, ..plain(broker.port()) }).await;

    assert_eq!(connections, 3);
    assert_all_arrived(&broker.records(), 200);
}

#[tokio::test]
async fn one_missing_puback_does_not_stop_the_others() {
    let broker = broker([Script { acks: Acks::AllButFirst, ..Script::default() }]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(ConnectOptions { window: 2, ..plain(broker.port()) }).await;
    rig.publish(connection, 1).unwrap();
    // Once around the identifiers of so small a window, and again.
    for ticket in 2..=9 {
        rig.publish(connection, ticket).unwrap();
        assert_eq!(rig.delivered(connection).await, [ticket]);
    }

    broker.release().unwrap();

    assert_eq!(rig.delivered(connection).await, [1]);
}

#[tokio::test]
async fn held_pubacks_fill_the_window_and_the_queue_behind_it_and_no_more_is_taken() {
    let broker = broker([Script { acks: Acks::Held, ..Script::default() }]).await;
    let mut rig = Rig::new(None);
    let (connection, _) = rig.up(ConnectOptions { window: 5, ..plain(broker.port()) }).await;
    let held = 10 + BESIDE_MAX as u64;
    for ticket in 1..=held {
        rig.publish(connection, ticket).unwrap();
    }
    assert_eq!(rig.publish(connection, held + 1), Err(PublishError::QueueFull(QueueFull)));
    broker.wait_until("the window is out", |records| records[0].publishes.len() == 5).await.unwrap();

    for released in [1, 6] {
        broker.release().unwrap();
        let mut delivered = Vec::new();
        while delivered.len() < 5 {
            delivered.extend(rig.delivered(connection).await);
        }
        assert_eq!(delivered, (released..released + 5).collect::<Vec<_>>());
        let followed = usize::try_from(released).unwrap() + 9;
        broker.wait_until("the queue follows", |records| records[0].publishes.len() == followed).await.unwrap();
    }
    rig.publish(connection, held + 1).unwrap();
}

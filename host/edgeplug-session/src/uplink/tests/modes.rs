use super::*;
use crate::config::Durability;

#[test]
fn without_a_store_readings_wait_in_memory_through_an_outage() {
    let mut rig = online(|rig| rig.config.durability = Durability::None);
    rig.network(false);
    offer(&mut rig, 0..300);
    assert!(rig.outcomes.iter().all(|(_, outcomes)| outcomes == &[Outcome::AcceptedInMemory]));
    rig.pass(60 * SECOND);
    assert_eq!(rig.session.status(rig.now()).uplink.waiting, 300);
    rig.network(true);
    rig.puback_delay = Some(HOUR);
    rig.pass(20 * SECOND);
    rig.cut();
    rig.puback_delay = Some(Duration::from_millis(5));
    rig.pass(60 * SECOND);
    assert!(distinct(&rig.cloud.arrivals).into_iter().eq(0..300));
    assert_lanes_in_order(&rig.cloud.arrivals);
    assert_eq!(rig.disk.last_row, 0, "nothing was ever stored");
    let counts = rig.session.status(rig.now()).uplink;
    assert_eq!((counts.waiting, counts.delivered), (0, 300));
}

#[test]
fn a_full_memory_refuses_and_names_the_key() {
    let mut rig = online(|rig| rig.config.durability = Durability::None);
    rig.network(false);
    offer(&mut rig, 0..10_001);
    let (_, last) = rig.outcomes.last().unwrap();
    assert!(matches!(&last[0], Outcome::Rejected(reason) if reason.contains("outbox.durability")), "{last:?}");
    assert_eq!(accepted(&rig).len(), 10_000);
    rig.network(true);
    rig.pass(60 * SECOND);
    assert_eq!(rig.cloud.arrivals.len(), 10_000);
    offer(&mut rig, 10_001..10_002);
    assert_eq!(rig.outcomes.last().unwrap().1, [Outcome::AcceptedInMemory]);
}

#[test]
fn rows_of_a_mode_that_stored_are_sent_by_one_that_does_not() {
    let mut rig = online(|_| {});
    rig.network(false);
    offer(&mut rig, 0..20);
    rig.pass(SECOND);
    rig.config.durability = Durability::None;
    rig.crash();
    rig.network(true);
    rig.pass(10 * SECOND);
    offer(&mut rig, 20..30);
    rig.pass(60 * SECOND);
    assert!(distinct(&rig.cloud.arrivals).into_iter().eq(0..30));
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn offline_only_stores_at_the_link_s_loss_what_was_in_memory() {
    let mut rig = online(|rig| {
        rig.config.durability = Durability::OfflineOnly;
        rig.puback_delay = None;
    });
    offer(&mut rig, 0..300);
    rig.pass(SECOND);
    assert_eq!(rig.disk.last_row, 0);
    assert!(rig.outcomes.iter().all(|(_, outcomes)| outcomes == &[Outcome::AcceptedInMemory]));
    rig.network(false);
    offer(&mut rig, 300..310);
    rig.pass(SECOND);
    offer(&mut rig, 310..320);
    rig.pass(SECOND);
    assert_eq!(rig.outcomes.last().unwrap().1, [Outcome::Accepted]);
    assert_eq!(rig.outcomes.len(), 320, "each was answered once");
    assert_eq!(on_disk(&rig), (0..320).collect::<Vec<_>>());
    assert!(rig.disk.rows.values().all(|row| row.offline));
    let sent = rig.cloud.arrivals.len();
    rig.crash();
    rig.puback_delay = Some(Duration::from_millis(5));
    rig.network(true);
    rig.pass(60 * SECOND);
    assert_eq!(values(&rig.cloud.arrivals[sent..]), (0..320).collect::<Vec<_>>());
    assert!(rig.cloud.arrivals[sent..].iter().all(|arrival| arrival.offline));
}

#[test]
fn offline_only_keeps_what_the_store_does_not_take_and_its_order() {
    let mut rig = online(|rig| {
        rig.config.durability = Durability::OfflineOnly;
        rig.puback_delay = None;
    });
    offer(&mut rig, 0..5_000);
    rig.disk_fails = true;
    rig.network(false);
    rig.pass(SECOND);
    offer(&mut rig, 5_000..5_010);
    rig.pass(20 * SECOND);
    assert!(rig.disk.rows.is_empty());
    assert_eq!(accepted(&rig).len(), 5_010);
    assert_eq!(rig.session.status(rig.now()).uplink.waiting, 5_010);
    rig.disk_fails = false;
    rig.pass(10 * SECOND);
    assert_eq!(on_disk(&rig), (0..5_010).collect::<Vec<_>>());
    rig.puback_delay = Some(Duration::from_millis(5));
    rig.network(true);
    rig.pass(60 * SECOND);
    assert!(distinct(&rig.cloud.arrivals).into_iter().eq(0..5_010));
    let counts = rig.session.status(rig.now()).uplink;
    assert_eq!((counts.waiting, rig.disk.rows.len()), (0, 0));
}

#[test]
fn offline_only_stores_nothing_at_a_renewal() {
    let mut rig = online(|rig| rig.config.durability = Durability::OfflineOnly);
    for n in 0..7_200 {
        offer(&mut rig, n..n + 1);
        rig.pass(SECOND);
    }
    assert!(rig.cloud.connects > 2);
    assert_eq!(rig.disk.last_row, 0);
    assert_eq!(values(&rig.cloud.arrivals), (0..7_200).collect::<Vec<_>>());
}

/// One row in memory that becomes several messages, a link that breaks between them, and then comes back.
#[test]
fn without_a_store_what_was_split_is_kept_through_an_outage() {
    let mut rig = booted(|rig| {
        rig.config.durability = Durability::None;
        rig.config.in_flight_max = 2;
        rig.network(false);
    });
    rig.offer(0, (0..3_500).map(|n| reading("n", n)).collect());
    rig.pass(SECOND);
    rig.network(true);
    rig.puback_delay = Some(SECOND);
    while rig.cloud.arrivals.is_empty() {
        rig.pass(Duration::from_millis(100));
    }
    rig.cut();
    rig.pass(600 * SECOND);
    assert!(distinct(&rig.cloud.arrivals).into_iter().eq(0..3_500));
    assert!(rig.cloud.arrivals.len() > 3_500, "some came twice");
    let counts = rig.session.status(rig.now()).uplink;
    assert_eq!((counts.waiting, counts.delivered, rig.disk.last_row), (0, 1, 0));
}

/// The hub is silent, or there is none, when the stop comes; the second has more rows than the store takes at once.
#[test]
fn offline_only_stores_at_a_stop_what_the_hub_has_not_taken() {
    for (rows, network) in [(300, true), (3_000, false)] {
        let mut rig = online(|rig| rig.config.durability = Durability::OfflineOnly);
        rig.puback_delay = None;
        offer(&mut rig, 0..rows);
        rig.pass(SECOND);
        rig.network(network);
        rig.restart();
        assert_eq!(on_disk(&rig).len(), usize::try_from(rows).unwrap());
        let sent = rig.cloud.arrivals.len();
        rig.puback_delay = Some(Duration::from_millis(5));
        rig.network(true);
        rig.pass(60 * SECOND);
        assert_eq!(values(&rig.cloud.arrivals[sent..]), (0..i64::try_from(rows).unwrap()).collect::<Vec<_>>());
    }
}

#[test]
fn a_stop_waits_for_no_store_that_fails() {
    let mut rig = online(|rig| rig.config.durability = Durability::OfflineOnly);
    (rig.puback_delay, rig.disk_fails) = (None, true);
    offer(&mut rig, 0..300);
    rig.handle(Event::Stop);
    rig.pass(7 * SECOND);
    assert!(rig.stopped);
}

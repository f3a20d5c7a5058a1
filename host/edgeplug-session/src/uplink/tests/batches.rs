use super::*;

fn messages(rig: &Rig) -> Vec<Vec<i64>> {
    let mut messages: Vec<(u64, Vec<i64>)> = Vec::new();
    for arrival in &rig.cloud.arrivals {
        match messages.last_mut() {
            Some((message, numbers)) if *message == arrival.message => numbers.push(arrival.n),
            _ => messages.push((arrival.message, vec![arrival.n])),
        }
    }
    messages.into_iter().map(|(_, numbers)| numbers).collect()
}

#[test]
fn a_full_message_goes_at_once_and_is_never_larger_than_allowed() {
    let mut rig = online(|rig| rig.config.batch = Some(BATCH));
    offer(&mut rig, 0..200);
    rig.pass(Duration::from_millis(100));
    let sent = messages(&rig);
    assert!(sent.len() == 3 && sent.iter().all(|numbers| numbers.len() > 50), "{sent:?}");
    let sizes: BTreeSet<_> = rig.cloud.arrivals.iter().map(|arrival| arrival.bytes).collect();
    assert!(sizes.iter().all(|bytes| (3_900..=4_096).contains(bytes)), "{sizes:?}");
    rig.pass(SECOND);
    assert_eq!(values(&rig.cloud.arrivals), (0..200).collect::<Vec<_>>());
    let counts = rig.session.status(rig.now()).uplink;
    assert_eq!((counts.delivered, counts.messages), (200, messages(&rig).len() as u64));
}

#[test]
fn a_message_that_is_not_full_waits_for_its_oldest_row() {
    let mut rig = online(|rig| rig.config.batch = Some(BATCH));
    let begun = rig.now().monotonic;
    for n in 0..4 {
        offer(&mut rig, n..n + 1);
        rig.pass(Duration::from_millis(150));
    }
    rig.pass(SECOND);
    assert_eq!(messages(&rig), [vec![0, 1, 2, 3]]);
    let waited = rig.cloud.arrivals[0].at - begun;
    assert!((500..520).contains(&waited.as_millis()), "{waited:?}");
    let times: BTreeSet<_> = rig.cloud.arrivals.iter().map(|arrival| arrival.dt).collect();
    assert_eq!(times.len(), 4, "every reading keeps its time");
}

#[test]
fn rows_with_and_without_the_offline_mark_travel_apart() {
    let mut rig = online(|rig| rig.config.batch = Some(BATCH));
    rig.network(false);
    offer(&mut rig, 0..3);
    rig.network(true);
    // Committed after the link came up, but accepted before.
    rig.commit_delay = 30 * SECOND;
    offer(&mut rig, 3..5);
    rig.pass(20 * SECOND);
    rig.commit_delay = 12 * SECOND;
    offer(&mut rig, 5..8);
    rig.pass(60 * SECOND);
    assert_eq!(messages(&rig), [vec![0, 1, 2], vec![3, 4], vec![5, 6, 7]]);
    let marks: Vec<_> = rig.cloud.arrivals.iter().map(|arrival| arrival.offline).collect();
    assert_eq!(marks, [true, true, true, true, true, false, false, false]);
}

#[test]
fn reports_and_faults_travel_apart_and_in_order() {
    let mut rig = online(|rig| rig.config.batch = Some(BATCH));
    for (n, small) in [(1, 5), (2, 5), (3, 99), (4, 5)] {
        let mut sample = reading("n", n);
        sample.values.push(("small".into(), small.into()));
        rig.offer(n, vec![sample]);
    }
    rig.pass(SECOND);
    let kinds: Vec<_> = rig.cloud.received.iter().map(|body| body["mt"].as_i64().unwrap()).collect();
    assert_eq!(kinds, [0, 1, 0]);
    assert_eq!(messages(&rig), [vec![1, 2, 3], vec![4]]);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn one_row_larger_than_a_batch_goes_alone() {
    let mut rig = online(|rig| rig.config.batch = Some(BATCH));
    rig.offer(0, (0..200).map(|n| reading("n", n)).collect());
    offer(&mut rig, 200..202);
    rig.pass(SECOND);
    assert_eq!(messages(&rig), [(0..200).collect::<Vec<_>>(), vec![200, 201]]);
}

#[test]
fn a_body_of_another_make_goes_as_it_is() {
    let mut rig = booted(|rig| rig.config.batch = Some(BATCH));
    rig.network(false);
    offer(&mut rig, 0..2);
    rig.pass(SECOND);
    // An older version wrote its keys in another order.
    let foreign = r#"{"mt":0,"t":"2026-11-23T00:00:00.000Z","d":[{"dt":"2026-11-23T00:00:00.000Z","d":[{"n":7}]}]}"#;
    rig.put_row(1, foreign);
    rig.put_row(200, "from the future");
    offer(&mut rig, 2..4);
    rig.pass(SECOND);
    rig.network(true);
    rig.pass(600 * SECOND);
    assert_eq!(values(&rig.cloud.arrivals), [0, 1, 7, 2, 3]);
    assert_eq!(rig.disk.rows.len(), 1, "what only a newer version can read stays");
}

#[test]
fn a_stop_sends_what_waited_for_company_and_waits_for_its_acknowledgement() {
    for durability in [Durability::Stored, Durability::OfflineOnly, Durability::None] {
        let mut rig = online(|rig| {
            rig.config.batch = Some(BATCH);
            rig.config.durability = durability;
        });
        rig.puback_delay = Some(SECOND);
        offer(&mut rig, 0..3);
        // The rows of these are not committed yet when the stop comes.
        rig.handle(Event::Stop);
        rig.pass(Duration::from_millis(500));
        assert!(!rig.stopped, "{durability:?}: stopped before the hub had taken over what was sent");
        rig.pass(2 * SECOND);
        assert!(rig.stopped);
        assert_eq!(values(&rig.cloud.arrivals), [0, 1, 2], "{durability:?}");
        assert_eq!(rig.session.status(rig.now()).uplink.delivered, 3, "{durability:?}");
    }
}

#[test]
fn a_stop_does_not_wait_for_a_hub_that_is_silent() {
    let mut rig = online(|rig| rig.config.batch = Some(BATCH));
    rig.puback_delay = None;
    offer(&mut rig, 0..3);
    rig.handle(Event::Stop);
    rig.pass(7 * SECOND);
    assert!(rig.stopped);
    assert_eq!(rig.disk.rows.len(), 3);
}

#[test]
fn a_stop_in_the_middle_of_a_renewal_still_uses_the_open_connection() {
    for after_ms in [0, 10, 100] {
        let mut rig = online(|rig| rig.config.durability = Durability::None);
        rig.puback_delay = Some(2 * SECOND);
        rig.pass(48 * 60 * SECOND - 3 * SECOND);
        while rig.session.status(rig.now()).link != LinkState::Renewing {
            offer(&mut rig, 0..1);
            rig.pass(Duration::from_millis(500));
        }
        rig.pass(Duration::from_millis(after_ms));
        offer(&mut rig, 1..2);
        rig.handle(Event::Stop);
        rig.pass(4 * SECOND);
        assert!(rig.stopped);
        assert!(distinct(&rig.cloud.arrivals).contains(&1), "stopped {after_ms} ms into the renewal");
        assert_eq!(rig.session.status(rig.now()).uplink.waiting, 0);
    }
}

#[test]
fn a_batch_leaves_room_for_what_the_packet_adds() {
    let mut rig = online(|rig| {
        rig.config.batch = Some(Batch { bytes_max: 256 * 1024, ..BATCH });
        rig.config.window = 8_192;
    });
    for n in 0..400 {
        rig.offer(n, (0..20).map(|_| reading("n", n)).collect());
    }
    rig.pass(SECOND);
    let largest = rig.cloud.arrivals.iter().map(|arrival| arrival.bytes).max().unwrap();
    assert!((200_000..=252 * 1024).contains(&largest), "{largest}");
}

#[test]
fn a_row_larger_than_any_message_is_given_up_and_holds_nothing_back() {
    let mut rig = booted(|rig| rig.network(false));
    let large = |key: &str| format!(r#"{{"mt":0,"d":[{{"dt":"2026-11-23T00:00:00.000Z","d":[{{"{key}":7}}]}}]}}"#);
    offer(&mut rig, 0..1);
    rig.pass(SECOND);
    rig.put_row(1, &large(&"x".repeat(300_000)));
    offer(&mut rig, 1..2);
    rig.pass(SECOND);
    rig.network(true);
    rig.pass(600 * SECOND);
    assert_eq!(values(&rig.cloud.arrivals), [0, 1]);
    assert_eq!(rig.session.status(rig.now()).uplink.given_up, 1);
    assert!(rig.disk.rows.is_empty());
}

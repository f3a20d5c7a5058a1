use super::*;
use crate::action::NewRow;

#[test]
fn what_is_too_large_for_one_message_is_split_into_rows() {
    let mut rig = online(|_| {});
    rig.offer(1, (0..9_000).map(|n| reading("n", n)).collect());
    rig.pass(SECOND);
    assert_eq!(rig.outcomes[0].1, vec![Outcome::Accepted; 9_000]);
    assert_eq!(values(&rig.cloud.arrivals), (0..9_000).collect::<Vec<_>>());
    assert!(rig.cloud.received.len() > 2);
}

#[test]
fn one_sample_that_fits_no_message_is_refused_with_the_sizes_and_costs_no_other() {
    for known in [true, false] {
        let mut rig = booted(|rig| rig.network(known));
        rig.pass(SECOND);
        let mut samples: Vec<_> = (0..5).map(|n| reading("n", n)).collect();
        // A number that is a text is a fault, however long.
        samples[2].values.push(("small".into(), "x".repeat(300_000).into()));
        rig.offer(1, samples);
        rig.pass(SECOND);
        let outcomes = &rig.outcomes[0].1;
        let Outcome::Rejected(reason) = &outcomes[2] else { panic!("{outcomes:?}") };
        assert!(reason.contains("300") && reason.contains("258048"), "{reason}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Accepted).count(), 4);
        rig.network(true);
        rig.pass(600 * SECOND);
        assert_eq!(values(&rig.cloud.arrivals), [0, 1, 3, 4]);
    }
}

/// The report is stored and the fault message is not, and the other way round.
#[test]
fn a_sample_is_called_rejected_only_if_nothing_of_it_is_on_disk() {
    type Refuses = fn(&NewRow) -> bool;
    let table: [(Refuses, [&str; 3]); 3] = [
        (|row| row.body.windows(6).any(|part| part == br#""mt":1"#), ["accepted", "in part", "rejected"]),
        (|row| row.body.windows(6).any(|part| part == br#""mt":0"#), ["rejected", "in part", "accepted"]),
        (|_| true, ["rejected", "rejected", "rejected"]),
    ];
    for (refuses_row, expected) in table {
        let mut rig = online(|rig| rig.refuses_row = refuses_row);
        let mut both = reading("n", 2);
        both.values.push(("small".into(), 99.into()));
        rig.offer(1, vec![reading("n", 1), both, reading("small", 99)]);
        rig.pass(SECOND);
        let said: Vec<_> = rig.outcomes[0].1.iter().map(said).collect();
        assert_eq!(said, expected);
    }
}

fn said(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::AcceptedInMemory => "in memory",
        Outcome::AcceptedInPart(reason) if reason.contains("disk full") => "in part",
        Outcome::Rejected(reason) if reason.contains("disk full") => "rejected",
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_that_is_behind_refuses_instead_of_filling_the_memory() {
    let mut rig = online(|rig| rig.commit_delay = HOUR);
    offer(&mut rig, 0..5_000);
    let refused = rig.outcomes.iter().filter(|(_, o)| matches!(&o[0], Outcome::Rejected(r) if r.contains("behind")));
    assert_eq!(refused.count(), 5_000 - crate::uplink::custody::STORING_MAX);
    let mut rig = online(|rig| rig.commit_delay = HOUR);
    for n in 0..200 {
        rig.offer(n, (0..1_500).map(|n| reading("n", n)).collect());
    }
    let stored: usize = rig.disk.rows.values().map(|row| row.body.len()).sum();
    assert!(stored < 17 * 1024 * 1024 && !rig.outcomes.is_empty(), "{stored}");
}

#[test]
fn evicted_rows_are_forgotten_wherever_they_are() {
    // In the store only, in the page, in the live lane, in flight.
    for (waiting, online_first, puback) in
        [(2_000, false, true), (300, false, true), (300, true, false), (40, true, false)]
    {
        let mut rig = online(|rig| {
            rig.config.window = 50;
            rig.config.puback_timeout = HOUR;
        });
        if !online_first {
            rig.network(false);
        }
        rig.puback_delay = None;
        offer(&mut rig, 0..waiting);
        rig.pass(SECOND);
        rig.network(true);
        rig.pass(10 * SECOND);
        let sent = rig.cloud.arrivals.len();
        assert!(sent > 0);
        rig.evict(usize::try_from(waiting).unwrap() - 10);
        assert_eq!(rig.session.status(rig.now()).uplink.evicted, waiting - 10);
        rig.puback_delay = Some(Duration::from_millis(5));
        if puback {
            rig.cut();
        } else {
            rig.acknowledge_all();
        }
        rig.pass(60 * SECOND);
        let left = rig.cloud.arrivals[sent..].iter().map(|arrival| arrival.n).collect::<BTreeSet<_>>();
        let waiting = i64::try_from(waiting).unwrap();
        assert!(left.iter().all(|n| *n >= waiting - 10), "{left:?}");
        assert!((waiting - 10..waiting).all(|n| distinct(&rig.cloud.arrivals).contains(&n)));
        assert!(rig.disk.rows.is_empty());
        let counts = rig.session.status(rig.now()).uplink;
        assert_eq!((counts.waiting, counts.backlog, counts.in_flight), (0, 0, 0));
    }
}

#[test]
fn an_offer_of_nothing_is_answered_and_not_stored() {
    for known in [true, false] {
        let mut rig = booted(|rig| rig.network(known));
        rig.pass(SECOND);
        rig.offer(1, Vec::new());
        rig.pass(SECOND);
        assert_eq!(rig.outcomes, [(OfferId(1), Vec::new())]);
        assert_eq!(rig.disk.last_row, 0);
    }
}

#[test]
fn a_device_that_the_cloud_stopped_takes_nothing_and_asks_nobody() {
    let mut rig = online(|_| {});
    rig.plugin_up("sensor", Some(SECOND), false);
    rig.pass(3 * SECOND);
    rig.send_c2d(r#"{"cmdType":"0x99","data":{}}"#);
    rig.pass(SECOND);
    let (rows, sent) = (rig.disk.rows.len(), rig.cloud.received.len());
    let skipped = rig.session.status(rig.now()).plugins[0].skipped;
    rig.offer(1, vec![reading("n", 1), reading("n", 2)]);
    rig.pass(HOUR);
    let [Outcome::Rejected(reason), Outcome::Rejected(_)] = rig.outcomes[0].1.as_slice() else { panic!("taken") };
    assert!(reason.contains("the cloud stopped this device"), "{reason}");
    assert_eq!((rig.disk.rows.len(), rig.cloud.received.len()), (rows, sent));
    assert_eq!(rig.session.status(rig.now()).plugins[0].skipped, skipped);
    rig.handle(Event::Operator { request: crate::RequestId(1), what: crate::event::OperatorRequest::Resume });
    rig.pass(60 * SECOND);
    assert!(rig.cloud.received.len() > sent + 30, "it goes on");
}

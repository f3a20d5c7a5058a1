use super::*;

/// A day without a link, ten plugins with a reading each second: afterwards the day drains in order and within its pace,
/// and what is read meanwhile is never older than two seconds.
#[test]
fn a_day_of_backlog_drains_in_order_while_live_rows_stay_fresh() {
    const RATE: u32 = 50;
    let mut rig = online(|rig| {
        rig.config.batch = Some(BATCH);
        rig.config.backlog_per_s = RATE;
        rig.cloud.forgets_bodies = true;
    });
    for n in 0..10 {
        rig.plugin_up(&format!("sensor-{n}"), Some(SECOND), false);
    }
    rig.network(false);
    rig.pass(24 * HOUR);
    assert!(rig.disk.rows.len() > 860_000);
    rig.network(true);
    rig.pass(HOUR);
    assert!(rig.is_online());
    assert_lanes_in_order(&rig.cloud.arrivals);
    let arrivals = distinct(&rig.cloud.arrivals);
    assert_eq!(arrivals.len(), rig.cloud.arrivals.len(), "nothing came twice");
    assert!(arrivals.iter().copied().eq(1..=*arrivals.last().unwrap()), "nothing is missing");
    assert!(rig.disk.rows.len() <= 100, "{} rows are left", rig.disk.rows.len());

    let start = rig.real_unix_ms - i64::try_from(rig.now().monotonic.as_millis()).unwrap();
    let age = |arrival: &Arrival| start + i64::try_from(arrival.at.as_millis()).unwrap() - arrival.dt;
    let live: Vec<_> = rig.cloud.arrivals.iter().filter(|arrival| !arrival.offline).collect();
    assert!(live.len() > 30_000);
    let oldest_ms = live.iter().map(|arrival| age(arrival)).max().unwrap();
    assert!(oldest_ms <= 2_000, "{oldest_ms} ms");

    let mut sent: Vec<_> = rig.cloud.arrivals.iter().filter(|a| a.offline).map(|a| (a.message, a.at)).collect();
    sent.dedup_by_key(|(message, _)| *message);
    let quickest = sent.windows(RATE as usize + 2).map(|window| window[RATE as usize + 1].1 - window[0].1).min();
    assert!(quickest.unwrap() >= SECOND, "{quickest:?} for {} messages", RATE + 2);
    assert!(sent.len() < rig.cloud.arrivals.len() / 8, "the backlog travels in full messages");
}

#[test]
fn a_backlog_larger_than_memory_is_read_back_beside_live_rows() {
    let mut rig = online(|_| {});
    rig.network(false);
    for n in 0..5_000 {
        offer(&mut rig, n..n + 1);
        rig.pass(Duration::from_millis(10));
    }
    rig.crash();
    rig.network(true);
    for n in 5_000..5_200 {
        offer(&mut rig, n..n + 1);
        rig.pass(SECOND);
    }
    rig.pass(600 * SECOND);
    assert_lanes_in_order(&rig.cloud.arrivals);
    assert!(distinct(&rig.cloud.arrivals).into_iter().eq(0..5_200));
    assert_eq!(rig.cloud.arrivals.len(), 5_200);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn rows_that_the_live_lane_has_no_room_for_become_backlog_and_none_is_lost() {
    let mut rig = online(|rig| rig.config.backlog_per_s = 500);
    rig.puback_delay = Some(2 * SECOND);
    for n in 0..30 {
        offer(&mut rig, n * 1_000..(n + 1) * 1_000);
        rig.pass(SECOND);
    }
    let counts = rig.session.status(rig.now()).uplink;
    assert!(counts.backlog > 15_000, "{counts:?}");
    rig.puback_delay = Some(Duration::from_millis(2));
    rig.removal_delay = Duration::from_millis(1);
    rig.pass(20 * SECOND);
    // Room again: what comes now is live and does not wait for the rest.
    let asked_at = rig.now().monotonic;
    offer(&mut rig, 30_000..30_001);
    rig.pass(SECOND);
    let fresh = rig.cloud.arrivals.iter().find(|arrival| arrival.n == 30_000).unwrap();
    assert!(fresh.at - asked_at < Duration::from_millis(100));
    rig.pass(120 * SECOND);
    assert_lanes_in_order(&rig.cloud.arrivals);
    assert!(distinct(&rig.cloud.arrivals).into_iter().eq(0..=30_000));
    assert_eq!(rig.cloud.arrivals.len(), 30_001);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn the_backlog_leaves_a_quarter_of_the_window_to_live_rows() {
    let mut rig = online(|rig| {
        rig.config.window = 16;
        rig.config.puback_timeout = 600 * SECOND;
    });
    rig.network(false);
    offer(&mut rig, 0..100);
    rig.pass(SECOND);
    rig.network(true);
    rig.puback_delay = None;
    rig.pass(60 * SECOND);
    assert_eq!(values(&rig.cloud.arrivals), (0..12).collect::<Vec<_>>());
    offer(&mut rig, 100..110);
    rig.pass(SECOND);
    assert_eq!(values(&rig.cloud.arrivals)[12..], [100, 101, 102, 103]);
}

#[test]
fn a_small_window_does_not_starve_live_rows() {
    for window in [1, 2, 16, 64] {
        let mut rig = online(|rig| {
            rig.config.batch = Some(BATCH);
            rig.config.window = window;
        });
        rig.network(false);
        offer(&mut rig, 0..4_000);
        rig.pass(SECOND);
        rig.network(true);
        rig.pass(10 * SECOND);
        for n in 4_000..4_100 {
            let asked_at = rig.now().monotonic;
            offer(&mut rig, n..n + 1);
            rig.pass(SECOND);
            let fresh = rig.cloud.arrivals.iter().rev().find(|arrival| arrival.n == i64::try_from(n).unwrap()).unwrap();
            assert!(fresh.at - asked_at < Duration::from_millis(700), "{:?}, window {window}", fresh.at - asked_at);
        }
        assert_lanes_in_order(&rig.cloud.arrivals);
    }
}

#[test]
fn acknowledgements_overtake_every_reading() {
    let mut rig = online(|rig| {
        rig.config.batch = Some(BATCH);
        rig.config.window = 4;
    });
    rig.plugin_up("actor", None, true);
    rig.puback_delay = Some(SECOND);
    offer(&mut rig, 0..500);
    rig.send_command("x", "a-1");
    rig.pass(Duration::from_millis(200));
    assert_eq!(rig.acks(), [("a-1".to_owned(), 6)]);
}

/// Renewals that cannot wait for the last PUBACKs: in flight goes back in front, in its own lane.
#[test]
fn a_renewal_forgets_nothing_and_keeps_the_order_of_the_lanes() {
    let mut rig = online(|rig| {
        rig.config.batch = Some(Batch { bytes_max: 300, ..BATCH });
        rig.config.backlog_per_s = 1;
    });
    rig.network(false);
    for n in 0..8 {
        offer(&mut rig, n * 3_000..(n + 1) * 3_000);
        rig.pass(SECOND);
    }
    rig.network(true);
    rig.puback_delay = Some(8 * SECOND);
    rig.pass(60 * SECOND);
    let mut next = 24_000;
    for _ in 0..3 * 3_600 {
        offer(&mut rig, next..next + 1);
        next += 1;
        rig.pass(SECOND);
    }
    assert!(rig.cloud.connects >= 5, "{} connects", rig.cloud.connects);
    assert_eq!(rig.told_disconnected, 1);
    assert_lanes_in_order(&rig.cloud.arrivals);
    rig.puback_delay = Some(Duration::from_millis(5));
    rig.pass(3 * HOUR);
    assert!(distinct(&rig.cloud.arrivals).into_iter().eq(0..i64::try_from(next).unwrap()));
    let repeated = rig.cloud.arrivals.len() - usize::try_from(next).unwrap();
    assert!(repeated > 0 && repeated <= 256 * usize::try_from(rig.cloud.connects).unwrap(), "{repeated}");
    assert!(rig.disk.rows.is_empty());
    assert!(rig.cloud.arrivals.iter().filter(|a| a.n >= 24_100).all(|arrival| !arrival.offline));
}

#[test]
fn a_page_that_cannot_be_read_is_asked_for_again() {
    let mut rig = online(|_| {});
    rig.network(false);
    offer(&mut rig, 0..10);
    rig.pass(SECOND);
    rig.load_failures = 3;
    rig.network(true);
    rig.pass(60 * SECOND);
    assert_eq!(values(&rig.cloud.arrivals), (0..10).collect::<Vec<_>>());
    assert!(rig.disk.rows.is_empty());
}

use super::*;
use crate::action::NewRow;

/// At every instant: what the cloud has and the disk still holds is what a crash now would send twice.
#[test]
fn a_crash_at_any_instant_sends_at_most_a_window_twice() {
    for (batch, window, in_flight_max) in [(None, 40, 100), (Some(BATCH), 40, 10), (Some(BATCH), 256, 3), (None, 1, 1)]
    {
        let mut rig = online(|rig| {
            rig.config.batch = batch;
            rig.config.window = window;
            rig.config.in_flight_max = in_flight_max;
            rig.config.backlog_per_s = 200;
            rig.removal_delay = Duration::from_millis(150);
        });
        rig.network(false);
        offer(&mut rig, 0..400);
        rig.pass(SECOND);
        rig.crash();
        rig.network(true);
        let end = rig.now().monotonic + 60 * SECOND;
        let mut next = 400;
        let (mut most, mut got, mut numbers) = (0, BTreeSet::new(), HashMap::new());
        while rig.pass_one(end) {
            if next < 700 {
                offer(&mut rig, next..next + 1);
                next += 1;
            }
            got.extend(rig.cloud.arrivals[got.len()..].iter().map(|arrival| arrival.n));
            let number = |(id, row): (&u64, &NewRow)| *numbers.entry(*id).or_insert_with(|| numbers_in(&row.body)[0]);
            let twice = rig.disk.rows.iter().map(number).filter(|n| got.contains(n)).count();
            assert!(twice <= usize::from(window), "{twice} rows, window {window}");
            most = most.max(twice);
        }
        assert!(most >= usize::from(window.min(13)), "the window was never used: {most}");
        assert_eq!(rig.cloud.arrivals.len(), distinct(&rig.cloud.arrivals).len());
        if window > 1 {
            assert!(distinct(&rig.cloud.arrivals).into_iter().eq(0..700));
        }
    }
}

#[test]
fn a_removal_that_is_not_confirmed_holds_the_window_closed_but_no_publish() {
    let mut rig = online(|rig| {
        rig.config.window = 10;
        rig.removal_delay = HOUR;
    });
    offer(&mut rig, 0..50);
    rig.pass(60 * SECOND);
    assert_eq!(rig.cloud.arrivals.len(), 10);
    assert_eq!(rig.session.status(rig.now()).uplink.in_flight, 0);
    rig.pass(HOUR);
    assert_eq!(rig.cloud.arrivals.len(), 20, "the next ten go when the first are off the disk");
}

/// A removal asked for just before the link broke has not reached the disk when the rows are read back.
#[test]
fn rows_on_their_way_out_of_the_store_are_not_sent_again() {
    let mut rig = online(|rig| rig.removal_delay = 30 * SECOND);
    rig.shows_removing = true;
    offer(&mut rig, 0..50);
    rig.pass(SECOND);
    rig.cut();
    rig.pass(20 * SECOND);
    assert!(rig.is_online());
    rig.pass(60 * SECOND);
    assert_eq!(values(&rig.cloud.arrivals), (0..50).collect::<Vec<_>>());
}

/// Brokers acknowledge in order (MQTT 3.1.1, 4.6); where one loses an acknowledgement, what it belongs to is sent again.
#[test]
fn a_puback_that_is_lost_among_others_is_not_waited_for_for_ever() {
    let mut rig = online(|rig| rig.puback_delay = None);
    offer(&mut rig, 0..1);
    rig.pass(SECOND);
    rig.puback_delay = Some(Duration::from_millis(20));
    for n in 1..120 {
        offer(&mut rig, n..n + 1);
        rig.pass(SECOND);
    }
    assert!(rig.disk.rows.is_empty(), "{} rows are held", rig.disk.rows.len());
    assert_eq!(rig.cloud.connects, 2);
    assert!(distinct(&rig.cloud.arrivals).into_iter().eq(0..120));
}

/// A slow link: each PUBACK comes soon after the one before, the last long after its publish.
#[test]
fn a_slow_link_is_not_taken_for_a_silent_hub() {
    let mut rig = online(|rig| rig.puback_delay = None);
    offer(&mut rig, 0..100);
    for _ in 0..100 {
        rig.pass(10 * SECOND);
        rig.acknowledge_one();
    }
    assert_eq!((rig.cloud.connects, rig.cloud.arrivals.len()), (1, 100));
    rig.pass(SECOND);
    assert!(rig.disk.rows.is_empty());
}

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn metered(rig: &mut Rig) {
    rig.config.daily_bytes_max = Some(100_000);
}

/// The rig begins at midnight.
fn bytes_on_day(rig: &Rig, day: u32) -> usize {
    let start = Duration::from_secs(3600) + day * DAY;
    let mut messages: Vec<_> = rig.cloud.arrivals.iter().map(|a| (a.message, a.at, a.bytes)).collect();
    messages.dedup();
    messages.iter().filter(|(_, at, _)| (start..start + DAY).contains(at)).map(|(_, _, bytes)| bytes).sum()
}

#[test]
fn a_spent_budget_holds_readings_back_until_midnight_and_lets_alarms_pass() {
    let mut rig = online(metered);
    rig.plugin_up("actor", None, true);
    for n in 0..2_000 {
        offer(&mut rig, n..n + 1);
        rig.pass(30 * SECOND);
    }
    assert!(rig.session.status(rig.now()).uplink.budget_spent);
    let before = rig.cloud.arrivals.len();
    rig.send_command("x", "a-1");
    rig.pass(SECOND);
    assert_eq!(rig.acks(), [("a-1".to_owned(), 6)]);
    assert_eq!(rig.cloud.arrivals.len(), before);
    assert!((99_000..=100_000).contains(&bytes_on_day(&rig, 0)), "{}", bytes_on_day(&rig, 0));
    rig.pass(DAY);
    assert!((99_000..=100_000).contains(&bytes_on_day(&rig, 1)));
    rig.pass(10 * DAY);
    assert!(distinct(&rig.cloud.arrivals).into_iter().eq(0..2_000));
    assert_lanes_in_order(&rig.cloud.arrivals);
    assert!(!rig.session.status(rig.now()).uplink.budget_spent);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn restarts_neither_renew_nor_waste_a_budget() {
    let mut rig = online(metered);
    for n in 0..1_000 {
        offer(&mut rig, n..n + 1);
        rig.pass(20 * SECOND);
        if n % 100 == 50 {
            rig.crash();
        }
    }
    let spent = bytes_on_day(&rig, 0);
    // Ten crashes waste a sixty-fourth each at most.
    assert!((83_000..=100_000).contains(&spent), "{spent}");
    let mut orderly = online(metered);
    for n in 0..1_000 {
        offer(&mut orderly, n..n + 1);
        orderly.pass(20 * SECOND);
        if n % 100 == 50 {
            orderly.handle(Event::Stop);
            orderly.pass(SECOND);
            orderly.crash();
        }
    }
    assert!((99_000..=100_000).contains(&bytes_on_day(&orderly, 0)), "{}", bytes_on_day(&orderly, 0));
}

#[test]
fn a_damaged_account_of_the_budget_is_begun_anew() {
    let mut rig = booted(|rig| {
        metered(rig);
        rig.put_fact(crate::action::Fact::Budget, "{\"day\":\"monday\"}");
    });
    rig.pass(SECOND);
    offer(&mut rig, 0..5);
    rig.pass(SECOND);
    assert_eq!(rig.cloud.arrivals.len(), 5);
}

#[test]
fn what_outlives_its_time_behind_a_spent_budget_is_given_up() {
    let mut rig = online(|rig| {
        metered(rig);
        rig.config.batch = Some(BATCH);
        rig.config.time_to_live = Some(HOUR);
    });
    let started_unix_ms = rig.real_unix_ms - i64::try_from(rig.now().monotonic.as_millis()).unwrap();
    for n in 0..8_000 {
        offer(&mut rig, n..n + 1);
        rig.pass(10 * SECOND);
    }
    rig.pass(DAY);
    let age_ms = |a: &Arrival| started_unix_ms + i64::try_from(a.at.as_millis()).unwrap() - a.dt;
    let oldest_ms = rig.cloud.arrivals.iter().map(age_ms).max().unwrap();
    assert!(oldest_ms <= 3_600_000 + 1_000, "{oldest_ms} ms old");
    assert!(rig.disk.rows.is_empty());
}

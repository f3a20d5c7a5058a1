use super::*;

#[test]
fn readings_that_outlive_their_time_are_given_up_and_counted() {
    let mut rig = online(|rig| rig.config.time_to_live = Some(HOUR));
    rig.network(false);
    for n in 0..120 {
        offer(&mut rig, n..n + 1);
        rig.pass(60 * SECOND);
    }
    rig.network(true);
    rig.pass(600 * SECOND);
    let arrived = distinct(&rig.cloud.arrivals);
    let first = *arrived.first().unwrap();
    assert!((60..66).contains(&first), "{first}");
    assert!(arrived.into_iter().eq(first..120));
    let counts = rig.session.status(rig.now()).uplink;
    assert_eq!(i64::try_from(counts.expired).unwrap(), first);
    assert!(rig.disk.rows.is_empty());
}

/// The hub takes any token that ends in the future: its word says nothing about a clock that is ahead.
#[test]
fn nothing_expires_by_the_hub_s_word_alone() {
    let mut rig = online(|_| {});
    rig.config.time_to_live = Some(HOUR);
    rig.network(false);
    offer(&mut rig, 0..3);
    rig.pass(SECOND);
    rig.portal_up = false;
    rig.reboot(-2 * 24 * 3_600_000);
    rig.network(true);
    rig.pass(600 * SECOND);
    assert!(rig.is_online() && rig.session.status(rig.now()).time_known);
    assert_eq!(values(&rig.cloud.arrivals), [0, 1, 2]);
}

#[test]
fn nothing_expires_while_nobody_knows_the_time() {
    // Years off, not synchronised, and nobody can be asked for a while.
    let mut rig = online(|_| {});
    rig.config.time_to_live = Some(HOUR);
    rig.network(false);
    offer(&mut rig, 0..3);
    rig.pass(SECOND);
    rig.reboot(-400 * 24 * 3_600_000);
    rig.pass(10 * SECOND);
    assert_eq!(rig.disk.rows.len(), 3);
    rig.network(true);
    rig.pass(600 * SECOND);
    assert_eq!(values(&rig.cloud.arrivals), [0, 1, 2]);
}

/// Taken before the clock is known, on a device that starts in 1970.
#[test]
fn readings_from_before_the_time_was_known_get_the_moment_they_were_taken() {
    let mut rig = booted(|rig| {
        rig.network(false);
        rig.wall_trusted = false;
        rig.wall_off_by_ms = -rig.real_unix_ms;
    });
    let mut taken = Vec::new();
    for n in 0..10 {
        taken.push(rig.real_unix_ms);
        offer(&mut rig, n..n + 1);
        rig.pass(600 * SECOND);
    }
    rig.crash();
    rig.network(true);
    rig.pass(900 * SECOND);
    let got: Vec<_> = rig.cloud.arrivals.iter().map(|arrival| arrival.dt).collect();
    assert_eq!(got.len(), 10);
    for (got, taken) in got.iter().zip(&taken) {
        assert!((got - taken).abs() <= 1_000, "{got} {taken}");
    }
    assert!(rig.cloud.arrivals.iter().all(|arrival| arrival.offline));
}

#[test]
fn a_reboot_without_a_clock_leaves_the_wall_clock_s_word_or_a_guess() {
    for (wall_off_by_ms, lost_ms, right) in [(-3_000, 0, true), (i64::MIN, 0, false), (10_i64.pow(12), 0, false)] {
        let mut rig = booted(|rig| {
            rig.network(false);
            rig.wall_trusted = false;
            rig.wall_off_by_ms = wall_off_by_ms.max(-rig.real_unix_ms);
        });
        let taken = rig.real_unix_ms;
        offer(&mut rig, 0..1);
        rig.pass(1_000 * SECOND);
        rig.reboot(lost_ms);
        let booted = rig.real_unix_ms - 90_000;
        rig.network(true);
        rig.pass(900 * SECOND);
        assert_eq!(values(&rig.cloud.arrivals), [0]);
        let expected = if right { taken + wall_off_by_ms } else { booted };
        let got = rig.cloud.arrivals[0].dt;
        assert!((got - expected).abs() <= 1_000, "{wall_off_by_ms}: {got} is not {expected}");
    }
}

#[test]
fn rows_of_the_first_format_are_still_read() {
    let mut rig = booted(|rig| rig.network(false));
    let sample = |n: i64| format!(r#"{{"time":"2026-11-23T00:00:0{n}.500Z","values":[["n",{n}]]}}"#);
    rig.put_row(2, &format!("[{},{}]", sample(1), sample(2)));
    rig.put_row(2, "[{\"values\":7}]");
    rig.put_row(3, r#"{"boot":"b","boot_ms":9223372036854775807,"wall_ms":-9223372036854775808,"samples":[]}"#);
    rig.put_row(3, r#"{"boot":"boot-1","boot_ms":9223372036854775807,"wall_ms":1,"samples":[{"values":[["n",3]]}]}"#);
    rig.crash();
    rig.network(true);
    rig.pass(600 * SECOND);
    assert_eq!(values(&rig.cloud.arrivals), [1, 2, 3]);
    assert_eq!(rig.cloud.arrivals[0].dt % 60_000, 1_500);
    assert!(rig.disk.rows.is_empty());
    assert_eq!(rig.session.status(rig.now()).uplink.given_up, 1);
}

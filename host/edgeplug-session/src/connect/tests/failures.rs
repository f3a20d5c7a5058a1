use super::*;
use crate::Session;

/// How the hub's answers to CONNECT are taken: CONNACK 4 and 5, 3, 1 and 2, and a close without any.
#[test]
fn no_answer_of_the_hub_is_final() {
    let failed = |kind| LinkDownReason::Failed(Failure { kind, text: "said the hub".into() });
    let table = [
        // answer, trouble, shortest and longest first wait
        (LinkDownReason::NotAuthorised, FailureKind::Enrolment, 10, 20),
        (failed(FailureKind::Network), FailureKind::Network, 0, 5),
        (failed(FailureKind::Protocol), FailureKind::Protocol, 40, 80),
        (failed(FailureKind::Certificate), FailureKind::Certificate, 0, 5),
        (LinkDownReason::Closed, FailureKind::Network, 0, 5),
    ];
    for (answer, kind, shortest_s, longest_s) in table {
        let mut rig = Rig::new();
        rig.cloud.connect_failures.extend(std::iter::repeat_n(answer.clone(), 2));
        rig.boot();
        rig.pass(6 * LATENCY);
        assert_eq!(trouble(&rig), Some(kind), "{answer:?}");
        rig.pass(10 * MINUTE);
        assert!(rig.is_online(), "{answer:?}");
        assert_eq!(trouble(&rig), None);
        let wait = rig.cloud.tried_at[1] - rig.cloud.tried_at[0] - 2 * LATENCY;
        let expected = Duration::from_secs(shortest_s)..=Duration::from_secs(longest_s);
        assert!(expected.contains(&wait), "{answer:?}: {wait:?}");
    }
}

#[test]
fn waits_grow_to_the_configured_longest_and_start_anew_after_a_good_link() {
    let mut rig = online();
    rig.network(false);
    rig.cloud.tried_at.clear();
    rig.pass(2 * HOUR);
    let waits: Vec<_> = rig.cloud.tried_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Every third time the portal is asked first, which fails as well and costs a wait of its own.
    assert!(waits.iter().all(|wait| *wait <= 2 * rig.config.retry_max + SECOND));
    assert!(waits[waits.len() - 1] >= rig.config.retry_max / 2);
    assert!(waits[0] <= 11 * SECOND && waits[0] < waits[1]);
    rig.network(true);
    rig.pass(10 * MINUTE);
    assert!(rig.is_online());
    rig.cut();
    rig.pass(6 * SECOND);
    assert!(rig.is_online());
}

#[test]
fn a_second_device_of_the_same_identity_is_noticed_and_given_way() {
    let mut rig = online();
    rig.cloud.kicks_after = Some(5 * SECOND);
    rig.cut();
    rig.pass(10 * MINUTE);
    let status = rig.session.status(rig.now());
    let trouble_now = status.trouble.unwrap();
    assert_eq!(trouble_now.kind, FailureKind::Kicked);
    assert!(trouble_now.text.contains("one connection per device"), "{}", trouble_now.text);
    rig.pass(2 * HOUR);
    let connected = rig.cloud.connects;
    rig.pass(HOUR);
    let in_an_hour = rig.cloud.connects - connected;
    assert!((11..=25).contains(&in_an_hour), "{in_an_hour} connects: as rarely as the longest wait allows, not more");
    // Half of its waits are longer than half a minute: no reason to begin anew.
    rig.cloud.kicks_after = Some(4 * MINUTE);
    rig.pass(HOUR);
    let connected = rig.cloud.connects;
    rig.pass(HOUR);
    assert!(rig.cloud.connects - connected <= 11);
    assert_eq!(trouble(&rig), Some(FailureKind::Kicked), "being connected for a while proves nothing");
    rig.cloud.kicks_after = None;
    rig.pass(HOUR);
    assert!(rig.is_online());
    assert_eq!(trouble(&rig), None);
}

#[test]
fn a_hub_that_closes_now_and_then_is_no_second_device() {
    let mut rig = online();
    for _ in 0..10 {
        rig.pass(MINUTE);
        rig.cloud.kicks_after = Some(5 * SECOND);
        rig.cut();
        rig.pass(7 * SECOND);
        rig.cloud.kicks_after = None;
        rig.pass(MINUTE);
        assert!(rig.is_online());
        assert_eq!(trouble(&rig), None);
    }
}

/// Tries of a thousand devices, by the second after `from`.
fn largest_share_in_a_second(tries: impl Iterator<Item = Duration>, from: Duration) -> f64 {
    let mut seconds = std::collections::BTreeMap::<u64, f64>::new();
    let mut all = 0.0;
    for at in tries {
        *seconds.entry((at - from).as_secs()).or_default() += 1.0;
        all += 1.0;
    }
    seconds.into_values().fold(0.0, f64::max) / all
}

fn fleet() -> impl Iterator<Item = Rig> {
    (0..1_000).map(|seed| {
        let mut rig = Rig::new();
        rig.session = Session::new(rig.config.clone(), seed);
        rig
    })
}

#[test]
fn a_fleet_that_loses_its_hub_does_not_come_back_in_one_second() {
    let (mut first, mut after_outage, mut from) = (Vec::new(), Vec::new(), Duration::ZERO);
    for mut rig in fleet().map(connected) {
        rig.network(false);
        rig.cloud.tried_at.clear();
        from = rig.now().monotonic;
        rig.pass(30 * MINUTE);
        first.push(rig.cloud.tried_at[0]);
        rig.network(true);
        rig.pass(15 * MINUTE);
        assert!(rig.is_online());
        after_outage.push(*rig.cloud.tried_at.last().unwrap());
    }
    let share = largest_share_in_a_second(first.into_iter(), from);
    assert!(share < 0.3, "{share} of the fleet at once on the first try");
    let share = largest_share_in_a_second(after_outage.into_iter(), from);
    assert!(share < 0.03, "{share} of the fleet at once after a long outage");
}

#[test]
fn a_fleet_after_a_power_cut_does_not_start_in_one_second() {
    for (booted_ago, most) in [(20 * SECOND, 0.3), (HOUR, 1.0)] {
        let tries: Vec<_> = fleet()
            .map(|mut rig| {
                rig.monotonic = booted_ago;
                rig.boot();
                rig.pass(10 * SECOND);
                assert!(rig.is_online());
                assert_eq!(trouble(&rig), None);
                rig.cloud.tried_at[0]
            })
            .collect();
        let share = largest_share_in_a_second(tries.into_iter(), booted_ago);
        assert!(share <= most, "{share} of the fleet at once, {booted_ago:?} after their boot");
        assert!(most < 1.0 || share == 1.0, "who did not just boot does not wait");
    }
}

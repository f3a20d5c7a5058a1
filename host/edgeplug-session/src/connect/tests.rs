use std::time::Duration;

use edgeplug_protocol::time::Timestamp;
use proptest::prelude::*;

use crate::event::{Event, Failure, FailureKind, LinkDownReason};
use crate::rig::{LATENCY, Rig, START_UNIX_MS, reading};
use crate::{LinkState, Session};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY_MS: i64 = 24 * 3600 * 1000;
const YEARS_MS: i64 = 10 * 365 * DAY_MS;

fn online() -> Rig {
    connected(Rig::new())
}

fn connected(mut rig: Rig) -> Rig {
    rig.boot();
    rig.handle(Event::PluginsScanned);
    rig.pass(SECOND);
    assert!(rig.is_online());
    rig
}

fn trouble(rig: &Rig) -> Option<FailureKind> {
    rig.session.status(rig.now()).trouble.map(|trouble| trouble.kind)
}

fn offline_marks(rig: &Rig) -> usize {
    rig.cloud.received.iter().filter(|body| body["od"] == 1).count()
}

/// How far the stamp of the last report is from now.
fn stamp_error_ms(rig: &Rig) -> i64 {
    let body = rig.cloud.received.last().unwrap();
    let stamp = Timestamp::parse(body["d"][0]["dt"].as_str().unwrap()).unwrap();
    (stamp.unix_ms() - rig.real_unix_ms).abs()
}

#[test]
fn a_week_of_renewals_looks_like_one_connection() {
    let mut rig = online();
    for n in 0..7 * 24 * 120_u64 {
        rig.offer(n, vec![reading("n", n)]);
        rig.pass(30 * SECOND);
    }
    assert!((209..=211).contains(&rig.cloud.connects), "{} connects", rig.cloud.connects);
    assert_eq!(rig.delivered("n"), (0..7 * 24 * 120).collect::<Vec<_>>(), "once each, in order");
    assert_eq!((offline_marks(&rig), rig.told_disconnected), (0, 0));
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn a_renewal_waits_for_the_last_acknowledgements() {
    let mut rig = online();
    rig.puback_delay = Some(3 * SECOND);
    rig.pass(48 * MINUTE - 2 * SECOND);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(4 * SECOND);
    assert_eq!(rig.session.status(rig.now()).link, LinkState::Online);
    assert_eq!((rig.cloud.connects, rig.delivered("n")), (2, vec![1]), "not sent a second time");
}

#[test]
fn a_key_that_cannot_sign_at_renewal_leaves_the_link_alone_until_the_token_ends() {
    let mut rig = online();
    rig.pass(47 * MINUTE);
    rig.tpm_busy = true;
    rig.pass(6 * MINUTE);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(SECOND);
    assert_eq!((rig.session.status(rig.now()).link, rig.delivered("n")), (LinkState::Online, vec![1]));
    assert_eq!(trouble(&rig), Some(FailureKind::TpmBusy), "but it is said");
    rig.tpm_busy = false;
    rig.pass(6 * MINUTE);
    assert_eq!((rig.cloud.connects, trouble(&rig)), (2, None));
    assert_eq!((offline_marks(&rig), rig.told_disconnected), (0, 0));
    rig.tpm_busy = true;
    rig.pass(2 * HOUR);
    assert!(!rig.told_connected, "without a token there is no link in the end");
    rig.tpm_busy = false;
    rig.pass(6 * MINUTE);
    assert!(rig.is_online() && rig.told_connected);
}

#[test]
fn a_connection_that_ends_with_its_token_is_replaced_at_once() {
    for grace in [Duration::ZERO, 4 * MINUTE] {
        let mut rig = online();
        rig.cloud.expiry_grace = grace;
        rig.cut();
        rig.pass(10 * SECOND);
        assert_eq!(rig.cloud.connects, 2);
        rig.tpm_busy = true;
        rig.pass(HOUR + grace - 20 * SECOND);
        assert!(rig.is_online());
        rig.tpm_busy = false;
        rig.pass(21 * SECOND);
        assert!(rig.is_online());
        let [.., old, new] = rig.cloud.tried_at.as_slice() else { panic!("two connections") };
        let lasted = *new - *old;
        assert!((HOUR + grace - SECOND..HOUR + grace + 10 * LATENCY).contains(&lasted), "{lasted:?}");
    }
}

#[test]
fn a_renewal_without_a_portal_renews_all_the_same() {
    let mut rig = online();
    rig.portal_up = false;
    rig.crash();
    rig.pass(10 * SECOND);
    let connected = rig.cloud.connects;
    rig.pass(5 * HOUR);
    assert_eq!((rig.cloud.connects, rig.told_disconnected), (connected + 6, 0));
}

#[test]
fn a_link_that_breaks_during_its_renewal_comes_back() {
    // Every moment around the renewal, in steps shorter than each of its parts.
    for step in 0..40 {
        let mut rig = online();
        rig.portal_up = step % 2 == 0;
        rig.puback_delay = Some(3 * LATENCY);
        rig.pass(48 * MINUTE - SECOND - 5 * LATENCY);
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(LATENCY / 2 * step);
        rig.cut();
        rig.portal_up = true;
        rig.pass(MINUTE);
        assert!(rig.is_online(), "broken {step} half latencies around the renewal");
        assert!(rig.disk.rows.is_empty());
    }
}

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

#[test]
fn no_jump_of_the_clock_is_noticed_by_anybody() {
    let jumps = [YEARS_MS, -YEARS_MS, -START_UNIX_MS, 0, 7 * 60_000, -DAY_MS];
    for trusted in [true, false] {
        let mut rig = online();
        rig.cloud.certificate = Some(START_UNIX_MS - 90 * DAY_MS..START_UNIX_MS + 90 * DAY_MS);
        rig.wall_trusted = trusted;
        for n in 0..2 * 24 * 20 {
            rig.wall_off_by_ms = jumps[n % jumps.len()];
            rig.pass(3 * MINUTE);
            rig.offer(n as u64, vec![reading("n", n as u64)]);
            rig.pass(5 * LATENCY);
            assert!(rig.told_connected);
            assert_eq!(rig.delivered("n").len(), n + 1);
            assert!(stamp_error_ms(&rig) <= 1_000, "jump {n}: off by {} ms", stamp_error_ms(&rig));
        }
        assert_eq!((offline_marks(&rig), rig.told_disconnected), (0, 0));
        assert!((55..=70).contains(&rig.cloud.connects), "{} connects", rig.cloud.connects);
        rig.crash();
        rig.pass(10 * SECOND);
        rig.offer(5_000, vec![reading("n", 5_000)]);
        rig.pass(SECOND);
        assert!(stamp_error_ms(&rig) <= 2_000, "nor is it by the next run");
    }
}

#[test]
fn a_device_without_a_clock_starts_where_it_left_off() {
    let mut rig = online();
    rig.cloud.certificate = Some(START_UNIX_MS - 90 * DAY_MS..START_UNIX_MS + 90 * DAY_MS);
    rig.pass(2 * HOUR);
    for wall_lost_ms in [START_UNIX_MS, -YEARS_MS, YEARS_MS] {
        rig.wall_off_by_ms = 0;
        rig.reboot(wall_lost_ms);
        assert!(!rig.session.status(rig.now()).time_known);
        rig.pass(MINUTE);
        assert!(rig.is_online(), "clock behind by {wall_lost_ms} ms");
        assert!(rig.session.status(rig.now()).time_known);
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(5 * LATENCY);
        assert!(stamp_error_ms(&rig) <= 1_200);
    }
}

#[test]
fn a_device_that_never_knew_the_time_says_so_and_connects_when_it_does() {
    let mut rig = Rig::new();
    rig.cloud.certificate = Some(START_UNIX_MS - 90 * DAY_MS..START_UNIX_MS + 90 * DAY_MS);
    rig.wall_off_by_ms = -START_UNIX_MS;
    rig.wall_trusted = false;
    rig.boot();
    rig.pass(HOUR);
    let status = rig.session.status(rig.now());
    assert!(!status.time_known && rig.cloud.connects == 0);
    let trouble = status.trouble.unwrap();
    assert_eq!(trouble.kind, FailureKind::Certificate);
    assert!(trouble.text.contains("time of day is not known"), "{}", trouble.text);
    rig.wall_off_by_ms = 0;
    rig.wall_trusted = true;
    rig.handle(Event::Woke);
    rig.pass(SECOND);
    assert!(rig.is_online(), "as soon as anything shows it");
}

#[test]
fn without_a_portal_a_plausible_clock_is_enough_for_the_hub_and_1970_is_not() {
    let known_hub = || {
        let mut rig = online();
        rig.portal_up = false;
        rig
    };
    let mut right = known_hub();
    right.reboot(0);
    assert!(!right.session.status(right.now()).time_known, "nobody has said so yet");
    right.pass(10 * SECOND);
    assert!(right.is_online());
    assert!(right.session.status(right.now()).time_known, "the hub took the token");

    let mut wrong = known_hub();
    wrong.reboot(START_UNIX_MS);
    wrong.pass(10 * MINUTE);
    assert_eq!((trouble(&wrong), wrong.cloud.tried_at.len()), (Some(FailureKind::TimeUnknown), 1));
    wrong.portal_up = true;
    wrong.pass(6 * MINUTE);
    assert!(wrong.is_online());
}

/// The monotonic clock of a virtual machine stands still while it is paused, and nothing tells the guest.
#[test]
fn a_paused_machine_asks_for_the_time_with_its_next_renewal() {
    let mut rig = online();
    rig.pass(10 * MINUTE);
    rig.real_unix_ms += 40 * 60_000;
    rig.pass(40 * MINUTE);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(5 * LATENCY);
    assert!(stamp_error_ms(&rig) <= 1_000, "off by {} ms", stamp_error_ms(&rig));
    assert_eq!(rig.told_disconnected, 0);
}

#[test]
fn a_token_dated_by_a_wrong_clock_is_replaced_when_the_right_time_is_learnt() {
    let mut rig = online();
    rig.portal_up = false;
    // Behind by less than the token's life: the hub takes it, and will close early.
    rig.reboot(30 * 60_000);
    rig.config.boot_id.clear();
    rig.disk.forget_the_clock();
    rig.crash();
    rig.pass(10 * SECOND);
    assert!(rig.is_online());
    rig.pass(5 * MINUTE);
    rig.wall_off_by_ms = 0;
    rig.wall_trusted = true;
    rig.handle(Event::Woke);
    rig.pass(2 * HOUR);
    assert!(rig.is_online());
    assert_eq!(rig.told_disconnected, 0, "renewed before the hub could object");
}

#[derive(Debug, Clone)]
enum Fate {
    Pass(u32),
    /// Where the wall clock stands, and whether the system calls that right.
    Clock(i64, bool),
    Network(bool),
    Portal(bool),
    Tpm(bool),
    Refuse(bool),
    Kicks(Option<u16>),
    Cut,
    Crash,
    Reboot,
}

fn fate() -> impl Strategy<Value = Fate> {
    let off_by_ms = prop_oneof![Just(YEARS_MS), Just(-YEARS_MS), Just(-START_UNIX_MS), Just(0), -DAY_MS..DAY_MS];
    prop_oneof![
        4 => (0_u32..3_000_000).prop_map(Fate::Pass),
        2 => (off_by_ms, any::<bool>()).prop_map(|(off_by_ms, trusted)| Fate::Clock(off_by_ms, trusted)),
        1 => any::<bool>().prop_map(Fate::Network),
        1 => any::<bool>().prop_map(Fate::Portal),
        1 => any::<bool>().prop_map(Fate::Tpm),
        1 => any::<bool>().prop_map(Fate::Refuse),
        1 => proptest::option::of(0_u16..500).prop_map(Fate::Kicks),
        1 => Just(Fate::Cut),
        1 => Just(Fate::Crash),
        1 => Just(Fate::Reboot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever happens in whatever order: once the world is well again, the device is online, knows the time, and
    /// stays so.
    #[test]
    fn no_order_of_misfortunes_keeps_a_device_from_its_hub(fates in proptest::collection::vec(fate(), 1..40)) {
        let mut rig = online();
        rig.cloud.certificate = Some(START_UNIX_MS - 90 * DAY_MS..START_UNIX_MS + 90 * DAY_MS);
        for fate in fates {
            match fate {
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Clock(off_by_ms, trusted) => {
                    rig.wall_off_by_ms = off_by_ms;
                    rig.wall_trusted = trusted;
                }
                Fate::Network(up) => rig.network(up),
                Fate::Portal(up) => rig.portal_up = up,
                Fate::Tpm(busy) => rig.tpm_busy = busy,
                Fate::Refuse(refuse) => rig.cloud.refuse = refuse,
                Fate::Kicks(after_s) => rig.cloud.kicks_after = after_s.map(|s| Duration::from_secs(s.into())),
                Fate::Cut => rig.cut(),
                Fate::Crash => rig.crash(),
                Fate::Reboot => rig.reboot(0),
            }
        }
        rig.network(true);
        (rig.portal_up, rig.tpm_busy, rig.cloud.refuse, rig.cloud.kicks_after) = (true, false, false, None);
        (rig.wall_off_by_ms, rig.wall_trusted) = (0, true);
        rig.pass(HOUR);
        prop_assert!(rig.is_online(), "{:?}", rig.session.status(rig.now()));
        let told_disconnected = rig.told_disconnected;
        rig.pass(3 * HOUR);
        prop_assert_eq!(rig.told_disconnected, told_disconnected);
        prop_assert_eq!(trouble(&rig), None);
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(SECOND);
        prop_assert!(stamp_error_ms(&rig) <= 2_000, "off by {} ms", stamp_error_ms(&rig));
    }
}

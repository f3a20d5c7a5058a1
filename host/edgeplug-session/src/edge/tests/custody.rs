//! Windows over crashes, restarts, boots, and with a ledger or a store that fails.

use proptest::prelude::*;

use super::*;
use crate::action::Fact;
use crate::config::Durability;
use crate::rig::cases;

/// How often each of the numbers arrived: windows of one value each bit.
fn counts(rig: &Rig) -> i64 {
    windows(rig).iter().map(|(_, values)| values["n"][4].as_i64().unwrap()).sum()
}

/// Every number is a power of two and so shows in the sums.
fn bits(rig: &Rig) -> i64 {
    windows(rig).iter().map(|(_, values)| values["n"][2].as_i64().unwrap()).fold(0, |all, sum| all | sum)
}

#[test]
fn a_reading_is_accepted_only_when_its_window_is_on_disk() {
    let mut rig = simple(|_| {});
    rig.offer(0, vec![reading("n", 1)]);
    assert!(rig.outcomes.is_empty(), "nothing is on disk yet");
    rig.pass(SECOND);
    assert_eq!(outcomes(&rig), [Outcome::Accepted]);
    assert!(rig.disk.facts.contains_key(&Fact::Windows));
}

#[test]
fn what_comes_during_a_write_rides_on_the_next() {
    let mut rig = simple(|_| {});
    let before = rig.disk.keeps;
    for n in 0..100 {
        rig.offer(n, vec![reading("n", n)]);
    }
    rig.pass(SECOND);
    assert_eq!(accepted(&rig), (0..100).collect::<Vec<_>>());
    assert_eq!(rig.disk.keeps - before, 2, "one for the first, one for all others");
}

#[test]
fn a_ledger_that_fails_leaves_readings_in_memory_and_says_so() {
    let mut rig = simple(|_| {});
    rig.ledger_fails = true;
    rig.offer(0, vec![reading("n", 1)]);
    rig.pass(SECOND);
    assert_eq!(outcomes(&rig), [Outcome::AcceptedInMemory]);
    rig.ledger_fails = false;
    rig.pass(6 * SECOND);
    rig.crash();
    rig.pass(60 * SECOND);
    assert_eq!(windows(&rig), [("GW".to_owned(), json!({"n": [1, 1, 1, 1.0, 1, 1]}))], "written later");
}

/// A window that ends is stored, and taken out of the fact when it is: at every step in between, and with each of both on
/// disk or not, a crash sends it again or not, but never loses it.
#[test]
fn a_crash_at_any_step_loses_no_accepted_reading() {
    // The row is committed before the windows are written without it, or long after they are written with it.
    for (keeps_unsaid, commit_ms) in [(false, 5), (true, 5), (false, 300), (true, 300)] {
        for steps in 0..60 {
            let mut rig = simple(|rig| rig.commit_delay = Duration::from_millis(commit_ms));
            rig.crash_keeps_unsaid = keeps_unsaid;
            let mut offered = 0;
            let end = rig.now().monotonic + 25 * SECOND;
            // One value every second, so that windows end between them.
            for _ in 0..steps {
                if rig.now().monotonic.as_millis() / 1_000 > 3_601 + offered {
                    rig.offer(u64::try_from(offered).unwrap(), vec![reading("n", 1_u64 << offered)]);
                    offered += 1;
                }
                let at = rig.now().monotonic + Duration::from_millis(500);
                if !rig.pass_one(at.min(end)) {
                    rig.pass(Duration::from_millis(500));
                }
            }
            let taken: i64 = accepted(&rig).into_iter().map(|offer| 1 << offer).sum();
            rig.crash();
            rig.pass(60 * SECOND);
            assert_eq!(bits(&rig) & taken, taken, "lost after {steps} steps");
            assert!(rig.disk.rows.is_empty());
            let kept = rig.disk.facts.get(&Fact::Windows);
            assert!(kept.is_none_or(|fact| fact.is_empty()), "what was sent is not kept");
        }
    }
}

#[test]
fn a_window_goes_on_after_a_restart_and_ends_when_it_would_have() {
    let mut attributes = scalars(&[("n", "", 63)]);
    attributes[0]["d"][0]["tw"] = "1m".into();
    let mut rig = online(attributes, |_| {});
    let begun = rig.now().monotonic;
    rig.offer(0, vec![reading("n", 1)]);
    rig.pass(10 * SECOND);
    rig.restart();
    rig.pass(10 * SECOND);
    rig.offer(1, vec![reading("n", 2)]);
    rig.pass(SECOND);
    rig.crash();
    rig.pass(SECOND);
    rig.offer(2, vec![reading("n", 4)]);
    while windows(&rig).is_empty() {
        assert!(rig.pass_one(rig.now().monotonic + 60 * SECOND));
    }
    let lasted = rig.now().monotonic - begun;
    assert!((58..61).contains(&lasted.as_secs()), "{lasted:?}");
    rig.pass(120 * SECOND);
    assert_eq!(windows(&rig), [("GW".to_owned(), json!({"n": [1, 4, 7, 7.0 / 3.0, 3, 4]}))]);
}

#[test]
fn a_window_goes_on_after_a_boot_by_the_time_of_day() {
    for (down_s, ends_in_s) in [(10, 30..60), (3600, 0..20)] {
        let mut attributes = scalars(&[("n", "", 63)]);
        attributes[0]["d"][0]["tw"] = "1m".into();
        let mut rig = online(attributes, |_| {});
        rig.offer(0, vec![reading("n", 1)]);
        rig.pass(SECOND);
        rig.network(false);
        rig.real_unix_ms += down_s * 1_000;
        rig.reboot(0);
        rig.network(true);
        let booted = rig.now().monotonic;
        while windows(&rig).is_empty() {
            assert!(rig.pass_one(rig.now().monotonic + 60 * SECOND));
        }
        let after = (rig.now().monotonic - booted).as_secs();
        assert!(ends_in_s.contains(&after), "{after} s after a boot of {down_s} s");
    }
}

#[test]
fn a_store_that_refuses_a_window_gets_it_again() {
    let mut rig = simple(|_| {});
    rig.disk_fails = true;
    for n in 0..25 {
        rig.offer(n, vec![reading("n", 1)]);
        rig.pass(SECOND);
    }
    rig.pass(SECOND);
    assert_eq!(accepted(&rig).len(), 25, "the windows themselves are in the ledger");
    assert_eq!(counts(&rig), 0);
    rig.disk_fails = false;
    rig.pass(30 * SECOND);
    assert_eq!(counts(&rig), 25);
    assert_eq!(windows(&rig).len(), 2, "the one behind stayed open meanwhile");
}

#[test]
fn damaged_windows_are_given_up_and_harm_nothing() {
    let strange = [
        "{",
        "[]",
        r#"{"boot":"boot-1","windows":[{"tag":"","attribute":"n","length_ms":0,"ends_boot_ms":-5,"ends_unix_ms":null,"values":[{"device":"GW","min":0,"max":0,"sum":1e308,"count":0,"lv":0}]}]}"#,
        r#"{"boot":"boot-1","windows":[{"tag":"x","attribute":"y","length_ms":18446744073709551615,"ends_boot_ms":9223372036854775807,"ends_unix_ms":9223372036854775807,"values":[{"device":"ghost","min":1,"max":1,"sum":1,"count":1,"lv":1}]}]}"#,
    ];
    for fact in strange {
        let mut rig = simple(|rig| rig.put_fact(Fact::Windows, fact));
        rig.offer(0, vec![reading("n", 1)]);
        rig.pass(20 * SECOND);
        assert!(windows(&rig).iter().any(|(_, values)| values["n"][4] == 1), "{fact}");
    }
}

#[test]
fn modes_that_store_less_keep_windows_in_memory() {
    for (durability, network) in [(Durability::None, true), (Durability::OfflineOnly, true), (Durability::None, false)]
    {
        let mut rig = simple(|rig| rig.config.durability = durability);
        rig.network(network);
        let before = rig.disk.keeps;
        rig.offer(0, vec![reading("n", 1)]);
        rig.pass(SECOND);
        assert_eq!(outcomes(&rig), [Outcome::AcceptedInMemory]);
        assert_eq!(rig.disk.keeps, before, "{durability:?}");
        rig.network(true);
        rig.pass(400 * SECOND);
        assert_eq!(counts(&rig), 1, "{durability:?}");
    }
}

#[test]
fn offline_only_writes_windows_down_when_the_link_goes_and_at_the_end() {
    let mut rig = simple(|rig| rig.config.durability = Durability::OfflineOnly);
    rig.offer(0, vec![reading("n", 1)]);
    rig.pass(SECOND);
    rig.network(false);
    rig.pass(SECOND);
    rig.offer(1, vec![reading("n", 2)]);
    rig.pass(SECOND);
    assert_eq!(outcomes(&rig), [Outcome::AcceptedInMemory, Outcome::Accepted]);
    rig.crash();
    rig.network(true);
    rig.pass(60 * SECOND);
    assert_eq!(bits(&rig), 3);
    rig.offer(2, vec![reading("n", 4)]);
    rig.restart();
    rig.pass(60 * SECOND);
    assert_eq!(bits(&rig), 7);
}

#[test]
fn without_a_store_open_windows_are_sent_at_the_end() {
    let mut rig = simple(|rig| rig.config.durability = Durability::None);
    rig.offer(0, vec![reading("n", 1)]);
    rig.restart();
    assert_eq!(counts(&rig), 1);
}

#[test]
fn what_another_mode_left_on_disk_is_sent_once() {
    let mut rig = simple(|_| {});
    rig.offer(0, vec![reading("n", 1)]);
    rig.pass(SECOND);
    rig.config.durability = Durability::None;
    rig.crash();
    rig.pass(30 * SECOND);
    rig.crash();
    rig.pass(30 * SECOND);
    assert_eq!(counts(&rig), 1);
}

#[derive(Debug, Clone)]
enum Fate {
    Offer,
    Pass(u16),
    /// Goes on to the next event.
    Next(u8),
    Crash(bool),
    Restart,
    /// Seconds without power.
    Boot(u8),
    Network(bool),
    LedgerFails(bool),
    DiskFails(bool),
    /// Whether the template has another attribute beside, and whether windows are longer.
    Define(bool, bool),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Offer),
        3 => (1_u16..20_000).prop_map(Fate::Pass),
        4 => (1_u8..6).prop_map(Fate::Next),
        2 => any::<bool>().prop_map(Fate::Crash),
        1 => Just(Fate::Restart),
        1 => any::<u8>().prop_map(Fate::Boot),
        1 => any::<bool>().prop_map(Fate::Network),
        1 => any::<bool>().prop_map(Fate::LedgerFails),
        1 => any::<bool>().prop_map(Fate::DiskFails),
        1 => any::<(bool, bool)>().prop_map(|(more, longer)| Fate::Define(more, longer)),
    ]
}

proptest! {
    #![proptest_config(cases(64))]
    /// Whatever happens in whatever order: once the world is well again, every accepted number is in a window at the cloud.
    #[test]
    fn no_order_of_misfortunes_loses_an_accepted_number(
        fates in proptest::collection::vec(fate(), 1..80),
        offline_only in any::<bool>(),
    ) {
        let mut rig = simple(|rig| {
            if offline_only {
                rig.config.durability = Durability::OfflineOnly;
            }
        });
        // One bit each.
        let mut offered = 0;
        for fate in fates {
            match fate {
                Fate::Offer if offered < 60 => {
                    rig.offer(offered, vec![reading("n", 1_u64 << offered)]);
                    offered += 1;
                }
                Fate::Offer => {}
                Fate::Pass(ms) => rig.pass(Duration::from_millis(ms.into())),
                Fate::Next(events) => for _ in 0..events {
                    rig.pass_one(rig.now().monotonic + SECOND);
                },
                Fate::Crash(keeps_unsaid) => {
                    rig.crash_keeps_unsaid = keeps_unsaid;
                    rig.crash();
                }
                Fate::Restart => rig.restart(),
                Fate::Boot(seconds) => {
                    rig.real_unix_ms += i64::from(seconds) * 1_000;
                    rig.network(false);
                    rig.reboot(0);
                    rig.network(true);
                }
                Fate::Network(up) => rig.network(up),
                Fate::LedgerFails(fails) => rig.ledger_fails = fails,
                Fate::DiskFails(fails) => rig.disk_fails = fails,
                Fate::Define(more, longer) => {
                    let all = [("n", "", 63), ("m", "", 63)];
                    let mut attributes = scalars(&all[..1 + usize::from(more)]);
                    attributes[0]["d"][0]["tw"] = if longer { "20s" } else { "10s" }.into();
                    rig.cloud.portal.attributes = Some(attributes);
                    rig.send_c2d(r#"{"cmdType":"0x10","data":{}}"#);
                }
            }
        }
        (rig.ledger_fails, rig.disk_fails) = (false, false);
        rig.network(true);
        rig.pass(3600 * SECOND);
        prop_assert!(rig.is_online());
        for offer in accepted(&rig) {
            prop_assert!(bits(&rig) & (1 << offer) != 0, "lost {}", offer);
        }
        prop_assert!(rig.disk.rows.is_empty());
        let kept = rig.disk.facts.get(&Fact::Windows);
        prop_assert!(kept.is_none_or(|fact| fact.is_empty()));
    }
}

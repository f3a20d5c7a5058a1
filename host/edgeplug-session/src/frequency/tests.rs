use super::*;
use crate::OfferId;
use crate::action::Outcome;
use crate::config::Durability;
use crate::event::Event;
use crate::rig::{Rig, reading};

const SECOND: Duration = Duration::from_secs(1);

fn online(df: u64, policy: FrequencyPolicy) -> Rig {
    let mut rig = Rig::new();
    rig.cloud.portal.df = df;
    rig.config.frequency = policy;
    rig.crash();
    rig.handle(Event::PluginsScanned);
    rig.pass(SECOND);
    assert!(rig.is_online());
    rig
}

/// One call a second, each with its number.
fn call_every_second(rig: &mut Rig, calls: u64) {
    for n in 0..calls {
        rig.offer(n, vec![reading("n", n)]);
        rig.pass(SECOND);
    }
}

fn offered_by(rig: &mut Rig, plugin: &str, offer: u64, samples: Vec<Sample>) {
    rig.handle(Event::Offered { plugin: plugin.into(), offer: OfferId(offer), samples });
}

fn held_back(rig: &Rig) -> Vec<u64> {
    let held = rig.outcomes.iter().filter(|(_, outcomes)| outcomes.iter().all(|o| *o == Outcome::HeldBack));
    held.map(|(OfferId(offer), _)| *offer).collect()
}

/// IoTConnect's SDKs get each of these gaps wrong; ours are all the same, whatever the time of day.
#[test]
fn one_call_in_every_period_passes_exactly() {
    for (df, offset_s) in [(60, 330), (60, 3530), (30, 345), (30, 310), (10, 355), (300, 3420), (3600, 84_600)] {
        for policy in [FrequencyPolicy::Drop, FrequencyPolicy::KeepLatest] {
            let mut rig = online(df, policy);
            rig.pass(Duration::from_secs(offset_s));
            let calls = 3 * df + 1;
            call_every_second(&mut rig, calls);
            let at: Vec<_> = rig.cloud.arrivals.iter().map(|arrival| arrival.at.as_secs()).collect();
            let gaps: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert_eq!(gaps, [df; 3], "df {df} from {offset_s} with {policy:?}");
        }
    }
}

#[test]
fn what_comes_too_soon_is_dropped_and_said_so() {
    let mut rig = online(30, FrequencyPolicy::Drop);
    call_every_second(&mut rig, 61);
    rig.pass(100 * SECOND);
    assert_eq!(rig.delivered("n"), [0, 30, 60]);
    assert_eq!(held_back(&rig), (1..60).filter(|n| *n != 30).collect::<Vec<_>>());
    assert_eq!(rig.session.status(rig.now()).uplink.held_back, 58);
}

#[test]
fn the_latest_of_what_comes_too_soon_is_sent_when_it_is_time() {
    let mut rig = online(30, FrequencyPolicy::KeepLatest);
    let began = rig.now().monotonic;
    for n in 0..10 {
        rig.offer(n, vec![reading("n", n)]);
        rig.pass(SECOND);
    }
    rig.pass(100 * SECOND);
    assert_eq!(rig.delivered("n"), [0, 9]);
    let second = &rig.cloud.arrivals[1];
    assert_eq!((second.at - began).as_secs(), 30);
    let taken_ms = rig.cloud.arrivals[0].dt + 9_000;
    assert!((second.dt - taken_ms).abs() < 50, "it keeps the moment it was taken");
    // The gate was open since.
    rig.offer(10, vec![reading("n", 10)]);
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n"), [0, 9, 10]);
    assert_eq!(held_back(&rig), (1..10).collect::<Vec<_>>());
}

#[test]
fn each_attribute_and_device_keeps_its_own_latest_value() {
    let mut rig = online(30, FrequencyPolicy::KeepLatest);
    let own = |values: &[(&str, i64)]| Sample {
        device: Some("GW".into()),
        time: None,
        values: values.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
    };
    rig.offer(0, vec![own(&[("n", 0), ("small", 0)])]);
    rig.offer(1, vec![own(&[("n", 1), ("small", 1)])]);
    rig.offer(2, vec![own(&[("small", 2)])]);
    rig.offer(3, vec![own(&[("n", 3)]), own(&[("n", 4)])]);
    rig.pass(60 * SECOND);
    let sent: Vec<_> = rig.cloud.received.iter().map(|body| body["d"][0]["d"][0].clone()).collect();
    assert_eq!(sent, [serde_json::json!({"n": 0, "small": 0}), serde_json::json!({"n": 4, "small": 2})]);
}

#[test]
fn a_call_in_time_takes_along_what_was_kept_of_other_attributes() {
    let mut rig = online(30, FrequencyPolicy::KeepLatest);
    rig.offer(0, vec![reading("n", 0)]);
    rig.offer(1, vec![reading("n", 1)]);
    rig.offer(2, vec![reading("small", 2)]);
    // At the very moment, before the timer.
    rig.monotonic += 30 * SECOND;
    rig.offer(3, vec![reading("n", 3)]);
    rig.pass(60 * SECOND);
    assert_eq!(rig.delivered("n"), [0, 3]);
    assert_eq!(rig.delivered("small"), [2]);
}

#[test]
fn sources_are_counted_apart() {
    let mut rig = online(30, FrequencyPolicy::Drop);
    for n in 0..40 {
        offered_by(&mut rig, "one", n, vec![reading("n", n)]);
        offered_by(&mut rig, "other", 100 + n, vec![reading("n", 100 + n)]);
        rig.pass(SECOND);
    }
    assert_eq!(rig.delivered("n"), [0, 100, 30, 130]);
}

#[test]
fn all_samples_of_one_call_pass_together() {
    let mut rig = online(30, FrequencyPolicy::KeepLatest);
    rig.offer(1, (0..50).map(|n| reading("n", n)).collect());
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n"), (0..50).collect::<Vec<_>>());
}

#[test]
fn sampling_on_schedule_is_held_back_as_well() {
    let mut rig = online(10, FrequencyPolicy::Drop);
    rig.plugin_up("sensor", Some(SECOND), false);
    rig.pass(35 * SECOND);
    let at: Vec<_> = rig.cloud.arrivals.iter().map(|arrival| arrival.at.as_secs()).collect();
    assert_eq!(at.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn a_new_frequency_counts_at_once() {
    let mut rig = online(3600, FrequencyPolicy::KeepLatest);
    rig.offer(0, vec![reading("n", 0)]);
    rig.offer(1, vec![reading("n", 1)]);
    rig.pass(20 * SECOND);
    assert_eq!(rig.delivered("n"), [0]);
    rig.send_c2d(r#"{"cmdType":"0x17","data":{"df":10}}"#);
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n"), [0, 1], "ten seconds have long passed");
    rig.offer(2, vec![reading("n", 2)]);
    rig.send_c2d(r#"{"cmdType":"0x17","data":{"df":0}}"#);
    rig.pass(SECOND);
    rig.offer(3, vec![reading("n", 3)]);
    rig.offer(4, vec![reading("n", 4)]);
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n"), [0, 1, 2, 3, 4]);
}

#[test]
fn a_source_keeps_a_bounded_number_of_devices() {
    let mut rig = online(30, FrequencyPolicy::KeepLatest);
    let of = |n: usize| Sample { device: Some(format!("C{n}")), ..reading("n", n) };
    rig.offer(0, vec![reading("n", 0)]);
    for n in 0..KEPT_MAX + 10 {
        rig.offer(1, vec![of(n)]);
    }
    assert_eq!(rig.session.status(rig.now()).uplink.held_back_lost, 10);
    let mut rig = online(30, FrequencyPolicy::KeepLatest);
    rig.offer(0, vec![reading("n", 0)]);
    for n in 0..40 {
        rig.offer(1, vec![Sample { device: Some(format!("C{n}")), ..reading("n", "x".repeat(60_000)) }]);
    }
    let lost = rig.session.status(rig.now()).uplink.held_back_lost;
    assert!((20..30).contains(&lost), "{lost}");
}

#[test]
fn nothing_is_held_back_before_the_cloud_named_a_frequency() {
    let mut rig = Rig::new();
    rig.cloud.portal.df = 60;
    rig.network(false);
    rig.boot();
    for n in 0..3 {
        rig.offer(n, vec![reading("n", n)]);
    }
    rig.pass(SECOND);
    assert_eq!(held_back(&rig), Vec::<u64>::new());
    assert_eq!(rig.disk.rows.len(), 3);
}

#[test]
fn what_is_kept_is_sent_in_every_mode_and_counted_as_accepted_then() {
    for durability in [Durability::Stored, Durability::OfflineOnly, Durability::None] {
        let mut rig = online(30, FrequencyPolicy::KeepLatest);
        rig.config.durability = durability;
        rig.crash();
        rig.pass(SECOND);
        rig.offer(0, vec![reading("n", 0)]);
        rig.offer(1, vec![reading("n", 1)]);
        rig.pass(SECOND);
        assert_eq!(rig.session.status(rig.now()).uplink.accepted, 1);
        rig.pass(30 * SECOND);
        assert_eq!(rig.session.status(rig.now()).uplink.accepted, 2);
        assert_eq!(rig.delivered("n"), [0, 1], "{durability:?}");
    }
}

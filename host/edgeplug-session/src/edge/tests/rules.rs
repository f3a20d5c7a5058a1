//! Rules: their messages go before readings, and their commands do not need the cloud.

use super::*;

fn with_rules(rules: Vec<Value>, change: impl FnOnce(&mut Rig)) -> Rig {
    online(scalars(&[("temp", "0to100", 63), ("hum", "", 63)]), |rig| {
        rig.cloud.portal.rules = Value::Array(rules);
        change(rig);
    })
}

fn matches(rig: &Rig) -> Vec<&Value> {
    of_kind(rig, 3)
}

#[test]
fn a_match_runs_its_command_and_tells_the_cloud() {
    let mut rig = with_rules(vec![rule("R1", "temp > 20 AND hum > 90", "fan on")], |_| {});
    rig.plugin_up("actor", None, true);
    rig.offer(0, vec![of("GW", json!({"temp": 21, "hum": 95}))]);
    assert_eq!(rig.calls, ["fan on"], "at once");
    rig.pass(SECOND);
    let [body] = matches(&rig)[..] else { panic!("one match") };
    let entry = &body["d"][0];
    assert_eq!((&entry["cv"], &entry["d"]), (&json!({"temp": 21, "hum": 95}), &json!([{"temp": 21, "hum": 95}])));
    assert_eq!(
        (&entry["rg"], &entry["ct"], &entry["sg"]),
        (&"R1".into(), &"temp > 20 AND hum > 90".into(), &"E".into())
    );
    assert_eq!(entry["dt"], body["t"]);
    assert!(rig.acks().is_empty(), "nobody asked for an acknowledgement");
    assert_eq!(rig.session.status(rig.now()).edge.matches, 1);
    rig.offer(1, vec![of("GW", json!({"temp": 21, "hum": 5}))]);
    rig.offer(2, vec![of("GW", json!({"temp": 21}))]);
    rig.offer(3, vec![of("GW", json!({"temp": 500, "hum": 95}))]);
    rig.pass(SECOND);
    assert_eq!(matches(&rig).len(), 1, "out of range is as good as missing");
    rig.offer(4, vec![of("GW", json!({"temp": 22, "hum": 95}))]);
    rig.pass(SECOND);
    assert_eq!(matches(&rig).len(), 2, "it repeats while it is true");
}

#[test]
fn commands_of_rules_run_without_the_cloud_and_their_messages_wait() {
    let mut rig = with_rules(vec![rule("R1", "temp > 20", "fan on")], |_| {});
    rig.plugin_up("actor", None, true);
    rig.network(false);
    rig.offer(0, vec![reading("temp", 30)]);
    rig.pass(SECOND);
    assert_eq!(rig.calls, ["fan on"]);
    rig.crash();
    rig.network(true);
    rig.pass(60 * SECOND);
    assert_eq!(matches(&rig).len(), 1);
    assert_eq!(matches(&rig)[0]["od"], 1);
}

#[test]
fn matches_overtake_what_waits_and_are_not_batched() {
    let mut rig = with_rules(vec![rule("R1", "temp = 33", "")], |rig| {
        rig.config.batch = Some(crate::config::Batch { bytes_max: 4096, delay: 2 * SECOND });
        rig.config.backlog_per_s = 1;
    });
    rig.network(false);
    for n in 0..20 {
        // A fault each, and one match among them.
        rig.offer(n, vec![of("GW", json!({"temp": if n == 15 { 33 } else { 1 }, "hum": "x"}))]);
        rig.pass(SECOND);
    }
    rig.network(true);
    rig.pass(60 * SECOND);
    assert_eq!(rig.cloud.received[0]["mt"], 3, "an alarm of the page goes before the page's other rows");
    let before = rig.cloud.received.len();
    rig.offer(100, vec![of("GW", json!({"temp": 1, "hum": "x"}))]);
    rig.offer(101, vec![of("GW", json!({"temp": 33})), of("GW", json!({"temp": 33}))]);
    rig.pass(Duration::from_millis(200));
    let kinds: Vec<_> = rig.cloud.received[before..].iter().map(|body| body["mt"].as_i64().unwrap()).collect();
    assert_eq!(kinds, [3, 3], "at once and each by itself; the fault waits for company");
}

#[test]
fn matches_pass_a_spent_budget_and_a_full_lane() {
    let mut rig = with_rules(vec![rule("R1", "temp = 33", "")], |rig| {
        rig.config.daily_bytes_max = Some(2_000);
        rig.config.window = 4;
    });
    for n in 0..50 {
        rig.offer(n, vec![of("GW", json!({"hum": "x"}))]);
    }
    rig.pass(SECOND);
    assert!(rig.session.status(rig.now()).uplink.budget_spent);
    rig.offer(100, vec![reading("temp", 33)]);
    rig.pass(SECOND);
    assert_eq!(matches(&rig).len(), 1);
}

#[test]
fn matches_that_are_committed_while_the_live_lane_overflows_come_once() {
    let mut rig = with_rules(vec![rule("R1", "temp = 33", "")], |_| {});
    rig.puback_delay = Some(30 * SECOND);
    for n in 0..12_000 {
        let values = if n % 1_000 == 999 { json!({"temp": 33}) } else { json!({"hum": "x"}) };
        rig.offer(n, vec![of("GW", values)]);
        if n % 500 == 0 {
            rig.pass(Duration::from_millis(10));
        }
    }
    rig.puback_delay = Some(Duration::from_millis(5));
    rig.pass(600 * SECOND);
    assert_eq!(matches(&rig).len(), 12);
    assert_eq!(of_kind(&rig, 1).len(), 12_000 - 12);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn rules_that_are_not_understood_are_shown_and_harm_no_other() {
    let rules = vec![rule("R1", "temp >> 20 (", "x"), rule("R2", "temp > 20", ""), rule("R3", &"x".repeat(5_000), "")];
    let mut rig = with_rules(rules, |_| {});
    rig.offer(0, vec![reading("temp", 30)]);
    rig.pass(SECOND);
    assert_eq!(matches(&rig).len(), 1);
    let edge = rig.session.status(rig.now()).edge;
    assert_eq!(edge.rules, 1);
    let guids: Vec<_> = edge.rules_not_understood.iter().map(|rule| rule.guid.as_str()).collect();
    assert_eq!(guids, ["R1", "R3"]);
    assert!(!edge.rules_not_understood[0].reason.is_empty());
    assert!(edge.rules_not_understood.iter().all(|rule| rule.condition.len() <= 200));
}

#[test]
fn rules_of_a_device_that_is_no_edge_device_sleep() {
    let mut rig = with_rules(vec![rule("R1", "temp > 20", "fan on")], |rig| rig.cloud.portal.edge = false);
    rig.offer(0, vec![reading("temp", 30)]);
    rig.pass(SECOND);
    assert_eq!(rig.delivered("temp"), [30]);
    assert_eq!(matches(&rig).len(), 0);
}

#[test]
fn a_flood_of_matches_is_bounded() {
    let rules = (0..40).map(|n| rule(&format!("R{n}"), "temp > 0", "")).collect();
    let mut rig = with_rules(rules, |_| {});
    rig.offer(0, (0..100).map(|_| reading("temp", 1)).collect());
    rig.pass(600 * SECOND);
    assert_eq!(matches(&rig).len(), 1_000);
    assert_eq!(rig.session.status(rig.now()).edge.matches, 4_000);
}

#[test]
fn a_rule_that_is_always_true_leaves_room_for_others() {
    let mut rig = with_rules(vec![rule("R1", "temp > 0", "")], |rig| rig.config.in_flight_max = 10);
    rig.puback_delay = Some(Duration::from_millis(100));
    // A thousand matches a second; the link takes two hundred messages. Every tenth call has a fault.
    for n in 0..3_000 {
        let hum = if n % 10 == 0 { json!("bad") } else { json!(1) };
        rig.offer(n, vec![of("GW", json!({"temp": 1, "hum": hum}))]);
        rig.pass(Duration::from_millis(1));
    }
    let faults = of_kind(&rig, 1).len();
    assert!((100..=300).contains(&faults), "{faults} faults");
    assert!(matches(&rig).len() > 300);
    rig.puback_delay = Some(Duration::from_millis(5));
    rig.pass(600 * SECOND);
    assert_eq!((of_kind(&rig, 1).len(), matches(&rig).len()), (300, 3_000));
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn matches_are_bounded_in_bytes() {
    let attributes = json!([{"p": "", "dt": null, "tg": "", "d": [{"ln": "s", "dt": 1, "dv": "", "tg": "", "agt": 63, "tw": "10s"}]}]);
    let mut rig = online(attributes, |rig| {
        rig.config.durability = crate::config::Durability::None;
        rig.cloud.portal.rules = (0..30).map(|n| rule(&format!("R{n}"), "s != nothing", "")).collect();
    });
    rig.network(false);
    let text = "x".repeat(100 * 1024);
    for n in 0..20 {
        rig.offer(n, vec![reading("s", text.clone())]);
    }
    let waiting = rig.session.status(rig.now()).uplink.waiting;
    assert!(waiting * 100 * 1024 <= 16 * 1024 * 1024, "{waiting} rows of 100 KiB in memory");
    assert!(outcomes(&rig).iter().any(|outcome| matches!(outcome, Outcome::Rejected(_))));
}

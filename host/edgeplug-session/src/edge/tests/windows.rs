//! What is in a window, and when it is sent.

use super::*;

#[test]
fn numbers_make_a_window_and_no_report() {
    let mut rig = simple(|_| {});
    offer_each(&mut rig, "n", &[10.into(), 30.into(), 21.into()]);
    rig.pass(SECOND);
    assert_eq!(outcomes(&rig), vec![Outcome::Accepted; 3]);
    assert_eq!(rig.cloud.received.len(), 0);
    rig.pass(10 * SECOND);
    assert_eq!(windows(&rig), [("GW".to_owned(), json!({"n": [10, 30, 61, 61.0 / 3.0, 3, 21]}))]);
    assert_eq!(rig.cloud.received.len(), 1);
    let body = &rig.cloud.received[0];
    assert_eq!(body["t"], body["d"][0]["dt"]);
    rig.pass(60 * SECOND);
    assert_eq!(rig.cloud.received.len(), 1, "an empty window sends nothing");
    assert!(rig.disk.rows.is_empty());
    assert_eq!(rig.session.status(rig.now()).edge.windows, 0);
}

#[test]
fn only_the_wanted_aggregates_are_sent() {
    for (agt, expected) in [(44, json!([107.0, 107.0 / 3.0, 95])), (8, json!([107.0 / 3.0])), (0, json!([]))] {
        let mut rig = online(scalars(&[("hum", "", agt)]), |_| {});
        offer_each(&mut rig, "hum", &[5.into(), "7".into(), 95.into()]);
        rig.pass(11 * SECOND);
        assert_eq!(windows(&rig), [("GW".to_owned(), json!({ "hum": expected }))]);
    }
}

#[test]
fn members_of_an_object_share_a_window() {
    let member = |name, agt| json!({"ln": name, "dt": 0, "dv": "", "tg": "", "agt": agt, "tw": ""});
    let object =
        json!([{"p": "gyro", "dt": 2, "agt": 0, "tw": "10s", "tg": "", "d": [member("x", 63), member("y", 8)]}]);
    let mut rig = online(object, |_| {});
    rig.offer(0, vec![reading("gyro", json!({"x": 1, "y": 2}))]);
    rig.offer(1, vec![reading("gyro", json!({"x": 2, "y": 11}))]);
    rig.pass(11 * SECOND);
    assert_eq!(windows(&rig), [("GW".to_owned(), json!({"gyro": {"x": [1, 2, 3, 1.5, 2, 2], "y": [6.5]}}))]);
}

#[test]
fn invalid_values_and_texts_reach_no_window_but_make_a_fault() {
    let mut attributes = scalars(&[("n", "0to100", 63)]);
    attributes[0]["d"][0]["tw"] = "10s".into();
    let name = json!({"ln": "name", "dt": 1, "dv": "", "tg": "", "agt": 63, "tw": "10s"});
    attributes[0]["d"].as_array_mut().unwrap().push(name);
    let mut rig = online(attributes, |_| {});
    rig.offer(0, vec![of("GW", json!({"n": 500, "name": "a"}))]);
    rig.offer(1, vec![of("GW", json!({"n": 50}))]);
    rig.offer(2, vec![of("GW", json!({"zzz": 50}))]);
    rig.offer(3, vec![of("NOPE", json!({"n": 50}))]);
    rig.offer(4, vec![of("GW", json!({"n": 7, "zzz": 1}))]);
    rig.pass(11 * SECOND);
    assert_eq!(windows(&rig), [("GW".to_owned(), json!({"n": [7, 50, 57, 28.5, 2, 7]}))]);
    assert_eq!(of_kind(&rig, 1).len(), 1);
    assert_eq!(of_kind(&rig, 1)[0]["d"][0]["d"], json!([{"n": "500", "name": "a"}]));
    assert_eq!(accepted(&rig), [0, 1]);
    let mut rest: Vec<_> = rig.outcomes.iter().filter(|(offer, _)| offer.0 > 1).collect();
    rest.sort_by_key(|(offer, _)| *offer);
    assert!(matches!(
        rest.iter().map(|(_, outcomes)| outcomes.as_slice()).collect::<Vec<_>>()[..],
        [[Outcome::Rejected(_)], [Outcome::Rejected(_)], [Outcome::AcceptedInPart(_)]]
    ));
}

#[test]
fn devices_of_one_tag_share_a_message_and_never_a_window() {
    let scalar = |tag, name| json!({"ln": name, "dt": 0, "dv": "", "tg": tag, "agt": 63, "tw": "10s"});
    let attributes =
        json!([{"p": "", "dt": null, "tg": "", "d": [scalar("gw", "n"), scalar("c", "n"), scalar("c", "hum")]}]);
    let mut rig = online(attributes, |rig| rig.cloud.portal.children = Some(vec!["Z1", "A2"]));
    rig.offer(0, vec![of("A2", json!({"n": 10})), of("Z1", json!({"n": 30})), reading("n", 5)]);
    rig.offer(1, vec![of("Z1", json!({"hum": 1}))]);
    rig.pass(11 * SECOND);
    assert_eq!(of_kind(&rig, 2).len(), 3, "one for each attribute of a tag");
    let all = |n| json!({"n": [n, n, n, f64::from(n), 1, n]});
    let of_n: Vec<_> = windows(&rig).into_iter().filter(|(_, values)| values.get("n").is_some()).collect();
    assert_eq!(of_n, [("Z1".to_owned(), all(30)), ("A2".to_owned(), all(10)), ("GW".to_owned(), all(5))]);
}

#[test]
fn each_attribute_has_the_length_the_cloud_names() {
    let mut attributes = scalars(&[("a", "", 16), ("b", "", 16), ("c", "", 16)]);
    for (at, tw) in ["5s", "1m", "soon"].into_iter().enumerate() {
        attributes[0]["d"][at]["tw"] = tw.into();
    }
    let mut rig = online(attributes, |_| {});
    for n in 0..60 {
        rig.offer(n, vec![of("GW", json!({"a": 1, "b": 1, "c": 1}))]);
        rig.pass(SECOND);
    }
    rig.pass(5 * SECOND);
    let sums =
        |name: &str| -> Vec<i64> { windows(&rig).iter().filter_map(|(_, values)| values[name][0].as_i64()).collect() };
    assert_eq!(sums("a").iter().sum::<i64>(), 60);
    assert!((12..=13).contains(&sums("a").len()), "{:?}", sums("a"));
    assert_eq!(sums("b"), [60], "one window, the minute");
    assert_eq!(sums("c"), sums("b"), "what nobody understands is a minute");
}

#[test]
fn an_attribute_that_the_cloud_takes_away_is_sent_at_once() {
    let mut rig = online(scalars(&[("n", "", 63), ("m", "", 16)]), |_| {});
    rig.offer(0, vec![of("GW", json!({"n": 1, "m": 2}))]);
    rig.pass(SECOND);
    rig.cloud.portal.attributes = Some(scalars(&[("n", "", 63), ("o", "", 63)]));
    rig.crash();
    rig.pass(SECOND);
    assert_eq!(windows(&rig), [("GW".to_owned(), json!({"m": [1]}))], "by the mask it had");
    rig.pass(10 * SECOND);
    assert_eq!(windows(&rig)[1..], [("GW".to_owned(), json!({"n": [1, 1, 1, 1.0, 1, 1]}))]);
}

#[test]
fn a_device_that_is_no_edge_device_any_more_sends_what_it_has() {
    let mut rig = simple(|_| {});
    rig.offer(0, vec![reading("n", 7)]);
    rig.pass(SECOND);
    rig.cloud.portal.edge = false;
    rig.crash();
    rig.pass(SECOND);
    assert_eq!(windows(&rig).len(), 1);
    rig.offer(1, vec![reading("n", 8)]);
    rig.pass(SECOND);
    assert_eq!(rig.delivered("n"), [8]);
}

#[test]
fn samples_from_before_the_first_sync_make_windows_of_their_own() {
    let mut rig = Rig::new();
    rig.cloud.portal.edge = true;
    rig.cloud.portal.attributes = Some(scalars(&[("n", "0to9", 63)]));
    rig.network(false);
    rig.boot();
    rig.offer(0, vec![reading("n", 3), reading("n", 5), reading("n", 99)]);
    rig.pass(SECOND);
    assert_eq!(outcomes(&rig), vec![Outcome::Accepted; 3]);
    rig.network(true);
    rig.pass(400 * SECOND);
    assert_eq!(windows(&rig), [("GW".to_owned(), json!({"n": [3, 5, 8, 4.0, 2, 5]}))]);
    assert_eq!(of_kind(&rig, 1).len(), 1);
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn windows_that_end_while_the_link_is_down_wait_and_are_marked() {
    let mut rig = simple(|_| {});
    rig.network(false);
    for n in 0..30 {
        rig.offer(n, vec![reading("n", n)]);
        rig.pass(SECOND);
    }
    rig.network(true);
    rig.pass(400 * SECOND);
    let counts: i64 = windows(&rig).iter().map(|(_, values)| values["n"][4].as_i64().unwrap()).sum();
    assert_eq!(counts, 30);
    assert!(of_kind(&rig, 2).iter().filter(|body| body["od"] == 1).count() >= 2);
}

#[test]
fn no_window_ends_while_nobody_knows_the_time() {
    let mut rig = simple(|_| {});
    rig.offer(0, vec![reading("n", 1)]);
    rig.pass(SECOND);
    rig.network(false);
    rig.reboot(400 * 24 * 3_600_000);
    rig.pass(600 * SECOND);
    assert!(rig.disk.rows.is_empty());
    assert_eq!(rig.session.status(rig.now()).edge.windows, 1);
    rig.network(true);
    rig.pass(600 * SECOND);
    assert_eq!(windows(&rig).len(), 1);
    let at = rig.cloud.received[0]["d"][0]["dt"].as_str().unwrap();
    assert!(at.starts_with("2026-11-23T0"), "{at}");
}

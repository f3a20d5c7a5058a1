//! The same in device message 2.1.

use edgeplug_protocol::version::Version;

use super::*;
use crate::config::ProtocolChoice;

fn attributes() -> Value {
    let scalar = |name, dt, dv, tw| json!({"ln": name, "dt": dt, "dv": dv, "sq": 1, "tw": tw});
    json!([
        {"p": "", "dt": 0, "d": [scalar("temp", 1, "", "10s"), scalar("hum", 3, "0to100", "10s"), scalar("name", 4, "", "10s")]},
        {"p": "gyro", "dt": 11, "d": [scalar("x", 1, "", "10s"), scalar("y", 1, "", "20s")]}])
}

fn device(change: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = online(attributes(), |rig| {
        rig.config.protocol = ProtocolChoice::Only(Version::V21);
        (rig.cloud.portal.legacy, rig.cloud.portal.v21) = (false, true);
        rig.cloud.portal.has = json!({"d": 0, "attr": 1, "set": 0, "r": 1, "ota": 0});
        rig.cloud.portal.rules = json!([rule("R1", "temp > 20", "fan on")]);
        change(rig);
    });
    rig.pass(SECOND);
    rig
}

fn topic(kind: &str) -> String {
    format!("devices/CP-GW/messages/events/cd=XG4E2CA&v=2.1&{kind}&$.ct=application%2Fjson&$.ce=utf-8")
}

fn on<'a>(rig: &'a Rig, kind: &str) -> Vec<&'a Value> {
    let topic = topic(kind);
    let published = rig.cloud.topics.iter().zip(&rig.cloud.received);
    published.filter(|(of, _)| **of == topic).map(|(_, body)| body).collect()
}

#[test]
fn windows_rules_and_faults_have_their_own_topics() {
    let mut rig = device(|_| {});
    rig.plugin_up("actor", None, true);
    rig.offer(0, vec![of("GW", json!({"temp": 10, "hum": 1.5, "gyro": {"x": 0, "y": 11}, "name": "a"}))]);
    rig.offer(1, vec![of("GW", json!({"temp": 30, "hum": 2.5, "gyro": {"x": 2, "y": 11}, "zzz": 1}))]);
    rig.pass(SECOND);
    let [matched] = on(&rig, "mt=2")[..] else { panic!("one match") };
    assert_eq!(matched["d"][0]["cv"], json!({"temp": 30}));
    assert_eq!(matched["d"][0]["d"], json!({"temp": 30, "hum": 2.5, "gyro": {"x": 2, "y": 11}}));
    assert_eq!(rig.calls, ["fan on"]);
    let faults: Vec<_> = on(&rig, "mt=3").iter().map(|body| body["d"][0]["d"].clone()).collect();
    assert_eq!(faults, [json!({"name": "a"}), json!({"zzz": 1})]);
    rig.pass(20 * SECOND);
    let mut windows: Vec<_> = on(&rig, "mt=1").iter().map(|body| body["d"][0]["d"].to_string()).collect();
    windows.sort();
    let expected = [
        json!({"gyro": {"x": [0, 2, 2, 1.0, 2, 2]}}),
        json!({"gyro": {"y": [11, 11, 22, 11.0, 2, 11]}}),
        json!({"hum": [1.5, 2.5, 4.0, 2.0, 2, 2.5]}),
        json!({"temp": [10, 30, 40, 20.0, 2, 30]}),
    ];
    assert_eq!(windows, expected.map(|window| window.to_string()));
    assert!(on(&rig, "mt=1").iter().all(|body| body["d"][0].get("id").is_none()), "no gateway");
    assert!(on(&rig, "mt=0").is_empty());
    assert_eq!(outcomes(&rig), vec![Outcome::Accepted; 2]);
}

#[test]
fn what_waited_goes_to_the_offline_topic() {
    let mut rig = device(|_| {});
    rig.network(false);
    rig.offer(0, vec![of("GW", json!({"temp": 30, "name": "a"}))]);
    rig.pass(15 * SECOND);
    rig.crash();
    rig.network(true);
    rig.pass(60 * SECOND);
    let late = on(&rig, "mt=4");
    assert_eq!(late.len(), 3, "match, fault and window");
    assert!(late.iter().all(|body| body["od"] == 1));
    assert_eq!(late[0]["d"][0]["rg"], "R1");
    assert!(rig.disk.rows.is_empty());
}

#[test]
fn without_any_attributes_everything_is_a_fault() {
    let mut rig = device(|rig| rig.cloud.portal.attributes = Some(json!([])));
    rig.offer(0, vec![of("GW", json!({"temp": 10}))]);
    rig.pass(20 * SECOND);
    assert_eq!(outcomes(&rig), [Outcome::Accepted]);
    assert_eq!(on(&rig, "mt=3").len(), 1);
    assert!(on(&rig, "mt=1").is_empty());
}

#[test]
fn readings_from_before_the_attributes_are_known_wait_for_them() {
    let mut rig = device(|rig| rig.cloud.portal.silent_for = 1);
    rig.offer(0, vec![of("GW", json!({"temp": 10}))]);
    rig.pass(120 * SECOND);
    assert_eq!(outcomes(&rig), [Outcome::Accepted]);
    let windows: Vec<_> = on(&rig, "mt=1").iter().map(|body| body["d"][0]["d"].clone()).collect();
    assert_eq!(windows, [json!({"temp": [10, 10, 10, 10.0, 1, 10]})]);
    assert!(on(&rig, "mt=3").is_empty());
}

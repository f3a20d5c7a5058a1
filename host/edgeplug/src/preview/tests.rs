use std::time::Duration;

use edgeplug_session::action::Outcome;
use serde_json::{Value, json};

use super::device::{Device, Shown};
use super::input::{Call, Setup};

fn sync(changes: Value) -> Value {
    let mut sync = json!({
        "sc": {"df": 0}, "rc": 0, "ds": 0, "at": 4, "ee": 0, "dtg": "D", "cpId": "CP",
        "p": {"n": "mqtt", "h": "hub", "p": 8883, "id": "CP-GW", "un": "hub/CP-GW/?api-version=2018-06-30", "pwd": "",
              "pub": "devices/CP-GW/messages/events/", "sub": "devices/CP-GW/messages/devicebound/#"},
        "d": [{"tg": "gw", "id": "GW"}, {"tg": "c", "id": "C1"}],
        "att": [{"p": "", "dt": null, "agt": 0, "tw": "", "tg": "", "d": [
            {"ln": "temp", "dt": 0, "dv": "0to50", "tg": "gw", "agt": 63, "tw": "10s"},
            {"ln": "temp", "dt": 0, "dv": "", "tg": "c", "agt": 63, "tw": "10s"}]}],
        "set": null, "r": null, "ota": null});
    for (name, value) in changes.as_object().unwrap() {
        sync[name] = value.clone();
    }
    sync
}

fn device(changes: Value) -> Device {
    Device::start(Setup::from_sync(&sync(changes)).unwrap()).unwrap()
}

fn call(line: &str) -> Call {
    Call::parse(line, "GW").unwrap().unwrap()
}

fn content(body: &str) -> Value {
    serde_json::from_str::<Value>(body).unwrap()["d"][0]["d"].clone()
}

/// Outcomes, then what `d` of each body holds.
fn seen(shown: Vec<(Duration, Shown)>) -> (Vec<Outcome>, Vec<Value>) {
    let (mut outcomes, mut bodies) = (Vec::new(), Vec::new());
    for (_, shown) in shown {
        match shown {
            Shown::Outcome { outcome, .. } => outcomes.push(outcome),
            Shown::Publish { body, .. } => bodies.push(content(&body)),
            Shown::Command { text, .. } => bodies.push(json!(text)),
        }
    }
    (outcomes, bodies)
}

#[test]
fn readings_become_reports_and_faults() {
    let mut device = device(json!({}));
    let (outcomes, bodies) = seen(device.offer(call(r#"{"values": {"temp": 21}}"#)));
    assert_eq!((outcomes, bodies), (vec![Outcome::Accepted], vec![json!([{"temp": 21}])]));
    let (_, bodies) = seen(
        device.offer(call(r#"[{"uniqueId": "GW", "data": {"temp": 99}}, {"device": "C1", "values": [["temp", 1]]}]"#)),
    );
    assert_eq!(bodies, [json!([{"temp": 1}]), json!([{"temp": "99"}])]);
}

#[test]
fn a_body_is_shown_to_the_byte() {
    let mut device = device(json!({}));
    let shown = device.offer(call(r#"{"time": "2021-01-24T10:06:17.857Z", "values": {"temp": 21}}"#));
    let [_, (at, publish @ Shown::Publish { body, .. })] = shown.as_slice() else { panic!("{shown:?}") };
    assert!(body.starts_with(r#"{"cpId":"CP","t":""#), "{body}");
    assert_eq!(
        super::as_json(*at, publish, None),
        format!(r#"{{"at_s":0,"topic":"devices/CP-GW/messages/events/","body":{body}}}"#)
    );
}

#[test]
fn what_has_no_place_is_told_with_the_reason() {
    let mut device = device(json!({}));
    let (outcomes, bodies) =
        seen(device.offer(call(r#"[{"values": {"temp": 1, "x": 2}}, {"device": "C9", "values": {"temp": 1}}]"#)));
    assert!(matches!(&outcomes[0], Outcome::AcceptedInPart(reason) if reason.contains("\"x\"")), "{outcomes:?}");
    assert!(matches!(&outcomes[1], Outcome::Rejected(reason) if reason.contains("\"C9\"")), "{outcomes:?}");
    assert_eq!(bodies, [json!([{"temp": 1}])]);
}

#[test]
fn what_comes_too_soon_is_held_back_and_the_latest_is_sent_when_it_is_time() {
    let mut device = device(json!({"sc": {"df": 60}}));
    assert_eq!(seen(device.offer(call(r#"{"values": {"temp": 1}}"#))).0, [Outcome::Accepted]);
    for temp in [2, 3] {
        device.pass_to(Duration::from_secs(10 * temp));
        let line = format!(r#"{{"values": {{"temp": {temp}}}}}"#);
        assert_eq!(seen(device.offer(call(&line))), (vec![Outcome::HeldBack], vec![]));
    }
    assert_eq!(seen(device.run_out()).1, [json!([{"temp": 3}])]);
}

#[test]
fn windows_end_and_rules_run_their_command() {
    let rule = json!([{"g": "R1", "es": "E1", "con": "gw#temp > 20", "att": null, "cmd": "fan on"}]);
    let mut device = device(json!({"ee": 1, "r": rule}));
    let (outcomes, bodies) = seen(device.offer(call(r#"{"values": {"temp": 30}}"#)));
    assert_eq!((outcomes, &bodies[0]), (vec![Outcome::Accepted], &json!("fan on")));
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert_eq!(seen(device.run_out()).1, [json!([{"temp": [30, 30, 30, 30.0, 1, 30]}])]);
}

#[test]
fn both_protocols_are_shown_as_they_are_spoken() {
    let topics = json!({"rpt": "rpt/0", "flt": "flt/3", "od": "od", "hb": "hb", "ack": "ack", "dl": "dl", "di": "di",
        "c2d": "devices/GW/messages/devicebound/#"});
    let file = json!({
        "identity": {"d": {"ec": 0, "ct": 200,
            "meta": {"at": 5, "df": 0, "cd": "XG4E2CA", "gtw": null, "edge": 0, "pf": 1, "v": 2.1},
            "has": {"d": 0, "attr": 1, "set": 0, "r": 0, "ota": 0},
            "p": {"n": "mqtt", "h": "hub", "p": 8883, "id": "GW", "un": "hub/GW/?api-version=2018-06-30", "topics": topics}}},
        "replies": {"201": {"d": {"ec": 0, "ct": 201, "att": [{"p": "", "dt": 0, "d": [{"ln": "i", "dt": 1, "dv": "1 to 15"}]}]}}}});
    let mut device = Device::start(Setup::from_identity(&file, None).unwrap()).unwrap();
    let shown = device.offer(call(r#"{"values": {"i": 3, "unknown": 1}}"#));
    let topics: Vec<_> = shown
        .iter()
        .filter_map(|(_, shown)| match shown {
            Shown::Publish { topic, body } => Some((topic.as_str(), content(body))),
            _ => None,
        })
        .collect();
    assert_eq!(topics, [("rpt/0", json!({"i": 3})), ("flt/3", json!({"unknown": 1}))]);
}

#[test]
fn an_answer_that_describes_no_device_says_why() {
    let text = |result: Result<Setup, crate::exit::Problem>| result.unwrap_err().text;
    assert!(text(Setup::from_sync(&sync(json!({"ds": 1, "rc": 1})))).contains("not registered"));
    assert!(text(Setup::from_sync(&json!({"status": 400, "message": "no"}))).starts_with("--sync: "));
    assert!(text(Setup::from_identity(&json!({"d": {"ec": 1}}), None)).starts_with("--identity: "));
}

#[test]
fn a_line_that_is_no_call_says_why() {
    let reason = |line: &str| Call::parse(line, "GW").unwrap_err();
    assert!(reason("{").contains("not JSON"));
    assert!(reason("7").contains("no sample"));
    assert!(reason("{}").contains("needs \"values\""));
    assert!(reason(r#"{"value": {}}"#).contains("no \"value\""));
    assert!(reason(r#"{"values": {}, "at": -1}"#).contains("seconds"));
    assert!(reason(r#"{"values": {}, "at": 1e300}"#).contains("seconds"));
    assert!(reason(r#"{"values": {}, "time": "noon"}"#).contains("not a time"));
    assert_eq!(Call::parse("  \n", "GW"), Ok(None));
}

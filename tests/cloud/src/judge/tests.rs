use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::protocol::Offer;
use crate::template::Attribute;

fn device() -> Device {
    Device::symmetric("GW")
        .guid("D")
        .tag("gw")
        .child("C1", "c")
        .edge()
        .rule(Rule::new("R1", "temp > 20"))
        .attribute(Attribute::number("temp").tag("gw").aggregate(3))
        .attribute(Attribute::string("color").tag("c"))
        .attribute(Attribute::object("gyro", [Attribute::number("x")]).tag("c"))
}

fn judged(body: &[u8]) -> Vec<String> {
    judged_as(Offer::Legacy, "", body)
}

fn judged_as(offer: Offer, bag: &str, body: &[u8]) -> Vec<String> {
    let record = Record {
        number: 7,
        at: Timestamp::UNIX_EPOCH,
        device: "CP-GW".into(),
        connection: 1,
        topic: format!("devices/CP-GW/messages/events/{bag}"),
        body: Bytes::copy_from_slice(body),
        dup: false,
        retain: false,
        qos: 1,
        will: false,
        acknowledged: true,
    };
    complaints(&record, "CP", &device().offer(offer)).into_iter().map(|complaint| complaint.what).collect()
}

fn message(kind: i64, entries: &Value) -> Vec<u8> {
    let sdk = json!({"l": "M_PYTHON", "v": "2.0", "e": "poc"});
    let body = json!({"cpId": "CP", "t": "2026-11-23T03:32:00.000Z", "mt": kind, "d": entries, "dtg": "D", "sdk": sdk});
    body.to_string().into_bytes()
}

fn entry(id: &str, tag: &str, values: &Value) -> Value {
    json!({"id": id, "dt": "2021-01-24T10:06:17.857Z", "d": [values], "tg": tag})
}

#[test]
fn messages_of_the_right_form_pass() {
    let report =
        json!([entry("GW", "gw", &json!({"temp": 10})), entry("C1", "c", &json!({"color": "red", "gyro": {"x": 1}}))]);
    assert_eq!(judged(&message(0, &report)), Vec::<String>::new());
    assert_eq!(judged(&message(1, &json!([entry("GW", "gw", &json!({"temp": "99"}))]))), Vec::<String>::new());
    assert_eq!(judged(&message(2, &json!([entry("GW", "gw", &json!({"temp": [1, 2]}))]))), Vec::<String>::new());
    let ack = json!({
        "cpId": "CP", "uniqueId": "GW", "t": "2026-11-23T03:32:00.000Z", "mt": 5,
        "d": {"ackId": "g-1", "st": 6, "msg": "", "childId": ""}, "sdk": {"l": "M_PYTHON", "v": "2.0", "e": "poc"}
    });
    assert_eq!(judged(ack.to_string().as_bytes()), Vec::<String>::new());
}

#[test]
fn each_fault_of_form_is_named() {
    let cases = [
        (b"not json".to_vec(), "the body is not a JSON object"),
        (message(9, &json!([])), "mt is none of 0, 1, 2, 3, 5, 11"),
        (message(0, &json!([])), "d is not a list of entries"),
        (message(0, &json!([entry("XX", "gw", &json!({"temp": 1}))])), "\"XX\" is neither the device nor a child"),
        (message(0, &json!([entry("GW", "c", &json!({"temp": 1}))])), "tg of GW is not its tag"),
        (message(0, &json!([entry("GW", "gw", &json!({"color": "red"}))])), "GW has no attribute color"),
        (message(0, &json!([entry("GW", "gw", &json!({"temp": "1"}))])), "temp is not a number"),
        (message(0, &json!([entry("GW", "gw", &json!({}))])), "d of GW is not a list of one object with values"),
        (message(0, &json!([entry("C1", "c", &json!({"gyro": {"y": 1}}))])), "gyro has no member y"),
        (message(2, &json!([entry("GW", "gw", &json!({"temp": [1]}))])), "temp is not a list of its 2 aggregates"),
        (message(1, &json!([entry("GW", "gw", &json!({"temp": 99}))])), "temp is not text, as it is in a fault"),
        (message(5, &json!({"ackId": "1", "st": 6})), "uniqueId is not the device's"),
    ];
    for (body, expected) in cases {
        assert_eq!(judged(&body), [expected]);
    }
}

#[test]
fn a_rule_match_is_held_against_its_rule() {
    let matched = |rule: &str, condition: &str, subscription: &str| {
        let mut entry = entry("GW", "gw", &json!({"temp": 30}));
        let object = entry.as_object_mut().unwrap();
        object.remove("tg");
        object.extend([
            ("rg".to_owned(), json!(rule)),
            ("ct".to_owned(), json!(condition)),
            ("sg".to_owned(), json!(subscription)),
            ("cv".to_owned(), json!({"temp": 30})),
        ]);
        judged(&message(3, &json!([entry])))
    };
    assert_eq!(matched("R1", "temp > 20", "R1-subscription"), Vec::<String>::new());
    assert_eq!(matched("R2", "temp > 20", "R1-subscription"), ["there is no rule \"R2\""]);
    assert_eq!(matched("R1", "temp > 2", "R1-subscription"), ["ct is not the rule's condition"]);
    assert_eq!(matched("R1", "temp > 20", ""), ["sg is not the rule's event subscription"]);
}

const ENCODING: &str = "$.ct=application%2Fjson&$.ce=utf-8";

/// What is wrong with a 2.1 message, whose topic's bag begins like this.
fn judged21(bag: &str, body: &Value) -> Vec<String> {
    judged_as(Offer::V21, &format!("{bag}&{ENCODING}"), body.to_string().as_bytes())
}

fn frame(entry: Value) -> Value {
    json!({"d": [entry], "dt": "2026-11-23T03:32:57.000Z"})
}

fn entry21(id: &str, tag: &str, values: &Value) -> Value {
    json!({"id": id, "dt": "2021-01-24T10:06:17.857Z", "tg": tag, "d": values})
}

#[test]
fn messages_of_2_1_of_the_right_form_pass() {
    let report = frame(entry21("C1", "c", &json!({"color": "red", "gyro": {"x": 1}})));
    let fault = frame(entry21("GW", "gw", &json!({"temp": "hot", "unheard": [1]})));
    let windows = frame(entry21("C1", "c", &json!({"gyro": {"x": [0, 2, 2, 1.0, 2, 2]}})));
    let mut matched = entry21("GW", "gw", &json!({"temp": 30}));
    let rule = json!({"cv": {"temp": 30}, "rg": "R1", "ct": "temp > 20", "sg": "R1-subscription"});
    matched.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    let mut stored = report.clone();
    stored["od"] = json!(1);
    let ack =
        json!({"dt": "2026-11-23T03:32:57.000Z", "d": {"ack": "a2", "type": 1, "st": 1, "msg": "no", "cid": "C1"}});
    let cases = [
        ("mt=0", report),
        ("mt=1", windows),
        ("mt=2", frame(matched)),
        ("mt=3", fault),
        ("mt=4", stored),
        ("mt=5", json!({})),
        ("mt=6", ack),
        ("di=1", json!({"mt": 201})),
        ("di=1", json!({"mt": 204, "sid": ""})),
    ];
    for (kind, body) in cases {
        assert_eq!(judged21(&format!("cd=XG4E2CA&v=2.1&{kind}"), &body), Vec::<String>::new(), "{kind} {body}");
    }
}

#[test]
fn each_fault_of_the_form_of_2_1_is_named() {
    let good = || frame(entry21("GW", "gw", &json!({"temp": 1})));
    let with = |key: &str, value: Value| {
        let mut body = good();
        body["d"][0][key] = value;
        body
    };
    let ack = |d: Value| json!({"d": d});
    let cases = [
        ("cd=OTHER&v=2.1&mt=0", good(), "malformed: cd OTHER in the topic is not the template's XG4E2CA"),
        ("v=2.1&mt=0", good(), "malformed: the topic has no cd"),
        ("cd=XG4E2CA&v=2.0&mt=0", good(), "malformed: v in the topic is not 2.1"),
        ("cd=XG4E2CA&v=2.1&mt=8", good(), "malformed: mt \"8\" in the topic is unknown"),
        ("cd=XG4E2CA&v=2.1&mt=00", good(), "malformed: mt \"00\" in the topic is unknown"),
        ("cd=XG4E2CA&v=2.1", good(), "malformed: the topic has neither mt nor di"),
        ("cd=XG4E2CA&v=2.1&mt=0&di=1", good(), "malformed: the topic has both mt and di"),
        ("cd=XG4E2CA&v=2.1&di=0", json!({"mt": 201}), "malformed: di in the topic is not 1"),
        ("cd=XG4E2CA&v=2.1&di=1", json!({"mt": 299}), "malformed: mt in the body is no identity message"),
        ("cd=XG4E2CA&v=2.1&mt=0&x=1", good(), "malformed: the topic has an unknown property x"),
        (
            "cd=XG4E2CA&v=2.1&mt=0",
            json!({"dt": "2026-11-23T03:32:57.000Z"}),
            "malformed: the body of Report is not {d, dt}",
        ),
        ("cd=XG4E2CA&v=2.1&mt=0", json!({"d": {}}), "malformed: the body of Report is not {d, dt}"),
        (
            "cd=XG4E2CA&v=2.1&mt=0",
            json!({"d": [], "cpId": "CP"}),
            "malformed: the body of Report has an unknown key cpId",
        ),
        ("cd=XG4E2CA&v=2.1&mt=0", json!([]), "malformed: the body is not a JSON object"),
        ("cd=XG4E2CA&v=2.1&mt=4", good(), "malformed: what was stored while offline does not say od 1"),
        ("cd=XG4E2CA&v=2.1&mt=5", good(), "malformed: the body of Heartbeat has an unknown key d"),
        ("cd=XG4E2CA&v=2.1&mt=6", json!({"d": []}), "malformed: the body of Ack is not {d, dt}"),
        ("cd=XG4E2CA&v=2.1&mt=0", json!({"d": []}), "d is not a list of entries"),
        ("cd=XG4E2CA&v=2.1&mt=0", with("id", json!("XX")), "\"XX\" is neither the device nor a child"),
        ("cd=XG4E2CA&v=2.1&mt=0", with("tg", json!("c")), "tg of GW is not its tag"),
        ("cd=XG4E2CA&v=2.1&mt=0", with("dt", json!("now")), "dt of GW is not a time"),
        ("cd=XG4E2CA&v=2.1&mt=0", with("rg", json!("R1")), "the entry of GW has an unknown key rg"),
        ("cd=XG4E2CA&v=2.1&mt=0", with("d", json!([{"temp": 1}])), "d of GW is not an object with values"),
        ("cd=XG4E2CA&v=2.1&mt=0", with("d", json!({"temp": "1"})), "temp is not of its type Number"),
        ("cd=XG4E2CA&v=2.1&mt=0", with("d", json!({"heat": 1})), "GW has no attribute heat"),
        ("cd=XG4E2CA&v=2.1&mt=1", with("d", json!({"temp": [1, 2]})), "temp is not a list of six aggregates"),
        ("cd=XG4E2CA&v=2.1&mt=6", ack(json!({"type": 0, "st": 1})), "the ack has no ack"),
        ("cd=XG4E2CA&v=2.1&mt=6", ack(json!({"ack": "a", "type": 5, "st": 1})), "type is not 0, 1, 2"),
        (
            "cd=XG4E2CA&v=2.1&mt=6",
            ack(json!({"ack": "a", "type": 0, "st": 1, "cid": "XX"})),
            "cid \"XX\" is not a child",
        ),
        (
            "cd=XG4E2CA&v=2.1&mt=6",
            ack(json!({"ack": "a", "type": 0, "st": 1, "ackId": "a"})),
            "the ack has an unknown key ackId",
        ),
    ];
    for (bag, body, expected) in cases {
        assert_eq!(judged21(bag, &body), [expected], "{bag} {body}");
    }
    let no_encoding = judged_as(Offer::V21, "cd=XG4E2CA&v=2.1&mt=0", good().to_string().as_bytes());
    assert_eq!(no_encoding, ["malformed: $.ct in the topic is not application/json"]);
}

#[test]
fn a_device_speaks_what_it_is_offered() {
    let report = frame(entry21("GW", "gw", &json!({"temp": 1}))).to_string();
    let bag = format!("cd=XG4E2CA&v=2.1&mt=0&{ENCODING}");
    for (offer, expected) in [(Offer::Legacy, 1), (Offer::V21, 0), (Offer::Both, 0)] {
        assert_eq!(judged_as(offer, &bag, report.as_bytes()).len(), expected, "{offer:?}");
    }
    let legacy = message(0, &json!([entry("GW", "gw", &json!({"temp": 10}))]));
    assert_eq!(judged_as(Offer::V21, "", &legacy), ["the device is not offered Legacy"]);
}

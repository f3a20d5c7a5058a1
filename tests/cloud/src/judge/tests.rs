use bytes::Bytes;
use serde_json::json;

use super::*;

fn device() -> Device {
    Device::symmetric("GW")
        .guid("D")
        .tag("gw")
        .child("C1", "c")
        .attribute(Attribute::number("temp").tag("gw"))
        .attribute(Attribute::string("color").tag("c"))
        .attribute(Attribute::object("gyro", [Attribute::number("x")]).tag("c"))
}

fn judged(body: &[u8]) -> Vec<String> {
    let record = Record {
        number: 7,
        at: Timestamp::UNIX_EPOCH,
        device: "CP-GW".into(),
        connection: 1,
        topic: "devices/CP-GW/messages/events/".into(),
        body: Bytes::copy_from_slice(body),
        dup: false,
        retain: false,
        qos: 1,
        will: false,
        acknowledged: true,
    };
    complaints(&record, "CP", &device()).into_iter().map(|complaint| complaint.what).collect()
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
        (message(1, &json!([entry("GW", "gw", &json!({"temp": 99}))])), "temp is not text, as it is in a fault"),
        (message(5, &json!({"ackId": "1", "st": 6})), "uniqueId is not the device's"),
    ];
    for (body, expected) in cases {
        assert_eq!(judged(&body), [expected]);
    }
}

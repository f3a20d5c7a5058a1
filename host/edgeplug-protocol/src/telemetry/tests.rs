use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::legacy::ack::{self, Ack};
use crate::legacy::mark_offline;
use crate::template::{DataType, Scalar};
use crate::validation::ValidValues;
use crate::version::Version;

const TIME: &str = "2021-01-24T10:06:17.857Z";
const NOW: &str = "2026-11-23T03:32:00.000Z";

fn scalar(data_type: i64, dv: &str) -> Scalar {
    Scalar {
        data_type: DataType::from_wire(Version::Legacy, data_type),
        valid: ValidValues::parse(dv),
        ..Scalar::default()
    }
}

fn attribute(data_type: i64, dv: &str) -> Attribute {
    Attribute::Scalar(scalar(data_type, dv))
}

fn gyro() -> Attribute {
    Attribute::Object([("x".to_owned(), scalar(0, "")), ("y".to_owned(), scalar(0, ""))].into())
}

/// One device without children, attributes as in the recorded cases.
fn plain() -> Template {
    let mut template = Template::new(Version::Legacy, "CP", "D", vec![Device { id: "GW".into(), tag: String::new() }]);
    for (name, it) in [
        ("temp1", attribute(0, "1to15")),
        ("humidity", attribute(0, "")),
        ("color", attribute(1, "red, gray,   blue")),
        ("num2", attribute(0, "5 to 20, 25")),
        ("gyro", gyro()),
    ] {
        template.declare("", name, it);
    }
    template
}

fn gateway() -> Template {
    let device = |id: &str, tag: &str| Device { id: id.into(), tag: tag.into() };
    let mut template =
        Template::new(Version::Legacy, "CP", "D", vec![device("GW", "gw"), device("C1", "c"), device("C2", "c")]);
    template.declare("gw", "temp", attribute(0, ""));
    template.declare("c", "temp", attribute(0, ""));
    template.declare("c", "hum", attribute(0, ""));
    template.declare("c", "gyro", gyro());
    template
}

fn sample(device: Option<&str>, values: Value) -> Sample {
    let Value::Object(values) = values else { panic!("samples are objects") };
    Sample {
        device: device.map(Into::into),
        time: Some(Timestamp::parse(TIME).unwrap()),
        values: values.into_iter().collect(),
    }
}

fn encode_all(template: &Template, samples: &[Sample]) -> (Option<Value>, Option<Value>, Vec<DropReason>) {
    let encoded = encode(template, &Sdk::new("M_PYTHON", "poc"), samples, &Timestamp::parse(NOW).unwrap());
    let parse = |body: Option<Body>| body.map(|body| serde_json::from_slice(body.bytes()).unwrap());
    (parse(encoded.report), parse(encoded.fault), encoded.dropped.into_iter().map(|d| d.reason).collect())
}

fn envelope_of(mt: u8, d: Value) -> Option<Value> {
    Some(
        json!({"cpId": "CP", "t": NOW, "mt": mt, "d": d, "dtg": "D", "sdk": {"l": "M_PYTHON", "v": "2.0", "e": "poc"}}),
    )
}

fn one(mt: u8, values: Value) -> Option<Value> {
    envelope_of(mt, json!([{"id": "GW", "dt": TIME, "d": [values], "tg": ""}]))
}

#[test]
fn valid_values_make_a_report_and_unknown_ones_are_named() {
    let input = json!({"temp1": 10, "humidity": "55", "gyro": {"x": 1, "y": "2"}, "unknown": 5});
    let (report, fault, dropped) = encode_all(&plain(), &[sample(None, input)]);
    assert_eq!(report, one(0, json!({"temp1": 10, "humidity": 55.0, "gyro": {"x": 1, "y": 2.0}})));
    assert_eq!(fault, None);
    assert_eq!(dropped, [DropReason::UnknownAttribute("unknown".into())]);
}

#[test]
fn invalid_values_make_a_fault_and_leave_the_others_alone() {
    for (input, report, fault) in [
        (json!({"temp1": 99, "humidity": 20.5}), Some(json!({"humidity": 20.5})), Some(json!({"temp1": "99"}))),
        (json!({"temp1": true, "humidity": null}), Some(json!({"temp1": 1.0})), Some(json!({"humidity": ""}))),
        (json!({"humidity": "abc"}), None, Some(json!({"humidity": "abc"}))),
        (json!({"color": "blue"}), Some(json!({"color": "blue"})), None),
        (json!({"color": "green"}), None, Some(json!({"color": "green"}))),
        (json!({"color": 7}), None, Some(json!({"color": "7"}))),
        (json!({"num2": 25}), Some(json!({"num2": 25})), None),
        (json!({"num2": "7"}), Some(json!({"num2": 7.0})), None),
        (json!({"num2": 21}), None, Some(json!({"num2": "21"}))),
    ] {
        let (got_report, got_fault, dropped) = encode_all(&plain(), &[sample(None, input.clone())]);
        assert_eq!(got_report, report.and_then(|values| one(0, values)), "{input}");
        assert_eq!(got_fault, fault.and_then(|values| one(1, values)), "{input}");
        assert!(dropped.is_empty());
    }
}

#[test]
fn of_a_name_given_twice_the_last_value_of_each_kind_counts() {
    let many = |n: i64| (0..n).map(|_| ("temp1", json!(7)));
    let repeated: [(Vec<(&str, Value)>, _, _); 4] = [
        (
            vec![("temp1", json!(1)), ("humidity", json!(5)), ("temp1", json!(2))],
            json!({"humidity": 5, "temp1": 2}),
            None,
        ),
        (vec![("temp1", json!(1)), ("temp1", json!(99))], json!({"temp1": 1}), Some(json!({"temp1": "99"}))),
        (
            vec![("gyro", json!({"x": 1, "y": "bad"})), ("gyro", json!({"y": 2}))],
            json!({"gyro": {"y": 2}}),
            Some(json!({"gyro": {"y": "bad"}})),
        ),
        (many(100).chain([("temp1", json!(8))]).collect(), json!({"temp1": 8}), None),
    ];
    for (values, report, fault) in repeated {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let sample = Sample { device: None, time: Some(Timestamp::parse(TIME).unwrap()), values };
        let now = Timestamp::parse(NOW).unwrap();
        let encoded = encode(&plain(), &Sdk::new("M_PYTHON", "poc"), &[sample], &now);
        let text = String::from_utf8(encoded.report.unwrap().bytes().to_vec()).unwrap();
        assert_eq!(text.matches("temp1").count() + text.matches("gyro").count(), 1, "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), one(0, report));
        let fault_body = encoded.fault.map(|body| serde_json::from_slice::<Value>(body.bytes()).unwrap());
        assert_eq!(fault_body, fault.and_then(|values| one(1, values)));
    }
}

#[test]
fn what_has_no_place_is_reported_and_nothing_is_sent() {
    for (device, input, reason) in [
        (Some("NOPE"), json!({"temp1": 1}), DropReason::UnknownDevice("NOPE".into())),
        (None, json!({}), DropReason::Empty),
        (None, json!({"gyro": 5}), DropReason::NotAnObject("gyro".into())),
        (None, json!({"gyro": {"z": 5}}), DropReason::UnknownAttribute("gyro.z".into())),
    ] {
        assert_eq!(encode_all(&plain(), &[sample(device, input)]), (None, None, vec![reason]));
    }
}

#[test]
fn a_gateway_and_its_children_share_a_message_with_an_entry_each() {
    let (report, fault, dropped) = encode_all(
        &gateway(),
        &[
            sample(None, json!({"temp": 1})),
            sample(Some("C1"), json!({"temp": 2, "hum": 3, "gyro": {"x": 1, "y": "green"}})),
            sample(Some("C2"), json!({"hum": "bad"})),
        ],
    );
    assert_eq!(
        report,
        envelope_of(
            0,
            json!([
        {"id": "GW", "dt": TIME, "d": [{"temp": 1}], "tg": "gw"},
        {"id": "C1", "dt": TIME, "d": [{"temp": 2, "hum": 3, "gyro": {"x": 1}}], "tg": "c"}])
        )
    );
    assert_eq!(
        fault,
        envelope_of(
            1,
            json!([
        {"id": "C1", "dt": TIME, "d": [{"gyro": {"y": "green"}}], "tg": "c"},
        {"id": "C2", "dt": TIME, "d": [{"hum": "bad"}], "tg": "c"}])
        )
    );
    assert!(dropped.is_empty());
}

#[test]
fn key_order_is_the_old_sdks() {
    let encoded = encode(
        &plain(),
        &Sdk::new("M_PYTHON", "poc"),
        &[sample(None, json!({"temp1": 10}))],
        &Timestamp::parse(NOW).unwrap(),
    );
    assert_eq!(
        encoded.report.unwrap().bytes(),
        r#"{"cpId":"CP","t":"2026-11-23T03:32:00.000Z","mt":0,"d":[{"id":"GW","dt":"2021-01-24T10:06:17.857Z","d":[{"temp1":10}],"tg":""}],"dtg":"D","sdk":{"l":"M_PYTHON","v":"2.0","e":"poc"}}"#
    );
}

#[test]
fn acks_carry_the_cloud_s_numbers() {
    let sdk = Sdk::new("M_PYTHON", "poc");
    let now = Timestamp::parse(NOW).unwrap();
    let command = Ack { ack_id: "g-1", st: ack::STATUS_EXECUTED, msg: "", child_id: "" };
    assert_eq!(
        ack::encode(MessageType::CommandAck, "CP", "GW", &command, &sdk, &now),
        r#"{"cpId":"CP","uniqueId":"GW","t":"2026-11-23T03:32:00.000Z","mt":5,"d":{"ackId":"g-1","st":6,"msg":"","childId":""},"sdk":{"l":"M_PYTHON","v":"2.0","e":"poc"}}"#
    );
    let ota = Ack { ack_id: "g-2", st: ack::STATUS_OTA_DONE, msg: "OTA updated successfully..!!", child_id: "C1" };
    assert_eq!(
        ack::encode(MessageType::OtaAck, "CP", "GW", &ota, &sdk, &now),
        r#"{"cpId":"CP","uniqueId":"GW","t":"2026-11-23T03:32:00.000Z","mt":11,"d":{"ackId":"g-2","st":7,"msg":"OTA updated successfully..!!","childId":"C1"},"sdk":{"l":"M_PYTHON","v":"2.0","e":"poc"}}"#
    );
}

#[test]
fn a_message_that_waited_offline_says_so_at_its_end() {
    assert_eq!(mark_offline(r#"{"mt":0}"#), r#"{"mt":0,"od":1}"#);
    assert_eq!(mark_offline("{}"), r#"{"od":1}"#);
    assert_eq!(mark_offline("?"), "?");
}

proptest! {
    /// Whatever JSON a sample holds: no panic, valid JSON out, and every value is in the report, in the fault or named.
    #[test]
    fn no_value_is_lost_silently(texts in proptest::collection::vec((prop_oneof!["temp1", "color", "gyro", "zzz"], ".{0,20}"), 1..6)) {
        let values: Vec<(String, Value)> = texts.into_iter()
            .map(|(name, text)| (name, serde_json::from_str(&text).unwrap_or(Value::String(text))))
            .collect();
        let mut names: Vec<_> = values.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        let sample = Sample { device: None, time: None, values };
        let (report, fault, dropped) = encode_all(&plain(), &[sample]);
        for name in names {
            let within = |body: &Option<Value>| body.as_ref().is_some_and(|b| b["d"][0]["d"][0].get(&name).is_some());
            let named = dropped.iter().any(|reason| reason.to_string().contains(&name));
            prop_assert!(within(&report) || within(&fault) || named || name == "gyro", "{name}");
        }
    }
}

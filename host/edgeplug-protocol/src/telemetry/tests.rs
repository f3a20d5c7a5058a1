use proptest::prelude::*;
use serde_json::json;

use super::*;
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
        (None, json!({"gyro": {}}), DropReason::EmptyObject("gyro".into())),
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
fn a_message_that_waited_offline_says_so_at_its_end() {
    assert_eq!(mark_offline(r#"{"mt":0}"#), r#"{"mt":0,"od":1}"#);
    assert_eq!(mark_offline("{}"), r#"{"od":1}"#);
    assert_eq!(mark_offline("?"), "?");
}

fn v21(data_type: i64, dv: &str) -> Scalar {
    Scalar {
        data_type: DataType::from_wire(Version::V21, data_type),
        valid: ValidValues::parse(dv),
        ..Scalar::default()
    }
}

/// A gateway with one child under 2.1, attributes as in the recorded cases.
fn gateway_v21() -> Template {
    let device = |id: &str, tag: &str| Device { id: id.into(), tag: tag.into() };
    let mut template = Template::new(Version::V21, "", "XG4E2CA", vec![device("GW", "gw"), device("C1", "c")]);
    template.declare("gw", "temp", Attribute::Scalar(v21(1, "1 to 15")));
    template.declare("gw", "s", Attribute::Scalar(v21(4, "red,blue")));
    template.declare("gw", "ll", Attribute::Scalar(v21(10, "")));
    template.declare("c", "temp", Attribute::Scalar(v21(1, "")));
    template.declare(
        "c",
        "gyro",
        Attribute::Object([("x".to_owned(), v21(1, "")), ("y".to_owned(), v21(3, ""))].into()),
    );
    template
}

#[test]
fn reports_of_2_1_hold_their_values_under_the_device() {
    let (report, fault, dropped) = encode_all(
        &gateway_v21(),
        &[
            sample(None, json!({"temp": "7", "ll": [1.5, 2.5]})),
            sample(Some("C1"), json!({"temp": 2, "gyro": {"x": 5, "y": 2.5}})),
        ],
    );
    assert_eq!(
        report,
        Some(json!({"dt": NOW, "d": [
            {"id": "GW", "dt": TIME, "tg": "gw", "d": {"temp": 7, "ll": [1.5, 2.5]}},
            {"id": "C1", "dt": TIME, "tg": "c", "d": {"temp": 2, "gyro": {"x": 5, "y": 2.5}}}]}))
    );
    assert_eq!((fault, dropped), (None, vec![]));
}

#[test]
fn faults_of_2_1_are_raw_and_hold_what_the_template_does_not_know() {
    let (report, fault, dropped) = encode_all(
        &gateway_v21(),
        &[
            sample(None, json!({"temp": 99, "s": "green", "zzz": 1, "gyro": {"q": 1}})),
            sample(Some("C1"), json!({"gyro": {"x": 1, "w": 2}})),
            sample(Some("C1"), json!({"gyro": 5, "temp": 1})),
        ],
    );
    let entry = |id: &str, tag: &str, d: Value| json!({"id": id, "dt": TIME, "tg": tag, "d": d});
    let reported = [entry("C1", "c", json!({"gyro": {"x": 1}})), entry("C1", "c", json!({"temp": 1}))];
    assert_eq!(report, Some(json!({"dt": NOW, "d": reported})));
    let faulty = [
        entry("GW", "gw", json!({"temp": 99, "s": "green", "zzz": 1, "gyro": {"q": 1}})),
        entry("C1", "c", json!({"gyro": {"w": 2}})),
        entry("C1", "c", json!({"gyro": 5})),
    ];
    assert_eq!(fault, Some(json!({"dt": NOW, "d": faulty})));
    assert!(dropped.is_empty());
}

#[test]
fn nothing_in_2_1_is_told_and_not_sent() {
    let input = json!({"gyro": {"x": null, "y": 1}, "temp": null, "zzz": null});
    let (report, fault, dropped) = encode_all(&gateway_v21(), &[sample(Some("C1"), input)]);
    assert_eq!(report.unwrap()["d"][0]["d"], json!({"gyro": {"y": 1}}));
    assert_eq!(fault.unwrap()["d"][0]["d"], json!({"zzz": null}), "nobody knows what it should be");
    assert_eq!(dropped, [DropReason::Null("gyro.x".into()), DropReason::Null("temp".into())]);
}

#[test]
fn the_time_stands_first_in_2_1() {
    let encoded = encode(
        &gateway_v21(),
        &Sdk::new("M_PYTHON", "poc"),
        &[sample(None, json!({"temp": 10}))],
        &Timestamp::parse(NOW).unwrap(),
    );
    let report = encoded.report.unwrap();
    assert_eq!((report.version(), report.kind()), (Version::V21, BodyKind::Report));
    assert_eq!(
        report.bytes(),
        r#"{"dt":"2026-11-23T03:32:00.000Z","d":[{"id":"GW","dt":"2021-01-24T10:06:17.857Z","tg":"gw","d":{"temp":10}}]}"#
    );
}

#[test]
fn decimals_are_rounded_where_the_operator_wants_it() {
    let rounded = |decimals| Attribute::Scalar(Scalar { decimals: Some(decimals), ..scalar(0, "0to30") });
    let mut template = plain();
    template.declare("", "one", rounded(1));
    template.declare("", "none", rounded(0));
    template.declare("", "most", rounded(u8::MAX));
    let input = json!({"one": 20.26, "none": 20.5, "most": 0.1, "humidity": 20.26});
    let (report, fault, _) = encode_all(&template, &[sample(None, input)]);
    assert_eq!(report, one(0, json!({"one": 20.3, "none": 20.0, "most": 0.1, "humidity": 20.26})));
    assert_eq!(fault, None);
    let (report, fault, _) = encode_all(&template, &[sample(None, json!({"one": 12, "none": 30.4}))]);
    assert_eq!((report, fault), (one(0, json!({"one": 12})), one(1, json!({"none": "30.4"}))));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![".{0,20}", "NaN|inf|-inf|red|7| 7 "].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("x|y|.{0,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every value of a sample, or of its last mention, is in a body or named as dropped.
fn missing(values: &[(String, Value)], bodies: &[Option<&Value>], dropped: &[DropReason]) -> Option<String> {
    let fields: Vec<_> = bodies
        .iter()
        .flatten()
        .map(|body| match &body["d"][0]["d"] {
            Value::Array(only) => only[0].clone(),
            other => other.clone(),
        })
        .collect();
    let named = |name: &str| dropped.iter().any(|reason| reason.to_string().contains(&format!("{name:?}")));
    let present = |name: &str, member: Option<&str>| {
        fields.iter().filter_map(|d| d.get(name)).any(|field| match member {
            Some(member) => field.get(member).is_some() || !field.is_object(),
            None => true,
        })
    };
    let lost = |(name, value): &(String, Value)| match value {
        Value::Object(members) if name == "gyro" && !members.is_empty() => members
            .keys()
            .find(|member| !present(name, Some(member)) && !named(&format!("{name}.{member}")))
            .map(|member| format!("{name}.{member}")),
        _ => (!present(name, None) && !named(name)).then(|| name.clone()),
    };
    values.iter().filter(|(name, _)| values.iter().filter(|(other, _)| other == name).count() == 1).find_map(lost)
}

proptest! {
    /// Whatever JSON a sample holds, in either protocol and on an edge device: no panic, valid JSON out, nothing that JSON
    /// does not know, and every value is in a body or named.
    #[test]
    fn no_value_is_lost_silently(
        values in proptest::collection::vec((prop_oneof!["temp1", "temp", "color", "s", "gyro", ".{0,4}"], any_json()), 0..6),
        is_v21: bool,
    ) {
        let template = if is_v21 { gateway_v21() } else { plain() };
        let sample = Sample { device: is_v21.then(|| "C1".into()), time: None, values: values.clone() };
        let (report, fault, dropped) = encode_all(&template, std::slice::from_ref(&sample));
        prop_assert_eq!(missing(&values, &[report.as_ref(), fault.as_ref()], &dropped), None);

        let (sdk, now) = (Sdk::new("M_PYTHON", "poc"), Timestamp::parse(NOW).unwrap());
        let samples = [sample];
        let edge = encode_edge(&template, &sdk, &samples, &now);
        let mut kept = serde_json::Map::new();
        for value in edge.valid.iter().flat_map(|valid| &valid.values) {
            match value.member {
                None => drop(kept.insert(value.attribute.into(), (*value.value).clone())),
                Some(member) => {
                    kept.entry(value.attribute).or_insert_with(|| json!({}))[member] = (*value.value).clone();
                }
            }
        }
        let kept = json!({"d": [{"d": kept}]});
        let fault: Option<Value> = edge.fault.map(|body| serde_json::from_slice(body.bytes()).unwrap());
        let dropped: Vec<_> = edge.dropped.into_iter().map(|dropped| dropped.reason).collect();
        prop_assert_eq!(missing(&values, &[Some(&kept), fault.as_ref()], &dropped), None);
    }
}

use super::*;
use crate::rules::Condition;
use crate::validation::ValidValues;

const NOW: &str = "2026-11-23T03:32:17.000Z";
const TIME: &str = "2021-01-24T10:06:17.857Z";

fn template(version: Version, devices: &[(&str, &str)]) -> Template {
    let devices: Vec<_> = devices.iter().map(|(id, tag)| Device { id: (*id).into(), tag: (*tag).into() }).collect();
    let tags: Vec<_> = devices.iter().map(|device| device.tag.clone()).collect();
    let mut template = Template::new(version, "CP", "D", devices);
    let scalar = |number: i64, dv: &str, aggregates: u8| Scalar {
        data_type: DataType::from_wire(version, number),
        valid: ValidValues::parse(dv),
        aggregates: Aggregates(aggregates),
        ..Scalar::default()
    };
    let (number, text) = if version == Version::Legacy { (0, 1) } else { (3, 4) };
    for tag in tags {
        template.declare(&tag, "temp", Attribute::Scalar(scalar(number, "0to100", 63)));
        template.declare(&tag, "hum", Attribute::Scalar(scalar(number, "", 44)));
        template.declare(&tag, "mute", Attribute::Scalar(scalar(number, "", 0)));
        template.declare(&tag, "name", Attribute::Scalar(scalar(text, "", 63)));
        let members = [("x".to_owned(), scalar(number, "", 63)), ("y".to_owned(), scalar(number, "", 8))];
        template.declare(&tag, "gyro", Attribute::Object(members.into()));
    }
    template
}

fn aggregate(values: &[i64]) -> Aggregate {
    let mut aggregate = Aggregate::default();
    values.iter().for_each(|value| aggregate.add(Number::Integer(*value)));
    aggregate
}

fn sample(device: Option<&str>, values: Value) -> Sample {
    let Value::Object(values) = values else { panic!("samples are objects") };
    Sample {
        device: device.map(Into::into),
        time: Some(Timestamp::parse(TIME).unwrap()),
        values: values.into_iter().collect(),
    }
}

fn now() -> Timestamp {
    Timestamp::parse(NOW).unwrap()
}

fn sdk() -> Sdk {
    Sdk::new("M_PYTHON", "poc")
}

/// The body as JSON, after it has been through the store.
fn parsed(body: Option<Body>) -> Value {
    let body = body.unwrap();
    assert_eq!(Body::read(body.version(), body.kind(), body.bytes().clone()).as_ref(), Some(&body));
    serde_json::from_slice(body.bytes()).unwrap()
}

fn envelope(mt: u8, d: Value) -> Value {
    json!({"cpId": "CP", "t": NOW, "mt": mt, "d": d, "dtg": "D", "sdk": {"l": "M_PYTHON", "v": "2.0", "e": "poc"}})
}

#[test]
fn numbers_are_for_windows_and_everything_else_is_a_fault() {
    let (template, sdk, now) = (template(Version::Legacy, &[("GW", "")]), sdk(), now());
    let samples = [
        sample(Some("NOPE"), json!({"temp": 1})),
        sample(None, json!({"temp": "7", "gyro": {"x": 1, "y": "bad"}, "name": "a"})),
        sample(None, json!({"temp": 500})),
        sample(None, json!({"name": "b", "zzz": 1})),
    ];
    let encoded = encode_edge(&template, &sdk, &samples, &now);
    let values = |valid: &ValidSample<'_>| -> Vec<(String, Option<Number>)> {
        let path = |value: &ValidValue<'_>| {
            [Some(value.attribute), value.member].into_iter().flatten().collect::<Vec<_>>().join(".")
        };
        valid.values.iter().map(|value| (path(value), value.number())).collect()
    };
    let of = |name: &str, number: Option<f64>| (name.to_owned(), number.map(Number::Decimal));
    let valid: Vec<_> = encoded.valid.iter().map(|valid| (valid.sample, values(valid))).collect();
    assert_eq!(
        valid,
        [
            (1, vec![("gyro.x".into(), Some(Number::Integer(1))), of("name", None), of("temp", Some(7.0))]),
            (3, vec![of("name", None)])
        ]
    );
    let entry = |d: Value| json!({"id": "GW", "dt": TIME, "d": [d], "tg": ""});
    assert_eq!(
        parsed(encoded.fault),
        envelope(
            1,
            json!([
                entry(json!({"gyro": {"y": "bad"}, "name": "a"})),
                entry(json!({"temp": "500"})),
                entry(json!({"name": "b"}))
            ])
        )
    );
    let placed = [(false, false), (true, true), (false, true), (false, true)];
    assert_eq!(encoded.placed, placed.map(|(report, fault)| Placed { report, fault }));
    assert_eq!(encoded.dropped.iter().map(|dropped| dropped.sample).collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn a_window_is_sent_with_the_aggregates_of_its_mask() {
    let template = template(Version::Legacy, &[("GW", "")]);
    let (three, two, none) = (aggregate(&[10, 30, 21]), aggregate(&[2, 11]), Aggregate::default());
    let window = |attribute, member, aggregate| ClosedWindow { device: "GW", attribute, member, aggregate };
    let report = |windows: &[ClosedWindow<'_>]| edge_report(&template, &sdk(), windows, &now());
    let entry = |d: Value| envelope(2, json!([{"id": "GW", "dt": NOW, "d": [d], "tg": ""}]));
    for (windows, d) in [
        (vec![window("temp", None, &three)], json!({"temp": [10, 30, 61, 20.333_333_333_333_332, 3, 21]})),
        (vec![window("hum", None, &three)], json!({"hum": [61, 20.333_333_333_333_332, 21]})),
        (vec![window("mute", None, &three)], json!({"mute": []})),
        (
            vec![window("gyro", Some("x"), &two), window("gyro", Some("y"), &two)],
            json!({"gyro": {"x": [2, 11, 13, 6.5, 2, 11], "y": [6.5]}}),
        ),
        (
            vec![window("gyro", Some("x"), &none), window("gyro", Some("y"), &two), window("hum", None, &two)],
            json!({"gyro": {"y": [6.5]}, "hum": [13, 6.5, 11]}),
        ),
        (vec![window("gone", None, &two)], json!({"gone": [2, 11, 13, 6.5, 2, 11]})),
    ] {
        assert_eq!(parsed(report(&windows)), entry(d));
    }
    assert_eq!(report(&[window("temp", None, &none)]), None);
    assert_eq!(report(&[ClosedWindow { device: "NOPE", ..window("temp", None, &two) }]), None);
}

#[test]
fn windows_of_2_1_hold_all_six_and_name_the_device_on_gateways_only() {
    let two = aggregate(&[1, 3]);
    let window = |device| ClosedWindow { device, attribute: "hum", member: None, aggregate: &two };
    let plain = template(Version::V21, &[("GW", "")]);
    assert_eq!(
        parsed(edge_report(&plain, &sdk(), &[window("GW")], &now())),
        json!({"dt": NOW, "d": [{"dt": NOW, "d": {"hum": [1, 3, 4, 2.0, 2, 3]}}]})
    );
    let gateway = template(Version::V21, &[("GW", "gw"), ("C1", "c")]);
    assert_eq!(
        parsed(edge_report(&gateway, &sdk(), &[window("GW"), window("C1")], &now())),
        json!({"dt": NOW, "d": [
            {"id": "GW", "dt": NOW, "tg": "gw", "d": {"hum": [1, 3, 4, 2.0, 2, 3]}},
            {"id": "C1", "dt": NOW, "tg": "c", "d": {"hum": [1, 3, 4, 2.0, 2, 3]}}]})
    );
}

fn matched(version: Version, condition: &str, values: Value) -> Option<Value> {
    let (template, sdk, now) = (template(version, &[("GW", "gw"), ("C1", "c")]), sdk(), now());
    let samples = [sample(Some("C1"), values)];
    let encoded = encode_edge(&template, &sdk, &samples, &now);
    let rule =
        Rule { guid: "R1".into(), event_subscription: Some("E1".into()), condition: condition.into(), command: None };
    let valid = encoded.valid.first()?;
    let matched = Condition::parse(condition).unwrap().evaluate(valid)?;
    Some(parsed(rule_match(&template, &sdk, &rule, valid, &matched, &now)))
}

#[test]
fn a_match_carries_what_the_rule_names_and_all_numbers_of_the_sample() {
    let values = json!({"temp": 30, "hum": "7", "gyro": {"x": 2, "y": 11}, "name": "a"});
    let d = json!({"temp": 30, "hum": 7.0, "gyro": {"x": 2, "y": 11}});
    assert_eq!(
        matched(Version::Legacy, "c#temp > 20", values.clone()),
        Some(envelope(
            3,
            json!([{"id": "C1", "dt": NOW, "cv": {"temp": 30}, "d": [d], "rg": "R1", "ct": "c#temp > 20", "sg": "E1"}])
        ))
    );
    let matched = matched(Version::V21, "temp > 20 AND gyro.x > 1 AND name = a", values);
    assert_eq!(
        matched,
        Some(json!({"dt": NOW, "d": [{
            "id": "C1", "tg": "c", "dt": NOW, "cv": {"temp": 30, "gyro": {"x": 2}, "name": "a"},
            "d": {"temp": 30, "hum": 7, "gyro": {"x": 2, "y": 11}, "name": "a"},
            "rg": "R1", "ct": "temp > 20 AND gyro.x > 1 AND name = a", "sg": "E1"}]}))
    );
}

#[test]
fn values_out_of_range_match_no_rule() {
    assert_eq!(matched(Version::Legacy, "temp > 20", json!({"temp": 500})), None);
}

#[test]
fn windows_and_matches_are_rounded_as_reports_are() {
    let mut template = template(Version::V21, &[("GW", "")]);
    let scalar = Scalar { data_type: DataType::Decimal, decimals: Some(1), ..Scalar::default() };
    template.declare("", "temp", Attribute::Scalar(scalar));
    let (sdk, now) = (sdk(), now());
    let samples = [sample(None, json!({"temp": 1.26})), sample(None, json!({"temp": 2.5}))];
    let encoded = encode_edge(&template, &sdk, &samples, &now);
    let mut aggregate = Aggregate::default();
    encoded.valid.iter().flat_map(|valid| valid.values[0].number()).for_each(|number| aggregate.add(number));
    let window = ClosedWindow { device: "GW", attribute: "temp", member: None, aggregate: &aggregate };
    let report = parsed(edge_report(&template, &sdk, &[window], &now));
    assert_eq!(report["d"][0]["d"], json!({"temp": [1.3, 2.5, 3.8, 1.9, 2, 2.5]}));
}

use serde_json::json;

use super::*;
use crate::bindings::types::{LatLong, Moment, Scalar, Value as Held};

fn with(values: Vec<(&str, Held)>) -> types::Sample {
    let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    types::Sample { device: None, time: None, values }
}

#[test]
fn every_kind_of_value_has_its_json() {
    let place = LatLong { latitude: 52.5, longitude: -13.25 };
    let members = vec![
        ("x".to_owned(), Scalar::Number(0.5)),
        ("n".to_owned(), Scalar::Integer(i64::MIN)),
        ("on".to_owned(), Scalar::Boolean(true)),
        ("s".to_owned(), Scalar::Text("ü".to_owned())),
    ];
    let taken = sample(types::Sample {
        device: Some("child-1".to_owned()),
        time: Some(Moment { seconds: 1_700_000_000, nanoseconds: 250_000_000 }),
        ..with(vec![
            ("boolean", Held::Boolean(false)),
            ("integer", Held::Integer(i64::MAX)),
            ("number", Held::Number(21.5)),
            ("text", Held::Text(String::new())),
            ("place", Held::LatLong(place)),
            ("object", Held::Object(members)),
            ("nan", Held::Number(f64::NAN)),
            ("hot", Held::Number(f64::INFINITY)),
            ("cold", Held::Number(f64::NEG_INFINITY)),
        ])
    })
    .expect("sample");
    assert_eq!(taken.device.as_deref(), Some("child-1"));
    assert_eq!(taken.time.expect("time").as_str(), "2023-11-14T22:13:20.250Z");
    assert_eq!(
        json!(taken.values.into_iter().collect::<serde_json::Map<_, _>>()),
        json!({
            "boolean": false, "integer": i64::MAX, "number": 21.5, "text": "", "place": [52.5, -13.25],
            "object": {"x": 0.5, "n": i64::MIN, "on": true, "s": "ü"}, "nan": "NaN", "hot": "inf", "cold": "-inf",
        })
    );
}

#[test]
fn what_breaks_a_limit_is_refused_by_name() {
    let text = |len: usize| Held::Text("x".repeat(len));
    let twice = vec![("a".to_owned(), Scalar::Integer(1)), ("a".to_owned(), Scalar::Integer(2))];
    let cases = [
        (with(vec![]), "at least one value"),
        (with(vec![("", text(1))]), "name is empty"),
        (with(vec![("a\nb", text(1))]), "control characters"),
        (with(vec![(&"n".repeat(129), text(1))]), "at most 128"),
        (with(vec![("long", text(TEXT_LEN_MAX + 1))]), "\"long\" has 65537 bytes"),
        (with((0..257).map(|_| ("a", text(1))).collect()), "at most 256 values"),
        (with(vec![("o", Held::Object(twice))]), "member \"a\" twice"),
        (
            types::Sample { time: Some(Moment { seconds: i64::MAX, nanoseconds: 0 }), ..with(vec![("a", text(1))]) },
            "time",
        ),
        (
            types::Sample { time: Some(Moment { seconds: 0, nanoseconds: u32::MAX }), ..with(vec![("a", text(1))]) },
            "time",
        ),
        (types::Sample { device: Some(String::new()), ..with(vec![("a", text(1))]) }, "unique id is empty"),
    ];
    for (hostile, reason) in cases {
        let error = sample(hostile).expect_err(reason);
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_list_that_is_larger_than_a_message_is_refused_whole() {
    let sample = || with(vec![("text", Held::Text("x".repeat(1000)))]);
    assert_eq!(check_list(&vec![sample(); 200]), Ok(()));
    let long = ["a", "b", "c"].map(|name| (name, Held::Text("x".repeat(TEXT_LEN_MAX))));
    assert_eq!(check_list(&[with(long.to_vec())]), Ok(()), "as the interface promises");
    let refused = check_list(&vec![sample(); 300]).expect_err("too large");
    assert!(refused.contains("306 KB") && refused.contains("send fewer at once"), "{refused}");
    let objects = || with(vec![("o", Held::Object(vec![("m".to_owned(), Scalar::Integer(1)); 200]))]);
    assert!(check_list(&vec![objects(); 100]).is_err(), "what costs no text costs something too");
    assert!(check_list(&vec![with(vec![]); SAMPLES_MAX + 1]).expect_err("too many").contains("at most 1000"));
}

#[test]
fn what_a_guest_has_no_type_for_stays_outside() {
    let with = |value: Value| Sample { device: None, time: None, values: vec![("a".to_owned(), value)] };
    for foreign in ["null", "[]", "[1]", "[1,\"2\"]", "[1,2,3]", "{\"a\":[]}", "{\"a\":null}", "18446744073709551615"] {
        let value = serde_json::from_str(foreign).expect("JSON");
        assert!(to_guest::sample(&with(value)).is_err(), "{foreign}");
    }
    let before_1970 = Timestamp::from_unix(-1, 500_000_000).expect("a time");
    let sent = to_guest::sample(&Sample { time: Some(before_1970), ..with(Value::from(1)) }).expect("a sample");
    let time = sent.time.expect("a time");
    assert_eq!((time.seconds, time.nanoseconds), (-1, 500_000_000));
}

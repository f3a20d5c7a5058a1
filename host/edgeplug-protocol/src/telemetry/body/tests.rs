use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::legacy::Sdk;
use crate::sample::Sample;
use crate::telemetry::encode;
use crate::template::{Attribute, DataType, Device, Scalar, Template};
use crate::time::Timestamp;
use crate::validation::ValidValues;
use crate::version::Version;

fn template() -> Template {
    let mut template =
        Template::new(Version::Legacy, "C\"P", "D", vec![Device { id: "G\"W".into(), tag: String::new() }]);
    let number = Scalar { data_type: DataType::Number, valid: ValidValues::parse("0to100"), ..Scalar::default() };
    template.declare("", "n", Attribute::Scalar(number));
    template
}

/// Report and fault of one sample taken at this second.
fn bodies(value: impl Into<Value>, second: i64) -> (Option<Body>, Option<Body>) {
    let at = Timestamp::from_unix_ms(1_795_392_000_000 + second * 1000);
    let sample = Sample { device: None, time: None, values: vec![("n".into(), value.into())] };
    let encoded = encode(&template(), &Sdk::new("M_PYTHON", "poc"), &[sample], &at);
    (encoded.report, encoded.fault)
}

fn report(n: i64) -> Body {
    bodies(n, n).0.unwrap()
}

fn read(text: &str) -> Option<Body> {
    Body::read(Version::Legacy, BodyKind::Report, Bytes::from(text.to_owned()))
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn entries_are_joined_and_the_last_time_counts() {
    let bodies = [report(1), report(2), report(3)];
    let merged = parsed(&merge(bodies.iter(), false));
    assert_eq!(merged["t"], "2026-11-23T00:00:03.000Z");
    let values: Vec<_> = merged["d"].as_array().unwrap().iter().map(|entry| entry["d"][0]["n"].clone()).collect();
    assert_eq!(values, [1, 2, 3]);
    assert_eq!(merged["d"][0]["dt"], "2026-11-23T00:00:01.000Z", "every entry keeps its own time");
    assert_eq!((merged.get("od"), &merged["dtg"]), (None, &json!("D")));
    assert_eq!(parsed(&merge(bodies.iter(), true))["od"], 1);
}

#[test]
fn one_body_stays_as_it_is_but_for_the_offline_mark() {
    let body = report(1);
    assert_eq!(merge([&body].into_iter(), false), body.bytes());
    let text = String::from_utf8(merge([&body].into_iter(), true).to_vec()).unwrap();
    assert_eq!(text, crate::legacy::mark_offline(std::str::from_utf8(body.bytes()).unwrap()));
    assert!(merge([].into_iter(), true).is_empty());
}

#[test]
fn a_report_and_a_fault_do_not_join() {
    let (report, fault) = (report(1), bodies(999, 2).1.unwrap());
    assert!(!report.joins(&fault));
    assert!(fault.joins(&bodies("x", 3).1.unwrap()));
}

#[test]
fn what_is_written_is_read_back_with_the_same_parts() {
    for body in [report(1), bodies("x\"]}", 2).1.unwrap()] {
        assert_eq!(Body::read(body.version(), body.kind(), body.bytes().clone()), Some(body));
    }
}

#[test]
fn only_what_we_wrote_is_read() {
    let good = r#"{"cpId":"CP","t":"T","mt":0,"d":[{}],"dtg":"D","sdk":{}}"#;
    assert!(read(good).is_some());
    for (change, to) in [
        (r#""mt":0"#, r#""mt":5"#),
        (r#""mt":0"#, r#""mt":-1"#),
        (r#""mt":0,"#, ""),
        (r#""d":[{}]"#, r#""d":[]"#),
        (r#""d":[{}]"#, r#""d":{}"#),
        (r#""d":[{}]"#, r#""d":"[x]""#),
        (r#""sdk":{}"#, r#""sdk":{},"od":1"#),
        (r#""sdk":{}"#, r#""sdk":{},"sdk":{}"#),
        (r#""t":"T""#, r#""t":"\u0054""#),
        (r#""t":"T","mt":0,"d":[{}]"#, r#""d":[{}],"mt":0,"t":"T""#),
        ("{}}", "{}"),
        ("{}}", "{}} "),
    ] {
        let text = good.replace(change, to);
        assert_ne!(text, good);
        assert_eq!(read(&text), None, "{text}");
    }
    for other in ["", "null", "[]", "\u{0}}", "{\"d\":[1]}"] {
        assert_eq!(read(other), None, "{other}");
    }
    let large = good.replace("{}]", &format!("\"{}\"]", "x".repeat(D2C_BYTES_MAX)));
    assert_eq!(read(&large), None);
}

#[test]
fn a_body_is_of_one_kind_and_one_protocol() {
    let legacy = |mt: u8| format!(r#"{{"cpId":"CP","t":"T","mt":{mt},"d":[{{}}],"dtg":"D","sdk":{{}}}}"#);
    for kind in BodyKind::ALL {
        for (mt, text) in (0..5).map(|mt| (mt, legacy(mt))) {
            let read = Body::read(Version::Legacy, kind, text.into());
            assert_eq!(read.is_some(), mt == kind.legacy_number(), "{kind:?} {mt}");
        }
    }
    let v21 = |text: &'static str| Body::read(Version::V21, BodyKind::Fault, Bytes::from_static(text.as_bytes()));
    let good = r#"{"dt":"T","d":[{}]}"#;
    assert_eq!(v21(good).map(|body| (body.version(), body.kind())), Some((Version::V21, BodyKind::Fault)));
    assert_eq!(read(good), None);
    for other in [r#"{"d":[{}],"dt":"T"}"#, r#"{"dt":"T","d":[{}],"od":1}"#, r#"{"dt":"T","d":[]}"#, r#"{"d":[{}]}"#] {
        assert_eq!(v21(other), None, "{other}");
    }
}

#[test]
fn bodies_of_2_1_join_with_their_kind_only() {
    let read = |kind, text: &'static str| Body::read(Version::V21, kind, Bytes::from_static(text.as_bytes())).unwrap();
    let first = read(BodyKind::Report, r#"{"dt":"T1","d":[{"d":{"n":1}}]}"#);
    let second = read(BodyKind::Report, r#"{"dt":"T2","d":[{"d":{"n":2}},{"d":{"n":3}}]}"#);
    assert!(first.joins(&second));
    assert!(!first.joins(&read(BodyKind::Fault, r#"{"dt":"T2","d":[{"d":{"n":2}}]}"#)));
    let merged = merge([&first, &second].into_iter(), true);
    assert_eq!(merged, r#"{"dt":"T2","d":[{"d":{"n":1}},{"d":{"n":2}},{"d":{"n":3}}],"od":1}"#);
}

proptest! {
    /// Whatever the values: the merged message holds the same entries in the same order and is as long as foretold.
    #[test]
    fn merging_keeps_every_entry(values in proptest::collection::vec(0_i64..100, 1..30), offline: bool) {
        let bodies: Vec<_> = values.iter().map(|n| report(*n)).collect();
        let entries = bodies.iter().flat_map(|body| parsed(body.bytes())["d"].as_array().unwrap().clone());
        let merged = merge(bodies.iter(), offline);
        prop_assert_eq!(parsed(&merged)["d"].clone(), Value::Array(entries.collect()));
        let len = bodies.iter().skip(1).fold(JoinedLen::of(&bodies[0]), JoinedLen::with);
        prop_assert_eq!(len.bytes(offline), merged.len());
        prop_assert!(bodies.iter().all(|body| bodies[0].joins(body)));
    }

    /// Hostile bytes from the disk: no panic, and what is read as a body can be joined with itself to JSON again.
    #[test]
    fn a_hostile_body_is_refused_or_stays_json(cut in 0_usize..160, put in ".{0,6}") {
        let text = String::from_utf8(report(7).bytes().to_vec()).unwrap();
        let at = (cut.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
        let text = format!("{}{put}{}", &text[..at], &text[at..]);
        if let Some(body) = read(&text) {
            let merged = merge([&body, &body].into_iter(), true);
            prop_assert!(serde_json::from_slice::<Value>(&merged).is_ok());
        }
    }
}

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::legacy::Sdk;
use crate::sample::Sample;
use crate::telemetry::encode_edge;
use crate::template::{Attribute, DataType, Device, Scalar, Template};
use crate::time::Timestamp;
use crate::version::Version;

/// A child with a number `temp` and `hum`, a text `mode`, a truth value `on`, a time `at` and an object `gyro` of `x` and
/// `y`.
fn template() -> Template {
    let device = |id: &str, tag: &str| Device { id: id.into(), tag: tag.into() };
    let mut template = Template::new(Version::V21, "", "", vec![device("GW", "gw"), device("C1", "c")]);
    let scalar = |data_type| Scalar { data_type, ..Scalar::default() };
    for (name, data_type) in [
        ("temp", DataType::Decimal),
        ("hum", DataType::Decimal),
        ("temp2", DataType::Decimal),
        ("mode", DataType::String),
        ("on", DataType::Boolean),
        ("at", DataType::Time),
    ] {
        template.declare("c", name, Attribute::Scalar(scalar(data_type)));
    }
    let members = ["x", "y"].map(|name| (name.to_owned(), scalar(DataType::Integer)));
    template.declare("c", "gyro", Attribute::Object(members.into()));
    template
}

/// What a condition names of a sample of the child, if it is true of it.
fn evaluate(condition: &str, values: &Value) -> Option<Vec<String>> {
    let condition = Condition::parse(condition).unwrap_or_else(|error| panic!("{condition:?}: {error}"));
    let values = values.as_object().unwrap().clone().into_iter().collect();
    let samples = [Sample { device: Some("C1".into()), time: None, values }];
    let (template, sdk, now) = (template(), Sdk::new("", ""), Timestamp::from_unix_ms(0));
    let encoded = encode_edge(&template, &sdk, &samples, &now);
    let matched = condition.evaluate(encoded.valid.first()?)?;
    let name = |named: Reference| {
        named.member.map_or(named.attribute.clone(), |member| format!("{}.{member}", named.attribute))
    };
    Some(matched.named.into_iter().map(name).collect())
}

#[test]
fn a_condition_is_true_of_the_samples_it_means() {
    for (condition, values, expected) in [
        ("temp > 20", json!({"temp": 21}), true),
        ("temp > 20", json!({"temp": 20}), false),
        ("temp >= 20", json!({"temp": 20}), true),
        ("temp < 20", json!({"temp": 19.5}), true),
        ("temp <= 10.5", json!({"temp": 10.5}), true),
        ("temp = 21", json!({"temp": 21.0}), true),
        ("temp=21", json!({"temp": 21}), true),
        ("temp == 21", json!({"temp": 21}), true),
        ("temp!=21", json!({"temp": 22}), true),
        ("temp != 21", json!({"temp": 21}), false),
        ("temp != 21", json!({"hum": 22}), false),
        ("temp>1e2", json!({"temp": 101}), true),
        ("temp > -5 and temp < +5", json!({"temp": 0}), true),
        ("  temp\t>\n20  ", json!({"temp": 21}), true),
        ("temp2 > 20", json!({"temp": 25, "temp2": 5}), false),
        ("temp > 20 AND hum > 90", json!({"temp": 21, "hum": 95}), true),
        ("temp > 20 AND hum > 90", json!({"hum": 95}), false),
        ("hum > 90 AND temp > 20", json!({"temp": 21, "hum": 95}), true),
        ("temp > 20 OR hum > 90", json!({"hum": 95}), true),
        ("temp > 50 OR temp > 20 AND hum > 90", json!({"temp": 51, "hum": 0}), true),
        ("(temp > 50 OR temp > 20) AND hum > 90", json!({"temp": 51, "hum": 0}), false),
        ("((temp > 50))", json!({"temp": 51}), true),
        ("c#gyro.x > 1 AND c#gyro.y > 10", json!({"gyro": {"x": 0, "y": 11}}), false),
        ("c#gyro.x > 1 AND c#gyro.y > 10", json!({"gyro": {"x": 2, "y": 11}}), true),
        ("gw#temp > 20", json!({"temp": 21}), false),
        ("gyro > 1", json!({"gyro": {"x": 2}}), false),
        ("temp.x > 1", json!({"temp": 2}), false),
        ("nosuch > 5", json!({"temp": 30}), false),
        ("temp > 20", json!({"temp": "30"}), true),
        ("temp > 20", json!({"temp": "hot"}), false),
        ("mode = fast", json!({"mode": "fast"}), true),
        ("mode = \"fast\"", json!({"mode": "fast"}), true),
        ("mode = 'very fast'", json!({"mode": "very fast"}), true),
        ("mode != fast", json!({"mode": "slow"}), true),
        ("mode = 7", json!({"mode": "7.0"}), true),
        ("mode = \"7\"", json!({"mode": "7.0"}), false),
        ("mode = \"and\" AND temp > 1", json!({"mode": "and", "temp": 2}), true),
        ("temp = \"21\"", json!({"temp": 21}), false),
        ("temp != fast", json!({"temp": 21}), false),
        ("on = true", json!({"on": true}), true),
        ("on = 0", json!({"on": false}), true),
        ("on != TRUE", json!({"on": false}), true),
        ("on = maybe", json!({"on": true}), false),
        ("at > 09:30:00", json!({"at": "10:00:00"}), true),
        ("at > 09:30:00", json!({"at": "09:00:00"}), false),
    ] {
        assert_eq!(evaluate(condition, &values).is_some(), expected, "{condition:?} of {values}");
    }
}

#[test]
fn a_match_names_what_the_condition_names_and_the_sample_has() {
    let sample = json!({"temp": 25, "temp2": 1, "gyro": {"x": 2, "y": 3}});
    let named = |condition| evaluate(condition, &sample).unwrap();
    assert_eq!(named("temp > 20"), ["temp"]);
    assert_eq!(named("temp > 20 OR hum > 90 OR gyro.x > 90"), ["temp", "gyro.x"]);
    assert_eq!(named("c#gyro.x > 1 AND temp > 20 AND temp < 30"), ["gyro.x", "temp"]);
}

#[test]
fn what_is_no_condition_is_refused_with_its_place() {
    let deep = format!("{}a > 1{}", "(".repeat(PARENTHESES_MAX + 1), ")".repeat(PARENTHESES_MAX + 1));
    let many = vec!["a > 1"; TERMS_MAX + 1].join(" AND ");
    let long = format!("a > {}", "1".repeat(TEXT_BYTES_MAX));
    for (condition, message) in [
        ("", "character 1: the condition is empty; write it like temp > 20"),
        ("   ", "character 1: the condition is empty; write it like temp > 20"),
        ("temp", "character 5: the end stands where one of = != > < >= <= should"),
        ("temp >", "character 7: the end stands where a number or a text should"),
        ("temp > 20 AND", "character 14: the end stands where an attribute should"),
        ("temp > 20 hum > 5", "character 11: \"hum\" stands where AND, OR or the end should"),
        ("temp > > 20", "character 8: an operator stands where a number or a text should"),
        ("é > 20 OR OR", "character 11: OR stands where an attribute should"),
        ("(temp > 20", "character 1: the closing parenthesis is missing"),
        ("(temp > 20 hum", "character 12: \"hum\" stands where AND, OR or a closing parenthesis should"),
        ("temp > 20)", "character 10: a closing parenthesis stands where AND, OR or the end should"),
        ("mode = \"fast", "character 8: the closing quote is missing"),
        ("#temp > 20", "character 1: \"#temp\" is no attribute; write it like temp, gyro.x or tag#gyro.x"),
        ("gyro. > 20", "character 1: \"gyro.\" is no attribute; write it like temp, gyro.x or tag#gyro.x"),
        ("\"temp\" > 20", "character 1: \"temp\" stands where an attribute should"),
        ("temp ! 20", "character 6: \"!\" stands where one of = != > < >= <= should"),
    ] {
        assert_eq!(Condition::parse(condition).unwrap_err().to_string(), message, "{condition:?}");
    }
    let problem = |condition: &str| Condition::parse(condition).unwrap_err().problem;
    assert_eq!(problem(&deep), Problem::TooDeep);
    assert_eq!(problem(&many), Problem::TooManyTerms);
    assert_eq!(problem(&long), Problem::TooLong);
}

proptest! {
    #[test]
    fn no_text_panics(text in "(.{0,80}|[a-c#.0-9 ()=!<>'\"]{0,60}|((temp|gyro.x|AND|or|[(]|[)]|=|>|20|'a') ?){0,12})") {
        if let Ok(condition) = Condition::parse(&text) {
            let (template, sdk, now) = (template(), Sdk::new("", ""), Timestamp::from_unix_ms(0));
            let samples = [Sample {
                device: Some("C1".into()),
                time: None,
                values: vec![("temp".into(), 21.into()), ("mode".into(), "a".into()), ("gyro".into(), json!({"x": 1}))],
            }];
            let encoded = encode_edge(&template, &sdk, &samples, &now);
            let _ = condition.evaluate(&encoded.valid[0]);
        }
    }

    /// The tree means what its text says: terms of random truth, joined at random, against the plain Boolean.
    #[test]
    fn and_binds_tighter_than_or(terms in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..12)) {
        let mut text = String::new();
        let mut any = false;
        let mut all = true;
        for (index, (is_true, joined_by_or)) in terms.iter().enumerate() {
            if index > 0 {
                text.push_str(if *joined_by_or { " OR " } else { " AND " });
                if *joined_by_or {
                    any |= std::mem::replace(&mut all, true);
                }
            }
            text.push_str(if *is_true { "temp = 1" } else { "temp = 2" });
            all &= *is_true;
        }
        prop_assert_eq!(evaluate(&text, &json!({"temp": 1})).is_some(), any || all, "{}", text);
    }
}

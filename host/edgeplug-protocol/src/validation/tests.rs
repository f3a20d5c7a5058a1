use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::version::Version;

fn number(dv: &str) -> Scalar {
    Scalar { data_type: DataType::Number, valid: ValidValues::parse(dv), ..Scalar::default() }
}

fn text(dv: &str) -> Scalar {
    Scalar { data_type: DataType::Text, valid: ValidValues::parse(dv), ..Scalar::default() }
}

fn valid(value: Value) -> Verdict<'static> {
    Verdict::Valid(Cow::Owned(value))
}

fn faulty(value: impl Into<Value>) -> Verdict<'static> {
    Verdict::Faulty(Cow::Owned(value.into()))
}

#[test]
fn numbers_follow_the_recorded_behaviour() {
    for (dv, input, expected) in [
        ("1to15", json!(10), valid(json!(10))),
        ("1to15", json!(99), faulty(99)),
        ("1to15", json!(" 99 "), faulty("99")),
        ("5to6", json!(true), faulty(1.0)),
        ("", json!("55"), valid(json!(55.0))),
        ("", json!(" 12 "), valid(json!(12.0))),
        ("", json!(true), valid(json!(1.0))),
        ("", json!(false), valid(json!(0.0))),
        ("", json!(null), faulty(Value::Null)),
        ("", json!("abc"), faulty("abc")),
        ("", json!("0x10"), faulty("0x10")),
        ("", json!("1_000.2_5"), valid(json!(1000.25))),
        ("", json!("_1"), faulty("_1")),
        ("", json!("1_"), faulty("1_")),
        ("", json!("1__0"), faulty("1__0")),
        ("", json!("nan"), faulty("nan")),
        ("", json!("inf"), faulty("inf")),
        ("", json!("1e999"), faulty("1e999")),
        ("5 to 20, 25", json!(25), valid(json!(25))),
        ("5 to 20, 25", json!("7"), valid(json!(7.0))),
        ("5 to 20, 25", json!(21), faulty(21)),
        ("-3to3", json!(-2.5), valid(json!(-2.5))),
        ("-3to-1", json!(0), faulty(0)),
    ] {
        assert_eq!(judge(&number(dv), &input), expected, "{dv:?} {input}");
    }
}

#[test]
fn texts_follow_the_recorded_behaviour_and_words_with_to_are_words() {
    for (dv, input, expected) in [
        ("red, gray,   blue", json!("blue"), valid(json!("blue"))),
        ("red, gray,   blue", json!("Blue"), faulty("Blue")),
        ("red, gray,   blue", json!("green"), faulty("green")),
        ("red, gray,   blue", json!(7), faulty(7)),
        ("red, gray,   blue", json!("red "), faulty("red ")),
        ("1,2, 3", json!(2), valid(json!(2))),
        ("1,2, 3", json!(2.0), faulty(2.0)),
        ("1to5", json!(3), valid(json!(3))),
        ("on,", json!(""), valid(json!(""))),
        (" ", json!("x"), valid(json!("x"))),
        ("", json!(7), valid(json!(7))),
        ("", json!({"a": 1}), valid(json!({"a": 1}))),
        ("auto,manual", json!("auto"), valid(json!("auto"))),
    ] {
        assert_eq!(judge(&text(dv), &input), expected, "{dv:?} {input}");
    }
}

#[test]
fn an_unknown_type_is_a_fault_never_a_loss() {
    let scalar = Scalar {
        data_type: DataType::from_wire(Version::Legacy, 9),
        valid: ValidValues::default(),
        ..Scalar::default()
    };
    assert_eq!(judge(&scalar, &json!(1)), faulty(1));
}

#[test]
fn faults_are_written_as_the_old_sdk_wrote_them() {
    for (value, text) in [
        (json!("red "), "red"),
        (json!("   "), ""),
        (json!(null), ""),
        (json!(2.0), "2.0"),
        (json!(true), "True"),
        (json!([1]), "[1]"),
    ] {
        assert_eq!(fault_text(&value), text);
    }
}

/// Type number, `dv`, value, and what it becomes (`None`: a fault).
#[test]
fn the_types_of_2_1_follow_the_recorded_behaviour() {
    let same = |value: Value| (value.clone(), Some(value));
    let fault = |value: Value| (value, None);
    let (integer, long, decimal, string, time, date, moment, bit, boolean, position) = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    for (data_type, dv, (input, expected)) in [
        (integer, "", same(json!(3))),
        (integer, "", (json!("9 "), Some(json!(9)))),
        (integer, "", (json!("1_000"), Some(json!(1000)))),
        (integer, "", fault(json!("1.5"))),
        (integer, "", fault(json!(1.5))),
        (integer, "", fault(json!(3.0))),
        (integer, "", fault(json!(true))),
        (integer, "", fault(json!("0x10"))),
        (integer, "", fault(json!(2_147_483_648_i64))),
        (integer, "1 to 15", fault(json!(99))),
        (integer, "5, 7", same(json!(7))),
        (integer, "5, 7", fault(json!(6))),
        (long, "", same(json!(i64::MAX))),
        (long, "", fault(json!(u64::MAX))),
        (long, "0 to 9223372036854775807", same(json!(5))),
        (long, "9007199254740993", fault(json!(9_007_199_254_740_992_i64))),
        (decimal, "", same(json!(1.5))),
        (decimal, "", same(json!(1))),
        (decimal, "", (json!("7"), Some(json!(7)))),
        (decimal, "", fault(json!("1.5"))),
        (decimal, "", fault(json!("nan"))),
        (decimal, "0.5 to 2.5, 7.25", same(json!(7.25))),
        (decimal, "0.5 to 2.5, 7.25", fault(json!(3))),
        (string, "", same(json!("é🚀"))),
        (string, "", fault(json!(7))),
        (string, "red,blue", fault(json!("Red"))),
        (string, "stop,start", same(json!("start"))),
        (time, "", same(json!("11:55:22"))),
        (time, "", fault(json!(""))),
        (time, "", fault(json!("24:00:00"))),
        (time, "", fault(json!("+1:00:00"))),
        (time, "10:00:00 to 12:00:00, 20:00:00", same(json!("11:55:22"))),
        (time, "10:00:00 to 12:00:00, 20:00:00", same(json!("20:00:00"))),
        (time, "10:00:00 to 12:00:00, 20:00:00", fault(json!("13:00:00"))),
        (date, "", same(json!("2021-01-24"))),
        (date, "", fault(json!("2021-02-29"))),
        (date, "2021-01-01", same(json!("2021-01-01"))),
        (date, "2021-01-01", fault(json!("2021-01-02"))),
        (moment, "", same(json!("2021-01-24T10:06:17.000Z"))),
        (moment, "", same(json!("2021-01-24T10:06:17.857Z"))),
        (moment, "", same(json!("2021-01-24T10:06:17.1234567890123Z"))),
        (moment, "", fault(json!("2021-01-24T10:06:17.Z"))),
        (moment, "", fault(json!("2021-01-24 10:06:17"))),
        (moment, "", fault(json!("nope"))),
        (moment, "2021-01-01T00:00:00.000Z to 2021-12-31T00:00:00.000Z", same(json!("2021-01-24T10:06:17.857Z"))),
        (moment, "2021-01-01T00:00:00.000Z to 2021-12-31T00:00:00.000Z", fault(json!("2022-01-24T10:06:17.857Z"))),
        (bit, "", same(json!(0))),
        (bit, "", fault(json!(2))),
        (bit, "", fault(json!(1.0))),
        (bit, "0,1", fault(json!(true))),
        (bit, "1", fault(json!(0))),
        (boolean, "", same(json!(true))),
        (boolean, "", fault(json!("true"))),
        (boolean, "true", same(json!(true))),
        (boolean, "true", fault(json!(false))),
        (boolean, "true, False", same(json!(false))),
        (position, "", same(json!([1.5, 2.5]))),
        (position, "", same(json!([0, 0]))),
        (position, "", fault(json!([1]))),
        (position, "", fault(json!([1, 2, 3]))),
        (position, "", fault(json!([null, null]))),
        (position, "", fault(json!("1,2"))),
    ] {
        let scalar = Scalar {
            data_type: DataType::from_wire(Version::V21, data_type),
            valid: ValidValues::parse(dv),
            ..Scalar::default()
        };
        let expected = expected.map_or(faulty(input.clone()), valid);
        assert_eq!(judge(&scalar, &input), expected, "type {data_type}, {dv:?}, {input}");
    }
    let integer = Scalar { data_type: DataType::Integer, ..Scalar::default() };
    assert_eq!(judge(&integer, &json!(" x ")), faulty(" x"), "white space at the end of a number is nothing");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[0-9:TZ. +-]{0,26}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Any type, any `dv`, any JSON: a verdict, and a fault holds what was sent.
    #[test]
    fn no_value_panics_and_no_fault_invents_one(
        data_type in -1_i64..13,
        version in prop_oneof![Just(Version::Legacy), Just(Version::V21)],
        dv in "(.{0,60}|[0-9to, .:TZ-]{0,60})",
        input in json_value(),
    ) {
        let scalar = Scalar {
            data_type: DataType::from_wire(version, data_type),
            valid: ValidValues::parse(&dv),
            ..Scalar::default()
        };
        match judge(&scalar, &input) {
            Verdict::Faulty(value) if version == Version::V21 => match (&*value, &input) {
                (Value::String(kept), Value::String(sent)) => prop_assert_eq!(kept.trim_end(), sent.trim_end()),
                (kept, sent) => prop_assert_eq!(kept, sent),
            },
            Verdict::Faulty(_) | Verdict::Valid(_) => {}
        }
    }
}

#[test]
fn of_a_range_with_three_ends_the_first_two_count() {
    let scalar = number("1 to 5 to 9");
    assert!(matches!(judge(&scalar, &json!(5)), Verdict::Valid(_)));
    assert!(matches!(judge(&scalar, &json!(9)), Verdict::Faulty(_)));
}

#[test]
fn a_null_for_a_text_with_valid_values_is_a_fault_named_none() {
    assert_eq!(judge(&text("red,blue"), &json!(null)), Verdict::Faulty(Cow::Owned(json!("None"))));
}

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

fn faulty(text: &str) -> Verdict<'_> {
    Verdict::Faulty(text.into())
}

#[test]
fn numbers_follow_the_recorded_behaviour() {
    for (dv, input, expected) in [
        ("1to15", json!(10), valid(json!(10))),
        ("1to15", json!(99), faulty("99")),
        ("", json!("55"), valid(json!(55.0))),
        ("", json!(" 12 "), valid(json!(12.0))),
        ("", json!(true), valid(json!(1.0))),
        ("", json!(false), valid(json!(0.0))),
        ("", json!(null), faulty("")),
        ("", json!("abc"), faulty("abc")),
        ("", json!("0x10"), faulty("0x10")),
        ("", json!("nan"), faulty("nan")),
        ("", json!("inf"), faulty("inf")),
        ("", json!("1e999"), faulty("1e999")),
        ("5 to 20, 25", json!(25), valid(json!(25))),
        ("5 to 20, 25", json!("7"), valid(json!(7.0))),
        ("5 to 20, 25", json!(21), faulty("21")),
        ("-3to3", json!(-2.5), valid(json!(-2.5))),
        ("-3to-1", json!(0), faulty("0")),
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
        ("red, gray,   blue", json!(7), faulty("7")),
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
    assert_eq!(judge(&scalar, &json!(1)), faulty("1"));
}

proptest! {
    #[test]
    fn no_dv_and_no_text_panics(dv in ".{0,60}", input in ".{0,30}") {
        let _ = judge(&number(&dv), &json!(input));
        let _ = judge(&text(&dv), &json!(input));
    }
}

use serde_json::{Value, json};

use super::{Rules, difference, is_now, same};

const STRICT: Rules<'_> = Rules { rounding: false, text_as_number: false, tags: None };

fn equal(expected: &Value, got: &Value) -> bool {
    same(expected, got, STRICT)
}

#[test]
fn numbers_are_compared_by_value_and_booleans_are_none() {
    assert!(equal(&json!(55.0), &json!(55)));
    assert!(equal(&json!(-0.0), &json!(0)));
    assert!(equal(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992.0)));
    assert!(!equal(&json!(1), &json!(true)));
    assert!(!equal(&json!(0), &json!(false)));
    assert!(!equal(&json!(1), &json!("1")));
    assert!(!equal(&json!(0.1), &json!(0.100_000_000_000_000_02)));
    assert!(!equal(&json!(0), &json!(null)));
}

#[test]
fn rounding_is_forgiven_only_where_asked() {
    let rounding = Rules { rounding: true, ..STRICT };
    assert!(same(&json!([20.333_333_333_333_332]), &json!([20.333_333_333_333_336]), rounding));
    assert!(!same(&json!(20.333), &json!(20.334), rounding));
    assert!(!same(&json!(0.0), &json!(1e-300), rounding));
}

#[test]
fn the_order_of_names_does_not_matter_and_the_order_of_a_list_does() {
    let expected: Value = serde_json::from_str(r#"{"a":1,"b":[1,2]}"#).unwrap();
    assert!(equal(&expected, &serde_json::from_str(r#"{"b":[1.0,2],"a":1}"#).unwrap()));
    assert!(!equal(&expected, &json!({"a": 1, "b": [2, 1]})));
}

#[test]
fn a_difference_names_its_place() {
    let expected = json!({"d": [{"id": "GW", "d": {"n": 1}}]});
    let said = |got: Value| difference(&expected, &got, STRICT).unwrap();
    assert_eq!(said(json!({"d": [{"id": "GW", "d": {"n": 2}}]})), "d[0].d.n");
    assert_eq!(said(json!({"d": [{"id": "GW", "d": {}}]})), "d[0].d.n is missing");
    assert_eq!(said(json!({"d": [{"id": "GW", "d": {"n": 1}, "tg": ""}]})), "d[0].tg was not expected");
    assert_eq!(said(json!({"d": []})), ".d[] has 0 in place of 1");
}

#[test]
fn now_is_any_moment_in_utc_and_other_times_are_verbatim() {
    for time in ["2026-11-23T03:32:00.000Z", "2026-11-23T03:32:00Z", "2026-11-23T03:32:00.1Z"] {
        assert!(equal(&json!("<NOW>"), &json!(time)), "{time}");
    }
    for time in ["", "Z", "2026-11-23", "2026-11-23T03:32:00.Z", "2026-11-23T03:32:00+00:00", "2026-11-23T03:32:0é0Z"]
    {
        assert!(!is_now(time), "{time}");
    }
    assert!(!equal(&json!("<NOW>"), &json!(1)));
    assert!(!equal(&json!("2021-01-24T10:06:17.857Z"), &json!("2021-01-24T10:06:17.8570Z")));
    assert!(equal(&json!("<TEXT>"), &json!("gone")));
}

#[test]
fn texts_of_faults_are_numbers_only_where_the_case_says_so() {
    let loose = Rules { text_as_number: true, ..STRICT };
    assert!(same(&json!("99"), &json!("99.0"), loose));
    assert!(same(&json!("1e+22"), &json!("10000000000000000000000"), loose));
    assert!(same(&json!(1.5), &json!("1.5"), loose));
    assert!(same(&json!("5.0"), &json!(" 5 "), loose));
    assert!(same(&json!("NaN"), &json!("nan"), loose));
    assert!(!same(&json!("99"), &json!("99.1"), loose));
    assert!(!same(&json!("0.0"), &json!("false"), loose));
    assert!(!equal(&json!("99"), &json!("99.0")));
}

#[test]
fn names_in_cv_may_carry_their_tag_where_the_case_says_so() {
    let tags = ["gw".to_owned(), "c".to_owned(), String::new()];
    let loose = Rules { tags: Some(&tags), ..STRICT };
    assert!(same(&json!({"cv": {"c.temp": 1}}), &json!({"cv": {"temp": 1}}), loose));
    assert!(same(&json!({"cv": {"c.gyro": {"x": 1}}}), &json!({"cv": {"gyro": {"x": 1}}}), loose));
    assert!(same(&json!({"cv": {"c.gyro.x": 1}}), &json!({"cv": {"gyro": {"x": 1}}}), loose));
    assert!(!same(&json!({"cv": {"c.temp": 1}}), &json!({"cv": {"hum": 1}}), loose));
    assert!(!same(&json!({"d": {"c.temp": 1}}), &json!({"d": {"temp": 1}}), loose));
    assert!(!equal(&json!({"cv": {"c.temp": 1}}), &json!({"cv": {"temp": 1}})));
}

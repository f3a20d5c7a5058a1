use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn of(values: &[Value]) -> Aggregate {
    let mut aggregate = Aggregate::default();
    for value in values {
        aggregate.add(Number::from(value.as_number().unwrap()));
    }
    aggregate
}

fn sent(aggregate: &Aggregate, mask: u8) -> Value {
    let numbers: Vec<_> = aggregate.chosen(Aggregates(mask)).collect();
    serde_json::to_value(numbers).unwrap()
}

#[test]
fn windows_follow_the_recorded_behaviour() {
    for (values, mask, expected) in [
        (json!([10, 30, 21]), 63, json!([10, 30, 61, 20.333_333_333_333_332, 3, 21])),
        (json!([5, 7.0, 95]), 44, json!([107.0, 35.666_666_666_666_664, 95])),
        (json!([2, 11]), 8, json!([6.5])),
        (json!([5, 7.0, 95, 2.5]), 5, json!([2.5, 109.5])),
        (json!([10, 30, 21, -4, 7]), 24, json!([12.8, 5])),
        (json!([1.0, 2.5, 3.0]), 63, json!([1.0, 3.0, 6.5, 2.166_666_666_666_666_5, 3, 3.0])),
        (json!([9.0, -0.85, -20]), 43, json!([-20, 9.0, -3.949_999_999_999_999_7, -20])),
        (json!([5]), 63, json!([5, 5, 5, 5.0, 1, 5])),
        (json!([5]), 0, json!([])),
        (json!([0, 0.0]), 3, json!([0, 0])),
    ] {
        assert_eq!(sent(&of(values.as_array().unwrap()), mask), expected, "{values} {mask}");
    }
}

#[test]
fn a_sum_beyond_its_kind_is_a_number_still() {
    let integers = of(&[json!(i64::MAX), json!(i64::MAX)]);
    assert_eq!(sent(&integers, 4), json!([2.0 * i64::MAX as f64]));
    let decimals = of(&[json!(f64::MAX), json!(f64::MAX)]);
    assert_eq!(sent(&decimals, 4), json!([f64::MAX]));
    assert_eq!(of(&[json!(u64::MAX)]).latest, Number::Decimal(u64::MAX as f64));
}

#[test]
fn an_empty_window_says_so() {
    assert!(Aggregate::default().is_empty());
    assert!(!of(&[json!(0)]).is_empty());
}

proptest! {
    /// What is kept on disk is the window, kind and all, and goes on where it stopped.
    #[test]
    fn a_window_survives_the_disk(before in numbers(), after in numbers()) {
        let whole = of(&before.iter().chain(&after).cloned().collect::<Vec<_>>());
        let kept = serde_json::to_vec(&of(&before)).unwrap();
        let mut restored: Aggregate = serde_json::from_slice(&kept).unwrap();
        for value in &after {
            restored.add(Number::from(value.as_number().unwrap()));
        }
        prop_assert_eq!(restored, whole);
    }

    #[test]
    fn no_window_holds_anything_but_numbers(values in numbers()) {
        let sent = sent(&of(&values), 63);
        prop_assert!(sent.as_array().unwrap().iter().all(Value::is_number), "{}", sent);
    }
}

fn numbers() -> impl Strategy<Value = Vec<Value>> {
    let number = prop_oneof![any::<i64>().prop_map(Value::from), proptest::num::f64::NORMAL.prop_map(Value::from)];
    proptest::collection::vec(number, 1..8)
}

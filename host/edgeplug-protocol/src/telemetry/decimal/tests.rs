use proptest::prelude::*;

use super::*;

fn written(number: f64) -> Option<String> {
    let mut bytes = Vec::new();
    put(&mut bytes, number).then(|| String::from_utf8(bytes).unwrap())
}

fn as_serde_json_writes(number: f64) {
    if let Some(text) = written(number) {
        assert_eq!(text, serde_json::to_string(&number).unwrap());
    }
}

#[test]
fn numbers_of_sensors_are_written() {
    for (number, text) in [
        (20.0, "20.0"),
        (20.01, "20.01"),
        (-0.5, "-0.5"),
        (0.0001, "0.0001"),
        (1013.25, "1013.25"),
        (100.0, "100.0"),
        (-273.15, "-273.15"),
        (999_999_999.999_9, "999999999.9999"),
        (-999_999_999.999_9, "-999999999.9999"),
    ] {
        assert_eq!(written(number).as_deref(), Some(text));
        as_serde_json_writes(number);
    }
}

#[test]
fn others_are_left_to_the_general_way() {
    for number in
        [0.0, -0.0, 1.0 / 3.0, 1e9, 1e300, 1e-5, 0.000_05, f64::MIN_POSITIVE, 0.1 + 0.7, f64::NAN, f64::INFINITY]
    {
        assert_eq!(written(number), None, "{number}");
    }
}

#[test]
fn every_unit_up_to_a_hundred_is_written_as_serde_json_does() {
    for units in 1..=1_000_000_u32 {
        let number = f64::from(units) / UNITS;
        assert!(written(number).is_some(), "{number}");
        as_serde_json_writes(number);
    }
}

proptest! {
    #[test]
    fn decimals_are_written_as_serde_json_does(units in 0_u64..10_000_000_000_000, decimals in 0..8, negative: bool) {
        let number = units as f64 / 10_f64.powi(decimals);
        as_serde_json_writes(if negative { -number } else { number });
    }

    #[test]
    fn any_number_is_written_as_serde_json_does_or_not_at_all(number: f64) {
        as_serde_json_writes(number);
    }

    #[test]
    fn neighbours_of_decimals_are_not_taken_for_them(units in 1_u64..10_000_000_000_000, steps in 1_u64..4) {
        let number = units as f64 / UNITS;
        as_serde_json_writes(f64::from_bits(number.to_bits() + steps));
        as_serde_json_writes(f64::from_bits(number.to_bits() - steps));
    }
}

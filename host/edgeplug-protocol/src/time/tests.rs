use super::*;

#[test]
fn the_text_of_a_moment_stays_as_it_is() {
    let moments = [
        ("2021-01-24T10:06:17.857Z", 1_611_482_777_857),
        ("2021-01-24T11:06:17.857+01:00", 1_611_482_777_857),
        ("2021-01-24T10:06:17", 1_611_482_777_000),
        ("2021-01-24 10:06:17", 1_611_482_777_000),
        ("9999-12-30T00:00:00Z", 253_402_128_000_000),
    ];
    for (text, unix_ms) in moments {
        let moment = Timestamp::parse(text).unwrap();
        assert_eq!((moment.as_str(), moment.unix_ms()), (text, unix_ms));
    }
    let last = Timestamp::parse("9999-12-31T23:59:59.999Z").unwrap();
    assert_eq!(last.as_str(), "9999-12-31T23:59:59.999Z");
    assert!(last.unix_ms() > 253_402_128_000_000);
}

#[test]
fn what_is_no_moment_is_refused() {
    let long = format!("2021-01-24T10:06:17.{}Z", "0".repeat(40));
    for text in ["", "now", "2021-01-24", "10:06:17", "2021-13-24T10:06:17Z", "2021-01-24T25:06:17Z", long.as_str()] {
        assert!(Timestamp::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn years_before_0_are_no_moments_of_the_wire() {
    let first = Timestamp::from_unix(-62_167_219_200, 0).expect("the first second of the year 0");
    assert_eq!(first.as_str(), "0000-01-01T00:00:00.000Z");
    assert!(Timestamp::from_unix(-62_167_219_201, 999_999_999).is_err());
}

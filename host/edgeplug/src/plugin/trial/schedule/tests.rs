use super::*;

#[test]
fn lengths_of_time_are_read_as_people_write_them() {
    for (text, ms) in
        [("90", 90_000), ("90s", 90_000), ("1h30m", 5_400_000), ("250ms", 250), ("2d", 172_800_000), ("0", 0)]
    {
        assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
    }
    for text in ["", "h", "-1s", "1.5h", "1 h", "1y", "367d", "99999999999999999999", "18446744073709551615d"] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
}

#[test]
fn a_moment_comes_before_what_happens() {
    let at = |seconds, what: &str| At { at: Duration::from_secs(seconds), what: what.to_owned() };
    assert_eq!("ping".parse(), Ok(at(0, "ping")));
    assert_eq!("+5m set-limit 10".parse(), Ok(at(300, "set-limit 10")));
    // Not a moment: there is nothing behind it.
    assert_eq!("+5m".parse(), Ok(at(0, "+5m")));
    assert!("+soon ping".parse::<At<String>>().is_err());
    assert_eq!("+1s off".parse(), Ok(At { at: Duration::from_secs(1), what: Switch(false) }));
    assert!("maybe".parse::<At<Switch>>().is_err());
    assert!("[1]".parse::<At<Object>>().is_err());
    assert!("{\"limit\":3}".parse::<At<Object>>().is_ok());
}

#[test]
fn a_setting_is_split_at_the_first_sign() {
    assert_eq!("a=b=c".parse(), Ok(Setting { key: "a".to_owned(), value: "b=c".to_owned() }));
    assert!("a".parse::<Setting>().is_err());
}

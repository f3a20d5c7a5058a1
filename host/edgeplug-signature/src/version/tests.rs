use super::*;

fn version(text: &str) -> ReleaseVersion {
    text.parse().expect(text)
}

#[test]
fn releases_are_ordered_as_numbers() {
    let order = ["0.9", "0.9.1", "0.10", "1", "1.2", "1.2.3", "1.2.3.1", "1.2.4", "1.10", "4294967295"];
    for pair in order.windows(2) {
        assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
    }
    assert_eq!(version("1.2"), version("1.2.0.0"));
}

#[test]
fn a_release_reads_as_it_is_printed() {
    for (text, printed) in [("1", "1.0.0"), ("1.2.3", "1.2.3"), ("01.2.3.4", "1.2.3.4")] {
        assert_eq!(version(text).to_string(), printed);
        assert_eq!(version(printed), version(text));
    }
    let json = serde_json::to_string(&version("1.2.3")).expect("json");
    assert_eq!(json, "\"1.2.3\"");
    assert_eq!(serde_json::from_str::<ReleaseVersion>(&json).expect("json"), version("1.2.3"));
    assert!(serde_json::from_str::<ReleaseVersion>("\"one\"").is_err());
}

#[test]
fn what_is_no_release_is_refused() {
    for text in
        ["", ".", "1.", ".1", "1..2", "1.2.3.4.5", "v1", "1.2.3-rc1", "+1", "-1", " 1", "1 ", "4294967296", "１"]
    {
        assert_eq!(text.parse::<ReleaseVersion>(), Err(NotAVersion), "{text:?}");
    }
}

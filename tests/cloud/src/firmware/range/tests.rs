use super::*;

const ETAG: &str = "\"0x8D1\"";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn asked(headers: &[(&'static str, &str)], length: u64) -> Selected {
    asked_by(&Method::GET, headers, length)
}

fn asked_by(method: &Method, headers: &[(&'static str, &str)], length: u64) -> Selected {
    let mut sent = HeaderMap::new();
    for (name, value) in headers {
        sent.append(header::HeaderName::from_static(name), value.parse().unwrap());
    }
    let modified = http_date(MODIFIED);
    assert!(modified.is_some());
    select(method, &sent, &Representation { length, etag: Some(ETAG), modified, heeds_if_range: true })
}

#[test]
fn a_range_selects_bytes() {
    let part = |from, to| Selected::Part { from, to };
    for (range, expected) in [
        ("bytes=0-", part(0, 100)),
        ("bytes=0-0", part(0, 1)),
        ("bytes=10-19", part(10, 20)),
        ("BYTES=99-99", part(99, 100)),
        ("bytes=50-1000", part(50, 100)),
        ("bytes=50-99999999999999999999999", part(50, 100)),
        ("bytes=0-18446744073709551615", part(0, 100)),
        ("bytes=-1", part(99, 100)),
        ("bytes=-1000", part(0, 100)),
        ("bytes=100-", Selected::Unsatisfiable),
        ("bytes=99999999999999999999999-", Selected::Unsatisfiable),
        ("bytes=-0", Selected::Unsatisfiable),
        // Not ranges of bytes, and therefore not there.
        ("bytes=20-10", Selected::Whole),
        ("bytes=-", Selected::Whole),
        ("bytes=a-b", Selected::Whole),
        ("bytes=+1-5", Selected::Whole),
        ("bytes=1", Selected::Whole),
        ("lines=1-5", Selected::Whole),
        ("1-5", Selected::Whole),
        // A list may be answered with the whole.
        ("bytes=0-1,5-6", Selected::Whole),
    ] {
        assert_eq!(asked(&[("range", range)], 100), expected, "{range}");
    }
    assert_eq!(asked(&[("range", "bytes=0-")], 0), Selected::Unsatisfiable);
    assert_eq!(asked(&[("range", "bytes=-5")], 0), Selected::Unsatisfiable);
    assert_eq!(asked(&[], 0), Selected::Whole);
    assert_eq!(asked(&[("range", "bytes=0-1"), ("range", "bytes=0-1")], 100), Selected::Whole);
    assert_eq!(asked_by(&Method::HEAD, &[("range", "bytes=200-")], 100), Selected::Whole);
}

#[test]
fn if_range_holds_for_the_very_representation_only() {
    let part = Selected::Part { from: 10, to: 100 };
    for (condition, expected) in [
        (ETAG, part),
        (MODIFIED, part),
        ("\"0x8D2\"", Selected::Whole),
        ("W/\"0x8D1\"", Selected::Whole),
        ("0x8D1", Selected::Whole),
        ("Sun, 06 Nov 1994 08:49:36 GMT", Selected::Whole),
        ("Sun, 06 Nov 1994 08:49:38 GMT", Selected::Whole),
        ("yesterday", Selected::Whole),
        ("", Selected::Whole),
    ] {
        assert_eq!(asked(&[("range", "bytes=10-"), ("if-range", condition)], 100), expected, "{condition}");
    }
    // A condition that fails makes even an impossible range a request for the whole.
    assert_eq!(asked(&[("range", "bytes=500-"), ("if-range", "\"other\"")], 100), Selected::Whole);
    assert_eq!(asked(&[("range", "bytes=500-"), ("if-range", ETAG)], 100), Selected::Unsatisfiable);
}

#[test]
fn a_weak_tag_resumes_nothing() {
    let weak = Representation { length: 100, etag: Some("W/\"1\""), modified: None, heeds_if_range: true };
    let mut headers = HeaderMap::new();
    headers.insert(header::RANGE, header::HeaderValue::from_static("bytes=10-"));
    headers.insert(header::IF_RANGE, header::HeaderValue::from_static("W/\"1\""));
    assert_eq!(select(&Method::GET, &headers, &weak), Selected::Whole);
    let forgetful = Representation { heeds_if_range: false, ..weak };
    assert_eq!(select(&Method::GET, &headers, &forgetful), Selected::Part { from: 10, to: 100 });
}

#[test]
fn preconditions_come_before_ranges() {
    let earlier = "Sun, 06 Nov 1994 08:49:36 GMT";
    for (name, value, expected) in [
        ("if-match", ETAG, Selected::Whole),
        ("if-match", "*", Selected::Whole),
        ("if-match", "\"a\", \"0x8D1\"", Selected::Whole),
        ("if-match", "\"a\"", Selected::PreconditionFailed),
        ("if-match", "W/\"0x8D1\"", Selected::PreconditionFailed),
        ("if-none-match", ETAG, Selected::NotModified),
        ("if-none-match", "W/\"0x8D1\"", Selected::NotModified),
        ("if-none-match", "\"a\"", Selected::Whole),
        ("if-unmodified-since", MODIFIED, Selected::Whole),
        ("if-unmodified-since", earlier, Selected::PreconditionFailed),
        ("if-modified-since", MODIFIED, Selected::NotModified),
        ("if-modified-since", earlier, Selected::Whole),
        ("if-modified-since", "nonsense", Selected::Whole),
    ] {
        assert_eq!(asked(&[(name, value)], 100), expected, "{name}: {value}");
    }
    assert_eq!(asked(&[("if-match", "\"a\""), ("range", "bytes=0-")], 100), Selected::PreconditionFailed);
    assert_eq!(asked(&[("if-match", ETAG), ("range", "bytes=1-")], 100), Selected::Part { from: 1, to: 100 });
    // A tag outranks a date.
    assert_eq!(asked(&[("if-none-match", "\"a\""), ("if-modified-since", MODIFIED)], 100), Selected::Whole);
}

#[test]
fn dates_come_back_as_they_went() {
    assert_eq!(http_date(MODIFIED).map(to_http_date).as_deref(), Some(MODIFIED));
    assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 +0200"), None);
}

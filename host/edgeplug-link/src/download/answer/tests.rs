use reqwest::header::{ETAG, LAST_MODIFIED};

use super::*;

const TAG: &str = "\"v1\"";

fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

/// 40 of 100 bytes are there.
fn resume() -> Resume {
    let validator = Validator { etag: Some(TAG.to_owned()), last_modified: None, total: Some(100) };
    Resume::new(40, Some(validator)).unwrap()
}

/// A 206 to that.
fn part_of(range: &str, length: Option<u64>, tag: &str) -> Answer {
    judge(206, &headers(&[(CONTENT_RANGE, range), (ETAG, tag)]), length, Some(&resume()))
}

#[test]
fn without_bytes_or_a_validator_nothing_is_resumed() {
    let strong = || Some(Validator { etag: Some(TAG.to_owned()), ..Validator::default() });
    assert!(Resume::new(1, strong()).is_some());
    assert!(Resume::new(0, strong()).is_none());
    assert!(Resume::new(1, None).is_none());
    assert!(Resume::new(1, Some(Validator::default())).is_none());
    assert!(Resume::new(1, Some(Validator { etag: Some("W/\"v1\"".to_owned()), ..Validator::default() })).is_none());
}

#[test]
fn exactly_what_is_missing_is_taken() {
    for (range, length) in [
        ("bytes 40-99/100", Some(60)),
        ("bytes 40-99/100", None),
        ("Bytes 40-99/100", Some(60)),
        ("bytes  40-99/100", Some(60)),
    ] {
        match part_of(range, length, TAG) {
            Answer::Good(good) => {
                assert_eq!((good.offset, good.total, good.complete), (40, Some(100), false), "{range}");
                assert_eq!(good.validator.unwrap(), resume().validator);
            }
            other => panic!("{range}: {other:?}"),
        }
    }
}

#[test]
fn a_part_that_may_not_belong_there_makes_the_file_begin_anew() {
    for range in [
        "bytes 39-99/100",
        "bytes 41-99/100",
        "bytes 0-99/100",
        "bytes 40-98/100",
        "bytes 40-100/100",
        "bytes 40-98/99",
        "bytes 40-99/*",
        "bytes */100",
        "bytes 40-39/40",
        "bytes 40-99",
        "bytes +40-99/100",
        "bytes 40-99/100, 0-1/100",
        "bytes 40 - 99/100",
        "items 40-99/100",
        "bytes=40-99/100",
        "bytes 40-18446744073709551615/18446744073709551615",
        "bytes 99999999999999999999-99/100",
        "",
    ] {
        assert_eq!(part_of(range, None, TAG), Answer::Stale, "{range}");
    }
    assert_eq!(part_of("bytes 40-99/100", Some(59), TAG), Answer::Stale);
    assert_eq!(part_of("bytes 40-99/100", Some(60), "\"v2\""), Answer::Stale);
    assert_eq!(judge(206, &headers(&[(ETAG, TAG)]), Some(60), Some(&resume())), Answer::Stale, "several parts");
    let twice = headers(&[(CONTENT_RANGE, "bytes 40-99/100"), (CONTENT_RANGE, "bytes 40-99/100"), (ETAG, TAG)]);
    assert_eq!(judge(206, &twice, Some(60), Some(&resume())), Answer::Stale);
}

#[test]
fn a_part_that_nobody_asked_for_is_unsound() {
    let answer = judge(206, &headers(&[(CONTENT_RANGE, "bytes 0-99/100")]), Some(100), None);
    assert_eq!(answer, Answer::Unsound(Unsound::PartUnasked));
}

#[test]
fn the_whole_for_a_part_begins_at_0_with_the_validator_of_now() {
    match judge(200, &headers(&[(ETAG, "\"v2\"")]), Some(70), Some(&resume())) {
        Answer::Good(good) => {
            assert_eq!((good.offset, good.total, good.complete), (0, Some(70), false));
            let validator = good.validator.unwrap();
            assert_eq!((validator.etag.as_deref(), validator.total), (Some("\"v2\""), Some(70)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unsatisfiable_range_means_complete_only_with_our_length_and_no_other_version() {
    let complete = || Resume::new(100, Some(resume().validator)).unwrap();
    let answer = |lines: &[_], resume: &Resume| judge(416, &headers(lines), Some(0), Some(resume));
    for lines in [&[(CONTENT_RANGE, "bytes */100")][..], &[(CONTENT_RANGE, "bytes */100"), (ETAG, TAG)]] {
        match answer(lines, &complete()) {
            Answer::Good(good) => assert_eq!((good.offset, good.total, good.complete), (100, Some(100), true)),
            other => panic!("{other:?}"),
        }
    }
    for lines in [
        &[][..],
        &[(CONTENT_RANGE, "bytes */99")],
        &[(CONTENT_RANGE, "bytes */*")],
        &[(CONTENT_RANGE, "bytes 0-99/100")],
        &[(CONTENT_RANGE, "bytes */100"), (ETAG, "\"v2\"")],
    ] {
        assert_eq!(answer(lines, &complete()), Answer::Stale, "{lines:?}");
    }
    // Nothing more to come of 40 bytes, and yet there were 100.
    assert_eq!(answer(&[(CONTENT_RANGE, "bytes */40")], &resume()), Answer::Stale);
    let dated = Validator { last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()), ..Validator::default() };
    let other_date = [(CONTENT_RANGE, "bytes */40"), (LAST_MODIFIED, "Mon, 07 Nov 1994 08:49:37 GMT")];
    assert_eq!(answer(&other_date, &Resume::new(40, Some(dated)).unwrap()), Answer::Stale);
    assert_eq!(judge(416, &headers(&[(CONTENT_RANGE, "bytes */0")]), None, None), Answer::Refused);
}

#[test]
fn what_is_encoded_is_refused_whole_or_in_part() {
    for line in [
        (CONTENT_ENCODING, "gzip"),
        (CONTENT_ENCODING, "identity, br"),
        (CONTENT_ENCODING, ""),
        (TRANSFER_ENCODING, "gzip, chunked"),
    ] {
        for status in [200, 206] {
            let answer = judge(status, &headers(std::slice::from_ref(&line)), None, None);
            assert_eq!(answer, Answer::Unsound(Unsound::Encoded), "{line:?}");
        }
    }
    for line in [(CONTENT_ENCODING, "Identity"), (TRANSFER_ENCODING, "Chunked")] {
        let answer = judge(200, &headers(std::slice::from_ref(&line)), None, None);
        assert!(matches!(answer, Answer::Good(_)), "{line:?}");
    }
    // How a page of error comes is all the same.
    assert_eq!(judge(403, &headers(&[(CONTENT_ENCODING, "gzip")]), None, None), Answer::Expired);
}

#[test]
fn the_status_says_what_can_be_done() {
    for status in [401, 403] {
        assert_eq!(judge(status, &HeaderMap::new(), None, Some(&resume())), Answer::Expired, "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        assert_eq!(judge(status, &HeaderMap::new(), None, None), Answer::Busy { retry_after: None }, "{status}");
    }
    for status in [201, 203, 204, 226, 300, 304, 400, 404, 407, 410, 412, 451, 600, 999] {
        assert_eq!(judge(status, &HeaderMap::new(), None, Some(&resume())), Answer::Refused, "{status}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date_and_a_day_at_most() {
    let asked = |lines: &[_]| match judge(503, &headers(lines), None, None) {
        Answer::Busy { retry_after } => retry_after.map(|after| after.as_secs()),
        other => panic!("{other:?}"),
    };
    let date = (DATE, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(asked(&[(RETRY_AFTER, "120")]), Some(120));
    assert_eq!(asked(&[(RETRY_AFTER, "99999999999")]), Some(24 * 3600));
    assert_eq!(asked(&[(RETRY_AFTER, "Sun, 06 Nov 1994 08:50:37 GMT"), date.clone()]), Some(60));
    for lines in [
        &[][..],
        &[(RETRY_AFTER, "-1")],
        &[(RETRY_AFTER, "soon")],
        &[(RETRY_AFTER, "99999999999999999999")],
        &[(RETRY_AFTER, "Sun, 06 Nov 1994 08:50:37 GMT")],
        &[(RETRY_AFTER, "Sun, 06 Nov 1994 08:48:37 GMT"), date.clone()],
    ] {
        assert_eq!(asked(lines), None, "{lines:?}");
    }
}

use super::*;

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const SECOND_LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn if_range(lines: &[(HeaderName, &str)]) -> Option<String> {
    let validator = Validator::of(&headers(lines), Some(7))?;
    assert_eq!(validator.total, Some(7));
    Some(validator.if_range().unwrap().to_str().unwrap().to_owned())
}

fn tagged(etag: &str) -> Validator {
    Validator { etag: Some(etag.to_owned()), ..Validator::default() }
}

#[test]
fn only_what_promises_the_same_bytes_goes_into_if_range() {
    let dated = [(LAST_MODIFIED, MODIFIED), (DATE, SECOND_LATER)];
    assert_eq!(if_range(&[(ETAG, "\"0x8D\"")]).as_deref(), Some("\"0x8D\""));
    assert_eq!(if_range(&[(ETAG, "\"\"")]).as_deref(), Some("\"\""));
    assert_eq!(if_range(&dated).as_deref(), Some(MODIFIED));
    let both = [(ETAG, "\"a\""), dated[0].clone(), dated[1].clone()];
    assert_eq!(if_range(&both).as_deref(), Some("\"a\""));

    for lines in [
        &[][..],
        &[(ETAG, "W/\"a\"")],
        &[(ETAG, "a")],
        &[(ETAG, "\"a")],
        &[(ETAG, "\"")],
        &[(ETAG, "\"a\"b\"")],
        &[(ETAG, "\"a b\"")],
        &[(ETAG, "\"ä\"")],
        &[(ETAG, "\"a\""), (ETAG, "\"b\"")],
        // The file may have changed twice within the second.
        &[(LAST_MODIFIED, MODIFIED), (DATE, MODIFIED)],
        &[(LAST_MODIFIED, SECOND_LATER), (DATE, MODIFIED)],
        &[(LAST_MODIFIED, MODIFIED)],
        &[(LAST_MODIFIED, "yesterday"), (DATE, MODIFIED)],
        // A weak tag says that the bytes may differ, whatever the date.
        &[(ETAG, "W/\"a\""), (LAST_MODIFIED, MODIFIED), (DATE, SECOND_LATER)],
    ] {
        assert_eq!(if_range(lines), None, "{lines:?}");
    }
    assert_eq!(if_range(&[(ETAG, &format!("\"{}\"", "x".repeat(VALIDATOR_CHARS_MAX)))]), None);
}

#[test]
fn what_a_disk_gives_back_is_judged_again() {
    for hostile in ["W/\"a\"", "\"a\"\r\nHost: evil", "", "a", &format!("\"{}\"", "x".repeat(9999))] {
        assert!(tagged(hostile).if_range().is_none(), "{hostile}");
    }
    let dated = Validator { last_modified: Some("x\r\ny".to_owned()), ..Validator::default() };
    assert!(dated.if_range().is_none());
    assert!(Validator::default().if_range().is_none());
}

#[test]
fn a_part_is_of_the_file_only_with_its_tag_and_length() {
    let tag = |etag| headers(&[(ETAG, etag)]);
    assert!(tagged("\"a\"").is_of(&tag("\"a\""), 9));
    for other in ["\"b\"", "W/\"a\"", "a"] {
        assert!(!tagged("\"a\"").is_of(&tag(other), 9), "{other}");
    }
    assert!(!tagged("\"a\"").is_of(&HeaderMap::new(), 9), "a server that ignores If-Range");
    let of_eight = Validator { total: Some(8), ..tagged("\"a\"") };
    assert!(of_eight.is_of(&tag("\"a\""), 8) && !of_eight.is_of(&tag("\"a\""), 9));

    let dated = Validator { last_modified: Some(MODIFIED.to_owned()), ..Validator::default() };
    assert!(dated.is_of(&HeaderMap::new(), 9), "a 206 need not repeat the date");
    assert!(dated.is_of(&headers(&[(LAST_MODIFIED, MODIFIED)]), 9));
    assert!(!dated.is_of(&headers(&[(LAST_MODIFIED, SECOND_LATER)]), 9));
}

use super::*;

#[test]
fn a_bad_url_is_repeated_without_its_secrets() {
    let shown = |url: &str| match refused(TargetProblem::NotUrl, url) {
        HttpError::BadUrl { url } => url,
        other => panic!("{other:?}"),
    };
    assert_eq!(shown("portal.example.com"), "portal.example.com");
    assert_eq!(shown("portal?sig=secret"), "portal");
    assert_eq!(shown("portal#secret"), "portal");
    assert_eq!(shown("ftp://user:secret@portal/x"), "portal/x");
    assert_eq!(shown(&"ä".repeat(1000)), "ä".repeat(BAD_URL_CHARS_MAX));
}

#[test]
fn a_header_cannot_smuggle_a_second_one() {
    let headers = vec![("authorization".to_owned(), "x\r\nhost: evil".to_owned())];
    assert!(matches!(header_map(&headers), Err(HttpError::BadHeader { name }) if name == "authorization"));
    let headers = vec![("bad name".to_owned(), "x".to_owned())];
    assert!(matches!(header_map(&headers), Err(HttpError::BadHeader { .. })));
}

#[test]
fn the_date_header_is_read_in_its_preferred_form() {
    assert_eq!(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    for date in ["", "yesterday", "Mon, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"] {
        assert_eq!(parse_date(date), None, "{date}");
    }
}

#[test]
fn debug_output_holds_no_token_url_or_body() {
    let request = HttpRequest {
        method: HttpMethod::Put,
        url: "https://host/device-7".to_owned(),
        headers: vec![("authorization".to_owned(), "SharedAccessSignature secret".to_owned())],
        body: Some(Bytes::from_static(b"secret")),
        body_bytes_max: 1,
    };
    let shown = format!("{request:?}");
    assert!(shown.contains("authorization") && !shown.contains("secret") && !shown.contains("device-7"), "{shown}");
}

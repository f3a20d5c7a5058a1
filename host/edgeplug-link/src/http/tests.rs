use super::*;

#[test]
fn only_this_machine_counts_as_loopback() {
    for (host, expected) in [
        ("127.0.0.1", true),
        ("127.8.9.10", true),
        ("[::1]", true),
        ("::1", true),
        ("localhost", true),
        ("LOCALHOST", true),
        ("localhost.example.com", false),
        ("127.0.0.1.example.com", false),
        ("10.0.0.1", false),
        ("0.0.0.0", false),
        ("", false),
    ] {
        assert_eq!(is_loopback(host), expected, "{host}");
    }
}

#[test]
fn a_target_is_https_or_on_this_machine() {
    assert!(Target::parse("https://example.com/a").is_ok());
    assert!(Target::parse("http://127.0.0.1:80/a").is_ok());
    assert!(Target::parse("http://[::1]:80/a").is_ok());
    // The URL standard turns these into the same address.
    assert!(Target::parse("http://0x7f.1/").is_ok_and(|target| target.host == "127.0.0.1"));
    for url in ["http://example.com/", "http://user@example.com/", "http://127.0.0.1@example.com/"] {
        assert!(matches!(Target::parse(url), Err(HttpError::PlainText { host }) if host == "example.com"), "{url}");
    }
    for url in ["", "example.com", "ftp://127.0.0.1/", "file:///etc/passwd", "https://", "https:"] {
        assert!(matches!(Target::parse(url), Err(HttpError::BadUrl { .. })), "{url}");
    }
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

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
        let problem = Target::parse(url).err();
        assert_eq!(problem, Some(TargetProblem::PlainText { host: "example.com".to_owned() }), "{url}");
    }
    for url in ["", "example.com", "ftp://127.0.0.1/", "file:///etc/passwd", "https://", "https:", "data:,x"] {
        assert_eq!(Target::parse(url).err(), Some(TargetProblem::NotUrl), "{url}");
    }
}

#[test]
fn an_endless_url_or_host_is_none() {
    let long_path = format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX));
    let long_host = format!("https://{}example.com/", "a.".repeat(200));
    for url in [long_path, long_host] {
        assert_eq!(Target::parse(&url).err(), Some(TargetProblem::NotUrl));
    }
}

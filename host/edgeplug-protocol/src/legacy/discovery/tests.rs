use super::*;

#[test]
fn the_request_names_company_language_and_environment() {
    assert_eq!(
        url("https://discovery.iotconnect.io", "CP", "poc", "M_PYTHON"),
        "https://discovery.iotconnect.io/api/sdk/cpid/CP/lang/M_PYTHON/ver/2.0/env/poc"
    );
    assert!(url("https://d/", "C P/../x", "poc", "M_C").contains("/cpid/C%20P%2F..%2Fx/"));
}

#[test]
fn the_base_url_ends_with_a_slash_whatever_the_server_sends() {
    let reply =
        br#"{"baseUrl":"https://avnetagent.iotconnect.io/api/2.0/agent/","logInfo":"<logInfo><hostName /></logInfo>"}"#;
    let base = BaseUrl::parse_reply(200, reply).unwrap();
    assert_eq!(base.as_str(), "https://avnetagent.iotconnect.io/api/2.0/agent/");
    assert_eq!(base.sync_url(), "https://avnetagent.iotconnect.io/api/2.0/agent/sync");
    assert_eq!(BaseUrl::parse_reply(200, br#"{"baseUrl":"https://h/a"}"#).unwrap().sync_url(), "https://h/a/sync");
}

#[test]
fn every_failure_is_its_own() {
    assert_eq!(BaseUrl::parse_reply(404, b"{}"), Err(DiscoveryError::Status(404)));
    for bad in [
        "not json",
        "{}",
        r#"{"baseUrl":null}"#,
        r#"{"baseUrl":"file:///etc/passwd"}"#,
        r#"{"baseUrl":"https://"}"#,
        r#"{"baseUrl":"https://a b"}"#,
    ] {
        assert!(matches!(BaseUrl::parse_reply(200, bad.as_bytes()), Err(DiscoveryError::Malformed(_))), "{bad}");
    }
}

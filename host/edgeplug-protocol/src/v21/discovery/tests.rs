use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"{"d":{"ec":0,"bu":"https://diavnet.iotconnect.io/api/2.1/agent/device-identity/cg/b892c353-e375-4cc3-8841-32e271e26122","log:mqtt":{"hn":"","un":"","pwd":"","topic":""},"log:https":"","pf":"az","dip":1,"errorMsg":null},"status":200,"message":"Success"}"#;

#[test]
fn the_request_names_company_and_environment_or_the_sid() {
    let company = Account::Company { cpid: "CP", environment: "poc" };
    assert_eq!(
        url("https://discovery.iotconnect.io/", &company),
        "https://discovery.iotconnect.io/api/v2.1/dsdk/cpId/CP/env/poc?pf=az"
    );
    assert_eq!(url("https://d", &Account::Sid("S/1==")), "https://d/api/v2.1/dsdk/sid/S%2F1==?pf=az");
}

#[test]
fn the_identity_is_asked_for_below_the_agent() {
    let agent = AgentUrl::parse_reply(200, GOOD.as_bytes()).unwrap();
    assert_eq!(
        agent.identity_url("abcde"),
        "https://diavnet.iotconnect.io/api/2.1/agent/device-identity/cg/b892c353-e375-4cc3-8841-32e271e26122/uid/abcde"
    );
    for (unique_id, segment) in
        [("line.4:A", "line.4:A"), ("../a b", "..%2Fa%20b"), ("a?b#c%", "a%3Fb%23c%25"), ("é\n", "%C3%A9%0A")]
    {
        assert!(agent.identity_url(unique_id).ends_with(&format!("/uid/{segment}")), "{unique_id:?}");
    }
    let slash = GOOD.replace("6122\"", "6122/\"");
    assert_eq!(AgentUrl::parse_reply(200, slash.as_bytes()).unwrap(), agent);
}

#[test]
fn an_error_may_come_with_status_200() {
    let body = r#"{"d":{"ec":6,"bu":null,"errorMsg":"CpId not found"},"status":200,"message":"CpId not found"}"#;
    assert_eq!(AgentUrl::parse_reply(200, body.as_bytes()), Err(DiscoveryError::CompanyNotFound));
    let code = |ec: i64| AgentUrl::parse_reply(200, format!(r#"{{"d":{{"ec":{ec},"bu":null}}}}"#).as_bytes());
    for (ec, error, retry) in [
        (1, DiscoveryError::SidUnknown, Retry::Never),
        (2, DiscoveryError::CompanyNotFound, Retry::Never),
        (3, DiscoveryError::SubscriptionExpired, Retry::Slow),
        (7, DiscoveryError::SubscriptionExpired, Retry::Slow),
        (11, DiscoveryError::EnvironmentUnknown, Retry::Never),
        (99, DiscoveryError::UnknownCode { code: 99, words: String::new() }, Retry::Slow),
    ] {
        assert_eq!(error.retry(), retry, "{ec}");
        assert_eq!(code(ec), Err(error), "{ec}");
    }
}

#[test]
fn an_expired_subscription_with_an_agent_goes_on() {
    let agent = AgentUrl::parse_reply(200, GOOD.replace("\"ec\":0", "\"ec\":3").as_bytes()).unwrap();
    assert!(agent.said_expired);
}

#[test]
fn every_other_failure_is_its_own() {
    assert_eq!(AgentUrl::parse_reply(404, b"{}"), Err(DiscoveryError::Status(404)));
    assert_eq!(DiscoveryError::Status(404).retry(), Retry::Slow);
    assert_eq!(DiscoveryError::Status(503).retry(), Retry::Soon);
    for bad in ["not json", "{}", r#"{"d":{"ec":0}}"#, r#"{"d":{"ec":0,"bu":"file:///etc"}}"#, r#"{"d":{"ec":"x"}}"#] {
        assert!(matches!(AgentUrl::parse_reply(200, bad.as_bytes()), Err(DiscoveryError::Malformed(_))), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = AgentUrl::parse_reply(200, &body);
    }
}

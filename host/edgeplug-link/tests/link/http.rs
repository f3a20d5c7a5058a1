//! HTTPS requests against a real TLS server.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use edgeplug_link::{
    CertificateProblem, HttpClient, HttpError, HttpMethod, HttpOptions, HttpRequest, HttpResponse, LinkClock,
    TlsSetupError, tls_config,
};
use edgeplug_test_support::certificates::TestCa;
use tokio::net::TcpListener;

use crate::https_server::HttpsServer;

const BODY_BYTES_MAX: usize = 100;

pub(crate) fn options() -> HttpOptions {
    HttpOptions {
        proxy: None,
        connect_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(10),
        user_agent: "edgeplug-test/1".to_owned(),
    }
}

/// A client that trusts this authority.
fn client(ca: Option<&Path>) -> HttpClient {
    client_with(ca, options())
}

fn client_with(ca: Option<&Path>, options: HttpOptions) -> HttpClient {
    HttpClient::new(&tls_config(ca, &LinkClock::new()).unwrap(), options).unwrap()
}

pub(crate) fn get(url: String) -> HttpRequest {
    HttpRequest { method: HttpMethod::Get, url, headers: vec![], body: None, body_bytes_max: BODY_BYTES_MAX }
}

/// One GET against a server that answers like this.
async fn answered(answer: &str) -> Result<HttpResponse, HttpError> {
    let ca = TestCa::new().unwrap();
    let server = HttpsServer::start(&ca.server().unwrap(), Some(answer)).await;
    client(Some(ca.ca_file())).send(get(server.url("/"))).await
}

#[tokio::test]
async fn a_request_arrives_as_given_and_the_answer_as_sent() {
    let ca = TestCa::new().unwrap();
    let answer = "HTTP/1.1 201 Created\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: 3\r\n\
                  Content-Length: 2\r\n\r\nok";
    let server = HttpsServer::start(&ca.server().unwrap(), Some(answer)).await;
    let client = client(Some(ca.ca_file()));
    let request = HttpRequest {
        method: HttpMethod::Put,
        headers: vec![("Authorization".to_owned(), "SharedAccessSignature x".to_owned())],
        body: Some(Bytes::from_static(b"{}")),
        ..get(server.url("/scope/registrations/d1/register?api-version=2021-06-01"))
    };

    let response = client.send(request).await.unwrap();

    assert_eq!(response.status, 201);
    assert_eq!(response.body, "ok");
    assert_eq!(response.date_unix_s, Some(784_111_777));
    assert!(response.headers.contains(&("retry-after".to_owned(), "3".to_owned())));
    let request = server.requests().remove(0).to_lowercase();
    assert!(
        request.starts_with("put /scope/registrations/d1/register?api-version=2021-06-01 http/1.1\r\n"),
        "{request}"
    );
    for line in
        ["authorization: sharedaccesssignature x\r\n", "user-agent: edgeplug-test/1\r\n", "content-length: 2\r\n"]
    {
        assert!(request.contains(line), "{request}");
    }
}

#[tokio::test]
async fn an_error_status_is_an_answer() {
    let response = answered("HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope").await.unwrap();
    assert_eq!((response.status, &response.body[..]), (401, &b"nope"[..]));
    assert_eq!(response.date_unix_s, None);
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let ca = TestCa::new().unwrap();
    let answer = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
    let server = HttpsServer::start(&ca.server().unwrap(), Some(answer)).await;
    let client = client(Some(ca.ca_file()));

    let response = client.send(get(server.url("/"))).await.unwrap();

    assert_eq!(response.status, 302);
    assert!(response.headers.contains(&("location".to_owned(), "/elsewhere".to_owned())));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_read_and_one_byte_more_is_refused() {
    let body = |bytes| format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes));
    assert_eq!(answered(&body(BODY_BYTES_MAX)).await.unwrap().body.len(), BODY_BYTES_MAX);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n".to_owned()
        + &"x".repeat(0x40)
        + "\r\n40\r\n"
        + &"x".repeat(0x40)
        + "\r\n0\r\n\r\n";
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_owned();
    for answer in [body(BODY_BYTES_MAX + 1), chunked, announced] {
        let error = answered(&answer).await.unwrap_err();
        assert!(matches!(error, HttpError::TooLarge { bytes_max: BODY_BYTES_MAX, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_broken_answer_is_told_from_an_unreachable_server() {
    for answer in ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal"] {
        let error = answered(answer).await.unwrap_err();
        assert!(matches!(&error, HttpError::Broken { host, .. } if host == "localhost"), "{answer}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_times_out() {
    let ca = TestCa::new().unwrap();
    let limit = Duration::from_millis(300);
    let with = |options| client_with(Some(ca.ca_file()), options);
    let mute = HttpsServer::start(&ca.server().unwrap(), None).await;
    let client = with(HttpOptions { request_timeout: limit, ..options() });
    let error = client.send(get(mute.url("/"))).await.unwrap_err();
    assert!(matches!(&error, HttpError::TimedOut { host } if host == "localhost"), "{error:?}");

    let never_accepts = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", never_accepts.local_addr().unwrap());
    let client = with(HttpOptions { connect_timeout: limit, ..options() });
    let error = client.send(get(url)).await.unwrap_err();
    assert!(matches!(error, HttpError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_named_with_the_reason() {
    let ca = TestCa::named("root").unwrap();
    let namesake = TestCa::named("root").unwrap();
    let stranger = TestCa::new().unwrap();
    for (server, trusted, expected) in [
        (ca.server().unwrap(), Some(stranger.ca_file()), CertificateProblem::UnknownIssuer),
        (ca.server().unwrap(), Some(namesake.ca_file()), CertificateProblem::UnknownIssuer),
        (ca.server().unwrap(), None, CertificateProblem::UnknownIssuer),
        (ca.expired_server().unwrap(), Some(ca.ca_file()), CertificateProblem::Expired),
        (ca.misnamed_server().unwrap(), Some(ca.ca_file()), CertificateProblem::WrongName),
    ] {
        let server = HttpsServer::start(&server, Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
        let error = client(trusted).send(get(server.url("/"))).await.unwrap_err();
        match error {
            HttpError::Untrusted { host, problem } => assert_eq!((&host[..], problem), ("localhost", expected)),
            other => panic!("{other:?}"),
        }
        assert!(server.requests().is_empty(), "nothing is said to a stranger");
    }
}

#[tokio::test]
async fn nobody_listening_and_no_such_name_are_unreachable() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = client(None);
    for (url, name) in
        [(format!("https://{closed}/"), "127.0.0.1"), ("https://nowhere.invalid/".into(), "nowhere.invalid")]
    {
        let error = client.send(get(url)).await.unwrap_err();
        assert!(matches!(&error, HttpError::Unreachable { host, .. } if host == name), "{error:?}");
        assert!(error.to_string().contains(name));
    }
}

#[tokio::test]
async fn plain_text_is_refused_off_this_machine() {
    let client = client(None);
    let error = client.send(get("http://discovery.example.com/".to_owned())).await.unwrap_err();
    assert_eq!(error.to_string(), "refused to talk to discovery.example.com in plain text; use https://");
}

#[test]
fn an_extra_root_that_is_missing_or_none_says_which_file() {
    let directory = TestCa::new().unwrap();
    let folder = directory.ca_file().parent().unwrap().to_owned();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let empty = write("empty.pem", "no certificate here\n");
    let broken = write("broken.pem", "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n");
    let nonsense = write("nonsense.pem", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n");

    let missing = folder.join("missing.pem");
    let clock = LinkClock::new();
    assert!(
        matches!(tls_config(Some(&missing), &clock), Err(TlsSetupError::ExtraRootUnreadable { path, .. }) if path == missing)
    );
    assert!(matches!(tls_config(Some(&empty), &clock), Err(TlsSetupError::ExtraRootEmpty { path }) if path == empty));
    assert!(
        matches!(tls_config(Some(&broken), &clock), Err(TlsSetupError::ExtraRootNotPem { path, .. }) if path == broken)
    );
    assert!(tls_config(Some(&nonsense), &clock).is_err());
}

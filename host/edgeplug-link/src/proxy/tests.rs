use tokio::io::duplex;

use super::*;

fn proxy() -> Proxy {
    Proxy::parse("http://proxy:3128").unwrap()
}

fn with_login() -> Proxy {
    proxy().with_login("user".to_owned(), "word".to_owned().into()).unwrap()
}

/// What comes of asking `proxy` for a tunnel when it answers like this; also what it was asked.
async fn answered(proxy: &Proxy, answer: &[u8]) -> (Result<(), ProxyFailure>, String) {
    let (mut ours, mut theirs) = duplex(64 * 1024);
    theirs.write_all(answer).await.unwrap();
    let result = proxy.open_tunnel(&mut ours, "hub.example.com", 8883).await;
    drop(ours);
    let mut asked = String::new();
    let half = theirs.read_to_string(&mut asked).await;
    half.unwrap();
    (result, asked)
}

#[test]
fn a_proxy_is_host_and_port_and_nothing_else() {
    for (url, shown) in [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://proxy:3128/", "http://proxy:3128"),
        ("http://10.0.0.1:8080", "http://10.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://proxy", "http://proxy:80"),
    ] {
        assert_eq!(Proxy::parse(url).unwrap().to_string(), shown);
    }
    for url in ["", "proxy", "http://", "http://proxy:99999", "http://proxy/path", "http://proxy?x", "http://proxy#x"] {
        assert_eq!(Proxy::parse(url).unwrap_err(), ProxyUrlError::Form { url: url.to_owned() }, "{url}");
    }
    for url in ["https://proxy:3128", "socks5://proxy:1080", "proxy:3128"] {
        assert!(matches!(Proxy::parse(url), Err(ProxyUrlError::Scheme { .. })), "{url}");
    }
}

#[test]
fn a_password_in_the_url_is_refused_without_being_repeated() {
    let error = Proxy::parse("http://user:pa55@proxy:3128").unwrap_err();
    assert_eq!(error, ProxyUrlError::Login);
    assert!(error.to_string().contains("link.proxy_user") && !error.to_string().contains("pa55"));
}

#[test]
fn a_user_that_cannot_be_sent_is_refused() {
    for (user, password) in [("", "x"), ("a:b", "x"), ("a\r\nb", "x"), ("a", "x\r\nHost: evil")] {
        let error = proxy().with_login(user.to_owned(), password.to_owned().into()).unwrap_err();
        assert_eq!(error, ProxyUrlError::User, "{user:?}");
    }
}

#[test]
fn debug_output_holds_no_password() {
    let shown = format!("{:?} {}", with_login(), with_login());
    assert!(shown.contains("user") && !shown.contains("word\""), "{shown}");
}

#[tokio::test]
async fn the_request_names_the_host_and_carries_the_login() {
    let (result, asked) = answered(&proxy(), b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n").await;
    result.unwrap();
    assert_eq!(asked, "CONNECT hub.example.com:8883 HTTP/1.1\r\nHost: hub.example.com:8883\r\n\r\n");
    let (_, asked) = answered(&with_login(), b"HTTP/1.1 200 OK\r\n\r\n").await;
    assert!(asked.contains("\r\nProxy-Authorization: Basic dXNlcjp3b3Jk\r\n"), "{asked}");
}

#[tokio::test]
async fn nothing_behind_the_answer_is_swallowed() {
    let (mut ours, mut theirs) = duplex(1024);
    theirs.write_all(b"HTTP/1.0 200 OK\r\n\r\n\x16\x03").await.unwrap();
    proxy().open_tunnel(&mut ours, "hub", 1).await.unwrap();
    let mut first = [0; 2];
    ours.read_exact(&mut first).await.unwrap();
    assert_eq!(first, [0x16, 0x03]);
}

#[tokio::test]
async fn every_refusal_says_what_to_do() {
    for (proxy, answer, expected) in [
        (proxy(), "HTTP/1.1 407 x\r\n\r\n", "wants a user; set link.proxy_user and link.proxy_password_file"),
        (
            with_login(),
            "HTTP/1.1 407 x\r\n\r\n",
            "rejects the user; check link.proxy_user and link.proxy_password_file",
        ),
        (
            proxy(),
            "HTTP/1.1 403 For\x1bbidden\r\n\r\n",
            "refused the connection (HTTP/1.1 403 Forbidden); it must allow",
        ),
        (proxy(), "HTTP/1.1\r\n\r\n", "refused the connection"),
        (proxy(), "SSH-2.0-OpenSSH\r\n\r\n", "broke"),
    ] {
        let error = answered(&proxy, answer.as_bytes()).await.0.unwrap_err().to_string();
        assert!(error.contains("proxy http://proxy:3128") && error.contains(expected), "{error}");
    }
    let endless = vec![b'x'; 10_000];
    assert!(matches!(answered(&proxy(), &endless).await.0, Err(ProxyFailure::Broken { .. })));
}

use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// Long enough for two busy cores; a test that waits it out has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the proxy answers to this request; on a good one the tunnel is open.
async fn ask(proxy: &ConnectProxy, request: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = timeout(PATIENCE, read_head(&mut stream)).await.unwrap().unwrap();
    (head.lines().next().unwrap().to_owned(), stream)
}

#[tokio::test]
async fn a_tunnel_leads_to_its_target_until_it_is_cut() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap().to_string();
    let proxy = ConnectProxy::start(None).await.unwrap();
    let (status, mut client) = ask(&proxy, &format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
    assert_eq!(status, "HTTP/1.1 200 Connection established");
    let (mut upstream, _) = server.accept().await.unwrap();
    upstream.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    client.read_exact(&mut bytes).await.unwrap();
    assert_eq!((&bytes, proxy.tunnels(), proxy.targets()), (b"hello", 1, vec![target]));
    proxy.cut();
    assert_eq!(timeout(PATIENCE, client.read(&mut bytes)).await.unwrap().unwrap_or(0), 0);
}

#[tokio::test]
async fn what_is_not_allowed_gets_its_status_and_no_tunnel() {
    let proxy = ConnectProxy::start(Some(("user", "word"))).await.unwrap();
    let login = format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode("user:word"));
    let connect = |header: &str| format!("CONNECT localhost:1 HTTP/1.1\r\n{header}\r\n");
    let wrong = connect("Proxy-Authorization: Basic AAAA\r\n");
    for (request, status) in [
        (connect(""), "407 Proxy Authentication Required"),
        (wrong, "407 Proxy Authentication Required"),
        (connect(&login), "502 Bad Gateway"),
        (format!("GET http://localhost/ HTTP/1.1\r\n{login}\r\n"), "405 Method Not Allowed"),
    ] {
        assert_eq!(ask(&proxy, &request).await.0, format!("HTTP/1.1 {status}"));
    }
    proxy.refuse(true);
    assert_eq!(ask(&proxy, &connect(&login)).await.0, "HTTP/1.1 403 Forbidden");
    assert_eq!((proxy.denied(), proxy.tunnels()), (2, 0));
}

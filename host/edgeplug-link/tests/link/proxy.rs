//! Through an HTTP proxy: HTTPS, MQTT and MQTT over WebSocket alike.

use std::path::Path;

use edgeplug_link::{
    ConnectOptions, DownReason, HttpClient, HttpError, HttpOptions, LinkClock, Proxy, ProxyFailure, Transport,
    tls_config,
};
use edgeplug_test_support::{certificates::TestCa, connect_proxy::ConnectProxy, mosquitto::Mosquitto};
use tokio::net::TcpListener;

use crate::{
    http::{get, options},
    https_server::HttpsServer,
    rig::{Rig, secure},
    websocket_front::{Manners, WebSocketFront},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn client(ca: &Path, proxy: Proxy) -> HttpClient {
    let tls = tls_config(Some(ca), &LinkClock::new()).unwrap();
    HttpClient::new(&tls, HttpOptions { proxy: Some(proxy), ..options() }).unwrap()
}

fn with_login(proxy: &ConnectProxy, password: &str) -> Proxy {
    Proxy::parse(&proxy.url()).unwrap().with_login("user".to_owned(), password.to_owned().into()).unwrap()
}

#[tokio::test]
async fn https_mqtt_and_websocket_all_take_the_proxy_with_its_login() {
    let ca = TestCa::new().unwrap();
    let proxy = ConnectProxy::start(Some(("user", "word"))).await.unwrap();
    let way = with_login(&proxy, "word");
    let broker = Mosquitto::start(&ca).unwrap();
    let front = WebSocketFront::start(&ca.server().unwrap(), Manners::Good, broker.plain_port()).await;
    let server = HttpsServer::start(&ca.server().unwrap(), Some(OK)).await;

    let answer = client(ca.ca_file(), way.clone()).send(get(server.url("/"))).await.unwrap();
    assert_eq!(answer.body, "ok");
    let mut rig = Rig::new(Some(ca.ca_file()));
    for (port, transport) in [(broker.tls_port(), Transport::Mqtts), (front.port, Transport::WebSocket)] {
        let options = || ConnectOptions { transport, proxy: Some(way.clone()), ..secure(port) };
        assert_eq!(rig.deliver(200, options).await, 1);
    }

    // The name goes to the proxy unresolved: a network behind one often has no DNS for the world outside.
    let targets = [server.port, broker.tls_port(), front.port].map(|port| format!("localhost:{port}"));
    assert_eq!(proxy.targets(), targets);
}

#[tokio::test]
async fn a_cut_tunnel_is_a_closed_connection() {
    let ca = TestCa::new().unwrap();
    let proxy = ConnectProxy::start(None).await.unwrap();
    let broker = Mosquitto::start(&ca).unwrap();
    let mut rig = Rig::new(Some(ca.ca_file()));
    let way = Proxy::parse(&proxy.url()).unwrap();
    let (connection, _) = rig.up(ConnectOptions { proxy: Some(way), ..secure(broker.tls_port()) }).await;
    proxy.cut();
    assert_eq!(rig.down(connection).await, DownReason::Closed);
}

#[tokio::test]
async fn tls_through_the_proxy_is_verified_by_the_hosts_name() {
    let ca = TestCa::new().unwrap();
    let proxy = ConnectProxy::start(None).await.unwrap();
    let way = Proxy::parse(&proxy.url()).unwrap();
    let server = HttpsServer::start(&ca.misnamed_server().unwrap(), Some(OK)).await;

    let error = client(ca.ca_file(), way.clone()).send(get(server.url("/"))).await.unwrap_err();
    assert!(matches!(error, HttpError::Untrusted { .. }), "{error:?}");
    for transport in [Transport::Mqtts, Transport::WebSocket] {
        let options = ConnectOptions { transport, proxy: Some(way.clone()), ..secure(server.port) };
        let reason = Rig::new(Some(ca.ca_file())).refused(options).await;
        assert!(matches!(&reason, DownReason::Tls(text) if text.contains("localhost is for another name")), "{reason}");
    }
    assert!(server.requests().is_empty());
}

/// What HTTPS and MQTT say when they are sent through this proxy.
async fn refused(proxy: &Proxy) -> (ProxyFailure, String) {
    let ca = TestCa::new().unwrap();
    let error = client(ca.ca_file(), proxy.clone()).send(get("https://localhost:1/".to_owned())).await.unwrap_err();
    let HttpError::Proxy(failure) = error else { panic!("{error:?}") };
    let mqtt = Rig::new(Some(ca.ca_file())).refused(ConnectOptions { proxy: Some(proxy.clone()), ..secure(1) }).await;
    let DownReason::Unreachable(text) = mqtt else { panic!("{mqtt:?}") };
    (failure, text)
}

#[tokio::test]
async fn a_proxy_that_wants_another_login_is_named_with_the_keys_to_set() {
    let proxy = ConnectProxy::start(Some(("user", "word"))).await.unwrap();

    let (https, mqtt) = refused(&Proxy::parse(&proxy.url()).unwrap()).await;
    assert!(matches!(https, ProxyFailure::LoginWanted { .. }), "{https:?}");
    assert_eq!(mqtt, https.to_string());
    assert!(mqtt.contains(&proxy.url()) && mqtt.contains("set link.proxy_user"), "{mqtt}");

    let (https, mqtt) = refused(&with_login(&proxy, "wrong")).await;
    assert!(matches!(https, ProxyFailure::LoginRefused { .. }), "{https:?}");
    assert_eq!(mqtt, https.to_string());
    assert!(mqtt.contains("check link.proxy_user") && !mqtt.contains("wrong"), "{mqtt}");
    assert_eq!((proxy.denied(), proxy.tunnels()), (4, 0));
}

#[tokio::test]
async fn a_proxy_that_says_no_or_is_not_there_is_named() {
    let proxy = ConnectProxy::start(None).await.unwrap();
    proxy.refuse(true);
    let (https, mqtt) = refused(&Proxy::parse(&proxy.url()).unwrap()).await;
    assert!(matches!(https, ProxyFailure::Refused { .. }), "{https:?}");
    assert!(mqtt.contains(&proxy.url()) && mqtt.contains("403 Forbidden"), "{mqtt}");

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (https, mqtt) = refused(&Proxy::parse(&format!("http://{closed}")).unwrap()).await;
    assert!(matches!(https, ProxyFailure::Unreachable { .. }), "{https:?}");
    assert!(mqtt.starts_with(&format!("cannot reach the proxy http://{closed}; check link.proxy: ")), "{mqtt}");
}

#[tokio::test]
async fn plain_text_to_this_machine_goes_past_the_proxy() {
    let proxy = ConnectProxy::start(None).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let ca = TestCa::new().unwrap();
    let client = client(ca.ca_file(), Proxy::parse(&proxy.url()).unwrap());
    let request = tokio::spawn(async move { client.send(get(url)).await });
    listener.accept().await.unwrap();
    request.abort();
    assert_eq!(proxy.tunnels(), 0);
}

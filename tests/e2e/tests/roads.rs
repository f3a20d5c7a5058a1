//! The other roads to the cloud: WebSocket on one port, through a proxy that wants a login.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use edgeplug_e2e::{World, WorldOptions, sensors};
use edgeplug_test_support::connect_proxy::ConnectProxy;

const LONG: Duration = Duration::from_secs(60);

fn link_table(world: &World, proxy: &ConnectProxy, login: &str) -> String {
    let port = world.cloud.wss_port();
    format!("[link]\ntransport = \"wss\"\nport = {port}\nproxy = {:?}\n{login}", proxy.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_arrive_by_websocket_through_a_proxy_with_a_login() {
    let options = WorldOptions { symmetric_key: true, ..sensors::system_sensors(&[]) };
    let mut world = World::new(options).await.unwrap();
    world.drop_plugin(sensors::first_build(&sensors::manifest(200))).unwrap();
    let proxy = ConnectProxy::start(Some(("device", "open sesame"))).await.unwrap();
    let password = world.directory().join("proxy.key");
    std::fs::write(&password, "open sesame\n").unwrap();
    let login = format!("proxy_user = \"device\"\nproxy_password_file = {password:?}\n");
    world.set_tables(&link_table(&world, &proxy, &login)).unwrap();

    let edgeplug = world.start().unwrap();
    world.cloud.recorder().wait_for_readings("uptime_s", 2, LONG).await.unwrap();
    let hub = format!(":{}", world.cloud.wss_port());
    assert!(proxy.targets().iter().any(|target| target.ends_with(&hub)), "{:?}", proxy.targets());
    assert!(edgeplug.terminate().await.unwrap().success());
    let log = std::fs::read_to_string(world.log().path()).unwrap();
    assert!(!log.contains("sesame"), "the password stands in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_wants_a_login_is_named_with_the_key_to_set() {
    let mut world = World::new(WorldOptions { symmetric_key: true, ..WorldOptions::default() }).await.unwrap();
    let proxy = ConnectProxy::start(Some(("device", "open sesame"))).await.unwrap();
    world.set_tables(&link_table(&world, &proxy, "")).unwrap();
    let edgeplug = world.start().unwrap();
    let status = edgeplug.wait_status(|status| status["trouble"]["kind"] == "network", LONG).await.unwrap();
    let text = status["trouble"]["text"].as_str().unwrap();
    assert!(text.contains(&proxy.url()) && text.contains("link.proxy_user"), "{text}");
    assert!(edgeplug.terminate().await.unwrap().success());
}

//! Without a store, or without a place for compiled plugins, the daemon runs, says so, and gets both back by itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use edgeplug_e2e::{World, WorldOptions, sensors};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_opened_leaves_api_and_link_and_comes_back() {
    let world = World::new(WorldOptions { symmetric_key: true, ..sensors::system_sensors(&[]) }).await.unwrap();
    world.drop_plugin(sensors::first_build(&sensors::manifest(200))).unwrap();
    let device = world.hub_device_id();
    // A file in the place of the directory stands for every disk that cannot be written.
    let in_the_way = world.state_directory().join("outbox");
    std::fs::write(&in_the_way, "").unwrap();

    let edgeplug = world.start().unwrap();
    let status = edgeplug.wait_status(|status| status["link"] == "online", LONG).await.unwrap();
    assert_eq!(status["store"]["telemetry"]["state"], "degraded", "{status}");
    assert!(status["store"]["telemetry"]["reason"].as_str().unwrap().contains("outbox"), "{status}");
    // Nothing is accepted that could be lost, and the hub keeps its commands.
    edgeplug.wait_status(|status| status["uplink"]["rejected"].as_u64() > Some(0), LONG).await.unwrap();
    world.cloud.hub().send_command(&device, "set-interval 0", "waits").unwrap();

    std::fs::remove_file(&in_the_way).unwrap();
    edgeplug.wait_status(|status| status["store"]["telemetry"]["state"] == "ok", LONG).await.unwrap();
    world.cloud.hub().wait_connections(&device, 2, LONG).await.unwrap();
    world.cloud.recorder().wait_for_readings("uptime_s", 3, LONG).await.unwrap();
    assert_eq!(world.cloud.recorder().wait_for_ack("waits", LONG).await.unwrap().status, 6);
    // What is accepted in the last moment is sent by the next run.
    std::fs::remove_file(world.plugins_directory().join(format!("{}.wasm", sensors::SYSTEM_SENSORS))).unwrap();
    world.log().wait_for("plugin down", 0, LONG).await.unwrap();
    edgeplug.wait_status(|status| status["uplink"]["waiting"] == 0, LONG).await.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
    let missing = world.log().accepted(sensors::SYSTEM_SENSORS).unwrap().missing_from(world.cloud.recorder());
    assert_eq!(missing, Vec::<String>::new());
    assert!(world.cloud.complaints().is_empty(), "{:?}", world.cloud.complaints());
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_without_a_place_for_compiled_code_start_when_there_is_one() {
    let world = World::new(WorldOptions { symmetric_key: true, ..sensors::system_sensors(&[]) }).await.unwrap();
    world.drop_plugin(sensors::first_build(&sensors::manifest(200))).unwrap();
    let in_the_way = world.state_directory().join("cache");
    std::fs::write(&in_the_way, "").unwrap();

    let edgeplug = world.start().unwrap();
    let status = edgeplug.wait_status(|status| status["plugins_trouble"].is_string(), LONG).await.unwrap();
    assert!(status["plugins_trouble"].as_str().unwrap().contains("cache"), "{status}");
    edgeplug.wait_status(|status| status["link"] == "online", LONG).await.unwrap();

    std::fs::remove_file(&in_the_way).unwrap();
    world.cloud.recorder().wait_for_readings("uptime_s", 1, LONG).await.unwrap();
    let status = edgeplug.wait_status(|status| status["plugins_trouble"].is_null(), LONG).await;
    status.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_stopped_without_a_store_ends_in_order() {
    let world = World::new(WorldOptions { symmetric_key: true, ..WorldOptions::default() }).await.unwrap();
    std::fs::write(world.state_directory().join("outbox"), "").unwrap();
    let edgeplug = world.start().unwrap();
    edgeplug.wait_status(|status| status["store"]["ledger"]["state"] == "degraded", LONG).await.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
}

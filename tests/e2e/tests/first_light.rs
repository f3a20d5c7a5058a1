//! A dropped-in component's readings reach the cloud, through a TPM identity.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use edgeplug_e2e::{World, WorldOptions, sensors};

const LONG: Duration = Duration::from_secs(60);

/// Seconds this machine has been up.
fn uptime_s() -> f64 {
    std::fs::read_to_string("/proc/uptime").unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

fn memory_total_mb() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    text.lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"))
        .unwrap()
        .trim()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_with_a_tpm_delivers_real_readings_and_answers_commands() {
    let world = World::new(sensors::system_sensors(&[])).await.unwrap();
    world.drop_plugin(sensors::first_build(&sensors::manifest(200))).unwrap();
    let before = uptime_s();
    let edgeplug = world.start().unwrap();
    let device = world.hub_device_id();
    world.cloud.hub().wait_connected(&device, LONG).await.unwrap();
    world.cloud.recorder().wait_for_readings("uptime_s", 5, LONG).await.unwrap();

    let uptimes: Vec<f64> =
        world.cloud.recorder().readings("uptime_s").iter().map(|r| r.value.as_f64().unwrap()).collect();
    assert!(uptimes.iter().all(|uptime| (before - 1.0..=uptime_s() + 1.0).contains(uptime)), "{before} {uptimes:?}");
    assert!(uptimes.is_sorted(), "{uptimes:?}");
    let available = world.cloud.recorder().readings("memory_available_mb")[0].value.as_f64().unwrap();
    assert!(available > 0.0 && available < memory_total_mb(), "{available}");

    // A command that works and one that does not, each with the plugin's own words.
    world.cloud.hub().send_command(&device, "set-interval 0", "works").unwrap();
    world.cloud.hub().send_command(&device, "fail", "fails").unwrap();
    let works = world.cloud.recorder().wait_for_ack("works", LONG).await.unwrap();
    let fails = world.cloud.recorder().wait_for_ack("fails", LONG).await.unwrap();
    assert_eq!((works.status, fails.status), (6, 4));
    assert!(fails.message.contains("always fails"), "{}", fails.message);
    world.cloud.hub().wait_queue_empty(&device, LONG).await.unwrap();

    // A new version takes over between two calls.
    world.drop_plugin(sensors::second_build()).unwrap();
    world.log().wait_for("plugin replaced", 0, LONG).await.unwrap();
    let so_far = world.cloud.recorder().readings("uptime_s").len();
    world.cloud.recorder().wait_for_readings("uptime_s", so_far + 3, LONG).await.unwrap();

    assert!(edgeplug.terminate().await.unwrap().success());
    assert!(world.cloud.complaints().is_empty(), "{:?}", world.cloud.complaints());
    let log = std::fs::read_to_string(world.log().path()).unwrap();
    assert!(!log.contains("SharedAccessSignature"), "a token stands in the log");

    // The second boot has its key: no DPS.
    let calls = world.cloud.dps().calls(&world.registration_id());
    let edgeplug = world.start().unwrap();
    world.cloud.hub().wait_connections(&device, 2, LONG).await.unwrap();
    let so_far = world.cloud.recorder().readings("uptime_s").len();
    world.cloud.recorder().wait_for_readings("uptime_s", so_far + 1, LONG).await.unwrap();
    assert_eq!(world.cloud.dps().calls(&world.registration_id()), calls);
    edgeplug.wait_status(|status| status["uplink"]["waiting"] == 0, LONG).await.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
    let missing = world.log().accepted("system-sensors").unwrap().missing_from(world.cloud.recorder());
    assert_eq!(missing, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_symmetric_key_needs_no_tpm() {
    let world = World::new(WorldOptions { symmetric_key: true, ..sensors::system_sensors(&[]) }).await.unwrap();
    world.drop_plugin(sensors::first_build(&sensors::manifest(200))).unwrap();
    let edgeplug = world.start().unwrap();
    world.cloud.recorder().wait_for_readings("uptime_s", 2, LONG).await.unwrap();
    assert_eq!(world.cloud.dps().calls(&world.registration_id()), 0);
    assert!(edgeplug.terminate().await.unwrap().success());
}

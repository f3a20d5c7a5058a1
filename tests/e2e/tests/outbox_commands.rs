//! What waits on the device's disk can be looked at, copied and given up, beside a running daemon and without one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use edgeplug_e2e::{Edgeplug, World, WorldOptions, sensors};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(60);

/// A device without a link, that has stored at least so many rows.
async fn cut_off_device(rows: u64) -> (World, Edgeplug) {
    let world = World::new(WorldOptions { symmetric_key: true, ..sensors::system_sensors(&[]) }).await.unwrap();
    let edgeplug = world.start().unwrap();
    world.cloud.hub().wait_connected(&world.hub_device_id(), LONG).await.unwrap();
    world.cloud.stop_listening().await;
    edgeplug.wait_status(|status| status["link"] != "online", LONG).await.unwrap();
    world.drop_plugin(sensors::first_build(&sensors::manifest(50))).unwrap();
    edgeplug.wait_status(|status| status["uplink"]["waiting"].as_u64() >= Some(rows), LONG).await.unwrap();
    // From here on the number of rows stands still.
    std::fs::remove_file(world.plugins_directory().join(format!("{}.wasm", sensors::SYSTEM_SENSORS))).unwrap();
    world.log().wait_for("plugin down", 0, LONG).await.unwrap();
    (world, edgeplug)
}

/// Exit code, standard output, standard error of `edgeplug outbox …`.
async fn outbox(world: &World, arguments: &[&str]) -> (i32, String, String) {
    let mut command = world.command(&["outbox"]);
    command.args(arguments).arg("--config").arg(world.config_file()).stdin(std::process::Stdio::null());
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

async fn stats(world: &World) -> Value {
    let (code, out, err) = outbox(world, &["stats", "--json"]).await;
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

async fn export(world: &World) -> Vec<Value> {
    let (code, out, err) = outbox(world, &["export"]).await;
    assert_eq!(code, 0, "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_can_be_seen_copied_and_dropped_beside_a_running_daemon_and_without_one() {
    let (world, edgeplug) = cut_off_device(20).await;

    let rows = export(&world).await;
    assert!(rows.len() >= 20, "{}", rows.len());
    assert_eq!(stats(&world).await["live_rows"], rows.len());
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert!(rows.iter().any(|row| row["link_down"] == true && row["body"]["d"].is_array()), "{}", rows[0]);

    let half = ids[ids.len() / 2];
    let (code, out, err) = outbox(&world, &["drop", "--through", &half.to_string(), "--yes", "--json"]).await;
    assert_eq!(code, 0, "{err}");
    let dropped: Value = serde_json::from_str(&out).unwrap();
    let gone = ids.iter().filter(|id| **id <= half).count();
    assert_eq!(dropped["rows"], gone);
    assert!(dropped["bytes"].as_u64() > Some(0));
    let left = export(&world).await;
    assert_eq!(left, rows[gone..], "the rest is untouched");
    let status = edgeplug.status().await.unwrap();
    assert_eq!(status["store"]["dropped"]["rows"], gone);
    assert_eq!(status["uplink"]["waiting"], left.len());
    assert_eq!(
        (&status["store"]["telemetry"]["state"], &status["store"]["ledger"]["state"]),
        (&"ok".into(), &"ok".into())
    );
    assert!(status["store"]["written"]["bytes_per_row"].as_u64() > Some(0), "{status}");

    assert!(edgeplug.terminate().await.unwrap().success());
    assert_eq!(export(&world).await, left, "the same without a daemon");
    let (code, out, err) = outbox(&world, &["drop", "--all", "--yes"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("{} rows", left.len())), "{out}");
    assert_eq!(stats(&world).await["live_rows"], 0);
    assert!(export(&world).await.is_empty());

    // What was dropped is never sent, and the device goes on.
    world.cloud.resume_listening().await;
    let edgeplug = world.start().unwrap();
    edgeplug.wait_status(|status| status["link"] == "online" && status["uplink"]["waiting"] == 0, LONG).await.unwrap();
    assert!(world.cloud.recorder().readings("uptime_s").is_empty());
    assert!(edgeplug.terminate().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_or_written_over_unasked() {
    let (world, edgeplug) = cut_off_device(3).await;
    let rows = export(&world).await;

    let (code, _, said) = outbox(&world, &["drop", "--all"]).await;
    assert!(code == 34 && said.contains("--yes"), "{code} {said}");
    let (code, _, said) = outbox(&world, &["drop", "--yes"]).await;
    assert!(code == 2 && said.contains("--through"), "{code} {said}");

    let file = world.directory().join("rows.ndjson");
    let name = file.display().to_string();
    let (code, out, said) = outbox(&world, &["export", "--output", &name]).await;
    assert!(code == 0 && out.is_empty() && said.contains(&format!("{} rows", rows.len())), "{code} {said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), rows.len());
    let (code, _, said) = outbox(&world, &["export", "--output", &name]).await;
    assert!(code == 33 && said.contains("--force"), "{code} {said}");
    let (code, ..) = outbox(&world, &["export", "--output", &name, "--force"]).await;
    assert_eq!(code, 0);

    assert_eq!(export(&world).await, rows);
    assert!(edgeplug.terminate().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_never_ran_has_no_outbox_and_is_told_so() {
    let world = World::new(WorldOptions { symmetric_key: true, ..WorldOptions::default() }).await.unwrap();
    for arguments in [&["stats"][..], &["export"], &["drop", "--all", "--yes"]] {
        let (code, _, said) = outbox(&world, arguments).await;
        assert!(code == 32 && said.contains("no outbox"), "{arguments:?}: {code} {said}");
    }
}

//! Plugins that filter other plugins' readings, wired by the operator, and what an operator does to a plugin.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use edgeplug_cloud::{Attribute, Template};
use edgeplug_e2e::{PluginFiles, World, WorldOptions};

const LONG: Duration = Duration::from_secs(60);

async fn world(plugins: &str) -> World {
    let attributes = vec![Attribute::string("run"), Attribute::number("sequence")];
    let template = Template { attributes, ..Template::default() };
    let options =
        WorldOptions { template, symmetric_key: true, plugins: plugins.to_owned(), ..WorldOptions::default() };
    World::new(options).await.unwrap()
}

/// A plugin that sends 0, 1, 2 and so on, and logs what it was told.
fn counts(world: &World, name: &str) {
    let manifest = format!("interval_ms = 50\n[config]\nrun = \"{name}\"\n");
    world.drop_plugin(PluginFiles { name, guest: "sequence", manifest: Some(&manifest) }).unwrap();
}

/// What the cloud got of it, in order.
fn received(world: &World, run: &str) -> Vec<i64> {
    let samples = world.cloud.recorder().samples().into_iter().filter(|sample| sample.values["run"] == run);
    samples.map(|sample| sample.values["sequence"].as_i64().unwrap()).collect()
}

/// Waits until what the cloud got of it fits.
async fn wait_received(world: &World, run: &str, fits: impl Fn(&[i64]) -> bool) -> Vec<i64> {
    let begun = std::time::Instant::now();
    loop {
        let received = received(world, run);
        if fits(&received) {
            return received;
        }
        assert!(begun.elapsed() < LONG, "the cloud never got what fits; so far {received:?}");
        let so_far = world.cloud.recorder().readings("sequence").len();
        // Whatever comes is looked at.
        let _ = world.cloud.recorder().wait_for_readings("sequence", so_far + 1, Duration::from_secs(1)).await;
    }
}

/// `edgeplug plugin show`, for people.
async fn shown(world: &World, name: &str) -> String {
    let socket = world.directory().join("api.sock");
    let output = world.command(&["plugin", "show", name, "--socket"]).arg(socket).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn wired_filters_stand_between_a_plugin_and_the_cloud_until_an_operator_switches_one_off() {
    let world = world("[plugins.transforms]\na = [\"median\", \"clamp\"]\n").await;
    counts(&world, "a");
    counts(&world, "b");
    world.drop_plugin(PluginFiles { name: "median", guest: "transform-median", manifest: None }).unwrap();
    let clamp = PluginFiles {
        name: "clamp",
        guest: "transform-clamp",
        manifest: Some("[config]\nleast = \"2\"\nmost = \"6\"\n"),
    };
    world.drop_plugin(clamp).unwrap();
    let edgeplug = world.start().unwrap();
    let filtered = wait_received(&world, "a", |received| received.len() >= 12).await;
    assert_eq!(filtered[..12], [2, 2, 2, 2, 3, 4, 5, 6, 6, 6, 6, 6]);
    let plain = wait_received(&world, "b", |received| received.len() >= 12).await;
    assert_eq!(plain[..12], (0..12).collect::<Vec<_>>());

    edgeplug.order(&["plugin", "disable", "clamp"]).await.unwrap();
    // Without it the readings go on, through the other one.
    let passed = wait_received(&world, "a", |received| received.last().is_some_and(|last| *last > 6)).await;
    assert!(passed.is_sorted(), "{passed:?}");
    let is_missing = |status: &serde_json::Value| status["transform"]["trouble"][0]["plugin"] == "clamp";
    let status = edgeplug.wait_status(is_missing, LONG).await.unwrap();
    assert!(status["transform"]["unfiltered"].as_u64().unwrap() > 0, "{status}");
    let plugins = edgeplug.plugins().await.unwrap();
    let clamp = plugins.as_array().unwrap().iter().find(|plugin| plugin["plugin"] == "clamp").unwrap();
    assert_eq!(clamp["state"], "disabled", "{clamp}");

    edgeplug.order(&["plugin", "enable", "clamp"]).await.unwrap();
    wait_received(&world, "a", |received| received.last() == Some(&6)).await;
    edgeplug.order(&["plugin", "restart", "median"]).await.unwrap();
    let unknown = edgeplug.order(&["plugin", "restart", "mean"]).await.unwrap_err().to_string();
    assert!(unknown.contains("there is no plugin \"mean\"") && unknown.contains("median"), "{unknown}");
    let shown = shown(&world, "a").await;
    for word in ["a  running", "exports    lifecycle, sensor", "sensor.sample", "call times p50", "up to"] {
        assert!(shown.contains(word), "{word:?} is not in:\n{shown}");
    }

    assert!(edgeplug.terminate().await.unwrap().success());
    // Each reading of the plugin was accepted, whatever became of its number.
    let lines = world.log().lines().unwrap();
    let refused: Vec<_> = lines.iter().filter(|line| line.message().contains("rejected run=a")).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_whose_filter_fails_are_dropped_where_the_operator_wants_that_and_their_plugin_is_told() {
    let world = world("transform_failure = \"drop\"\n[plugins.transforms]\n\"*\" = [\"clamp\"]\n").await;
    counts(&world, "a");
    let clamp = PluginFiles { name: "clamp", guest: "transform-clamp", manifest: Some("[config]\ntrap_at = \"10\"\n") };
    world.drop_plugin(clamp).unwrap();
    let edgeplug = world.start().unwrap();
    // It traps at 10, is down for a second, and comes back.
    let received = wait_received(&world, "a", |received| received.last().is_some_and(|last| *last > 10)).await;
    assert_eq!(received[..10], (0..10).collect::<Vec<_>>());
    assert!(!received.contains(&10), "{received:?}");
    let told = world.log().wait_for("rejected run=a sequence=10 ", 0, LONG).await.unwrap();
    assert!(told.message().contains("filter clamp failed: the plugin trapped"), "{told:?}");
    edgeplug.wait_status(|status| status["uplink"]["waiting"] == 0, LONG).await.unwrap();
    assert!(edgeplug.terminate().await.unwrap().success());
    let missing = world.log().accepted("a").unwrap().missing_from(world.cloud.recorder());
    assert_eq!(missing, Vec::<String>::new());
}

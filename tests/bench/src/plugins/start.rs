//! A start of the daemon with many plugins whose native code is in the cache.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use edgeplug_cloud::{Attribute, Template};
use edgeplug_e2e::{World, WorldOptions};
use edgeplug_test_support::versions::Versions;

use crate::figures::median;

pub(super) const STARTS: usize = 7;
/// The first start compiles them all.
const LONG: Duration = Duration::from_secs(120);

pub(super) struct Start {
    /// Until the first reading of any.
    pub(super) first_ms: f64,
    /// Until a reading of each.
    pub(super) all_ms: f64,
}

pub(super) async fn measure(versions: &Versions, plugins: usize) -> anyhow::Result<Start> {
    let world = world(versions, plugins, 200).await?;
    let (mut firsts, mut alls) = (Vec::new(), Vec::new());
    for number in 0..=STARTS {
        world.cloud.recorder().clear();
        let begun = Instant::now();
        let edgeplug = world.start()?;
        world.cloud.recorder().wait_for(|records| !records.is_empty(), LONG).await?;
        let first = begun.elapsed();
        let all_there = |records: &[edgeplug_cloud::Record]| {
            let versions = records.iter().filter_map(edgeplug_cloud::Record::json).flat_map(|body| versions_in(&body));
            versions.collect::<BTreeSet<_>>().len() == plugins
        };
        world.cloud.recorder().wait_for(all_there, LONG).await?;
        if number > 0 {
            firsts.push(first.as_secs_f64() * 1e3);
            alls.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        edgeplug.terminate().await?;
    }
    Ok(Start { first_ms: median(firsts), all_ms: median(alls) })
}

fn versions_in(body: &serde_json::Value) -> Vec<i64> {
    let entries = body.get("d").and_then(|d| d.as_array()).into_iter().flatten();
    let values = entries.filter_map(|entry| entry.get("d").and_then(|d| d.as_array())).flatten();
    values
        .filter_map(|values| values.get("version").and_then(serde_json::Value::as_f64))
        .map(|version| version as i64)
        .collect()
}

/// A device with so many of them.
pub(super) async fn world(versions: &Versions, plugins: usize, interval_ms: u64) -> anyhow::Result<World> {
    let attributes = ["count", "version", "us"].map(Attribute::number).to_vec();
    let world = World::new(WorldOptions {
        template: Template { attributes, ..Template::default() },
        symmetric_key: true,
        ..WorldOptions::default()
    })
    .await?;
    for number in 0..plugins {
        let name = format!("plugin-{number}");
        let directory = world.plugins_directory();
        std::fs::write(directory.join(format!("{name}.toml")), format!("interval_ms = {interval_ms}\n"))?;
        std::fs::write(directory.join(format!("{name}.wasm")), versions.version(u32::try_from(number)? + 1, 'G'))?;
    }
    Ok(world)
}

//! The demo's updates over the air: a good version of the plugin, and one that breaks.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use edgeplug_cloud::{Ack, Dialect, Update};
use edgeplug_e2e::sensors::SYSTEM_SENSORS;
use edgeplug_test_support::programs::guest;
use serde_json::Value;

use crate::STEP_TIME_MAX;
use crate::story::{Story, say};

/// How often the update's state is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What an acknowledgement says in the first protocol, which the demo's device speaks: the update is done, or failed.
const DONE: i64 = 7;
const FAILED: i64 = 4;

impl Story {
    pub(crate) async fn update_over_the_air(&mut self) -> anyhow::Result<()> {
        let good = noted(&std::fs::read(guest("system-sensors-rust-v2")?)?, b"version 1.3");
        let ack = self.update("1.3", &good, "demo-ota-1").await?;
        ensure!(ack.status == DONE, "the update was to be confirmed, and the cloud heard: {}", ack.message);
        let confirmed = self.running().await?;
        say("ota", "confirmed: 1.3 runs, and stays");
        self.ota_confirmed += 1;

        let broken = std::fs::read(guest("traps")?)?;
        say("ota", "the next version is broken, which nobody has noticed yet");
        let ack = self.update("1.4", &broken, "demo-ota-2").await?;
        ensure!(ack.status == FAILED, "a broken version was confirmed: {}", ack.message);
        ensure!(self.running().await? == confirmed, "the version before does not run again");
        say("ota", "rolled back: 1.3 runs again");
        self.ota_rolled_back += 1;
        Ok(())
    }

    /// Sends a signed component by the portal, tells how it fares, and waits for the end.
    async fn update(&mut self, version: &str, component: &[u8], ack_id: &str) -> anyhow::Result<Ack> {
        let cloud = &self.world.cloud;
        let file = format!("{SYSTEM_SENSORS}.wasm");
        self.signer.put(cloud.firmware(), &file, version, component)?;
        say("ota", &format!("the portal sends {file} {version}, with its signature"));
        let update = Update::new(ack_id, version).file(&file).file(&format!("{file}.minisig"));
        cloud.push_update(self.world.unique_id(), Dialect::Legacy, &update)?;
        let mut told = String::new();
        let recorder = cloud.recorder().clone();
        let end = recorder.wait_for_terminal_ack(ack_id, None, STEP_TIME_MAX);
        tokio::pin!(end);
        let ack = loop {
            tokio::select! {
                ended = &mut end => break ended.context("the update never ended")?,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            self.tell_readings();
            let status = self.edgeplug.status().await?;
            let phase = status.pointer("/updates/0/phase").and_then(Value::as_str).unwrap_or_default();
            if !phase.is_empty() && phase != told {
                phase.clone_into(&mut told);
                say("ota", phase_in_words(phase));
            }
        };
        self.tell_readings();
        let how = if ack.status == DONE { "done" } else { "failed" };
        say("ack", &format!("{how} (status {}): {}", ack.status, ack.message));
        Ok(ack)
    }

    /// SHA-256 of the version that runs.
    async fn running(&self) -> anyhow::Result<String> {
        let plugins = self.edgeplug.plugins().await?;
        let mut plugins = plugins.as_array().into_iter().flatten();
        let plugin = plugins.find(|plugin| plugin.get("plugin").and_then(Value::as_str) == Some(SYSTEM_SENSORS));
        let sha256 = plugin.and_then(|plugin| plugin.get("sha256")?.as_str().map(str::to_owned));
        sha256.with_context(|| format!("{SYSTEM_SENSORS} does not run"))
    }
}

fn phase_in_words(phase: &str) -> &str {
    match phase {
        "fetching" => "fetching over HTTPS, then verifying length, SHA-256 and signature",
        "ready" | "handing-over" => "verified; into the daemon's own plugin directory",
        "probation" => "swapped in; on probation",
        other => other,
    }
}

/// The same component with a note at its end, which makes it another version: a custom section called `version`.
fn noted(component: &[u8], note: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"version";
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    let content = [&[length(NAME)], NAME, note].concat();
    // Lengths below 128 are one byte.
    [component, &[0, length(&content)], &content].concat()
}

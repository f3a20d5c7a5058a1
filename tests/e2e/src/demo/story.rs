//! What happens in the demo, step by step.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use edgeplug_cloud::AckKind;
use edgeplug_e2e::sensors::{self, SYSTEM_SENSORS};
use edgeplug_e2e::{Edgeplug, Signer, World};
use serde::Serialize;
use serde_json::Value;

use crate::STEP_TIME_MAX;

/// How often what arrived is told.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// The demo's last line.
#[derive(Debug, Serialize)]
pub(crate) struct Ending {
    provisioned: bool,
    connected: bool,
    plugin: &'static str,
    readings_delivered: usize,
    commands_acked: usize,
    reloads: usize,
    ota_confirmed: usize,
    ota_rolled_back: usize,
    pub(crate) lost: usize,
    seconds: u64,
}

pub(crate) struct Story {
    pub(crate) world: World,
    pub(crate) edgeplug: Edgeplug,
    /// Whose updates the device takes.
    pub(crate) signer: Signer,
    begun: Instant,
    told: usize,
    reloads: usize,
    pub(crate) ota_confirmed: usize,
    pub(crate) ota_rolled_back: usize,
}

/// One line of the story.
pub(crate) fn say(what: &str, words: &str) {
    println!("{what:>9}  {words}");
}

impl Story {
    /// Drops the plugin into its directory and starts the daemon.
    pub(crate) fn begin(world: World, signer: Signer) -> anyhow::Result<Self> {
        world.drop_plugin(sensors::first_build(&sensors::manifest(500)))?;
        let edgeplug = world.start()?;
        say("daemon", &format!("started; its plugins lie in {}", world.plugins_directory().display()));
        let (begun, told, reloads, ota_confirmed, ota_rolled_back) = (Instant::now(), 0, 0, 0, 0);
        Ok(Self { world, edgeplug, signer, begun, told, reloads, ota_confirmed, ota_rolled_back })
    }

    pub(crate) async fn tell(&mut self, run_for: Option<Duration>) -> anyhow::Result<()> {
        let device = self.world.hub_device_id();
        self.world.cloud.hub().wait_connected(&device, STEP_TIME_MAX).await.context("the daemon never connected")?;
        let calls = self.world.cloud.dps().calls(&self.world.registration_id());
        say("DPS", &format!("the TPM answered the challenge; assigned to the hub after {calls} calls"));
        say("hub", &format!("connected as {device} over TLS, with a token signed by the TPM"));
        self.world.log().wait_for("plugin loaded", 0, STEP_TIME_MAX).await?;
        self.tell_plugin().await?;
        self.tell_socket()?;
        self.world
            .cloud
            .recorder()
            .wait_for(|records| !records.is_empty(), STEP_TIME_MAX)
            .await
            .context("no reading came")?;
        self.watch(self.share(run_for, 10)).await?;
        self.command("set-interval 1", "demo-1").await?;
        self.command("fail", "demo-2").await?;
        self.watch(self.share(run_for, 10)).await?;
        self.replace().await?;
        self.watch(self.share(run_for, 10)).await?;
        self.update_over_the_air().await?;
        match run_for {
            Some(time) => self.watch(time.saturating_sub(self.begun.elapsed())).await,
            None => {
                say("", "Ctrl-C ends the demo");
                self.watch(Duration::MAX).await
            }
        }
    }

    /// Lets the last readings arrive, stops the daemon, counts.
    pub(crate) async fn end(mut self) -> anyhow::Result<Ending> {
        // Without its files the plugin stops; what it had sent is still on its way.
        let component = format!("{SYSTEM_SENSORS}.wasm");
        std::fs::remove_file(self.world.plugins_directory().join(&component))?;
        let over_the_air = self.world.ota_plugins_directory().join(&component);
        if over_the_air.exists() {
            std::fs::remove_file(over_the_air)?;
        }
        let drained = |status: &Value| {
            let plugins_gone = status.get("plugins").and_then(Value::as_array).is_some_and(Vec::is_empty);
            plugins_gone && status.pointer("/uplink/waiting").and_then(Value::as_u64) == Some(0)
        };
        self.edgeplug.wait_status(drained, STEP_TIME_MAX).await?;
        self.tell_readings();
        let seconds = self.begun.elapsed().as_secs();
        let ended = self.edgeplug.terminate().await?;
        say("daemon", &format!("stopped ({ended})"));
        let log = self.world.log();
        let recorder = self.world.cloud.recorder();
        let missing = log.accepted(SYSTEM_SENSORS)?.missing_from(recorder);
        for number in &missing {
            say("LOST", number);
        }
        let registration = self.world.registration_id();
        Ok(Ending {
            provisioned: self.world.cloud.dps().calls(&registration) > 0,
            connected: !self.world.cloud.hub().connections(&self.world.hub_device_id()).is_empty(),
            plugin: SYSTEM_SENSORS,
            readings_delivered: recorder.readings("sequence").len(),
            commands_acked: recorder.all_acks().iter().filter(|ack| ack.kind == AckKind::Command).count(),
            reloads: self.reloads,
            ota_confirmed: self.ota_confirmed,
            ota_rolled_back: self.ota_rolled_back,
            lost: missing.len(),
            seconds,
        })
    }

    fn share(&self, run_for: Option<Duration>, percent: u32) -> Duration {
        run_for.unwrap_or(Duration::from_secs(30)).saturating_mul(percent) / 100
    }

    async fn tell_plugin(&self) -> anyhow::Result<()> {
        let plugins = self.edgeplug.plugins().await?;
        for plugin in plugins.as_array().into_iter().flatten() {
            let text = |key: &str| plugin.get(key).and_then(Value::as_str).unwrap_or_default();
            let version: String = text("sha256").chars().take(12).collect();
            say(
                "plugin",
                &format!("{} loaded (sha256 {version}…), compiled in a locked-down child process", text("plugin")),
            );
            for grant in plugin.get("grants").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
            {
                say("", &format!("it {grant}"));
            }
        }
        Ok(())
    }

    fn tell_socket(&self) -> anyhow::Result<()> {
        let socket = self.world.directory().join("api.sock");
        anyhow::ensure!(socket.exists(), "the daemon listens elsewhere than on {}", socket.display());
        say("", "export this for `edgeplug status`, `plugin list` and `plugin logs`:");
        println!("EDGEPLUG_SOCKET={}", socket.display());
        Ok(())
    }

    async fn command(&mut self, text: &str, ack_id: &str) -> anyhow::Result<()> {
        say("command", &format!("the cloud sends {text:?}"));
        self.world.cloud.hub().send_command(&self.world.hub_device_id(), text, ack_id)?;
        let ack =
            self.world.cloud.recorder().wait_for_ack(ack_id, STEP_TIME_MAX).await.context("no acknowledgement came")?;
        let how = if ack.status == 6 { "executed" } else { "failed" };
        say("ack", &format!("{how} (status {}): {}", ack.status, ack.message));
        Ok(())
    }

    async fn replace(&mut self) -> anyhow::Result<()> {
        say("reload", "a new version of the plugin is copied over the old one");
        self.world.drop_plugin(sensors::second_build())?;
        let line = self.world.log().wait_for("plugin replaced", 0, STEP_TIME_MAX).await?;
        let version: String = line.text("sha256").chars().take(12).collect();
        say("reload", &format!("picked up (sha256 {version}…) between two calls, without a gap"));
        self.reloads += 1;
        Ok(())
    }

    /// Tells readings as they arrive, for this long.
    async fn watch(&mut self, time: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.tell_readings();
            tokio::time::sleep(TELL_EVERY.min(time.saturating_sub(begun.elapsed()))).await;
        }
        Ok(())
    }

    pub(crate) fn tell_readings(&mut self) {
        let samples = self.world.cloud.recorder().samples();
        for sample in samples.iter().skip(self.told) {
            let words: Vec<_> = sample.values.iter().map(|(name, value)| format!("{name} {value}")).collect();
            say("reading", &words.join(", "));
        }
        self.told = samples.len();
    }
}

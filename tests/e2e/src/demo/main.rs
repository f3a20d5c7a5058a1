//! `make demo`: a whole device and its cloud on this machine, told in plain words as it happens.
//!
//! Runs until Ctrl-C, or for `DEMO_S` seconds. The last line is one JSON object; `lost` is judged from what the plugin
//! logged as accepted and what the simulated cloud recorded.

mod air;
mod story;

use std::time::Duration;

use anyhow::Context as _;
use edgeplug_e2e::{Signer, World, sensors};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use story::{Story, say};

/// How long each step may take on a slow machine before the demo gives up.
const STEP_TIME_MAX: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match demo().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn demo() -> anyhow::Result<()> {
    let run_for = match std::env::var("DEMO_S") {
        Ok(seconds) => Some(Duration::from_secs(seconds.parse().context("DEMO_S wants whole seconds")?)),
        Err(_) => None,
    };
    say("start", "a software TPM (swtpm), a simulated /IOTCONNECT cloud with a strict IoT hub, all on this machine");
    // `load` is for the README's first plugin.
    let mut options = sensors::system_sensors(&["load"]);
    options.plugins.push_str("[plugins.allow.\"*\"]\nfiles = [\"/proc/loadavg\"]\n");
    // A new version proves itself for a minute; nobody watches a demo for so long.
    options.plugins.insert_str(0, "probation_s = 2\n");
    let signer = Signer::new()?;
    options.tables = signer.table();
    let world = World::new(options).await?;
    tell_identity(&world.identity_show().await?)?;
    let mut story = Story::begin(world, signer)?;
    tokio::select! {
        told = story.tell(run_for) => told?,
        _ = tokio::signal::ctrl_c() => say("stop", "asked to stop"),
    }
    let ending = story.end().await?;
    println!("{}", serde_json::to_string(&ending)?);
    anyhow::ensure!(ending.lost == 0, "accepted readings were lost");
    Ok(())
}

fn tell_identity(shown: &Value) -> anyhow::Result<()> {
    let key = shown.get("endorsement_key").and_then(Value::as_str).context("a TPM shows its endorsement key")?;
    let hash: String = Sha256::digest(key).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let product = shown.pointer("/tpm/product").and_then(Value::as_str).unwrap_or("TPM");
    let id = shown.get("registration_id").and_then(Value::as_str).unwrap_or_default();
    say("identity", &format!("{product}; endorsement key {hash}… enrolled in the portal as {id}"));
    Ok(())
}

//! `make e2e-protocol`: the whole protocol, both versions. The real daemon with a real plugin speaks for a gateway with three
//! children and for an edge device; the simulator says everything a cloud can say, and its recorder alone judges.
//!
//! A type of message counts as covered when it was sent *and* what it must bring about was seen. The last line is one JSON
//! object: `{"c2d_types_covered":N,"c2d_types_total":N,"missing_acks":0,"double_acks":0}`. What fails is told on standard
//! error and ends its scene only; the exit code is 0 when nothing failed and all is covered.

mod connection;
mod coverage;
mod edge;
mod gateway;
mod rig;
mod told;
mod twin;

use std::process::ExitCode;

use anyhow::Context as _;
use edgeplug_cloud::Protocol;

use coverage::Coverage;
use rig::Rig;

#[tokio::main]
async fn main() -> ExitCode {
    let coverage = Coverage::default();
    // At the same time, because each mostly waits.
    let (legacy, v21) = tokio::join!(scenes(Protocol::Legacy, &coverage), scenes(Protocol::V21, &coverage));
    let failures: Vec<_> = legacy.into_iter().chain(v21).collect();
    for failure in &failures {
        eprintln!("e2e-protocol: {failure:#}");
    }
    for row in coverage.uncovered() {
        eprintln!("e2e-protocol: {row} is not covered");
    }
    println!("{}", coverage.summary());
    if failures.is_empty() && coverage.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every scene of one protocol; what failed.
async fn scenes(protocol: Protocol, coverage: &Coverage) -> Vec<anyhow::Error> {
    let mut failures = Vec::new();
    for (name, played) in [
        ("gateway", play(Rig::gateway(protocol, coverage).await, Device::Gateway).await),
        ("edge device", play(Rig::edge(protocol, coverage).await, Device::Edge).await),
    ] {
        failures.extend(played.into_iter().map(|error| error.context(format!("{protocol:?}, {name}"))));
    }
    failures
}

#[derive(Clone, Copy)]
enum Device {
    Gateway,
    Edge,
}

async fn play(rig: anyhow::Result<Rig<'_>>, device: Device) -> Vec<anyhow::Error> {
    let mut rig = match rig.context("before the first scene") {
        Ok(rig) => rig,
        Err(error) => return vec![error],
    };
    let mut failures = Vec::new();
    let mut note = |scene: &'static str, played: anyhow::Result<()>| {
        println!("{scene}: {}", if played.is_ok() { "ok" } else { "FAILED" });
        failures.extend(played.err().map(|error| error.context(scene)));
    };
    match device {
        Device::Gateway => {
            note("readings", gateway::readings(&rig).await);
            note("commands", told::commands(&rig).await);
            note("firmware", told::firmware(&rig).await);
            note("modules", told::modules(&rig).await);
            note("changes of the template", gateway::changes(&rig).await);
            note("data frequency", gateway::frequency(&rig).await);
            note("what changes nothing", told::ignored(&rig).await);
            note("twin", twin::twin(&rig).await);
            note("connection settings", connection::settings(&rig).await);
            note("disconnect and connect", connection::disconnect(&mut rig).await);
            note("heartbeats", connection::heartbeats(&rig).await);
            note("children by message", gateway::children_by_message(&rig).await);
            note("hard stops", connection::stops(&mut rig).await);
        }
        Device::Edge => {
            note("windows", edge::windows(&rig).await);
            note("rules", edge::rules(&rig).await);
            note("windows while offline", edge::offline(&mut rig).await);
        }
    }
    note("nothing lost, nothing malformed", rig.end().await);
    failures
}

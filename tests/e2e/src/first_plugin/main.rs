//! `make first-plugin`: what the tutorial promises, timed. In each language a new plugin is made, built, tried without a
//! cloud, and dropped into the plugins directory of a running device; it ends when its readings are in the cloud.
//!
//! Prints one JSON object for each language. Nothing is shared between the languages but what their package managers
//! have fetched before.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use edgeplug_cloud::{Attribute, Template};
use edgeplug_e2e::{World, WorldOptions};
use edgeplug_test_support::programs::program;
use tokio::process::Command;

const LANGUAGES: [&str; 6] = ["rust", "c", "tinygo", "go", "python", "javascript"];
/// The attribute that every template plugin measures.
const ATTRIBUTE: &str = "load";
/// Until the daemon is connected.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(60);
/// From the dropped file to the first reading: the largest guest is compiled meanwhile, by an unoptimised compiler.
const READING_TIME_MAX: Duration = Duration::from_secs(240);

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match all().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("first-plugin: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn all() -> anyhow::Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let languages = if asked.is_empty() { LANGUAGES.map(str::to_owned).to_vec() } else { asked };
    let world = World::new(WorldOptions {
        template: Template { attributes: vec![Attribute::number(ATTRIBUTE)], ..Template::default() },
        plugins: "[plugins.allow.\"*\"]\nfiles = [\"/proc/loadavg\"]\n".to_owned(),
        ..WorldOptions::default()
    })
    .await?;
    let edgeplug = world.start()?;
    world.cloud.hub().wait_connected(&world.hub_device_id(), CONNECT_TIME_MAX).await?;
    let mut failed = Vec::new();
    for language in languages {
        let begun = Instant::now();
        match first_plugin(&world, &language).await {
            Ok(readings) => {
                let wall_s = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
                println!("{}", serde_json::json!({ "lang": language, "wall_s": wall_s, "readings": readings }));
            }
            Err(error) => {
                eprintln!("first-plugin: {language}: {error:#}");
                failed.push(language);
            }
        }
    }
    edgeplug.terminate().await?;
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The steps of the tutorial; says how many readings arrived.
async fn first_plugin(world: &World, language: &str) -> anyhow::Result<usize> {
    let directory = tempfile::tempdir()?;
    let name = format!("first-{language}");
    let edgeplug = program("edgeplug")?;
    run(Command::new(&edgeplug).args(["plugin", "new", "--lang", language, &name]).current_dir(directory.path()))
        .await?;
    let project = directory.path().join(&name);
    run(make(&project, &edgeplug)).await?;
    run(make(&project, &edgeplug).arg("try")).await?;
    let recorder = world.cloud.recorder();
    let before = recorder.readings(ATTRIBUTE).len();
    let plugins = world.plugins_directory();
    std::fs::copy(project.join(format!("{name}.toml")), plugins.join(format!("{name}.toml")))?;
    let arriving = plugins.join(format!(".{name}.arriving"));
    std::fs::copy(project.join(format!("{name}.wasm")), &arriving).context("`make` left no component")?;
    let component = plugins.join(format!("{name}.wasm"));
    std::fs::rename(arriving, &component)?;
    let arrived = recorder.wait_for_readings(ATTRIBUTE, before + 1, READING_TIME_MAX).await;
    std::fs::remove_file(component)?;
    std::fs::remove_file(plugins.join(format!("{name}.toml")))?;
    Ok(arrived.context("no reading reached the cloud")?.len() - before)
}

fn make(project: &Path, edgeplug: &PathBuf) -> Command {
    let mut make = Command::new("make");
    make.arg("--no-print-directory").env("EDGEPLUG", edgeplug).env_remove("CARGO_TARGET_DIR").current_dir(project);
    // Of the `make` that started this.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    make
}

async fn run(mut command: impl std::borrow::BorrowMut<Command>) -> anyhow::Result<()> {
    let command = command.borrow_mut();
    let words = format!("{:?}", command.as_std());
    let output = command.output().await.with_context(|| format!("cannot run {words}"))?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{words} ended with {}:\n{}", output.status, String::from_utf8_lossy(&said));
    Ok(())
}

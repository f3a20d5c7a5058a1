//! Plays `transcript.txt` on the conformance guest of every language named, each under the real plugin runtime.
//!
//! What the guest does is written down as the host sees it ([`words`]) and held against the transcript line by line
//! ([`play`]); [`stage`] stands in for the daemon and answers as the transcript says. Nothing here knows a language but
//! by one bit: whether its integers have 64 bits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test program")]

mod play;
mod stage;
mod transcript;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use serde_json::{Map, Value};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::transcript::{Integers, Transcript};

/// Written by hand, compiled in so that no run can be pointed at another.
const TRANSCRIPT: &str = include_str!("../transcript.txt");

/// Languages of the last line, whether or not they were asked for.
const LANGUAGES: [&str; 6] = ["rust", "c", "tinygo", "go", "python", "javascript"];

#[derive(Parser)]
struct Arguments {
    /// The program `edgeplug-compiler`
    #[arg(long)]
    compiler: PathBuf,
    /// LANGUAGE=COMPONENT, as often as there are
    #[arg(required = true)]
    guests: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let transcript = Transcript::parse(TRANSCRIPT)?;
    // A guest's line is kept only where somebody would see its level.
    tracing_subscriber::registry().init();
    let mut results: Map<String, Value> =
        LANGUAGES.iter().map(|language| ((*language).to_owned(), Value::from("not asked"))).collect();
    for guest in &arguments.guests {
        let (language, component) = guest.split_once('=').context("a guest is LANGUAGE=COMPONENT")?;
        anyhow::ensure!(results.contains_key(language), "{language} is none of {}", LANGUAGES.join(", "));
        if !std::path::Path::new(component).is_file() {
            println!("{language}: {component} is not there");
            results.insert(language.to_owned(), Value::from("not built"));
            continue;
        }
        let integers = if language == "javascript" { Integers::Of53Bits } else { Integers::Of64Bits };
        let result = play::play(&transcript, integers, component.as_ref(), &arguments.compiler).await;
        let word = match result {
            Ok(steps) => {
                println!("{language}: {steps} steps as written");
                "passed"
            }
            Err(error) => {
                println!("{language}: {error:#}");
                "failed"
            }
        };
        results.insert(language.to_owned(), Value::from(word));
    }
    let passed = results.values().filter(|result| *result == "passed").count();
    let failed = arguments.guests.len() - passed;
    let all = failed == 0;
    // In the words that `make test` adds up.
    println!("test result: {}. {passed} passed; {failed} failed;", if all { "ok" } else { "FAILED" });
    println!("{}", serde_json::json!({ "languages": results }));
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

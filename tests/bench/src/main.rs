//! `make bench`: the figures that the README and the closing notes quote, measured on the machine it runs on.
//!
//! Times compare within one run only; the machine may be busy with something else, and nothing here fails because it is.
//! In the environment `ONLY=throughput` (or `calls`, `protocol`, `rows`, `process`, `plugins`, `guests`) leaves out all but one part,
//! `ROWS_MAX=100000` the larger stores, `ROUNDS=3` and `PATHS=bare,durable` (`supervised`, `lite`, `azure`) some of the
//! throughput, `BROKER=nodelay` (or `default`) one of the broker's two settings, and `LANGUAGES="rust c"` the other guests.

mod bare;
mod calls;
mod disk;
mod durable;
mod figures;
mod guest;
mod guests;
mod message;
mod plot;
mod plugins;
mod process;
mod protocol;
mod python;
mod rows;
mod source;
mod throughput;

use std::path::Path;

use anyhow::Context as _;
use edgeplug_test_support::programs::target_directory;
use serde_json::{Map, Value, json};

use crate::throughput::Broker;

fn main() -> anyhow::Result<()> {
    // As the daemon's own runtime.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).event_interval(2).enable_all().build()?;
    if let Some(scratch) = std::env::var_os(plugins::CHILD) {
        return runtime.block_on(plugins::child(Path::new(&scratch)));
    }
    let only = std::env::var("ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only == part;
    let mut all = Map::new();
    if wanted("throughput") {
        for broker in Broker::chosen()? {
            let throughput = runtime.block_on(throughput::measure(broker))?;
            throughput.print();
            match broker {
                Broker::Nodelay => keep(&mut all, throughput.json()),
                Broker::Default => {
                    all.insert("broker_default".to_owned(), throughput.json());
                }
            }
        }
    }
    if wanted("calls") {
        keep(&mut all, runtime.block_on(calls())?);
    }
    if wanted("protocol") {
        keep(&mut all, protocol()?);
    }
    if wanted("rows") {
        keep(&mut all, rows()?);
    }
    if wanted("process") {
        keep(&mut all, runtime.block_on(process())?);
    }
    if wanted("plugins") {
        keep(&mut all, runtime.block_on(plugins::measure())?);
    }
    if wanted("guests") {
        keep(&mut all, guests::publish(&runtime.block_on(guests::measure())?)?);
    }
    println!("{}", Value::Object(all));
    Ok(())
}

/// A directory for a measurement on the disk that holds the target directory; a temporary one might be memory.
fn scratch() -> anyhow::Result<tempfile::TempDir> {
    let below = target_directory().join("bench");
    std::fs::create_dir_all(&below)?;
    tempfile::Builder::new().prefix("store-").tempdir_in(&below).context("cannot make a directory for the stores")
}

fn keep(all: &mut Map<String, Value>, part: Value) {
    if let Value::Object(part) = part {
        all.extend(part);
    }
}

async fn calls() -> anyhow::Result<Value> {
    let calls = calls::measure().await?;
    println!("one call that returns ten readings, median of {} rounds of {} calls", calls::ROUNDS, calls::CALLS);
    println!("  bare wasmtime, typed call       {:>8.2} us", calls.bare_us);
    println!("  through the plugin runtime      {:>8.2} us  ({:.1} times)", calls.plugins_us, calls.ratio());
    println!(
        "  bare, without machine code      {:>8.2} us  ({:.1} times)",
        calls.interpreted_us,
        calls.interpreter_ratio()
    );
    println!("  an empty hop between two tasks  {:>8.2} us", calls.hop_us);
    Ok(json!({
        "call_bare_us": calls.bare_us, "call_us": calls.plugins_us, "call_ratio": calls.ratio(), "task_hop_us": calls.hop_us,
        "call_interpreted_us": calls.interpreted_us, "call_interpreted_ratio": calls.interpreter_ratio(),
    }))
}

fn protocol() -> anyhow::Result<Value> {
    let protocol = protocol::measure()?;
    println!(
        "messages of one sample of ten values, median of {} rounds of {} calls",
        protocol::ROUNDS,
        protocol::CALLS
    );
    let detail = |name: &str, figures: &protocol::Figures| {
        println!("  {name}: report of {} bytes   {:>8.0} ns", figures.bytes, figures.encode_ns);
        println!(
            "    serde_json::to_vec of it        {:>8.0} ns  ({:.2})",
            figures.serde_json_ns, figures.encode_ratio
        );
        println!("    judged, rule, match's body      {:>8.0} ns", figures.rule_match_ns);
        println!("    serde_json::to_vec of that      {:>8.0} ns", figures.rule_match_serde_json_ns);
        json!({
            "encode_ns": figures.encode_ns, "encode_serde_json_ns": figures.serde_json_ns,
            "encode_ratio": figures.encode_ratio, "rule_match_ns": figures.rule_match_ns,
            "rule_match_serde_json_ns": figures.rule_match_serde_json_ns,
        })
    };
    let (legacy, v21) = (detail("1.0", &protocol.legacy), detail("2.1", &protocol.v21));
    println!("  a rule of four terms              {:>8.0} ns", protocol.rule_ns);
    Ok(json!({ "protocol_legacy": legacy, "protocol_v21": v21, "rule_ns": protocol.rule_ns }))
}

fn rows() -> anyhow::Result<Value> {
    let rows_max = match std::env::var("ROWS_MAX") {
        Ok(text) => text.parse().context("ROWS_MAX must be a number")?,
        Err(_) => rows::ROWS_MAX,
    };
    let costs = rows::measure(rows_max)?;
    println!("the outbox, rows of 200 to 300 bytes, commits with fsync: microseconds a row");
    println!("        rows     insert   last tenth    (CPU)      drain  first tenth    (CPU)   bytes on disk");
    for cost in &costs {
        println!(
            "  {:>10} {:>10.2} {:>12.2} {:>8.2} {:>10.2} {:>12.2} {:>8.2} {:>15.0}",
            cost.rows,
            cost.insert_us,
            cost.insert_last_us,
            cost.insert_processor_us,
            cost.drain_us,
            cost.drain_first_us,
            cost.drain_processor_us,
            cost.bytes_per_row
        );
    }
    let detail = Value::Array(costs.iter().map(rows::Cost::json).collect());
    // A shortened run does not replace the whole one's picture.
    let place = match rows_max < rows::ROWS_MAX {
        true => target_directory().join("bench"),
        false => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bench"),
    };
    std::fs::create_dir_all(&place)?;
    std::fs::write(place.join("outbox-rows.svg"), rows::chart(&costs).svg())?;
    std::fs::write(place.join("outbox-rows.json"), format!("{detail:#}\n"))?;
    let each = |figure: fn(&rows::Cost) -> f64| costs.iter().map(figure).collect::<Vec<_>>();
    Ok(json!({
        "rows": costs.iter().map(|cost| cost.rows).collect::<Vec<_>>(),
        "insert_us": each(|cost| cost.insert_us), "drain_us": each(|cost| cost.drain_us),
        "insert_cpu_us": each(|cost| cost.insert_processor_us), "drain_cpu_us": each(|cost| cost.drain_processor_us),
    }))
}

async fn process() -> anyhow::Result<Value> {
    let size = process::daemon_bytes()?;
    println!("daemon, release build, stripped   {:>8.2} MB", size as f64 / 1e6);
    let starts = process::starts().await?;
    println!("from exec to the first reading in the cloud, warm cache, median of {}", process::STARTS);
    println!(
        "                                  {:>8.0} ms  (connected after {:.0} ms)",
        starts.reading_ms, starts.connected_ms
    );
    let memory = process::memory_after_a_minute().await?;
    println!("memory after a minute with the demo's plugin");
    println!(
        "                                  {:>8.1} MB  ({:.1} MB of it anonymous)",
        memory.rss_mb, memory.anonymous_mb
    );
    Ok(json!({
        "daemon_bytes": size, "first_reading_ms": starts.reading_ms, "connected_ms": starts.connected_ms,
        "rss_mb": memory.rss_mb, "anonymous_mb": memory.anonymous_mb,
    }))
}

//! `make bench`: the figures that the README and the closing notes quote, measured on the machine it runs on.
//!
//! Times compare within one run only; the machine may be busy with something else.

mod calls;
mod process;

use serde_json::json;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let calls = calls::measure().await?;
    println!("one call that returns ten readings, median of {} rounds of {} calls", calls::ROUNDS, calls::CALLS);
    println!("  bare wasmtime, typed call       {:>8.2} us", calls.bare_us);
    println!("  through the plugin runtime      {:>8.2} us  ({:.1} times)", calls.plugins_us, calls.ratio());
    println!("  an empty hop between two tasks  {:>8.2} us", calls.hop_us);
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
    println!(
        "{}",
        json!({
            "call_bare_us": calls.bare_us, "call_us": calls.plugins_us, "call_ratio": calls.ratio(), "task_hop_us": calls.hop_us,
            "daemon_bytes": size, "first_reading_ms": starts.reading_ms, "connected_ms": starts.connected_ms,
            "rss_mb": memory.rss_mb, "anonymous_mb": memory.anonymous_mb,
        })
    );
    Ok(())
}

//! What plugins cost as a crowd: memory and calls of one to a hundred different ones, a start with twenty, and the clock that
//! interrupts them while nobody is called.

mod crowd;
mod idle;
mod start;

use std::path::Path;

use edgeplug_test_support::programs::target_directory;
use edgeplug_test_support::versions::Versions;
use serde_json::{Value, json};

use crate::plot::{Axis, Chart, Line};

pub(crate) use crowd::{CHILD, child};

/// Plugins at one time.
const CROWDS: [usize; 6] = [1, 5, 10, 25, 50, 100];
/// Plugins of the start that is measured.
const STARTERS: usize = 20;

/// Measures, prints, draws.
pub(crate) async fn measure() -> anyhow::Result<Value> {
    let versions = Versions::read()?;
    let bare = crate::guest::Instance::instantiate_us().await?;
    println!("an instance of a linked component, bare wasmtime {bare:>6.1} us");

    let crowd = crowd::measure(&versions, &CROWDS)?;
    println!("so many different plugins (100 KB each), one process, medians");
    println!("  plugins      RSS   anonymous   virtual    a call     p99   instantiated and started");
    for row in &crowd {
        println!(
            "  {:>7} {:>7.1} MB {:>7.1} MB {:>7.0} MB {:>6.1} us {:>6.1} us {:>8.2} ms each",
            row.plugins, row.rss_mb, row.anonymous_mb, row.virtual_mb, row.call_us, row.call_us_p99, row.up_ms
        );
    }
    draw(&crowd)?;

    let start = start::measure(&versions, STARTERS).await?;
    println!("from exec to the first reading in the cloud with {STARTERS} cached plugins, median of {}", start::STARTS);
    println!("                                  {:>8.0} ms  (of all of them {:.0} ms)", start.first_ms, start.all_ms);

    let idle = idle::measure(&versions).await?;
    println!("wake-ups of the plugin clock in {} s without a call   {}", idle::SECONDS, idle);
    Ok(json!({
        "instantiate_us": bare,
        "crowd": crowd.iter().map(crowd::Row::json).collect::<Vec<_>>(),
        "start_20_first_ms": start.first_ms, "start_20_all_ms": start.all_ms,
        "idle_tick_wakeups": idle,
    }))
}

fn draw(crowd: &[crowd::Row]) -> anyhow::Result<()> {
    let points = |figure: fn(&crowd::Row) -> f64| crowd.iter().map(|row| (row.plugins as f64, figure(row))).collect();
    let chart = Chart {
        title: "Many different plugins in one process",
        x: Axis { name: "plugins", logarithmic: false },
        y: "MB, and microseconds",
        lines: vec![
            Line { name: "resident memory, MB", color: "#1f77b4", points: points(|row| row.rss_mb) },
            Line { name: "a call, median, us", color: "#d62728", points: points(|row| row.call_us) },
        ],
    };
    let place = match std::env::var_os("KEEP") {
        Some(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bench"),
        None => target_directory().join("bench"),
    };
    std::fs::create_dir_all(&place)?;
    std::fs::write(place.join("plugins.svg"), chart.svg())?;
    println!("  drawn: {}", place.join("plugins.svg").display());
    Ok(())
}

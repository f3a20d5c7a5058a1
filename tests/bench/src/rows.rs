//! What a row costs the outbox, from ten thousand rows to ten million: flat, or the store is no place for a long outage.
//!
//! For each size a fresh store is filled and then drained as the daemon does it: appends of a hundred rows with a few
//! under way, then pages of five hundred read and removed. Small sizes are repeated, since they take milliseconds. Of
//! each size the last tenth of the fill and the first tenth of the drain are also kept: the cost at that depth.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use edgeplug_outbox::{Lane, NewRow, Outbox, OutboxEvent, OutboxOptions, Request, RowId, SpaceLimits};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::figures::{Stopwatch, median};
use crate::plot::{Axis, Chart, Line};

/// Sizes and how often each is measured.
const SIZES: [(u64, usize); 4] = [(10_000, 9), (100_000, 5), (1_000_000, 3), (10_000_000, 1)];
/// What `ROWS_MAX` may cut it down to.
pub(crate) const ROWS_MAX: u64 = 10_000_000;
/// Bodies between these sizes, by turns.
const BODY_BYTES: [usize; 3] = [200, 250, 300];
const WARM_UP_ROWS: u64 = 10_000;
const APPEND_ROWS: u64 = 100;
const APPENDS_UNDER_WAY: u64 = 8;
const PAGE_ROWS: usize = 500;
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
const REMOVALS_UNDER_WAY: u64 = 4;
/// Room for everything, in segments of 128 MiB.
const LIMITS: SpaceLimits = SpaceLimits { bytes_max: 8 * 1024 * 1024 * 1024, files_max: 64 };

/// Microseconds for each row of a store of this many.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    pub(crate) rows: u64,
    pub(crate) insert_us: f64,
    pub(crate) drain_us: f64,
    /// Of the last tenth that went in.
    pub(crate) insert_last_us: f64,
    /// Of the first tenth that went out.
    pub(crate) drain_first_us: f64,
    /// Of the processor, all threads: what is left when the disk or another program made the rest.
    pub(crate) insert_processor_us: f64,
    pub(crate) drain_processor_us: f64,
    pub(crate) bytes_per_row: f64,
}

/// The cost of a row against the size of the store.
pub(crate) fn chart(costs: &[Cost]) -> Chart<'static> {
    let points = |us: fn(&Cost) -> f64| costs.iter().map(|cost| (cost.rows as f64, us(cost))).collect();
    Chart {
        title: "Outbox: cost of a row by the size of the store",
        x: Axis { name: "rows in the store", logarithmic: true },
        y: "microseconds a row",
        lines: vec![
            Line { name: "insert, committed with fsync", color: "#1f77b4", points: points(|cost| cost.insert_us) },
            Line { name: "drain, read and removed with fsync", color: "#d62728", points: points(|cost| cost.drain_us) },
        ],
    }
}

impl Cost {
    pub(crate) fn json(&self) -> Value {
        json!({
            "rows": self.rows, "insert_us": self.insert_us, "insert_last_tenth_us": self.insert_last_us,
            "drain_us": self.drain_us, "drain_first_tenth_us": self.drain_first_us, "insert_cpu_us": self.insert_processor_us,
            "drain_cpu_us": self.drain_processor_us, "bytes_per_row": self.bytes_per_row.round(),
        })
    }
}

/// All sizes up to `rows_max`.
pub(crate) fn measure(rows_max: u64) -> anyhow::Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for (rows, repeats) in SIZES.into_iter().filter(|(rows, _)| *rows <= rows_max) {
        let runs = (0..repeats).map(|_| fill_and_drain(rows)).collect::<anyhow::Result<Vec<_>>>()?;
        let middle = |figure: fn(&Cost) -> f64| median(runs.iter().map(figure).collect());
        costs.push(Cost {
            rows,
            insert_us: middle(|cost| cost.insert_us),
            drain_us: middle(|cost| cost.drain_us),
            insert_last_us: middle(|cost| cost.insert_last_us),
            drain_first_us: middle(|cost| cost.drain_first_us),
            insert_processor_us: middle(|cost| cost.insert_processor_us),
            drain_processor_us: middle(|cost| cost.drain_processor_us),
            bytes_per_row: middle(|cost| cost.bytes_per_row),
        });
    }
    Ok(costs)
}

fn fill_and_drain(rows: u64) -> anyhow::Result<Cost> {
    let directory = crate::scratch()?;
    let mut options = OutboxOptions::new(directory.path());
    options.limits = LIMITS;
    let (outbox, _, events) = Outbox::open(options)?;
    let mut store = Store { outbox, events, last: RowId(0) };
    // A store that has seen work: its files have their first megabytes.
    store.fill(WARM_UP_ROWS)?;
    store.drain(WARM_UP_ROWS)?;
    let watch = Stopwatch::start();
    let insert_last_us = store.fill(rows)?;
    let insert = watch.stop(rows);
    let bytes_per_row = bytes_below(&directory.path().join("telemetry"))? as f64 / rows as f64;
    let watch = Stopwatch::start();
    let drain_first_us = store.drain(rows)?;
    let drain = watch.stop(rows);
    store.outbox.close();
    Ok(Cost {
        rows,
        insert_us: thousandths(1e6 / insert.per_second()),
        drain_us: thousandths(1e6 / drain.per_second()),
        insert_last_us,
        drain_first_us,
        insert_processor_us: thousandths(insert.processor_us()),
        drain_processor_us: thousandths(drain.processor_us()),
        bytes_per_row,
    })
}

struct Store {
    outbox: Outbox,
    events: mpsc::Receiver<OutboxEvent>,
    /// The last row that was read back.
    last: RowId,
}

impl Store {
    /// Microseconds for a row of the last tenth.
    fn fill(&mut self, rows: u64) -> anyhow::Result<f64> {
        let bodies = BODY_BYTES.map(|bytes| Bytes::from(vec![b'x'; bytes]));
        let mut last_begun = None;
        let (mut asked, mut committed) = (0, 0);
        while committed < rows {
            while asked < rows && asked - committed < APPENDS_UNDER_WAY * APPEND_ROWS {
                let group = bodies.iter().cycle().zip(asked..asked + APPEND_ROWS).map(|(body, ticket)| NewRow {
                    ticket,
                    lane: Lane::Live,
                    kind: 1,
                    link_down: true,
                    created_unix_ms: 1_795_392_000_000,
                    body: body.clone(),
                });
                self.outbox.request(Request::Append(group.collect()))?;
                asked += APPEND_ROWS;
            }
            match self.event()? {
                OutboxEvent::Committed { rows } => committed += rows.len() as u64,
                other => bail!("the store said {other:?}"),
            }
            if last_begun.is_none() && committed >= rows - rows / 10 {
                last_begun = Some((Instant::now(), committed));
            }
        }
        let (last_begun, before) = last_begun.context("nothing was stored")?;
        Ok(us_each(last_begun, rows - before))
    }

    /// Microseconds for a row of the first tenth. The next page is read while removals are under way.
    fn drain(&mut self, rows: u64) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let (mut asked, mut removed, mut first_us) = (0, 0, None);
        let mut loading = false;
        while removed < rows {
            if !loading && asked < rows && asked - removed < REMOVALS_UNDER_WAY * PAGE_ROWS as u64 {
                self.outbox.request(Request::Load {
                    ticket: 0,
                    lane: Lane::Live,
                    after: self.last,
                    rows_max: PAGE_ROWS,
                    bytes_max: PAGE_BYTES_MAX,
                })?;
                loading = true;
            }
            match self.event()? {
                OutboxEvent::Loaded { rows: page, .. } => {
                    loading = false;
                    self.last = page.last().context("rows are missing")?.id;
                    asked += page.len() as u64;
                    self.outbox.request(Request::Remove(page.into_iter().map(|row| row.id).collect()))?;
                }
                OutboxEvent::Removed { rows, .. } => removed += rows,
                other => bail!("the store said {other:?}"),
            }
            if first_us.is_none() && removed >= rows / 10 {
                first_us = Some(us_each(begun, removed));
            }
        }
        ensure!(asked == rows, "{asked} rows came out of {rows}");
        first_us.context("nothing was removed")
    }

    fn event(&mut self) -> anyhow::Result<OutboxEvent> {
        self.events.blocking_recv().context("the store ended")
    }
}

fn us_each(begun: Instant, rows: u64) -> f64 {
    thousandths(begun.elapsed().as_secs_f64() * 1e6 / rows as f64)
}

fn thousandths(us: f64) -> f64 {
    (us * 1e3).round() / 1e3
}

fn bytes_below(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_below(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

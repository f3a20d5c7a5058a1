//! What a running daemon takes of the machine, read from `/proc`.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// One look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) rss_mb: f64,
    pub(crate) fds: u64,
    pub(crate) threads: u64,
    /// All write-ahead logs of the outbox.
    pub(crate) wal_bytes: u64,
}

/// Looks at process `pid`, whose outbox lies in `outbox`.
pub(crate) fn sample(pid: u32, outbox: &Path, seconds: f64) -> anyhow::Result<Sample> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the daemon is gone")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let mut wal_bytes = 0;
    for directory in [outbox.to_owned(), outbox.join("telemetry")] {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with("-wal")) {
            wal_bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        }
    }
    Ok(Sample {
        seconds,
        rss_mb: field("VmRSS:").context("no VmRSS")? as f64 / 1024.0,
        fds: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
        threads: field("Threads:").context("no Threads")?,
        wal_bytes,
    })
}

/// Resident memory of process `pid`, in KiB.
pub(crate) fn rss_kb(pid: u32) -> anyhow::Result<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the daemon is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.split_whitespace().next().context("an empty VmRSS")?.parse().context("VmRSS is no number")
}

/// Growth of resident memory in MiB an hour, by least squares.
pub(crate) fn rss_slope_mb_per_h(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (time, rss) = (mean(|sample| sample.seconds), mean(|sample| sample.rss_mb));
    let covariance: f64 = samples.iter().map(|sample| (sample.seconds - time) * (sample.rss_mb - rss)).sum();
    let variance: f64 = samples.iter().map(|sample| (sample.seconds - time).powi(2)).sum();
    if variance > 0.0 { covariance / variance * 3600.0 } else { 0.0 }
}

/// The middle value of resident memory.
pub(crate) fn rss_median_mb(samples: &[Sample]) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(|sample| sample.rss_mb).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_leak_of_one_mib_a_minute_is_sixty_an_hour() {
        let sample = |second: u32| Sample {
            seconds: f64::from(second),
            rss_mb: 20.0 + f64::from(second) / 60.0,
            ..Sample::default()
        };
        let samples: Vec<_> = (0..600).map(sample).collect();
        assert!((rss_slope_mb_per_h(&samples) - 60.0).abs() < 0.001);
        assert!((rss_median_mb(&samples) - 25.0).abs() < 0.1);
    }
}

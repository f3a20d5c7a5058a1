//! What the disk does while the rounds run: every durable figure hangs on it, and other programs use it too.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use crate::figures::median;

const SYNCS: usize = 50;
/// About what a commit of a hundred messages writes.
const BYTES: usize = 64 * 1024;

/// Microseconds that one append and `fdatasync` take, the middle one of some.
pub(crate) fn sync_us(directory: &Path) -> anyhow::Result<f64> {
    let mut file = File::create(directory.join("probe"))?;
    let block = vec![0; BYTES];
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}

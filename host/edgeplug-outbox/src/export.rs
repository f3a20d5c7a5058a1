//! Reading the rows of an outbox from outside, and giving them up while no daemon runs.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use crate::{
    directory::Layout,
    error::{OpenError, StatsError},
    event::{RowId, StoredRow},
    look::look,
    outbox::Durability,
    request::Lane,
    telemetry::{Shelf, segment::Settings, space::Space, tables},
    written::Counters,
};

/// Rows read at a time: each page is a read of its own, so that a running daemon's log is not kept from starting over.
const PAGE_ROWS: usize = 500;
/// And at most about so many bytes of bodies.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Hands over the rows of these lanes, in id order, until `each` breaks or there are no more. Says how many it handed over.
///
/// Changes nothing and needs no lock. Beside a running daemon, rows that are removed meanwhile may or may not come, and so
/// may rows that are added; all others come once. It runs as the daemon's user or as root.
///
/// # Errors
/// See [`StatsError`]; rows handed over before stay so.
pub fn export(
    directory: &Path,
    lanes: &[Lane],
    mut each: impl FnMut(StoredRow) -> ControlFlow<()>,
) -> Result<u64, StatsError> {
    let layout = Layout { directory: directory.to_owned() };
    let segments = || match layout.segments() {
        Ok(numbers) => Ok(numbers),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(StatsError::File { path: layout.telemetry_directory(), source }),
    };
    let mut numbers = segments()?;
    if numbers.is_empty() {
        return Err(StatsError::Missing { directory: directory.to_owned() });
    }
    let (mut rows, mut after) = (0, RowId(i64::MIN));
    while let Some(number) = numbers.first().copied() {
        let file = layout.segment(number);
        // `None`: the segment was emptied meanwhile.
        while let Some(page) =
            look(&file, |connection| tables::read_lanes(connection, lanes, after, PAGE_ROWS, PAGE_BYTES))?
            && let Some(last) = page.last().map(|row| row.id)
        {
            after = last;
            for row in page {
                rows += 1;
                if each(row).is_break() {
                    return Ok(rows);
                }
            }
        }
        // A running daemon may have begun another one.
        numbers = segments()?.into_iter().filter(|other| *other > number).collect();
    }
    Ok(rows)
}

/// Rows that were given up on request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub rows: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// Gives up every row up to `through`, in all lanes, while no daemon runs. [`RowId`]`(i64::MAX)` means all. Where a daemon
/// runs, ask it by [`Request::Drop`](crate::Request::Drop).
///
/// # Errors
/// [`OpenError::Locked`] while a daemon runs; otherwise the store cannot be opened or written, and some of the oldest rows
/// may be gone already.
pub fn drop_rows(directory: &Path, through: RowId) -> Result<Dropped, OpenError> {
    let layout = Layout { directory: directory.to_owned() };
    if !layout.telemetry_directory().is_dir() {
        return Err(OpenError::Missing { directory: directory.to_owned() });
    }
    let lock = layout.lock_exclusively()?;
    let settings = Settings {
        layout: layout.clone(),
        space: Space::unlimited(),
        durability: Durability::PowerLoss,
        pages_max_for_tests: None,
        written: Arc::new(Counters::default()),
    };
    let (mut shelf, _) = Shelf::open(settings)?;
    let dropped = shelf.drop_through(through);
    shelf.close();
    drop(lock);
    let dropped = dropped.map_err(|cause| cause.while_opening(layout.telemetry_directory()))?;
    Ok(Dropped { rows: dropped.rows, bytes: dropped.bytes })
}
